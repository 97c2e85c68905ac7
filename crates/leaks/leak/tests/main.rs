//! The tests of `keyroll-leak`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod block_lines;
mod file_formats;
mod gitleaks;
mod gitleaks_files;
mod gitleaks_filters;
mod gitleaks_keywords;
mod long_lines;
mod places;
mod python;
mod values;
