use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::via;
use keyroll_port::{
    Class, Failure, Identity, Issuer, Listing, Minted, Probe, RefusalLog, RefusedUse, Session, ValueFormat,
};
use keyroll_rotation::{Capabilities, MintedBy};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};
use zeroize::Zeroizing;

use crate::call::{Call, Nature};
use crate::document::{Document, ValueForm};
use crate::operation::{As, Change, Get, List, Refusals, Request};
use crate::own::OwnUses;
use crate::refusals::Mark;
use crate::registry::Spec;
use crate::render::{Values, text};
use crate::token::AccessToken;
use crate::{identify, list, matcher, mint, preflight, private_key, refusals, sessions};

/// An issuer that a spec describes. One attempt per call, each on a new connection; it never retries or waits.
pub struct Runner {
    spec: Spec,
    admin: Option<SecretBytes>,
    capabilities: Capabilities,
    own: OwnUses,
    /// The settings that the next credential copies, as they were read for the plan.
    settings: Option<BTreeMap<String, serde_json::Value>>,
    /// The public fields of the credential in use, such as the account in a path.
    public: Mutex<Fields>,
    /// The admin's access token, where the issuer wants one.
    token: AccessToken,
    /// A private key that no issuer knows, for decoys: to make one takes a moment.
    other_key: OnceLock<Option<Zeroizing<String>>>,
}

impl Runner {
    /// A runner of this spec. `admin` is the value of the admin credential, where the spec needs one
    /// ([`Spec::needs_admin`]); without it, operations that are sent as the admin fail with K0103.
    pub fn new(spec: Spec, admin: Option<SecretBytes>) -> Self {
        let capabilities = spec.capabilities();
        Self {
            spec,
            admin,
            capabilities,
            own: OwnUses::default(),
            settings: None,
            public: Mutex::default(),
            token: AccessToken::default(),
            other_key: OnceLock::new(),
        }
    }

