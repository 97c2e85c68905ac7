//! The tests of `keyroll-manager`: one program, one module per subject.

#![allow(clippy::disallowed_methods, reason = "a test looks from outside")]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, missing_docs)]

mod adapter;
mod believed;
mod docker;
mod facts;
mod litellm;
mod master;
mod pm2;
mod processes;
mod runit;
mod supervisor;
mod systemd;
