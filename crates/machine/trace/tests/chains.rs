//! Which copy wins: for each manager the chain of a value that has two versions, compared with what the program has that is
//! really started next, by the verb that applies a change and by the one that only seems to.

pub(crate) mod bad_days;
pub(crate) mod containers;
pub(crate) mod openclaw;
pub(crate) mod pm2;
pub(crate) mod programs;
pub(crate) mod scene;
pub(crate) mod supervisord;
pub(crate) mod systemd;
