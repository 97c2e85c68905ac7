//! The inventory of this machine: its copies, its processes, which version each holds, and which copy wins.
//!
//! Invariants, by what is absent: nothing is written or sent, and no process is started except to query a manager; no
//! value leaves except as a [`ValueId`] and a label of its public prefix and its fingerprint; everything that could not
//! be read is reported ([`Unseen`]).

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod chain;
mod changed;
mod copies;
mod database;
mod entries;
mod evidence;
mod file_times;
mod files;
mod git;
mod given;
mod in_text;
mod instance;
mod joins;
mod kinds;
mod label;
mod likely;
mod logins;
mod look;
mod managed_by;
mod memory;
mod name_search;
mod naming;
mod origins;
mod place;
mod processes;
mod risks;
mod roots;
mod rows;
mod secrets;
mod service;
mod services;
mod shell_exports;
mod slots;
mod survey;
mod users;
mod values;
mod verdict;
mod wrapping;
mod wrapping_words;
mod writable;

pub use chain::{Basis, Chain, Link, LinkRole};
pub use evidence::Evidence;
pub use in_text::{InText, values_in};
pub use instance::{Instance, Opened, StartUnseen, Worker};
pub use joins::Joins;
pub use label::Label;
pub use managed_by::ManagedBy;
pub use memory::{MemoryAhead, MemoryStage};
pub use naming::{Names, name_of, told_apart};
pub use place::{Place, Record, Sighting, Unseen};
pub use risks::{Risk, Risks};
pub use rows::{Row, chains_of, rows};
pub use secrets::{Managed, SurveyedSecret, Version, secrets};
pub use service::{Made, Service};
pub use slots::is_left_behind;
pub use survey::{Managers, Options, Store, Survey, SurveyError, survey, survey_with};
pub use users::User;
pub use values::{Value, ValueId, Values};
pub use verdict::{Doubt, Held, Memory, Verdict, verdict};
pub use wrapping_words::without_wrappings;
pub use writable::{Writable, writable};
