use std::fmt;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_rotation::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
use keyroll_secret::Fields;

use crate::document::{self, Document, OverlapKind, Per};
use crate::operation::As;
use crate::parse::{SpecError, parse};
use crate::shape;
use crate::target::Host;

/// The specs that come with the program, by name.
const SHIPPED: [(&str, &str); 13] = [
    ("anthropic", include_str!("../../../../issuers/anthropic.toml")),
    ("cloudflare", include_str!("../../../../issuers/cloudflare.toml")),
    ("discord", include_str!("../../../../issuers/discord.toml")),
    ("github-classic", include_str!("../../../../issuers/github-classic.toml")),
    ("github-fine-grained", include_str!("../../../../issuers/github-fine-grained.toml")),
    ("gitlab", include_str!("../../../../issuers/gitlab.toml")),
    ("grafana", include_str!("../../../../issuers/grafana.toml")),
    ("openai-service-account", include_str!("../../../../issuers/openai-service-account.toml")),
    ("openrouter", include_str!("../../../../issuers/openrouter.toml")),
    ("sendgrid", include_str!("../../../../issuers/sendgrid.toml")),
    ("stripe-restricted", include_str!("../../../../issuers/stripe-restricted.toml")),
    ("stripe-secret", include_str!("../../../../issuers/stripe-secret.toml")),
    ("vonage", include_str!("../../../../issuers/vonage.toml")),
];

/// How many letters a mistyped name may differ from the name that is meant.
const NEAR_EDITS_MAX: usize = 3;

/// What the operator does at an issuer's console.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// The page where a credential is made.
    pub url: &'a str,
    /// What to do there, one step each.
    pub steps: &'a [String],
    /// The page where a credential is ended.
    pub revoke_url: &'a str,
    /// What to do there; empty if the API ends credentials.
    pub revoke_steps: &'a [String],
}

/// One issuer as data, read and judged.
#[derive(Clone)]
pub struct Spec(Arc<Document>);

/// Prints the spec's id alone.
impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spec({})", self.0.id)
    }
}

