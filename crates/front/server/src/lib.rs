//! The server of keyroll: `POST /rotate-secret` and `GET /secret-status`, on loopback.
//!
//! Invariants, by what is absent: the process that listens drives nothing and holds no lock of the state folder. Each
//! rotation is driven by a process of its own, the command `keyroll emergency`, so that a signal, a crash or an
//! operator at a terminal meets one rotation and never the server. A value goes from the request's body to that process's
//! stdin, and nowhere else; every answer is made from the journal.

mod alerts;
mod answer;
mod drives;
mod guard;
mod guesses;
mod listen;
mod log;
mod request;
mod rotate;
mod serve;
mod server;
mod show;
mod signature;
mod stop;
mod tokens;
mod unit;

pub use serve::{Setup, serve, table};
pub use tokens::{TokenShown, Tokens};
pub use unit::unit;
