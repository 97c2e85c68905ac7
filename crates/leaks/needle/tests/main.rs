//! The tests of `keyroll-needle`: one program, one module per subject.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

mod across;
mod encodings;
mod oracle;
mod prints;
mod redact;
