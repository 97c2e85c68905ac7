//! The form of a spec, as it is written. Which parts go together is judged in `check`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::alphabet::Alphabet;
use crate::operation::Operations;
use crate::span::Span;
use crate::target::Host;
use crate::template::{Slot, Template};

/// An issuer spec: how one kind of credential is made, watched and ended at one issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The version of this format: 1.
    pub(crate) spec: u32,
    /// One kind of credential only: `openrouter-api-key`. Lower-case letters, digits and dashes.
    pub(crate) id: String,
    /// What a person calls it: `OpenRouter API keys`.
    pub(crate) title: String,
    /// Who makes the value.
    pub(crate) minted_by: MintedBy,
    /// How long two credentials can be valid beside each other.
    pub(crate) overlap: Overlap,
    /// Where a refused use can be seen; `none` where it is left out.
    #[serde(default)]
    pub(crate) refusals: Refusals,
    /// The fields of a credential by name; a single key is called `value`.
    pub(crate) fields: BTreeMap<String, FieldForm>,
    /// How the two kinds of caller show who they are, and where they may go.
    pub(crate) auth: Auth,
    /// What can be asked of the issuer.
    pub(crate) op: Operations,
    /// What `op.list`'s time of last use means; needed with its `last_used`.
    pub(crate) last_used: Option<LastUsed>,
    /// How slowly births and deaths spread.
    pub(crate) propagation: Propagation,
    /// Limits of a single request.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What a revoke takes with it.
    #[serde(default)]
    pub(crate) effects: Effects,
    /// How the negative control is made.
    #[serde(default)]
    pub(crate) control: Control,
    /// What a person does, where `minted_by` is `human`.
    pub(crate) human: Option<Human>,
    /// Where the facts of this spec come from.
    pub(crate) provenance: Provenance,
}

/// Who makes the value of a new credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MintedBy {
    /// The issuer, by `op.mint`; the value is seen once.
    Api,
    /// We choose the value and send it with `op.mint`.
    Us,
    /// A person, at a console.
    Human,
}

/// How two credentials coexist.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlap {
    /// The kind of overlap.
    pub(crate) kind: OverlapKind,
    /// `independent`: how many may exist at once; 0 where no limit is known.
    #[serde(default)]
    pub(crate) max: u32,
    /// `grace`: how long the old value works after the new one is made.
    pub(crate) grace: Option<Span>,
}

/// The kinds of overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverlapKind {
    /// Independent credentials.
    Independent,
    /// Exactly two slots.
    TwoSlots,
    /// The old value dies some time after the new one is made.
    Grace,
    /// Making the new value ends the old one at once.
    None,
}

/// Where a refused use of a credential can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refusals {
    /// In the issuer's log.
    IssuerLog,
    /// In the consumers' logs.
    ConsumerLogs,
    /// Nowhere.
    #[default]
    None,
}

/// What one field of a credential looks like.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldForm {
    /// Whether it must be kept from sight; `true` where it is left out.
    #[serde(default = "yes")]
    pub(crate) secret: bool,
    /// What every value starts with: `sk-or-v1-`.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The characters after the prefix: `0-9a-f`.
    pub(crate) alphabet: Option<Alphabet>,
    /// The shortest whole value, in bytes.
    #[serde(default)]
    pub(crate) length_min: usize,
    /// The longest whole value, in bytes.
    pub(crate) length_max: Option<usize>,
    /// What the last characters are computed from, where that is published.
    pub(crate) checksum: Option<Checksum>,
}

/// A published checksum at the end of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    /// Six characters: the CRC-32 of what stands between the prefix and them, in base 62.
    GithubCrc32,
}

fn yes() -> bool {
    true
}

/// How the two kinds of caller authenticate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// The admin credential, which manages others.
    pub(crate) admin: Option<Caller>,
    /// The credential itself.
    #[serde(rename = "self")]
    pub(crate) own: Caller,
}

