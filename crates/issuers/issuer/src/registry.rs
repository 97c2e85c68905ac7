use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_http::Addresses;
use keyroll_rotation::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
use keyroll_secret::{Fields, SecretBytes};

use crate::caller::Caller;
use crate::document::{self, Document, OverlapKind, Per};
use crate::operation::As;
use crate::parse::{SpecError, parse};
use crate::target::Host;
use crate::template::{Slot, Template};
use crate::{render, shape};

/// The specs that come with the program, by name.
const SHIPPED: [(&str, &str); 36] = [
    ("anthropic", include_str!("../../../../issuers/anthropic.toml")),
    ("cloudflare", include_str!("../../../../issuers/cloudflare.toml")),
    ("confluent", include_str!("../../../../issuers/confluent.toml")),
    ("databricks", include_str!("../../../../issuers/databricks.toml")),
    ("databricks-token", include_str!("../../../../issuers/databricks-token.toml")),
    ("datadog", include_str!("../../../../issuers/datadog.toml")),
    ("deepgram", include_str!("../../../../issuers/deepgram.toml")),
    ("discord", include_str!("../../../../issuers/discord.toml")),
    ("docker-hub", include_str!("../../../../issuers/docker-hub.toml")),
    ("docker-hub-organization", include_str!("../../../../issuers/docker-hub-organization.toml")),
    ("elevenlabs", include_str!("../../../../issuers/elevenlabs.toml")),
    ("entra-client-secret", include_str!("../../../../issuers/entra-client-secret.toml")),
    ("gcp-service-account-key", include_str!("../../../../issuers/gcp-service-account-key.toml")),
    ("github-app-key", include_str!("../../../../issuers/github-app-key.toml")),
    ("github-app-token", include_str!("../../../../issuers/github-app-token.toml")),
    ("github-classic", include_str!("../../../../issuers/github-classic.toml")),
    ("github-fine-grained", include_str!("../../../../issuers/github-fine-grained.toml")),
    ("gitlab", include_str!("../../../../issuers/gitlab.toml")),
    ("grafana", include_str!("../../../../issuers/grafana.toml")),
    ("hmac-set", include_str!("../../../../issuers/hmac-set.toml")),
    ("hugging-face", include_str!("../../../../issuers/hugging-face.toml")),
    ("mailgun", include_str!("../../../../issuers/mailgun.toml")),
    ("mongodb-atlas", include_str!("../../../../issuers/mongodb-atlas.toml")),
    ("npm", include_str!("../../../../issuers/npm.toml")),
    ("oauth2-client-secret", include_str!("../../../../issuers/oauth2-client-secret.toml")),
    ("okta-client-secret", include_str!("../../../../issuers/okta-client-secret.toml")),
    ("openai-service-account", include_str!("../../../../issuers/openai-service-account.toml")),
    ("openrouter", include_str!("../../../../issuers/openrouter.toml")),
    ("sendgrid", include_str!("../../../../issuers/sendgrid.toml")),
    ("slack", include_str!("../../../../issuers/slack.toml")),
    ("snowflake", include_str!("../../../../issuers/snowflake.toml")),
    ("stripe-restricted", include_str!("../../../../issuers/stripe-restricted.toml")),
    ("stripe-secret", include_str!("../../../../issuers/stripe-secret.toml")),
    ("telegram", include_str!("../../../../issuers/telegram.toml")),
    ("twilio", include_str!("../../../../issuers/twilio.toml")),
    ("vonage", include_str!("../../../../issuers/vonage.toml")),
];

/// The suffix of names that no host ever has (RFC 2606): the issuer has another host for every customer.
pub(crate) const NO_HOST: &str = ".example";

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

