//! A plan: everything is looked at, nothing is changed, and what was seen is kept for the comparison at `apply`.

mod clear;
pub(crate) mod granted;
pub(crate) mod live;
pub(crate) mod look;
pub(crate) mod make;
mod outline;
pub(crate) mod reach;
mod shared;
pub(crate) mod split;
mod subject;

pub(crate) use look::Found;
pub(crate) use outline::announced;
pub(crate) use subject::Subject;
