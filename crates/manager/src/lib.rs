//! Process managers: the verb that really applies a value.
//!
//! One attempt per call, each with its own deadline; whether the attempt had its effect is said by the class of the
//! failure. Invariants, by what is absent: no value in an argument or in the environment of anything started here;
//! nothing started here ends with keyroll, or holds an open file of it; no signal by process number alone.

mod apply;
mod at_rest;
mod check;
mod command;
mod fetch;
mod find;
mod http;
mod instance;
mod leftover;
mod output;
mod process;
mod rate;
mod reread;
mod systemd;
mod user;

pub use apply::{Applied, Run, apply, instances, instances_in};
pub use at_rest::AtRest;
pub use check::{Check, CheckAnswer, check};
pub use command::CommandLine;
pub use fetch::fetch;
pub use find::Find;
pub use instance::{InstanceProcess, check_instance_name};
pub use leftover::{Leftover, end_leftover};
pub use process::{Process, Said, Verb, signal_by_name};
pub use rate::RateQuery;
pub use reread::Reread;
pub use systemd::{Unit, UnitFiles, UnitState};
