//! Hosts over ssh: `keyroll-host` is sent there if it is not there, started, and spoken to, all in one connection. A
//! connection from a host to a server is such a connection too.
//!
//! Invariants, by what is absent: no value of a secret in an argument, in the environment or in what is sent; no
//! question to the operator, and no key of a host accepted for them: that is between them and their ssh; nothing is
//! read without a limit, or awaited without one; no connection outlives its [`Reached`].

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod command_line;
mod error;
mod marker;
mod program;
mod reach;
mod said;
mod session;
mod verb;

pub use error::ReachError;
pub use marker::Sudo;
pub use program::{Program, programs};
pub use reach::{Reached, Started, reach};
pub use session::Reach;
pub use verb::Verb;
