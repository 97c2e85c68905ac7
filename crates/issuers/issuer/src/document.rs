//! The form of a spec, as it is written. `check` verifies which parts go together.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_http::Addresses;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alphabet::Alphabet;
use crate::caller::Caller;
use crate::operation::Operations;
use crate::provenance::Provenance;
use crate::span::Span;
use crate::template::{Slot, Template};

/// An issuer spec: how keyroll makes, tests, lists and revokes one kind of credential at one issuer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    /// The version of the spec format: 1.
    pub(crate) spec: u32,
    /// The id of the one kind of credential that the spec describes: `openrouter-api-key`. At most 64 lower-case letters,
    /// digits and dashes.
    pub(crate) id: String,
    /// The name of this kind of credential in messages: `OpenRouter API keys`.
    pub(crate) title: String,
    /// Who makes the value of a new credential.
    pub(crate) minted_by: MintedBy,
    /// What an id is. Default `whole`.
    #[serde(default)]
    pub(crate) id_form: IdForm,
    /// Where a credential itself contains its id: `{cred.FIELD}` of a field that is not secret, or `{cred.FIELD/PLACE}`.
    /// keyroll compares it with the stored id before a rotation, so that no other credential is revoked. Not with
    /// `op.identify`'s `id`.
    pub(crate) id_in: Option<Template>,
    /// Whether the spec must be copied and edited before it is used. Default false.
    #[serde(default)]
    pub(crate) template: bool,
    /// Whether the old and the new credential can be valid at the same time, and for how long.
    pub(crate) overlap: Overlap,
    /// Where refused calls with a credential are visible. Default `none`.
    #[serde(default)]
    pub(crate) refusals: Refusals,
    /// The fields of a credential, by name: letters, digits and `_`, and not `id`. At least one is secret. A single key is
    /// called `value`.
    pub(crate) fields: BTreeMap<String, FieldForm>,
    /// How requests authenticate with the admin credential and with the credential itself, and to which hosts keyroll may
    /// send each.
    pub(crate) auth: Auth,
    /// The operations that the issuer supports.
    pub(crate) op: Operations,
    /// What the time of last use in `op.list` means. Required if `op.list` has `last_used`.
    pub(crate) last_used: Option<LastUsed>,
    /// How long the issuer takes to apply a change everywhere.
    pub(crate) propagation: Propagation,
    /// Limits of a single request.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// What else a revocation affects.
    #[serde(default)]
    pub(crate) effects: Effects,
    /// How keyroll makes the wrong credential that the issuer must refuse (the negative control).
    #[serde(default)]
    pub(crate) control: Control,
    /// What an operator does at the issuer's console. Required with `minted_by = "human"`, and allowed only then.
    pub(crate) human: Option<Human>,
    /// The sources of the facts in this spec.
    pub(crate) provenance: Provenance,
    /// Which addresses its hosts may lead to. The text does not say it: who named the spec decides.
    #[serde(skip)]
    pub(crate) addresses: Addresses,
}

/// Who makes the value of a new credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MintedBy {
    /// The issuer: the answer to `op.mint` contains the value, and the issuer never shows it again.
    Api,
    /// keyroll chooses the value and sends it with `op.mint`.
    Us,
    /// An operator, at the issuer's console.
    Human,
}

/// What an id is, of the text that the spec points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IdForm {
    /// The whole text.
    #[default]
    Whole,
    /// The text after its last `/`: `projects/p/keys/7f3a` has the id `7f3a`.
    LastSegment,
}

/// Whether the old and the new credential can be valid at the same time, and for how long.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlap {
    /// The kind of overlap.
    pub(crate) kind: OverlapKind,
    /// With `independent`: how many credentials may exist at the same time, 2 or more. Default 0: no limit is known.
    #[serde(default)]
    pub(crate) max: u32,
    /// With `grace`: how long the old value works after the new value is made, for example `24h`.
    pub(crate) grace: Option<Span>,
}

/// The kinds of overlap between the old and the new credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OverlapKind {
    /// Every credential is valid until it is revoked, independently of the others.
    Independent,
    /// There are exactly two slots, and each holds one credential.
    TwoSlots,
    /// The issuer revokes the old value some time after it makes the new one.
    Grace,
    /// The issuer revokes the old value at the moment when it makes the new one.
    None,
}

/// Where refused calls with a credential are visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refusals {
    /// In the issuer's log, which `op.refusals` reads.
    IssuerLog,
    /// Only in the consumers' logs.
    ConsumerLogs,
    /// Nowhere.
    #[default]
    None,
}

