mod caller;
mod calls;
mod credential;
mod failure;
mod hosts;
mod identity;
mod preflight;
mod query;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Identity, Issuer, Listed, Listing, Minted, Probe, Session, ValueFormat};
use keyroll_rotation::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
use keyroll_secret::{Credential, CredentialId};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use self::caller::{Caller, User};
use self::calls::Calls;
use self::credential::{alphabet, decoy, parts};
use self::failure::Attempt;
use self::hosts::Hosts;
use self::identity::whose;
use self::preflight::{check, deletion, free_slot, of_another, owner};
use crate::settings::AwsSettings;

pub use self::credential::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// How long one verb may take, milliseconds: the look-up of keyroll's own login, the looks before a change, and the change,
/// which is not sent later. IAM answers within a second or two.
pub const REQUEST_MS_MAX_DEFAULT: u64 = 10_000;

/// How long a new key may be unknown to the services of AWS, milliseconds; 10 to 15 seconds were seen. Source:
/// <https://github.com/aws/aws-sdk-js/issues/559>; AWS names no time:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>.
const BIRTH_MS_MAX: u64 = 20_000;

/// How long a disabled or deleted key may still be accepted, milliseconds: AWS names no time, see [`BIRTH_MS_MAX`].
const DEATH_MS_MAX: u64 = 300_000;

/// The same two at an emulator or a test server (`endpoint`), which has one copy of everything.
const EMULATED_MS_MAX: u64 = 3_000;

/// The longest secret access key, bytes. AWS has given 40, and names no limit:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html>.
const SECRET_BYTES_MAX: usize = 128;

/// What is attempted before a key is changed.
const BEFORE: &str = "see whose login keyroll has at AWS";

/// The IAM user whose access keys are rotated.
#[derive(Debug, Clone)]
pub struct IamUser {
    /// The number of the user's account.
    pub account: String,
    /// The user's name.
    pub name: String,
    /// Where the services and keyroll's own login are.
    pub settings: AwsSettings,
    /// How long one verb may take, milliseconds.
    pub request_ms_max: u64,
}

/// The access keys of an IAM user. A user has two at most, whatever their status; they have no labels, and the secret of one is
/// seen only in the answer that makes it.
///
/// keyroll's own login is that of the named profile, or of the usual configuration of AWS. It is read at the first request
/// that needs it, and again after a refusal.
pub struct AwsKeys {
    user: User,
    settings: AwsSettings,
    limit: Duration,
    /// The services, or why there are none.
    services: Result<Hosts, String>,
    capabilities: Capabilities,
    opened: Mutex<Option<Arc<Calls>>>,
}

impl AwsKeys {
    /// The keys of this user. Nothing is read or sent yet.
    pub fn new(user: IamUser) -> Self {
        let IamUser { account, name, settings, request_ms_max } = user;
        let (birth_ms_max, death_ms_max) = match settings.endpoint {
            None => (BIRTH_MS_MAX, DEATH_MS_MAX),
            Some(_) => (EMULATED_MS_MAX, EMULATED_MS_MAX),
        };
        let capabilities = Capabilities {
            minted_by: MintedBy::Api,
            overlap: Overlap::TwoSlots,
            disable: true,
            label: false,
            mint_replaces: false,
            list: true,
            // AWS documents no time within which a use appears.
            last_used: LastUsed::NotVisible,
            refusals: Refusals::ConsumerLogs,
            sessions: false,
            attributes: false,
            birth_ms_max,
            death_ms_max,
            request_ms_max,
        };
        Self {
            user: User { account, name },
            services: Hosts::of(&settings),
            settings,
            limit: Duration::from_millis(request_ms_max),
            capabilities,
            opened: Mutex::new(None),
        }
    }

    /// The hosts that are asked; none where every request is refused.
    pub fn reach(settings: &AwsSettings) -> Vec<String> {
        Hosts::of(settings).map(|services| services.authorities()).unwrap_or_default()
    }

    /// When a verb that begins now has ended.
    fn end(&self) -> Instant {
        Instant::now() + self.limit
    }

    fn services(&self) -> Result<&Hosts, Failure> {
        self.services.as_ref().map_err(|why| {
            Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, "tell the addresses of IAM and STS")
                .because(why.clone())
                .help("correct `region` in the table `aws` of the secret")
        })
    }

    /// The calls with keyroll's login, which may be used for this user.
    async fn calls(&self) -> Result<Arc<Calls>, Failure> {
        let services = self.services()?;
        let mut opened = self.opened.lock().await;
        if let Some(before) = &*opened {
            return Ok(Arc::clone(before));
        }
        let new = Arc::new(Calls::open(&self.user, &self.settings, services, self.limit).await?);
        *opened = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Steps that change nothing, until this moment.
    async fn look<T>(
        &self,
        until: Instant,
        attempted: &str,
        steps: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.heeded(Attempt::reads(attempted).within(until, steps).await).await
    }

    /// An outcome. After a refusal of keyroll's login its configuration is read anew at the next attempt: a key in a file is
    /// replaced sometimes, and rotations last for days.
    async fn heeded<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &outcome
            && failure.code == Code::AdminRefused
        {
            *self.opened.lock().await = None;
        }
        outcome
    }

    /// Whom AWS takes the holder of a credential for.
    async fn whose(&self, credential: &Credential) -> Result<Caller, Failure> {
        let (id, secret) = parts(credential)?;
        Ok(whose(&self.services()?.sts, id, secret).await)
    }

    /// The same until the end of a verb.
    async fn shown(&self, credential: &Credential) -> Result<Caller, Failure> {
        match timeout_at(self.end(), self.whose(credential)).await {
            Ok(answer) => answer,
            Err(_) => Ok(Caller::Unclear("no answer in time".to_owned())),
        }
    }
}

