//! The codes of this room's failures; each has a page under docs/errors.

/// The options name something that cannot be used.
pub(crate) const OPTIONS: &str = "K0140";
/// The admin connection could not be made.
pub(crate) const CONNECT: &str = "K0141";
/// The admin lacks a right.
pub(crate) const RIGHTS: &str = "K0142";
/// The server accepts the login without looking at the password.
pub(crate) const CONTROL: &str = "K0143";
/// The slot that the new credential needs is in use.
pub(crate) const SLOT: &str = "K0144";
/// The current login cannot be rotated in this way.
pub(crate) const CURRENT: &str = "K0145";
/// The login carries another credential than the one named.
pub(crate) const FENCED: &str = "K0146";
/// A command failed, or its answer was lost.
pub(crate) const COMMAND: &str = "K0147";
/// The server cannot be used: too old, a replica, or it would forget its logins.
pub(crate) const SERVER: &str = "K0148";
/// What one login may do was not to be had for the other.
pub(crate) const UNLIKE: &str = "K0149";
/// A node of the server's cluster is down or parted from the others.
pub(crate) const NODES: &str = "K0150";
/// The server answered that it changed a login, and did not.
pub(crate) const KEPT: &str = "K0151";
