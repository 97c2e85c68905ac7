//! The tests of `keyroll-truth`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

mod aws_answers;
mod aws_at_once;
mod aws_conformance;
mod aws_lost;
mod aws_refused;
mod exec_answers;
mod exec_conformance;
mod exec_kit;
mod exec_sample;
mod file_conformance;
mod file_refused;
mod file_sample;
mod kubernetes_answers;
mod kubernetes_conformance;
mod kubernetes_real;
mod kubernetes_sample;
mod sample;
mod vault_answers;
mod vault_at_once;
mod vault_conformance;
mod vault_login;
mod vault_lost;
mod vault_real;
mod vault_refused;
mod vault_sample;