#[async_trait]
impl Issuer for AwsKeys {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        ValueFormat { alphabet: alphabet(), length_max: SECRET_BYTES_MAX }
    }

    fn endpoints(&self) -> Vec<String> {
        let last = self.services.as_ref().ok().and_then(|services| services.authorities().pop());
        vec![last.unwrap_or_default()]
    }

    fn warnings(&self) -> Vec<String> {
        vec![
            format!("the access key id changes too: every copy needs {ACCESS_KEY_ID} beside {SECRET_ACCESS_KEY}"),
            // <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_disable-perms.html>
            "temporary credentials that were made with the old key (AssumeRole, GetSessionToken) go on working until they \
             expire, which is at most 36 hours"
                .to_owned(),
        ]
    }

    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure> {
        let (id, _) = parts(current)?;
        let id = CredentialId::new(id);
        let steps = async {
            let calls = self.calls().await?;
            let caller = self.whose(current).await?;
            check(&calls, &self.user, &id, caller).await
        };
        self.look(self.end(), "look at the access keys and the login at AWS", steps).await
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        match owner(self.shown(credential).await?, &self.user)? {
            Some(owner) => {
                let (id, _) = parts(credential)?;
                Ok(Identity { id: Some(CredentialId::new(id)), principal: Some(owner.to_string()) })
            }
            None => Ok(Identity { id: None, principal: None }),
        }
    }

    fn propose(&self, _current: &Credential) -> Result<Option<Credential>, Failure> {
        Ok(None)
    }

    /// A key has no label. Another one than the current one may be that of an earlier attempt whose answer was lost, or
    /// somebody's: it is named, and nothing is made beside it.
    async fn mint(
        &self,
        _label: &str,
        current: &Credential,
        _proposed: Option<&Credential>,
    ) -> Result<Minted, Failure> {
        let (until, (id, _)) = (self.end(), parts(current)?);
        let id = CredentialId::new(id);
        let steps = async {
            let calls = self.calls().await?;
            let works = owner(self.whose(current).await?, &self.user)?.is_some();
            free_slot(&calls, &self.user, (&id, works)).await?;
            Ok::<_, Failure>(calls)
        };
        let calls = self.look(until, "look at the access keys before another one is made", steps).await?;
        self.heeded(calls.create(until).await).await
    }

    async fn list(&self, _current: &Credential) -> Result<Listing, Failure> {
        let steps = async { self.calls().await?.list().await };
        let keys = self.look(self.end(), "list the access keys", steps).await?;
        let entries = keys.all.into_iter().map(|key| Listed {
            id: key.id,
            label: None,
            disabled: !key.active,
            last_used_unix_ms: None,
            hint: None,
        });
        Ok(Listing {
            entries: entries.collect(),
            complete: keys.incomplete.is_none(),
            incomplete: keys.incomplete,
        })
    }

    async fn probe(&self, _endpoint: &str, credential: &Credential) -> Probe {
        match self.shown(credential).await {
            Ok(Caller::Is(owner)) if self.user.is(&owner) => Probe::Alive,
            Ok(Caller::Is(owner)) => Probe::Unknown(of_another(&owner, &self.user)),
            Ok(Caller::Refused) => Probe::Dead,
            Ok(Caller::Unclear(why)) => Probe::Unknown(why),
            Err(failure) => {
                let why = failure.source.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                Probe::Unknown(format!("{failure}{why}"))
            }
        }
    }

    fn decoy(&self, _current: &Credential) -> Credential {
        decoy()
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        let until = self.end();
        let calls = self.look(until, BEFORE, self.calls()).await?;
        self.heeded(calls.switch(id, false, until).await).await
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        let until = self.end();
        let calls = self.look(until, BEFORE, self.calls()).await?;
        self.heeded(calls.switch(id, true, until).await).await
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        let until = self.end();
        let calls = self.look(until, BEFORE, self.calls()).await?;
        self.heeded(calls.delete(id, until).await).await
    }

    fn end_by_hand(&self, id: &CredentialId) -> String {
        deletion(&self.user.name, id)
    }

    fn list_by_hand(&self) -> String {
        format!("aws iam list-access-keys --user-name {}", self.user.name)
    }

    async fn sessions(&self, _id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        Ok(None)
    }

    async fn end_sessions(&self, _: &CredentialId, _: &[String], _: bool) -> Result<usize, Failure> {
        Ok(0)
    }
}
