//! An open rotation: begun, taken up, driven and shown.

pub(crate) mod adopt;
mod allowed;
pub(crate) mod by_hand;
mod dead_by_hand;
mod drive;
mod finish;
mod let_go;
pub(crate) mod prompted;
pub(crate) mod rotate;
pub(crate) mod split;
pub(crate) mod steps;
pub(crate) mod told;
mod watch;
