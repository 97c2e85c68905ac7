//! Rule files of gitleaks and Betterleaks.
//!
//! Invariants, by what is absent: no IO; no rule is applied in part: one that is not fully understood is disabled and
//! named; no error and no `Debug` contains an expression or a word of a file, which may be a value; an expression
//! with too many states is not compiled.

mod allowlist;
mod char_class;
mod config;
mod entropy;
mod expression;
mod filter;
mod filter_parser;
mod filter_tokens;
mod go_syntax;
mod ignore_file;
mod keywords;
mod match_context;
mod required_rules;
mod rule;
mod search;
mod stopwords;
mod toml_document;

pub use crate::gitleaks::ignore_file::IgnoreFile;
pub use config::{Config, DisabledRule, Extends, FILE_BYTES_MAX};
pub use rule::Rule;
pub use search::{ImportedMatch, MATCHES_PER_TEXT_MAX, TextOrigin};
