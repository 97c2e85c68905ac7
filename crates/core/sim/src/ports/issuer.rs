use async_trait::async_trait;
use keyroll_port::{
    Class, Failure, Identity, Issuer, Listing, Minted, Probe, RefusedUse, Session, ValueFormat,
};
use keyroll_rotation::{Capabilities, CredId, HostId, MintedBy, Overlap, Refusals};
use keyroll_secret::{Credential, CredentialId};

use super::{DECOY, Port, cred, credential, fields, mistaken, number, outcome, scope};
use crate::calls::{Call, CallResult, DriverRequest};

/// How many refused uses one look names.
const NAMED_MAX: u32 = 2;

#[async_trait]
impl Issuer for Port {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn value_format(&self) -> ValueFormat {
        ValueFormat { alphabet: Vec::new(), length_max: 2 }
    }

    fn endpoints(&self) -> Vec<String> {
        (0..self.endpoints).map(|at| at.to_string()).collect()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    async fn preflight(&self, _: &Credential) -> Result<Vec<String>, Failure> {
        self.act(Call::Trial).await.map(|()| Vec::new())
    }

    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure> {
        Ok(Identity { id: credential.id.clone(), principal: None })
    }

    fn propose(&self, _: &Credential) -> Result<Option<Credential>, Failure> {
        if self.capabilities.minted_by != MintedBy::Us {
            return Ok(None);
        }
        let mut run = self.run();
        let chooses = scope()
            .and_then(|at| run.scopes.get(at))
            .is_some_and(|it| matches!(it.asked, DriverRequest::Carry(..)));
        let value = if chooses { run.world.fresh_value() } else { DECOY };
        let slot = (self.capabilities.overlap == Overlap::TwoSlots).then(|| CredId::new("slot-b"));
        Ok(Some(credential(value, slot.as_ref())))
    }

    async fn mint(
        &self,
        label: &str,
        _: &Credential,
        chosen: Option<&Credential>,
    ) -> Result<Minted, Failure> {
        let label = label.rsplit_once('/').and_then(|(_, seq)| seq.parse().ok()).unwrap_or(0);
        let value = chosen.and_then(|chosen| number(&chosen.fields));
        match outcome(self.call(Call::Mint { label, value }).await)? {
            CallResult::Made(id, value) => {
                Ok(Minted { id: CredentialId::new(id.as_str()), fields: fields(value) })
            }
            _ => mistaken(),
        }
    }

    async fn list(&self, _: &Credential) -> Result<Listing, Failure> {
        match outcome(self.call(Call::List).await)? {
            CallResult::Listing(listing) => Ok(listing),
            _ => mistaken(),
        }
    }

    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe {
        let value = number(&credential.fields).unwrap_or(DECOY);
        let mut endpoint = endpoint.parse().unwrap_or(0);
        if self.pairs {
            let run = self.run();
            let from = scope().and_then(|at| run.scopes.get(at)).map_or(HostId(0), |it| it.from);
            endpoint = run.world.pair(from, endpoint);
        }
        match self.call(Call::Probe { endpoint, value }).await {
            CallResult::Probe(probe) => probe,
            _ => Probe::Unknown(String::new()),
        }
    }

    fn decoy(&self, _: &Credential) -> Credential {
        credential(DECOY, None)
    }

    async fn disable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.act(Call::Switch { id: cred(id), on: false }).await
    }

    async fn enable(&self, id: &CredentialId) -> Result<(), Failure> {
        self.act(Call::Switch { id: cred(id), on: true }).await
    }

    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure> {
        self.act(Call::Revoke(cred(id))).await
    }

    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure> {
        match outcome(self.call(Call::Sessions(cred(id))).await)? {
            CallResult::Sessions(sessions) => Ok(Some(sessions)),
            _ => mistaken(),
        }
    }

    async fn end_sessions(&self, id: &CredentialId, handles: &[String], _: bool) -> Result<usize, Failure> {
        let pids = handles.iter().filter_map(|handle| handle.parse().ok()).collect();
        match outcome(self.call(Call::EndSessions { id: cred(id), pids }).await)? {
            CallResult::Count(ended) => Ok(usize::try_from(ended).unwrap_or(usize::MAX)),
            _ => mistaken(),
        }
    }

    async fn mark_refusals(&self, _: &Credential) -> Result<String, Failure> {
        Ok(self.run().world.refused().to_string())
    }

    async fn refusals(&self, _: &Credential, mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        if self.capabilities.refusals != Refusals::IssuerLog {
            return mistaken();
        }
        let since = mark.parse().map_err(|_| super::failure(Class::Permanent))?;
        match outcome(self.call(Call::Refusals { since }).await)? {
            CallResult::Count(count) => {
                let used = || RefusedUse { client: None, told: None };
                Ok((0..count.min(NAMED_MAX)).map(|_| used()).collect())
            }
            _ => mistaken(),
        }
    }
}
