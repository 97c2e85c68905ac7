//! Drives rotations: pure scheduling in the driver, a thin shell that carries operations out.
//!
//! [`Driver`] decides only when to ask, in which order and how often; [`run()`] carries out what it says. What is
//! true of a rotation is decided by `keyroll_rotation::step` alone.

mod core;
mod deliver;
mod drive;
mod driver;
mod exchange;
mod execute;
mod executor;
mod flight;
mod known_ids;
mod listed_ids;
mod look_filter;
mod observe;
mod pace;
mod ports;
mod probe;
mod reconcile;
mod refusals;
mod run;
mod sessions;
mod task;
mod truth;
mod turns;

pub use core::{Core, Protocol};
pub use drive::Drive;
pub use driver::Driver;
pub use exchange::{Action, AppendError, DriverState, Input, Poll};
pub use executor::Note;
pub use pace::Pace;
pub use ports::{OtherKeys, Ports};
pub use run::{Command, Ending, Observer, ObserverReply, replay, run, run_over};
pub use task::{Limit, Spawner, Task, TokioSpawner};
