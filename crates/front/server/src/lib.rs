//! The server of keyroll: `POST /rotate-secret`, alerts, metrics, and the pages under `/v1`, on loopback.
//!
//! Invariants, by what is absent: the process that listens drives nothing and holds no lock of the state folder. Each
//! rotation is driven by a process of its own, the command `keyroll emergency`, so that a signal, a crash or an
//! operator at a terminal meets one rotation and never the server. A value goes from the request's body to that process's
//! stdin, and nowhere else; every answer is made from the journal.

mod alerts;
mod answer;
mod api;
mod check;
mod consent_text;
mod counters;
mod drives;
mod guard;
mod guesses;
mod kubernetes;
mod listen;
mod log;
mod metrics;
mod notices;
mod request;
mod role;
mod rotate;
mod schedule;
mod seen;
mod series;
mod serve;
mod server;
mod show;
mod signature;
mod stop;
mod streams;
mod tokens;
mod unit;
mod upkeep;
mod values;

pub use api::openapi::openapi_json;
pub use check::check;
pub use keyroll_controller::CRD_YAML;
pub use kubernetes::rights;
pub use metrics::ALERT_RULES;
pub use notices::{Tested, test_notices};
pub use role::Role;
pub use serve::{Setup, serve, table};
pub use tokens::{TokenShown, Tokens};
pub use unit::unit;
