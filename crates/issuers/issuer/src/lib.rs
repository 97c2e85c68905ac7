//! Issuers as data: the runner of declarative specs.
//!
//! Invariants, by what is absent: nothing is retried and no redirect is followed; a credential is sent only to the
//! hosts that its spec lists for it; no message repeats the body of an answer; 429, 5xx, HTML and silence mean
//! *unknown* whatever a spec says; an id comes from the issuer's answer, never from a value.

mod alphabet;
mod answer;
mod call;
mod caller;
mod check;
mod document;
mod facts;
mod github_alerts;
mod http;
mod identify;
mod keys;
mod lint;
mod list;
mod matcher;
mod mint;
mod operation;
mod own;
mod page;
mod parse;
mod pointer;
mod preflight;
mod private_key;
mod provenance;
mod refusals;
mod registry;
mod render;
mod runner;
mod schema;
mod sessions;
mod shape;
mod sign;
mod span;
mod target;
mod template;
mod token;
mod verify_finding;

pub use facts::{ISSUER_FACTS, IssuerFact, issuers_markdown, mechanism};
pub use github_alerts::GithubAlerts;
pub use lint::{KnownRule, LintContext, Origin, SpecWarning, lint};
pub use parse::SpecError;
pub use registry::{ByHand, Spec, SpecSource};
pub use runner::Runner;
pub use schema::spec_schema;
pub use verify_finding::VerifyReply;