    /// Mints with the settings that [`Issuer::settings`] returned, without asking the issuer for them again.
    ///
    /// # Errors
    /// The text does not come from [`Issuer::settings`].
    pub fn with_settings(self, settings: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { settings: Some(serde_json::from_str(settings)?), ..self })
    }

    /// Reads the settings that the next credential copies from the one in use.
    async fn read_settings(
        &self,
        get: &Get,
        current: &Credential,
    ) -> Result<BTreeMap<String, serde_json::Value>, Failure> {
        let call = self.call("read the settings of a credential", get.caller, &get.request, Nature::Read);
        mint::settings(&call, get, &self.about(current)).await
    }

    /// The form of the spec.
    pub(crate) fn document(&self) -> &Document {
        self.spec.document()
    }

    /// The spec itself.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Asks once whether a credential works. An answer that proves nothing is a failure.
    pub(crate) async fn verdict(&self, credential: &Credential) -> Result<Probe, Failure> {
        let verify = &self.document().op.verify;
        let call = self.call("verify a credential", As::Own, &verify.request, Nature::Read);
        let values = Values { fields: Some(&credential.fields), ..Values::default() };
        let from = OnceLock::new();
        let told = call.send_from(&values, &from).await.map(|answer| {
            // The order is part of the spec format: an answer that fits two lists counts as the milder verdict.
            let verdicts =
                [(&verify.alive, Probe::Alive), (&verify.denied, Probe::Denied), (&verify.dead, Probe::Dead)];
            let found = verdicts.into_iter().find(|(matchers, _)| matcher::any(matchers, &answer));
            found.map_or_else(|| Probe::Unknown(answer.summary()), |(_, probe)| probe)
        });
        // What leaves from a host is not counted as ours: that host says whether and from where it was sent, and could so
        // explain the use of somebody else.
        if !matches!(told, Ok(Probe::Alive | Probe::Denied)) && via::current().is_none() {
            self.own.add(from.get().copied(), credential.id.clone());
        }
        told
    }

    /// Asks whether the admin has the rights that a rotation needs. Returns whether the spec says how to ask.
    async fn rights(&self) -> Result<bool, Failure> {
        let Some(rights) = &self.document().op.rights else { return Ok(false) };
        let call = self.call("read the admin's rights", As::Admin, &rights.request, Nature::Read);
        call.succeed(&self.values(), &rights.ok).await.map(|_| true)
    }

    fn call<'a>(&'a self, what: &'static str, caller: As, request: &'a Request, nature: Nature) -> Call<'a> {
        let public = self.public.lock().unwrap_or_else(PoisonError::into_inner).duplicate();
        let (document, token) = (self.document(), &self.token);
        Call { document, what, caller, request, nature, token, public, presents: None }
    }

    /// The placeholders' values: the admin credential alone.
    fn values(&self) -> Values<'_> {
        Values { admin: self.admin.as_ref(), ..Values::default() }
    }

    /// The placeholders' values for a call about the credential in use. An operation that is sent as the credential
    /// itself authenticates with its fields.
    fn about<'a>(&'a self, current: &'a Credential) -> Values<'a> {
        self.remember(current);
        Values {
            fields: Some(&current.fields),
            shown: Some(&current.fields),
            current_id: current.id.as_ref().map(CredentialId::as_str),
            current_fields: Some(&current.fields),
            ..self.values()
        }
    }

    async fn listing(&self, op: &List, current: &Credential) -> Result<Listing, Failure> {
        let call = self.call("list credentials", op.caller, &op.request, Nature::Read);
        list::list(&call, op, &self.about(current), current).await
    }

    async fn change(
        &self,
        what: &'static str,
        op: Option<&Change>,
        id: &CredentialId,
    ) -> Result<(), Failure> {
        let Some(op) = op else { return Err(self.not_offered(what)) };
        let call = self.call(what, As::Admin, &op.request, Nature::Change);
        let values = Values { id: Some(id.as_str()), ..self.values() };
        let answer = call.send(&values).await?;
        if matcher::any(&op.ok, &answer) || matcher::any(&op.already, &answer) {
            return Ok(());
        }
        Err(call.refused(&answer))
    }

    /// Whether a complete list shows that the credential is gone, for an issuer whose refusal does not say so.
    async fn is_gone(&self, id: &CredentialId) -> bool {
        let Some(list) = &self.document().op.list else { return false };
        let public = self.public.lock().unwrap_or_else(PoisonError::into_inner).duplicate();
        let listing = self.listing(list, &Credential { id: None, fields: public }).await;
        listing.is_ok_and(|listing| listing.complete && listing.entries.iter().all(|entry| entry.id != *id))
    }

    /// The operation that reads the record of refused uses, ready to be asked about a credential.
    fn record<'a>(
        &'a self,
        current: &'a Credential,
    ) -> Result<(Call<'a>, &'a Refusals, Values<'a>), Failure> {
        let what = "read the refused uses of a credential";
        let op = self.document().op.refusals.as_ref().ok_or_else(|| self.not_offered(what))?;
        let call = self.call(what, As::Admin, &op.request, Nature::Read);
        let id = current.id.as_ref().map(CredentialId::as_str);
        Ok((call, op, Values { id, ..self.values() }))
    }

    /// The id that the credential itself contains.
    fn id_in(&self, credential: &Credential) -> Option<CredentialId> {
        let values = Values { fields: Some(&credential.fields), ..Values::default() };
        let id = text(self.document().id_in.as_ref()?, &values).ok()?;
        let id = self.document().id_form.id(id.to_string());
        (!id.is_empty()).then(|| CredentialId::new(id))
    }

    fn not_offered(&self, what: &str) -> Failure {
        let title = &self.document().title;
        Failure::new(Class::Permanent, Code::SpecInvalid, format!("{what} ({title})"))
            .because("the issuer's spec has no such operation")
    }

    /// The credential that an earlier mint under this label left, if we chose its value. Finding it makes a second mint
    /// unnecessary.
    async fn minted_before(
        &self,
        label: &str,
        current: &Credential,
        proposed: &Credential,
    ) -> Result<Option<Minted>, Failure> {
        let Some(op) = self.document().op.list.as_ref() else { return Ok(None) };
        let call = self.call("look for an earlier mint", op.caller, &op.request, Nature::Read);
        if op.label.is_some() {
            let listing = self.listing(op, current).await?;
            let found = listing.entries.into_iter().find(|entry| entry.label.as_deref() == Some(label));
            return match found {
                None if !listing.complete => Err(call
                    .fail(Class::Retryable, Code::RequestFailed)
                    .because("the issuer's list is incomplete")),
                found => Ok(found.map(|it| Minted { id: it.id, fields: proposed.fields.duplicate() })),
            };
        }
        for endpoint in self.endpoints() {
            if self.probe(&endpoint, proposed).await != Probe::Alive {
                return Ok(None);
            }
        }
        // The credential was made, but this list does not tell which of the other entries it is: one may be somebody
        // else's.
        Err(call
            .fail(Class::Unknown, Code::KeyIdUncertain)
            .because("the value already works, but no label in the issuer's list shows its id")
            .help("if the error stays: at the issuer's console, revoke the new key that nothing uses"))
    }

    fn by_a_person(&self) -> Failure {
        let document = self.document();
        let failure = Failure::new(
            Class::Permanent,
            Code::MintByHand,
            format!("mint a credential ({})", document.title),
        );
        let failure =
            failure.because("this issuer has no API that makes a key: an operator makes it at the console");
        match &document.human {
            Some(human) => failure.help(format!("at {}: {}", human.url, human.steps.join("; "))),
            None => failure,
        }
    }
}