impl Spec {
    /// Reads a spec. `file_name` is used in messages only.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column; it repeats no value of the text.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, SpecError> {
        parse(text, file_name).map(|document| Self(Arc::new(document)))
    }

    /// A spec that comes with the program, such as `openrouter`.
    ///
    /// # Errors
    /// K0140 for a name that is not in [`Spec::names`], with the nearest one.
    pub fn shipped(name: &str) -> Result<Self, SpecError> {
        if let Some((name, text)) = SHIPPED.iter().find(|(known, _)| *known == name) {
            return Self::parse(text, &format!("issuers/{name}.toml"));
        }
        let help = format!(
            "{}shipped are {}; one's own is named issuer = \"file:./acme.toml\"",
            meant(name),
            Self::names().join(", ")
        );
        Err(SpecError {
            file: "issuers".to_owned(),
            line: 1,
            column: 1,
            message: "no issuer of that name is shipped".to_owned(),
            help: Some(help),
            code: Code::IssuerSettingsInvalid,
        })
    }

    /// The names of the shipped specs, sorted.
    pub fn names() -> Vec<&'static str> {
        SHIPPED.iter().map(|(name, _)| *name).collect()
    }

    /// The shipped spec whose issuer can be asked about the findings of a rule, by the rule's id: `sendgrid-key` is
    /// asked about by `sendgrid`. Only specs whose text contains the id are parsed.
    pub fn of_rule(id: &str) -> Option<&'static str> {
        let mut near = SHIPPED.iter().filter(|(_, text)| text.contains(id));
        let names_it =
            |name: &str| Self::shipped(name).is_ok_and(|spec| spec.rules().iter().any(|one| one == id));
        near.find(|(name, _)| names_it(name)).map(|(name, _)| *name)
    }

    /// The kind of credential: `openrouter-api-key`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Its name in words.
    pub fn title(&self) -> &str {
        &self.0.title
    }

    /// The fields of a credential, each with whether it is secret, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.fields.iter().map(|(name, form)| (name.as_str(), form.secret))
    }

    /// Whether any operation is sent as the admin, so that an admin credential must be configured.
    pub fn needs_admin(&self) -> bool {
        self.0.auth.admin.is_some()
    }

    /// Whether the mint, or the list, is sent with the credential in use. Once that credential has ended, no new one
    /// can be made.
    pub fn mints_with_its_own(&self) -> bool {
        let op = &self.0.op;
        let own = |caller: As| matches!(caller, As::Own);
        op.mint.as_ref().is_some_and(|mint| own(mint.caller))
            || op.list.as_ref().is_some_and(|list| own(list.caller))
    }

    /// What the operator does at the console; `None` if an API makes credentials.
    pub fn by_hand(&self) -> Option<ByHand<'_>> {
        let human = self.0.human.as_ref()?;
        let revoke_url = human.revoke_url.as_ref().unwrap_or(&human.url);
        Some(ByHand { url: &human.url, steps: &human.steps, revoke_url, revoke_steps: &human.revoke_steps })
    }

    /// Whether the API ends a credential; otherwise the operator does.
    pub fn revokes(&self) -> bool {
        self.0.op.revoke.is_some()
    }

    /// Whether the issuer tells which id a value has.
    pub fn binds(&self) -> bool {
        let op = &self.0.op;
        op.identify.as_ref().is_some_and(|identify| identify.id.is_some())
            || op.list.as_ref().is_some_and(|list| list.hint.is_some())
    }

    /// Why the values that the operator entered cannot be right: one clause per field, without any part of a value.
    pub fn faults(&self, fields: &Fields) -> Vec<String> {
        let forms = self.0.fields.iter().filter(|(_, form)| form.secret);
        let told = forms.filter_map(|(name, form)| {
            let clause = match fields.get(name) {
                Some(field) if !field.value.is_empty() => shape::fault(field.value.expose(), form)?,
                Some(_) | None => "is empty".to_owned(),
            };
            Some(format!("the field `{name}` {clause}"))
        });
        told.collect()
    }

    /// Whether a new credential copies settings of the one in use.
    pub fn copies_settings(&self) -> bool {
        self.0.op.get.is_some()
    }

    /// The hosts that credentials may be sent to, `name:port`, sorted. A host of the admin credential is followed by
    /// `(admin)`.
    pub fn reach(&self) -> Vec<String> {
        let auth = &self.0.auth;
        let own = auth.own.hosts.iter().map(Host::endpoint);
        let admins = auth.admin.iter().flat_map(|admin| &admin.hosts);
        let mut all: Vec<String> =
            own.chain(admins.map(|host| format!("{} (admin)", host.endpoint()))).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The pages that the spec's facts come from.
    pub fn sources(&self) -> &[String] {
        &self.0.provenance.sources
    }

    /// The day on which they were last checked, `2026-11-20`.
    pub fn checked(&self) -> &str {
        &self.0.provenance.checked
    }

    /// Facts that no page states and that were assumed or measured, one sentence each.
    pub fn assumed(&self) -> &[String] {
        &self.0.provenance.assumed
    }

    /// What the issuer can do, as far as the spec declares operations for it.
    pub fn capabilities(&self) -> Capabilities {
        let document = &self.0;
        let op = &document.op;
        let human = document.minted_by == document::MintedBy::Human;
        let labelled = !human && op.list.as_ref().is_some_and(|list| list.label.is_some());
        let sessions = op.sessions.as_ref();
        Capabilities {
            minted_by: match document.minted_by {
                document::MintedBy::Api => MintedBy::Api,
                document::MintedBy::Us => MintedBy::Us,
                document::MintedBy::Human => MintedBy::Human,
            },
            overlap: match document.overlap.kind {
                OverlapKind::Independent => Overlap::Independent { max: document.overlap.max },
                OverlapKind::TwoSlots => Overlap::TwoSlots,
                OverlapKind::Grace => {
                    Overlap::Grace { ms: document.overlap.grace.map(|grace| grace.ms()).unwrap_or_default() }
                }
                OverlapKind::None => Overlap::None,
            },
            disable: op.disable.is_some(),
            label: labelled,
            list: op.list.is_some(),
            last_used: match &document.last_used {
                None => LastUsed::NotVisible,
                Some(used) => match used.per {
                    Per::Key => {
                        LastUsed::PerKey { lag_ms: used.lag.ms(), granularity_ms: used.granularity.ms() }
                    }
                    Per::Principal => LastUsed::PerPrincipal,
                },
            },
            refusals: match document.refusals {
                document::Refusals::IssuerLog => Refusals::IssuerLog,
                document::Refusals::ConsumerLogs => Refusals::ConsumerLogs,
                document::Refusals::None => Refusals::NotVisible,
            },
            sessions: sessions.is_some(),
            attributes: sessions.is_some_and(|sessions| sessions.client.is_some()),
            birth_ms_max: document.propagation.birth_max.ms(),
            death_ms_max: document.propagation.death_max.ms(),
            request_ms_max: document.limits.request_max.ms(),
        }
    }

    /// The form itself.
    pub(crate) fn document(&self) -> &Document {
        &self.0
    }
}

/// The names that a mistyped name may mean: those that begin with it, otherwise the nearest.
fn meant(name: &str) -> String {
    let names = || SHIPPED.iter().map(|(known, _)| *known);
    let mut near: Vec<&str> = names().filter(|known| !name.is_empty() && known.starts_with(name)).collect();
    if near.is_empty() {
        let nearest = names().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
        near.extend(nearest.filter(|(distance, _)| *distance <= NEAR_EDITS_MAX).map(|(_, known)| known));
    }
    let near: Vec<String> = near.into_iter().map(|known| format!("`{known}`")).collect();
    if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) }
}
