//! The rule files of gitleaks and Betterleaks, as they are.
//!
//! Invariants, by what is absent: no IO; nothing is half applied: a rule of which something is not understood is not used, and is
//! named; no error and no `Debug` shows an expression or a word of a file, which may be values; an expression that would explode is
//! not compiled.

mod allow;
mod class;
mod clause;
mod config;
mod dialect;
mod document;
mod entropy;
mod expression;
mod filter;
mod ignored;
mod keywords;
mod required;
mod rule;
mod search;
mod seen;
mod token;
mod words;

pub use config::{Config, Disabled, Extends, FILE_BYTES_MAX};
pub use ignored::Ignored;
pub use rule::Rule;
pub use search::{At, FOUND_MAX, Found};