#[async_trait]
impl Issuer for Runner {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        let secret = || self.document().fields.values().filter(|form| form.secret);
        let mut alphabet: Vec<u8> = secret()
            .flat_map(|form| {
                let spelled = form.alphabet.iter().flat_map(|alphabet| alphabet.bytes()).copied();
                // A document has every printable character and line breaks.
                let whole = form.form != ValueForm::Text;
                let document = (b' '..=b'~').chain(*b"\n\t").filter(move |_| whole);
                form.prefix.bytes().chain(spelled).chain(document)
            })
            .collect();
        alphabet.sort_unstable();
        alphabet.dedup();
        ValueFormat {
            alphabet,
            length_max: secret().filter_map(|form| form.length_max).max().unwrap_or_default(),
        }
    }

    fn remember(&self, current: &Credential) {
        let mut public = Fields::new();
        for (name, field) in current.fields.iter().filter(|(_, field)| !field.secret) {
            public.insert(name, field.value.duplicate(), false);
        }
        *self.public.lock().unwrap_or_else(PoisonError::into_inner) = public;
    }

    fn endpoints(&self) -> Vec<String> {
        vec![self.document().op.verify.request.url.host.endpoint()]
    }

    fn warnings(&self) -> Vec<String> {
        let document = self.document();
        let mut warnings = document.effects.cascades.clone();
        if document.effects.residual.ms() > 0 {
            let life = document.effects.residual.words();
            warnings.push(format!("tokens and sessions derived from a credential live on for {life}"));
        }
        warnings.extend(
            document.provenance.assumed.iter().map(|fact| format!("assumed, not documented: {fact}")),
        );
        warnings
    }

    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        if self.admin.is_none() && self.spec.needs_admin() {
            let what = format!("use the admin credential ({})", self.document().title);
            return Err(Failure::new(Class::Permanent, Code::AdminRefused, what)
                .because("none is configured")
                .help("set `admin = \"file:…\"` on the secret"));
        }
        self.remember(current);
        let rights_read = self.rights().await?;
        preflight::preflight(self.document(), self, rights_read, current).await
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        let op = &self.document().op;
        if let Some(identify) = &op.identify {
            let call = self.call("ask whose a credential is", As::Own, &identify.request, Nature::Read);
            let told = identify::whoami(&call, identify, &self.about(credential)).await?;
            return Ok(Identity { id: told.id.or(self.id_in(credential)), ..told });
        }
        if let Some(id) = self.id_in(credential) {
            return Ok(Identity { id: Some(id), principal: None });
        }
        match op.list.as_ref().filter(|list| list.hint.is_some()) {
            Some(list) => {
                let listing = self.listing(list, credential).await?;
                Ok(identify::by_hint(self.document(), &listing, credential))
            }
            None => Ok(Identity { id: None, principal: None }),
        }
    }

    async fn settings(&self, current: &Credential) -> Result<Option<String>, Failure> {
        let Some(get) = &self.document().op.get else { return Ok(None) };
        let settings = self.read_settings(get, current).await?;
        let failed = || {
            let what = format!("keep the settings of a credential ({})", self.document().title);
            Failure::new(Class::Permanent, Code::AdminRefused, what)
        };
        let text = serde_json::to_string(&settings).map_err(|error| failed().because(error))?;
        let shown = |value: &SecretBytes| {
            let value = value.expose();
            !value.is_empty() && text.as_bytes().windows(value.len()).any(|part| part == value)
        };
        if current.fields.secrets().any(|(_, value)| shown(value)) {
            return Err(failed()
                .because("one of them holds the value itself")
                .help("correct op.get of the spec"));
        }
        Ok(Some(text))
    }

    fn propose(&self, current: &Credential) -> Result<Option<Credential>, Failure> {
        match self.capabilities.minted_by {
            MintedBy::Us => mint::propose(self.document(), current).map(Some),
            MintedBy::Api | MintedBy::Human => Ok(None),
        }
    }

    async fn mint(
        &self,
        label: &str,
        current: &Credential,
        proposed: Option<&Credential>,
    ) -> Result<Minted, Failure> {
        let document = self.document();
        let Some(op) = &document.op.mint else { return Err(self.by_a_person()) };
        if let Some(proposed) = proposed
            && let Some(minted) = self.minted_before(label, current, proposed).await?
        {
            return Ok(minted);
        }
        let mut values = Values { label: Some(label), ..self.about(current) };
        values.fields = proposed.map(|proposed| &proposed.fields);
        let copy = match (&document.op.get, &self.settings) {
            (None, _) => BTreeMap::new(),
            (Some(_), Some(kept)) => kept.clone(),
            (Some(get), None) => self.read_settings(get, current).await?,
        };
        let values = Values { copy: Some(&copy), ..values };
        let call = self.call("mint a credential", op.caller, &op.request, Nature::Change);
        mint::mint(&call, op, &values, current, proposed).await
    }

    async fn list(&self, current: &Credential) -> Result<Listing, Failure> {
        match &self.document().op.list {
            Some(op) => self.listing(op, current).await,
            None => Err(self.not_offered("list credentials")),
        }
    }

    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe {
        if self.document().op.verify.request.url.host.endpoint() != endpoint {
            return Probe::Unknown("the spec names another endpoint".to_owned());
        }
        self.verdict(credential).await.unwrap_or_else(|failure| Probe::Unknown(cause(&failure)))
    }

    fn decoy(&self, current: &Credential) -> Credential {
        let other = || self.other_key.get_or_init(private_key::generated).as_ref().map(|key| key.as_str());
        mint::decoy(self.document(), current, other)
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.change("disable a credential", self.document().op.disable.as_ref(), id).await
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.change("enable a credential", self.document().op.enable.as_ref(), id).await
    }

    fn revokes(&self) -> bool {
        self.spec.revokes()
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        let op = self.document().op.revoke.as_ref();
        if op.is_some_and(|revoke| revoke.after_disable)
            && let Err(failure) = self.disable(id).await
            && failure.class != Class::Permanent
        {
            return Err(failure);
        }
        // A refused disable may mean that the credential is gone: the revoke says so.
        let told = self.change("revoke a credential", op, id).await;
        let silent = op.is_some_and(|revoke| revoke.already.is_empty());
        match told {
            Err(failure) if silent && failure.class == Class::Permanent && self.is_gone(id).await => Ok(()),
            told => told,
        }
    }

    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        let Some(op) = &self.document().op.sessions else { return Ok(None) };
        let call = self.call("list the sessions of a credential", As::Admin, &op.request, Nature::Read);
        let values = Values { id: Some(id.as_str()), ..self.values() };
        sessions::sessions(&call, op, &values).await.map(Some)
    }

    async fn end_sessions(
        &self,
        id: &CredentialId,
        handles: &[String],
        busy: bool,
    ) -> Result<usize, Failure> {
        let Some(op) = &self.document().op.end_session else {
            return if handles.is_empty() { Ok(0) } else { Err(self.not_offered("end sessions")) };
        };
        let spared = if busy { Vec::new() } else { self.sessions(id).await?.unwrap_or_default() };
        let is_busy =
            |handle: &String| spared.iter().any(|session| session.busy && session.handle == *handle);
        let call = self.call("end a session", As::Admin, &op.request, Nature::Change);
        let mut ended = 0;
        for handle in handles.iter().filter(|handle| !is_busy(handle)) {
            let values = Values { id: Some(id.as_str()), handle: Some(handle), force: busy, ..self.values() };
            ended += usize::from(sessions::end(&call, op, &values).await?);
        }
        Ok(ended)
    }

    async fn sees_refusals(&self, current: &Credential) -> RefusalLog {
        let Ok((call, op, values)) = self.record(current) else { return RefusalLog::None };
        match refusals::now(&call, op, &values, unix_ms()).await {
            Ok(_) => {
                RefusalLog::Read { place: format!("the log of {}", self.spec.title()), lag_ms: op.lag.ms() }
            }
            Err(failure) => {
                let why = failure.source.as_ref().map(ToString::to_string);
                let help =
                    "let the admin credential read it, or correct `op.refusals` of the spec".to_owned();
                RefusalLog::NotVisible { why: why.unwrap_or_else(|| failure.to_string()), help }
            }
        }
    }

    async fn mark_refusals(&self, current: &Credential) -> Result<String, Failure> {
        let (call, op, values) = self.record(current)?;
        let now = refusals::now(&call, op, &values, unix_ms()).await?;
        let mark = refusals::mark(&call, op, &values, (self.document(), current), now).await?;
        self.own.forget();
        mark.text().ok_or_else(|| {
            call.fail(Class::Permanent, Code::RefusedUsesUnknown).because("it cannot be written down")
        })
    }

    async fn refusals(&self, current: &Credential, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        let (call, op, values) = self.record(current)?;
        let mark = Mark::read(mark).ok_or_else(|| {
            call.fail(Class::Permanent, Code::RefusedUsesUnknown)
                .because("the mark from which it is read is no mark")
        })?;
        let found = refusals::since(&call, op, &values, (self.document(), current), &mark).await?;
        Ok(self.own.without(found, current.id.as_ref()))
    }
}

/// The wall clock only limits how much is asked for; entries are judged by the issuer's own time.
#[expect(clippy::disallowed_methods, reason = "limits a question, and judges no answer")]
fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The reason of a failure, without what was attempted.
pub(crate) fn cause(failure: &Failure) -> String {
    failure.source.as_ref().map_or_else(|| failure.to_string(), ToString::to_string)
}
