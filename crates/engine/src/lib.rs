//! Drives rotations: pure scheduling in the driver, a thin shell that carries operations out.
//!
//! [`Driver`] decides only when to ask, in which order and how often; [`run()`] carries out what it says. What is
//! true of a rotation is decided by `keyroll_rotation::step` alone.

mod beside;
mod core;
mod driver;
mod exchange;
mod hands;
mod look;
mod pace;
mod ports;
mod reconcile;
mod refusals;
mod run;
mod sessions;

pub use core::{Core, Protocol};
pub use driver::Driver;
pub use exchange::{Action, Input, Poll, Standing, Trouble};
pub use hands::Note;
pub use pace::Pace;
pub use ports::Ports;
pub use run::{Command, Ending, Observer, Word, replay, run};