/// How one caller authenticates, and the only hosts that it is ever sent to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Caller {
    /// The hosts that this credential may be sent to, each with its port where it is not 443.
    pub(crate) hosts: Vec<Host>,
    /// Headers, such as `Authorization = "Bearer {admin}"`.
    #[serde(default)]
    pub(crate) header: BTreeMap<String, Template>,
    /// HTTP Basic authentication.
    pub(crate) basic: Option<Basic>,
}

/// A user and a password for HTTP Basic authentication.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// The user; it holds no colon.
    pub(crate) user: Template,
    /// The password.
    pub(crate) password: Template,
}

/// What the issuer's time of last use means.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LastUsed {
    /// Whose use it shows.
    pub(crate) per: Per,
    /// How late it appears.
    pub(crate) lag: Span,
    /// How coarse it is.
    pub(crate) granularity: Span,
}

/// Whose use a time of last use shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Per {
    /// One credential's.
    Key,
    /// A principal's, whichever credential it used: proves nothing about one of two.
    Principal,
}

/// How slowly births and deaths spread.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Propagation {
    /// The longest until a new credential works and is listed.
    pub(crate) birth_max: Span,
    /// The longest until a revoked or disabled one is refused.
    pub(crate) death_max: Span,
}

/// Limits of a single request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// How long one request may take, from the name's resolution to the last byte of the answer; at most 2m.
    #[serde(default = "request_default")]
    pub(crate) request_max: Span,
}

fn request_default() -> Span {
    Span::from_ms(20_000)
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_max: request_default() }
    }
}

/// What a revoke takes with it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effects {
    /// What else ends with a credential, one sentence each; shown before consent.
    #[serde(default)]
    pub(crate) cascades: Vec<String>,
    /// How long tokens or sessions derived from it live on.
    #[serde(default)]
    pub(crate) residual: Span,
}

/// How the negative control, a value that must be refused, is made.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// The kind of decoy.
    #[serde(default)]
    pub(crate) decoy: Decoy,
    /// The fields that are made wrong; every secret field where it is left out. Name the user too where wrong
    /// attempts lock an account.
    #[serde(default)]
    pub(crate) fields: Vec<String>,
}

/// The kinds of decoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decoy {
    /// As long as the right value, with its prefix and separators: every letter and digit after the prefix is drawn
    /// anew from the same alphabet.
    #[default]
    SameShape,
}

/// What a person does at a console.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Human {
    /// The console's page.
    pub(crate) url: String,
    /// What to do there, one step each.
    pub(crate) steps: Vec<String>,
    /// The page where a credential is ended, where that is another.
    pub(crate) revoke_url: Option<String>,
    /// How a credential is ended there, one step each; needed without `op.revoke`.
    #[serde(default)]
    pub(crate) revoke_steps: Vec<String>,
}

/// Where the facts of a spec come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    /// The day on which they were last checked: `2026-11-20`.
    pub(crate) checked: String,
    /// Pages that state them.
    pub(crate) sources: Vec<String>,
    /// What is not stated anywhere and was assumed or measured, one sentence each.
    #[serde(default)]
    pub(crate) assumed: Vec<String>,
}

impl Document {
    /// The secret field that is all that `op.verify` sends of a credential; `None` where it sends more, or a public one.
    pub(crate) fn sole_field(&self) -> Option<&str> {
        let own = &self.auth.own;
        let basic = own.basic.iter().flat_map(|basic| [&basic.user, &basic.password]);
        let sent = self.op.verify.request.templates().into_iter().chain(own.header.values()).chain(basic);
        let mut named = BTreeSet::new();
        for slot in sent.flat_map(|template| template.slots()) {
            let Slot::CredField(name) = slot else { return None };
            named.insert(name.as_str());
        }
        let only = named.pop_first().filter(|_| named.is_empty())?;
        self.fields.get(only).is_some_and(|form| form.secret).then_some(only)
    }
}
