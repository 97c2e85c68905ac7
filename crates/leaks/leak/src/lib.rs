//! Recognises credentials by the rules of their issuers, by their names and positions, and tells examples and
//! placeholders apart.
//!
//! Invariants, by what is absent: no IO; no value is returned, only its range in the input; a rule that does not
//! compile is an error with its line, never a rule that matches nothing.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod allowlist;
mod block_context;
mod byte_search;
mod candidate;
mod candidate_search;
mod ciphertext;
mod confidence;
mod encoded_forms;
pub mod gitleaks;
mod inline_context;
mod named_values;
mod places;
mod rules;
mod safe_output;
mod secret_names;
mod weak_value;

pub use crate::allowlist::{NotSecretReason, is_distinct, is_example, no_secret, no_secret_under};
pub use crate::block_context::lines::FAR_BYTES_MAX;
pub use crate::block_context::reaches_far;
pub use crate::block_context::table::Table;
pub use crate::confidence::TextKind;
pub use crate::inline_context::url_credentials::{passwords_in, tokens_in};
pub use crate::named_values::holds_a_secret;
pub use crate::places::git_folder::{below_git, is_log_in_git, is_read_in_git};
pub use crate::places::leftover_names::{is_marked_as_leftover, original_name};
pub use crate::places::line_formats::{has_line_reader, may_have_a_format, one_value};
pub use crate::places::search::{in_file_named, in_part_of};
pub use crate::places::{
    FileFormat, file_format, holds_settings, names_one_value, reading_of, text_kind, untried_places,
};
pub use crate::rules::undecided_tail::{UndecidedTail, ends_run};
pub use crate::safe_output::{
    MASK, NAME_BYTES_MAX, looks_like_hex_id, looks_like_name, mask_parts, mask_words,
};
pub use crate::secret_names::{named_for, names_a_key, names_a_secret};
pub use crate::weak_value::{Weakness, occurs_in_words, weakness};
pub use candidate::{Candidate, CandidateSource, DecodedValue};
pub use candidate_search::{
    FORM_BYTES_MIN, by_form, forms_in, in_anything, in_part, in_text, name_before, settings_in,
};
pub use rules::block_lines::{BLOCK_CONTEXT_BYTES, block_context};
pub use rules::rule::{BLOCK_BYTES_MAX, MATCH_BYTES_MAX, NEAR_BYTES_MAX, Rule};
pub use rules::{RuleError, RuleMatch, Rules};
