use async_trait::async_trait;
use keyroll_port::{Class, Failure, FailureKind, Label, MadeBy, RotationId, Staging, Store, VersionInfo};
use keyroll_rotation::{Op, Seq};
use keyroll_secret::{Credential, CredentialId};

use super::{DECOY, Port, cred, credential, failure, mistaken, number, outcome, scope};
use crate::calls::{Call, CallResult, DriverRequest};
use crate::mutant::Mutation;
use crate::scene::ROTATION;
use crate::store::Version;

impl Port {
    /// Whether the calling action carries out this operation.
    fn carries_out(&self, is: fn(&Op) -> bool) -> bool {
        let run = self.run();
        let scope = scope().and_then(|at| run.scopes.get(at));
        scope.is_some_and(|it| matches!(&it.asked, DriverRequest::Carry(effect, _) if is(&effect.op)))
    }
}

fn info(version: &Version) -> VersionInfo {
    VersionInfo {
        number: version.number,
        label: version.label,
        credential: version.id.as_ref().map(|id| CredentialId::new(id.as_str())),
        fingerprints: Vec::new(),
        made_by: version.mint.map(|intent| MadeBy { rotation: RotationId(ROTATION.to_owned()), intent }),
        unix_ms: 0,
    }
}

#[async_trait]
impl Store for Port {
    async fn add(&self, _: &str, what: &Credential) -> Result<VersionInfo, Failure> {
        let store = &mut self.run().world.store;
        let value = number(&what.fields).ok_or_else(|| failure(Class::Permanent))?;
        if !store.add_first(value, what.id.as_ref().map(cred)) {
            return Err(failure(Class::Permanent).kind(FailureKind::SecretExists));
        }
        store.versions.first().map(info).ok_or_else(|| failure(Class::Permanent))
    }

    async fn secrets(&self) -> Result<Vec<String>, Failure> {
        Ok(vec!["acme".to_owned()])
    }

    async fn versions(&self, _: &str) -> Result<Vec<VersionInfo>, Failure> {
        let run = self.blind()?;
        let mut all: Vec<VersionInfo> = run.world.store.versions.iter().map(info).collect();
        let unasked = run.world.mutation == Mutation::StoreUnasked;
        if let Some(slot) = run.slots.get(self.slot).filter(|_| unasked) {
            let state = slot.driver.state();
            let moving = state.intents().iter().any(|open| matches!(open.op, Op::Promote | Op::Demote));
            // The mutant never notices that the store gives out the earlier version.
            if state.promoted() && !moving {
                let old = all.first_mut().filter(|version| version.label == Label::Current);
                old.into_iter().for_each(|version| version.label = Label::Previous);
            }
        }
        Ok(all)
    }

    async fn read(&self, _: &str, number: u32) -> Result<Option<Credential>, Failure> {
        let run = self.blind()?;
        Ok(run.world.store.read(number).map(|(value, id)| credential(value, id.as_ref())))
    }

    async fn put_pending(
        &self,
        _: &str,
        _: &RotationId,
        seq: Seq,
        what: &Credential,
    ) -> Result<u32, Failure> {
        let (value, id) = (number(&what.fields).unwrap_or(DECOY), what.id.as_ref().map(cred));
        if self.carries_out(|op| *op == Op::Stage) {
            return match outcome(self.call(Call::PutPending { seq, value, id }).await)? {
                CallResult::Number(number) => Ok(number),
                _ => mistaken(),
            };
        }
        let staged = self.blind()?.world.store.put_pending(seq, value, id);
        staged.ok_or_else(|| failure(Class::Permanent))
    }

    async fn promote(&self, _: &str, expected: u32, next: u32) -> Result<(), Failure> {
        self.act(Call::Promote { expected, next }).await
    }

    async fn demote(&self, _: &str, before: u32, next: u32) -> Result<(), Failure> {
        self.act(Call::Demote { before, next }).await
    }

    async fn retire(&self, _: &str, number: u32) -> Result<(), Failure> {
        self.act(Call::Retire { number }).await
    }
}

#[async_trait]
impl Staging for Port {
    async fn keep(&self, _: &str, _: &RotationId, seq: Seq, what: &Credential) -> Result<(), Failure> {
        let id = what.id.as_ref().map(cred);
        let Some(value) = number(&what.fields) else {
            // This is not a value: it is the list of ids that existed before a value was chosen.
            let text = what.fields.secrets().next().map(|(_, text)| text.expose().to_vec());
            self.run().world.store.listed.push((seq, text.unwrap_or_default()));
            return Ok(());
        };
        if self.carries_out(|op| *op == Op::Choose) {
            return self.act(Call::Keep { seq, value, id }).await;
        }
        if self.run().world.store.keep(seq, value, id) {
            return Ok(());
        }
        Err(failure(Class::Permanent).kind(FailureKind::OtherValue))
    }

    async fn kept(&self, _: &str, _: &RotationId, seq: Seq) -> Result<Option<Credential>, Failure> {
        let run = self.blind()?;
        let store = &run.world.store;
        if let Some((_, text)) = store.listed.iter().find(|it| it.0 == seq) {
            let mut fields = keyroll_secret::Fields::new();
            fields.insert("listed", keyroll_secret::SecretBytes::new(text.clone()), true);
            return Ok(Some(Credential { id: None, fields }));
        }
        Ok(store.kept(seq).map(|(_, value, id)| credential(*value, id.as_ref())))
    }

    async fn forget(&self, _: &str, made_by: &MadeBy) -> Result<(), Failure> {
        self.run().world.store.forget(made_by.intent);
        Ok(())
    }

    async fn discard(
        &self,
        _: &str,
        _: &RotationId,
        id: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure> {
        self.run().world.store.discard(id.map(cred).as_ref(), stays);
        Ok(())
    }
}
