//! What a credential looks like: the rules of its issuers, the names that are given to it, and what is none.
//!
//! Invariants, by what is absent: no IO; no value leaves, only its place in what was given; a rule that does not
//! compile is an error with its line, never a rule that matches nothing.

mod anchors;
mod apart;
mod beside;
mod calls;
mod candidates;
mod checksum;
mod commands;
mod daemons;
pub mod gitleaks;
mod kubernetes;
mod likely;
mod login;
mod may_hold;
mod name;
mod object;
mod parts;
mod peers;
mod pieces;
mod places;
mod plain;
mod programs;
mod published;
mod rule;
mod rules;
mod sections;
mod shown;
mod states;
mod table;
mod undecided;
mod within;

pub use apart::{FAR_BYTES_MAX, reaches_far};
pub use candidates::{
    By, Candidate, FORM_BYTES_MIN, by_form, forms_in, in_anything, in_part, in_text, name_before, settings_in,
};
pub use likely::Text;
pub use name::{named_for, names_a_secret};
pub use plain::{NoSecret, is_distinct, is_example, no_secret};
pub use rule::{BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, Rule};
pub use rules::{Finding, RuleError, Rules};
pub use shown::{HIDDEN, NAME_BYTES_MAX, is_name, is_number, plain_words, without};
pub use table::Table;
pub use undecided::ends_run;
pub use within::{passwords_in, tokens_in};
