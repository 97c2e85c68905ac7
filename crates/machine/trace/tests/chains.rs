//! Which copy wins. For each manager, the chain of a value with two versions is compared with what the next started
//! program really has, after the verb that applies a change and after the one that only seems to.

pub(crate) mod bad_days;
pub(crate) mod containers;
pub(crate) mod openclaw;
pub(crate) mod origins;
pub(crate) mod pasted;
pub(crate) mod pm2;
pub(crate) mod programs;
pub(crate) mod runit;
pub(crate) mod scene;
pub(crate) mod supervisord;
pub(crate) mod systemd;
pub(crate) mod wrappings;
