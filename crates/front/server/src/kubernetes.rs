//! The server in a cluster: it goes by the `SecretRotation` objects of the namespaces that its base file names.
//!
//! What an object asks for is done as an operator's request is: by a process of its own, after it was recorded. The file of
//! the configuration is written anew from the base file and the objects before anything is done by it, so that every command
//! goes by the same text. What was asked for is remembered in the object's own status.

mod acts;
mod begin;
mod contents;
mod decide;
#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod drawn_tests;
mod facts;
mod first_value;
mod followed;
mod held;
mod jobs;
mod look;
mod pods;
mod rights;
mod seen;
mod ways;
mod writing;
mod written;

pub(crate) use begin::begin;
pub(crate) use followed::Followed;
pub(crate) use look::keep;
pub use rights::rights;
