//! What a credential looks like: the rules of its issuers, the names that are given to it, and what is none.
//!
//! Invariants, by what is absent: no IO; no value leaves, only its place in what was given; a rule that does not
//! compile is an error with its line, never a rule that matches nothing.

mod apart;
mod beside;
mod candidates;
pub mod gitleaks;
mod likely;
mod name;
mod places;
mod plain;
mod rules;
mod shown;

pub use apart::table::Table;
pub use apart::{FAR_BYTES_MAX, reaches_far};
pub use beside::within::{passwords_in, tokens_in};
pub use candidates::{
    By, Candidate, FORM_BYTES_MIN, by_form, forms_in, in_anything, in_part, in_text, name_before, settings_in,
};
pub use likely::Text;
pub use name::{named_for, names_a_secret};
pub use plain::{NoSecret, is_distinct, is_example, no_secret};
pub use rules::rule::{BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, Rule};
pub use rules::undecided::ends_run;
pub use rules::{Finding, RuleError, Rules};
pub use shown::{HIDDEN, NAME_BYTES_MAX, is_name, is_number, plain_words, without};
