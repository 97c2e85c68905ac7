//! What keyroll does, for every front: the command line today, others later.
//!
//! Invariants, by what is absent: nothing here prints, reads a terminal or parses arguments (a front is an
//! [`operator::Operator`]); no decision of a rotation is made here (the pure core makes them); every variable of the
//! environment is named in [`env`]; no value comes from the environment.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

pub mod accept_state;
pub mod atomic_file;
pub mod config_file;
pub mod configured;
#[cfg_attr(not(test), allow(dead_code, reason = "a test makes the reference page from the registry"))]
pub mod env;
pub mod exit;
pub mod export_fingerprints;
pub mod fingerprint_file;
pub mod handles;
pub mod hosts;
pub mod incidents;
pub mod installation;
pub mod interrupt;
pub mod inventory;
pub mod leaks;
pub mod lock_file;
pub mod machine_id;
pub mod operator;
pub mod places;
pub mod plans;
pub mod problem;
pub mod quantity;
pub mod records;
pub mod redact;
pub mod redaction_sources;
pub mod reports;
pub mod scaffold;
pub mod secrets;
pub mod session;
pub mod shell_words;
pub mod stored_values;
pub mod unit_file;
/// The time of day.
pub mod wall_clock;
pub mod weak_values;
pub mod window;
pub mod wiring;
