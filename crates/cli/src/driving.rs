//! An open rotation: begun, taken up, driven and shown.

pub(crate) mod adopt;
mod drive;
mod finish;
pub(crate) mod rotate;
mod watch;
