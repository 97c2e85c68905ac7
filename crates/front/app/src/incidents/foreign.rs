//! The issuer of a leaked key that keyroll does not manage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_config::Secret;
use keyroll_issuer::{Runner, Spec, VerifyReply};
use keyroll_port::{Issuer, Label, Probe, Store as _};
use keyroll_secret::{Credential, CredentialId, SecretBytes};
use tokio::runtime::Runtime;

use super::file::Whose;
use crate::installation::Installation;
use crate::interrupt;
use crate::operator::Operator;
use crate::problem::Problem;
use crate::records::versions::kept;
use crate::session::manual_mint::pause;
use crate::session::manual_steps::Steps;
use crate::wiring::issuer::described;
use crate::wiring::open::{runtime, store};

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// After so many answers in a row that say nothing the issuer is not asked again.
const BLIND_MAX: u32 = 3;

/// An issuer that can be asked about a leaked key, and may be able to revoke it.
pub(super) struct Foreign<'a> {
    spec: Spec,
    /// A configured secret of the same issuer: its admin credential revokes the leaked key too.
    admin: Option<(String, Arc<dyn Issuer>)>,
    /// The value has a form that only this issuer's keys have. Else a refusal alone does not mean that the key is dead.
    certain: bool,
    installation: &'a Installation,
}

/// What the issuer says about the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Alive(String),
    Dead(String),
    NotVisible(String),
}

impl Said {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Alive(at) => format!("alive at {at}"),
            Self::Dead(at) => format!("dead at {at}"),
            Self::NotVisible(why) => format!("not visible: {why}"),
        }
    }
}

impl<'a> Foreign<'a> {
    /// The issuer: that of a configured secret, or a shipped one.
    pub(super) fn of(whose: Option<&Whose>, installation: &'a Installation) -> Result<Option<Self>, Problem> {
        let Some(whose) = whose else { return Ok(None) };
        let config = installation.config()?;
        let its = |secret: &&Secret| match whose {
            Whose::Secret(name) => secret.name.as_str() == name,
            Whose::Shipped(name) => secret.issuer_host.is_none() && secret.issuer.to_string() == *name,
        };
        let secret = config.secrets.values().find(its);
        let (mut spec, mut admin) = (None, None);
        if let Some(secret) = secret {
            let described = described(secret)?;
            let issuer = described.issuer(secret, None).ok().filter(|issuer| issuer.revokes());
            admin = issuer.map(|issuer| (secret.name.to_string(), issuer));
            spec = described.spec;
        }
        let shipped = match whose {
            Whose::Shipped(name) => Spec::shipped(name).ok(),
            Whose::Secret(_) => None,
        };
        let certain = shipped.is_some();
        Ok(shipped.or(spec).map(|spec| Self { spec, admin, certain, installation }))
    }

    fn runtime<T>(&self, work: impl FnOnce(&Runtime) -> T) -> Result<T, Problem> {
        let places = self.installation.places()?;
        runtime(&places).map(work)
    }

