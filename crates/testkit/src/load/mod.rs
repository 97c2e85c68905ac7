//! A small service over a database, a front before its instances, and callers that count: constant load for tests.

mod acme;
mod backend;
mod drive;
mod env_file;
mod front;
mod http;
mod web;
mod worker;

pub use backend::{Refusal, log_in};
pub use drive::{Callers, Tally};
pub use env_file::read_variable;
pub use front::Front;
pub use worker::{Worker, WorkerOptions};