/// The form of one field of a credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldForm {
    /// Whether the field is secret: keyroll seals it, and never prints it. Default true.
    #[serde(default = "yes")]
    pub(crate) secret: bool,
    /// What a value is. Default `text`.
    #[serde(default)]
    pub(crate) form: ValueForm,
    /// The text that every value starts with: `sk-or-v1-`. Default: none.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The characters that may follow the prefix: `0-9a-f`. Required for a secret field with `form = "text"`.
    pub(crate) alphabet: Option<Alphabet>,
    /// The length of the shortest value with its prefix, in bytes. Default 0.
    #[serde(default)]
    pub(crate) length_min: usize,
    /// The length of the longest value with its prefix, in bytes, at most 65536. Required for a secret field.
    pub(crate) length_max: Option<usize>,
    /// The checksum at the end of a value, if the issuer has published how it is computed.
    pub(crate) checksum: Option<Checksum>,
}

/// What the value of a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValueForm {
    /// One line of text.
    #[default]
    Text,
    /// A JSON document, such as a key file of Google Cloud.
    Json,
    /// An RSA private key in PEM.
    Pem,
}

/// A published checksum at the end of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    /// The last six characters are the CRC-32, in base 62, of the characters between the prefix and them.
    GithubCrc32,
}

fn yes() -> bool {
    true
}

/// How requests authenticate, with the admin credential and with the credential itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    /// Requests with the admin credential, which manages other credentials.
    pub(crate) admin: Option<Caller>,
    /// Requests with the credential that the spec describes.
    #[serde(rename = "self")]
    pub(crate) own: Caller,
}

/// What the time of last use in `op.list` means.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LastUsed {
    /// Whether the time is that of one key, or of the principal (the account or user) that owns it.
    pub(crate) per: Per,
    /// How long after a call the issuer shows it, at most: `5m`.
    pub(crate) lag: Span,
    /// The resolution of the time: `24h` if the issuer shows only the day.
    pub(crate) granularity: Span,
}

/// What a time of last use refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Per {
    /// Calls with this key only.
    Key,
    /// Calls of the principal with any of its keys. It cannot prove that one key of two is unused.
    Principal,
}

/// How long the issuer takes to apply a change everywhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Propagation {
    /// The longest time until a new credential works and is in the list: `1m`.
    pub(crate) birth_max: Span,
    /// The longest time until the issuer refuses a revoked or disabled credential: `5m`.
    pub(crate) death_max: Span,
}

/// Limits of a single request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// How long one request may take, from the DNS lookup to the last byte of the answer: 100ms to 2m. Default `20s`.
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

/// What else a revocation affects.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Effects {
    /// What else stops working when a credential is revoked, one sentence each. keyroll shows these sentences before it
    /// asks for consent. Default: nothing.
    #[serde(default)]
    pub(crate) cascades: Vec<String>,
    /// How long tokens or sessions that were derived from a credential stay valid after it is revoked. Default `0s`.
    #[serde(default)]
    pub(crate) residual: Span,
}

/// How keyroll makes the negative control: a wrong credential that the issuer must refuse.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// How the wrong values are made. Default `same-shape`.
    #[serde(default)]
    pub(crate) decoy: Decoy,
    /// The fields that get wrong values. Default: every secret field. Include the user name if failed attempts lock an
    /// account.
    #[serde(default)]
    pub(crate) fields: Vec<String>,
}

/// How wrong values are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Decoy {
    /// A value with the length, the prefix and the separators of the right value. keyroll replaces every letter and digit
    /// after the prefix with a random one of the same alphabet.
    #[default]
    SameShape,
}

/// What an operator does at the issuer's console.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Human {
    /// The `https://` address of the page where the operator makes a credential.
    pub(crate) url: String,
    /// The steps to make a credential there, one sentence each; at least one.
    pub(crate) steps: Vec<String>,
    /// The `https://` address of the page where the operator revokes a credential. Default: `url`.
    pub(crate) revoke_url: Option<String>,
    /// The steps to revoke a credential there, one sentence each. Required without `op.revoke`, unless a new credential
    /// revokes the old one (`overlap` of the kind `grace` or `none`).
    #[serde(default)]
    pub(crate) revoke_steps: Vec<String>,
}

impl IdForm {
    /// The id in a text that an answer has.
    pub(crate) fn id(self, text: String) -> String {
        match self {
            Self::Whole => text,
            Self::LastSegment => text.rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}

impl Document {
    /// The prefix of the field that is this whole template; empty if it is no field.
    pub(crate) fn prefix_of(&self, template: &Template) -> &str {
        let Some(Slot::CredField(name)) = template.sole_slot() else { return "" };
        self.fields.get(name).map_or("", |form| &form.prefix)
    }

    /// The only field of a credential that `op.verify` sends, if that field is secret; `None` if it sends other fields too.
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