    /// Asks the issuer once. It alone gets the value. `was_alive`: it was seen to accept the value before, so its refusal
    /// means that the key is dead.
    pub(super) fn ask(&self, value: SecretBytes, was_alive: bool) -> Result<Said, Problem> {
        let Some(at) = self.spec.asked_at() else {
            return Ok(Said::NotVisible(
                "its issuer is at a host of your own, which no spec names".to_owned(),
            ));
        };
        if let Some(why) = self.spec.unaskable(&value) {
            return Ok(Said::NotVisible(format!("its issuer cannot be asked: it {why}")));
        }
        let runner = Runner::new(self.spec.clone(), None);
        let told = self.runtime(|runtime| {
            runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, runner.ask(value)).await })
        })?;
        Ok(match told {
            Ok(VerifyReply::Answered(Probe::Alive | Probe::Denied)) => Said::Alive(at),
            Ok(VerifyReply::Answered(Probe::Dead)) => match self.spec.elsewhere() {
                _ if was_alive => Said::Dead(at),
                None if self.certain => Said::Dead(at),
                None => Said::NotVisible(format!(
                    "{at} refuses it, and was never seen to accept it: it may be a key of another issuer"
                )),
                Some(who) => Said::NotVisible(format!("{at} refuses it; another host may accept it: {who}")),
            },
            Ok(
                VerifyReply::Answered(Probe::Unknown(why))
                | VerifyReply::TooMany(why)
                | VerifyReply::Silent(why),
            ) => Said::NotVisible(format!("{at}: {why}")),
            Err(_) => Said::NotVisible(format!("{at}: no answer within {} s", ANSWER_MAX.as_secs())),
        })
    }

    /// The steps by hand at the issuer.
    pub(super) fn steps(&self) -> String {
        Steps::of(Some(&self.spec)).revoke
    }

    /// Revokes the key by the issuer's API, with the admin credential of a configured secret. None if that is not
    /// possible here, and why.
    ///
    /// # Errors
    /// The issuer did not do it.
    pub(super) fn revoke(&self, value: &SecretBytes) -> Result<Result<(), String>, Problem> {
        let Some((secret, issuer)) = &self.admin else {
            return Ok(Err("no configured secret has an admin credential of its issuer".to_owned()));
        };
        // A list that shows a few characters of each key could name another one.
        let Some(credential) = self.spec.self_identified(value) else {
            return Ok(Err("its issuer does not say which of its keys this is".to_owned()));
        };
        let identity = self.runtime(|runtime| runtime.block_on(issuer.identify(&credential)))??;
        let Some(id) = identity.id else {
            return Ok(Err("its issuer did not say which of its keys this is".to_owned()));
        };
        // An id may count within one account alone, and the admin credential is of the account of the configured secret.
        let own = self.current(secret)?;
        let own = own.map(|own| {
            self.runtime(|runtime| runtime.block_on(issuer.identify(&own)))?.map_err(Problem::from)
        });
        let own = own.transpose()?.and_then(|own| own.principal);
        if own.is_none() || own != identity.principal {
            return Ok(Err(format!("its issuer does not say that it is of the same account as {secret}")));
        }
        if let Some(whose) = self.stored_as(&id)? {
            return Ok(Err(format!("its issuer names it as the key of {whose}, which has another value")));
        }
        self.runtime(|runtime| runtime.block_on(issuer.revoke(&id)))??;
        Ok(Ok(()))
    }

    /// The current value of a configured secret.
    fn current(&self, secret: &str) -> Result<Option<Credential>, Problem> {
        let places = self.installation.places()?;
        let store = store(&places)?;
        runtime(&places)?.block_on(async {
            let versions = kept(store.as_ref(), secret).await?;
            let current = versions.into_iter().find(|version| version.label == Label::Current);
            match current {
                Some(version) => Ok(store.read(secret, version.number).await?),
                None => Ok(None),
            }
        })
    }

    /// The stored version that has this id at the issuer.
    fn stored_as(&self, id: &CredentialId) -> Result<Option<String>, Problem> {
        let places = self.installation.places()?;
        let store = store(&places)?;
        runtime(&places)?.block_on(async {
            for name in store.secrets().await? {
                for version in store.versions(&name).await? {
                    if version.credential.as_ref() == Some(id) && version.label != Label::Retired {
                        return Ok(Some(format!("{name} v{}", version.number)));
                    }
                }
            }
            Ok(None)
        })
    }

    /// Asks until the issuer refuses the key, or for as long as its revocations take.
    pub(super) fn see_dead(
        &self,
        value: &SecretBytes,
        was_alive: bool,
        operator: &mut dyn Operator,
    ) -> Result<Said, Problem> {
        let able = self.spec.capabilities();
        let limit = Duration::from_millis(able.death_ms_max.saturating_add(able.request_ms_max));
        let end = Instant::now() + limit;
        let (mut shown, mut blind) = (false, 0);
        loop {
            let said = self.ask(value.duplicate(), was_alive)?;
            let over = Instant::now() >= end || interrupt::is_asked();
            // Who does not answer several times will not be waited for: the same command asks again.
            blind = if matches!(said, Said::NotVisible(_)) { blind + 1 } else { 0 };
            if matches!(said, Said::Dead(_)) || over || blind >= BLIND_MAX {
                return Ok(said);
            }
            if !shown {
                operator.note(format!("{}; asking again for {} s", said.text(), limit.as_secs()));
                shown = true;
            }
            self.runtime(|runtime| runtime.block_on(pause()))?;
        }
    }
}