/// A page that states facts of a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecSource<'a> {
    /// Its address.
    pub at: &'a str,
    /// The keys of the spec that it states; empty if the spec does not say.
    pub says: &'a [String],
    /// The day on which it was last read, `2026-11-20`.
    pub checked: &'a str,
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
            "{}keyroll issuers list shows those that are shipped; one's own is named issuer = \"file:./acme.toml\"",
            meant(name)
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

    /// This spec, which is shipped under a name, at another host than the one in it. Every caller's credential goes to that
    /// host instead.
    ///
    /// # Errors
    /// The text is no host; or the spec has several (K0140).
    pub fn at_host(&self, name: &str, host: &str) -> Result<Self, SpecError> {
        let text = Self::shipped_text(name).unwrap_or_default();
        let was = self.0.op.verify.request.url.host.authority(true);
        let auth = &self.0.auth;
        let mut hosts = auth.own.hosts.iter().chain(auth.admin.iter().flat_map(|admin| &admin.hosts));
        if hosts.any(|one| one.authority(true) != was) {
            let help = "copy the spec, and write your hosts into it: keyroll issuers show NAME --text";
            return Err(SpecError {
                file: format!("issuers/{name}.toml"),
                line: 1,
                column: 1,
                message: "this issuer has several hosts, and `issuer_host` names one".to_owned(),
                help: Some(help.to_owned()),
                code: Code::IssuerSettingsInvalid,
            });
        }
        // Not in a scope, a console's page or a source, which may name the same host.
        let (head, rest) = text.split_once("\n[auth.").unwrap_or((text, ""));
        let moved = rest.replace(&format!("url = \"https://{was}/"), &format!("url = \"https://{host}/"));
        let moved = moved.replace(&format!("\"{was}\""), &format!("\"{host}\""));
        Self::parse(&format!("{head}\n[auth.{moved}"), &format!("issuers/{name}.toml"))
    }

    /// This spec, whose hosts may lead to these addresses alone.
    #[must_use]
    pub fn within(mut self, addresses: Addresses) -> Self {
        Arc::make_mut(&mut self.0).addresses = addresses;
        self
    }

    /// Whether the spec must be copied and edited before it is used.
    pub fn is_template(&self) -> bool {
        self.0.template
    }

    /// The host of a spec whose issuer has another host for every customer: it must be replaced.
    pub fn host_to_name(&self) -> Option<&str> {
        let host = &self.0.op.verify.request.url.host.name;
        host.ends_with(NO_HOST).then_some(host)
    }

    /// The text of a shipped spec.
    pub fn shipped_text(name: &str) -> Option<&'static str> {
        SHIPPED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
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

    /// The places of an admin credential that is a JSON document, as far as the spec uses them: `/client_id`.
    pub fn admin_places(&self) -> Vec<String> {
        let place = |slot: &Slot| if let Slot::Admin(Some(at)) = slot { Some(at.to_string()) } else { None };
        let used = self.0.auth.admin.iter().flat_map(Caller::templates).flat_map(Template::slots);
        used.filter_map(place).collect::<BTreeSet<String>>().into_iter().collect()
    }

    /// The parts of an admin credential that is a JSON document, as far as the spec uses them. Each is a value of its own
    /// in an output that must not show it.
    pub fn admin_parts(&self, admin: &SecretBytes) -> Vec<SecretBytes> {
        let part = |slot: &Slot| {
            let Slot::Admin(Some(at)) = slot else { return None };
            render::part(admin, at, "admin credential").ok()
        };
        let used = self.0.auth.admin.iter().flat_map(Caller::secrets).flat_map(Template::slots);
        used.filter_map(part).map(|text| SecretBytes::new(text.as_bytes().to_vec())).collect()
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

    /// Whether its list has credentials that have ended, and marks them.
    pub fn lists_ended(&self) -> bool {
        self.0.op.list.as_ref().is_some_and(|list| list.ended.is_some())
    }

    /// The same spec, whose list has the credentials that have ended too, as if they were alive.
    #[must_use]
    pub fn with_ended(&self) -> Self {
        let mut document = Document::clone(&self.0);
        if let Some(list) = &mut document.op.list {
            list.ended = None;
        }
        Self(Arc::new(document))
    }

    /// Whether the API ends a credential; otherwise the operator does.
    pub fn revokes(&self) -> bool {
        self.0.op.revoke.is_some()
    }

    /// Whether the issuer tells which id a value has.
    pub fn binds(&self) -> bool {
        let op = &self.0.op;
        self.0.id_in.is_some()
            || op.identify.as_ref().is_some_and(|identify| identify.id.is_some())
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
    pub fn sources(&self) -> Vec<SpecSource<'_>> {
        let provenance = &self.0.provenance;
        let pages = provenance.sources.iter().map(|page| SpecSource {
            at: page.at(),
            says: page.says(),
            checked: page.checked().unwrap_or(&provenance.checked),
        });
        pages.collect()
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
            mint_replaces: false,
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
        // A short name is within a few letters of everything.
        let near_enough =
            |(distance, known): &(usize, &str)| *distance <= NEAR_EDITS_MAX.min(known.len() / 2);
        near.extend(nearest.filter(near_enough).map(|(_, known)| known));
    }
    let near: Vec<String> = near.into_iter().map(|known| format!("`{known}`")).collect();
    if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) }
}
