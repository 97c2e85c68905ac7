//! Secrets and consumers of keyroll.toml, drafted from an inspection of the machine that this code runs on: which copies a
//! service starts from and can be written there, and how it is restarted. What the operator must fill in is marked.
//!
//! Invariants, by what is absent: nothing is written, sent, started or printed; no value is in a draft; nothing is drafted
//! that was not found; no configuration and no store is read.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod consumer;
mod consumer_draft;
mod copies;
mod copy;
mod draft;
mod form;
mod instances;
mod login;
mod pooler;
mod process;
mod report;
mod shown;

pub use consumer_draft::ConsumerDraft;
pub use draft::{Draft, Wanted, drafts, named};
pub use form::{Form, SURE};
pub use instances::consumers_of;
pub use login::Login;
pub use report::report;
