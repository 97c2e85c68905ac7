//! Programs that call models and keep their keys in places of their own: where a key stands, which copy wins, what
//! makes a new one live, and which of a program's own signs of success are none.
//!
//! Invariants, by what is absent: nothing is written, started or sent; no key is kept, only the form in which it
//! stands, and where one is read it is to be compared and is never shown; what a release keeps in a form that is not
//! known is *not visible*, never *none*.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod database;
mod document;
mod explained;
mod facts;
mod link;
mod litellm;
mod openclaw;

pub use document::DocumentError;
pub use explained::{Explained, agent_of, explained};
pub use facts::{AGENT_FACTS, AgentFact, Tried, agents_markdown};
pub use link::{AgentLink, AgentSlot, Standing};
pub use litellm::{
    Deployment, LITELLM, Mode, NEW_WORKERS, PredictedModelIds, ProxyConfig, Unpredicted, Variables, Versions,
};
pub use openclaw::{
    Bound, CoolDown, KeyRow, KeySource, NEW_PROCESS, OpenClawError, OpenClawHome, OpenClawSettings, Profiles,
    Reloaded, SecretText, Started, Takes,
};
