//! Asks the issuer about a value that the operator made: whether it is accepted, and in the same account as the old key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_issuer::Spec;
use keyroll_port::{Failure, Issuer, Probe};
use keyroll_rotation::CredId;
use keyroll_secret::Credential;

use crate::interrupt;
use crate::operator::{Event, Operator};

/// The pause between two calls to the issuer, milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// Why a value did not become the new version.
pub(crate) enum ValueRejection {
    /// It is not the needed key.
    Wrong(String),
    /// It is not the needed key, unless the answer changes soon: a key that was just made may look like this.
    NotYet(String),
    /// The answers were inconclusive.
    NotVisible(String),
}

/// What a new value is compared with.
pub(crate) struct Judge<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) issuer: Arc<dyn Issuer>,
    /// The value before it.
    pub(crate) old: Credential,
    /// The id of a value whose issuer tells none.
    pub(crate) unbound: String,
}

impl Judge<'_> {
    /// Waits until every endpoint accepts the value, and reads its account. A new key may not be known everywhere yet.
    pub(crate) async fn see(
        &self,
        credential: &Credential,
        denied_is_alive: bool,
        limit_ms: u64,
        operator: &mut dyn Operator,
    ) -> Result<CredId, ValueRejection> {
        let end = Instant::now() + Duration::from_millis(limit_ms);
        let mut shown = false;
        loop {
            let seen = match self.accepted(credential, denied_is_alive).await {
                Ok(()) => self.whose(credential).await,
                Err(seen) => Err(seen),
            };
            let why = match seen {
                Ok((id, compared)) => {
                    if !compared {
                        let what = "the account of the new key".to_owned();
                        let why =
                            "the issuer does not report it, or the old key is dead and cannot ask".to_owned();
                        operator.event(Event::NotVisible { what, why });
                    }
                    return Ok(id);
                }
                Err(seen @ ValueRejection::Wrong(_)) => return Err(seen),
                Err(seen) if Instant::now() >= end => return Err(seen),
                Err(_) if interrupt::is_asked() => {
                    let why = "keyroll was asked to stop (Ctrl-C or a signal) before it saw that";
                    return Err(ValueRejection::NotVisible(why.to_owned()));
                }
                Err(ValueRejection::NotYet(why) | ValueRejection::NotVisible(why)) => why,
            };
            if !shown {
                let seconds = limit_ms / 1_000;
                operator
                    .note(format!("{why}; a new key may need some time here, asking again for {seconds} s"));
                shown = true;
            }
            pause().await;
        }
    }

    pub(crate) async fn accepted(
        &self,
        credential: &Credential,
        denied_is_alive: bool,
    ) -> Result<(), ValueRejection> {
        for endpoint in self.issuer.endpoints() {
            match self.issuer.probe(&endpoint, credential).await {
                Probe::Alive => {}
                Probe::Denied if denied_is_alive => {}
                Probe::Denied => {
                    return Err(ValueRejection::Wrong(format!(
                        "{endpoint} accepts it, but with fewer permissions than the old key"
                    )));
                }
                Probe::Dead => {
                    return Err(ValueRejection::NotYet(format!(
                        "{endpoint} refuses it: the key is not alive"
                    )));
                }
                Probe::Unknown(why) => {
                    return Err(ValueRejection::NotVisible(format!(
                        "not visible whether {endpoint} accepts it: {why}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The id of the value, and whether its account was seen to be the old key's.
    async fn whose(&self, credential: &Credential) -> Result<(CredId, bool), ValueRejection> {
        let unseen = |failure: Failure| {
            let cause = failure.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
            ValueRejection::NotVisible(format!("its account is not visible: {failure}{cause}"))
        };
        let told = self.issuer.identify(credential).await.map_err(unseen)?;
        // The accounts are compared only if the old key still works.
        let mut compared = false;
        if let Some(principal) = &told.principal
            && let Ok(before) = self.issuer.identify(&self.old).await
            && let Some(other) = &before.principal
        {
            if other != principal {
                return Err(ValueRejection::Wrong(
                    "it belongs to another account than the old key".to_owned(),
                ));
            }
            compared = true;
        }
        if !self.spec.binds() {
            return Ok((CredId::new(&self.unbound), compared));
        }
        let Some(id) = told.id else {
            let why = "no key in the issuer's list matches this value: it may belong to another account";
            return Err(ValueRejection::NotYet(why.to_owned()));
        };
        if self.old.id.as_ref() == Some(&id) {
            return Err(ValueRejection::Wrong(format!("the issuer says that it is {id}, the old key")));
        }
        if self.issuer.capabilities().list {
            let list = self.issuer.list(credential).await.map_err(unseen)?;
            if !list.entries.iter().any(|entry| entry.id == id) {
                return Err(match list.complete {
                    true => ValueRejection::NotYet(format!(
                        "{id} is not in the issuer's list: it belongs to another account"
                    )),
                    false => ValueRejection::NotVisible(format!(
                        "not visible whether {id} is in the issuer's list"
                    )),
                });
            }
        }
        Ok((CredId::new(id.as_str()), compared || self.issuer.capabilities().list))
    }
}

/// Waits between two calls; returns early on a request to stop.
pub async fn pause() {
    let _ = tokio::time::timeout(Duration::from_millis(ASK_AGAIN_MS), interrupt::asked()).await;
}
