//! The codes of this room's failures; each has a page under docs/errors.

/// A pooler cannot be asked.
pub(crate) const POOLER: &str = "K0155";
/// What answers in the server's place is a pooler.
pub(crate) const BEHIND: &str = "K0156";
/// Several poolers listen at one port.
pub(crate) const SHARED_PORT: &str = "K0157";
/// A pooler's version does not show what is needed.
pub(crate) const POOLER_VERSION: &str = "K0158";
/// The options name something that cannot be used.
pub(crate) const OPTIONS: &str = "K0201";
/// The admin connection could not be made.
pub(crate) const CONNECT: &str = "K0202";
/// The admin lacks a right.
pub(crate) const RIGHTS: &str = "K0203";
/// The server accepts connections without looking at the password.
pub(crate) const CONTROL: &str = "K0204";
/// The slot that the new credential needs is in use.
pub(crate) const SLOT: &str = "K0205";
/// Another login of the same owner role exists that keyroll did not make.
pub(crate) const SECOND_KEY: &str = "K0206";
/// The current credential's role cannot be rotated in this way.
pub(crate) const CURRENT: &str = "K0207";
/// Something that belongs to the present role cannot be carried over to the new one.
pub(crate) const CARRY: &str = "K0208";
/// The role carries another credential than the one named.
pub(crate) const FENCED: &str = "K0209";
/// A statement failed, or its answer was lost.
pub(crate) const STATEMENT: &str = "K0210";
/// Sessions of other roles are hidden from the admin.
pub(crate) const HIDDEN: &str = "K0211";
/// The server cannot be used: a standby, or too old.
pub(crate) const SERVER: &str = "K0212";
/// The server's own log cannot be read.
pub(crate) const LOG: &str = "K0213";
