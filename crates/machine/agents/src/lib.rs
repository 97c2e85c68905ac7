//! Programs that call models and store their keys in places of their own: where each key is, which copy wins, what
//! applies a new one, and which signs of success of the program itself prove nothing.
//!
//! Invariants, by what is absent: nothing is written, started or sent. No key is kept, only its form; a key that is
//! read is compared and never shown. Data in a form that is unknown here is *not visible*, never *none*.

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
pub use link::{AgentLink, AgentLinkRole, AgentSlot};
pub use litellm::{
    Deployment, LITELLM, Mode, NEW_WORKERS, PredictedModelIds, ProxyConfig, Unpredicted, Variables, Versions,
};
pub use openclaw::{
    Bound, CoolDown, KeyRow, KeySource, NEW_PROCESS, OpenClawError, OpenClawHome, OpenClawSettings, Profiles,
    ReferencedFile, Reloaded, SecretText, Started, Takes,
};
