//! Carries out operations: one attempt each.

use keyroll_codes::Code;
use keyroll_port::{AllowedChanges, Applied, Asked, Class, Failure, FailureKind, Label, Named, VersionInfo};
use keyroll_rotation::{
    ConsumerId, CredId, DeletedAnswers, Delivery, Effect, NotDead, Op, Outcome, Overlap, Seq, State, Which,
};
use keyroll_secret::{Credential, CredentialId, Fields};

use crate::executor::{Executor, Note, Old, label, values};

impl Executor {
    /// The old credential's id, unless the new version carries it too: ending it would end both.
    fn ending<'a>(old: &'a Old, state: &State) -> Result<&'a CredentialId, Failure> {
        let id = Self::old_id(old)?;
        let same = state.new_version().is_some_and(|new| new.credential.as_str() == id.as_str());
        if same { Err(one_id(id)) } else { Ok(id) }
    }

    /// A credential that is deleted is never one that stays.
    fn superfluous(credential: &CredId, old: &Old, new: Option<&CredId>) -> Result<CredentialId, Failure> {
        let id = CredentialId::new(credential.as_str());
        let stays = old.credential.id.as_ref() == Some(&id) || new == Some(credential);
        if stays { Err(one_id(&id)) } else { Ok(id) }
    }

    /// Carries one operation out and says what was seen of it.
    /// Nothing of it may begin from `until_ms` on.
    pub(crate) async fn carry(&self, effect: &Effect, until_ms: u64, state: &State) -> Outcome {
        self.ports.host.may_be_away(&state.left_hosts());
        let asked = Asked { intent: effect.intent, until_ms };
        if let Op::Apply(consumer, slot, which) = effect.op {
            return self.apply(consumer, slot, which, asked, state).await;
        }
        match self.attempt(effect, asked, state).await {
            Ok(minted) => Outcome::Done(minted),
            Err(failure) => {
                // A hold names its cause also when nobody drives any more. Of what fails on hosts the consumer is named.
                if !effect.op.on_host() {
                    self.remember(vec![Named::of_failure(&self.id.0, state.phase(), &failure)]).await;
                }
                self.failed(failure)
            }
        }
    }

    fn failed(&self, failure: Failure) -> Outcome {
        let elsewhere = matches!(failure.kind, FailureKind::ChangedElsewhere | FailureKind::PendingElsewhere);
        let outcome = match failure.class {
            Class::Unknown => Outcome::Unknown,
            Class::Retryable | Class::Permanent if elsewhere => Outcome::ChangedElsewhere,
            Class::Retryable => Outcome::Failed { retry: true },
            Class::Permanent => Outcome::Failed { retry: false },
        };
        self.note(Note::Failed(failure));
        outcome
    }

    /// The verb of one slot. What else it would make live is refused by the host, as long as the protocol asks for that.
    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        which: Which,
        asked: Asked,
        state: &State,
    ) -> Outcome {
        if let Err(failure) = self.is_given_next(consumer, asked, state).await {
            return self.failed(failure);
        }
        let asks = state.asks_acceptance(which);
        let brings = if asks { AllowedChanges::Accepted(state.accepted()) } else { AllowedChanges::Anything };
        match self.ports.host.apply(consumer, slot, asked, brings).await {
            Ok(Applied::Done(live)) => {
                if !live.is_empty() {
                    self.note(Note::PendingChanges { live, refused: false });
                }
                Outcome::Done(None)
            }
            Ok(Applied::Refused(live)) if asks => {
                let differences = live.iter().map(|one| one.difference.clone()).collect();
                self.note(Note::PendingChanges { live, refused: true });
                Outcome::Refused(differences)
            }
            // Nobody asked for a refusal: nothing was done, and it is tried again.
            Ok(Applied::Refused(_)) => Outcome::Failed { retry: true },
            Err(failure) => self.failed(failure),
        }
    }

    /// A consumer that reads the store when it starts is restarted only while the store gives out the right version.
    async fn is_given_next(&self, id: ConsumerId, asked: Asked, state: &State) -> Result<(), Failure> {
        let consumer = state.plan().consumers.get(id.index());
        if consumer.is_none_or(|it| it.delivery != Delivery::Follow) {
            return Ok(());
        }
        let old = self.old().await?;
        self.gives_out_next(id, &old, asked, state).await
    }

    async fn attempt(&self, effect: &Effect, asked: Asked, state: &State) -> Result<Option<CredId>, Failure> {
        let (issuer, intent) = (&self.ports.issuer, effect.intent);
        if let Op::Retire(which) = &effect.op {
            // The old value may be dropped already, by a driver that ended before it could say so.
            return self.retire(*which, state).await.map(|()| None);
        }
        let old = self.old().await?;
        self.refuse_aged(effect)?;
        match &effect.op {
            Op::Choose => self.choose(&old, intent).await?,
            Op::Mint => return self.mint(&old, intent, state).await.map(Some),
            Op::Stage => self.stage(&old, state).await?,
            Op::Deliver(file, which) => {
                let new = self.new_credential(state).await?;
                if *which == Which::New {
                    self.strike_replaced(&old, asked, state).await?;
                }
                self.deliver(*file, *which, values(&old, new.as_ref(), state), asked, state).await?;
            }
            Op::Fetch(consumer) => self.fetch(*consumer, &old, asked, state).await?,
            Op::Promote => self.promote(&old, state).await?,
            Op::Demote => self.demote(&old, state).await?,
            Op::Disable => {
                let id = Self::ending(&old, state)?;
                // Carried out again because its first outcome is unknown, the refusals since that first time count.
                if !(state.off_in_doubt() && self.is_watched(state).await) {
                    self.watch_refusals(&old, state).await?;
                }
                self.refuse_late(asked)?;
                self.refuse_aged(effect)?;
                issuer.disable(id).await?;
            }
            Op::Enable => issuer.enable(Self::old_id(&old)?).await?,
            Op::Revoke => issuer.revoke(Self::ending(&old, state)?).await?,
            Op::EndSessions => self.end_sessions(&old, state).await?,
            Op::DeleteNew => {
                if let Some(new) = state.new_version() {
                    let ended = Self::superfluous(&new.credential, &old, None)?;
                    // Nobody gives out by hand what is about to end.
                    self.withdraw(new.mint).await?;
                    self.refuse_aged(effect)?;
                    self.end(&ended, &old, state).await?;
                    self.remove_superseded(&ended, &old, asked, state).await?;
                }
            }
            Op::DeleteOrphan(credential) | Op::DeleteAbandoned(credential) => {
                let new = state.new_version().map(|new| &new.credential);
                let ended = Self::superfluous(credential, &old, new)?;
                self.end(&ended, &old, state).await?;
                self.remove_superseded(&ended, &old, asked, state).await?;
                // Its value goes once its end was seen. A driver that ends in between begins again with the deletion.
                self.discard(Some(&ended), state).await?;
            }
            // Both are carried out elsewhere.
            Op::Apply(..) | Op::Retire(_) => {}
        }
        Ok(None)
    }

    /// Ends a credential that does not stay. Where only the operator can, it counts as ended once it is seen dead.
    async fn end(&self, id: &CredentialId, old: &Old, state: &State) -> Result<(), Failure> {
        let issuer = &self.ports.issuer;
        if issuer.revokes() {
            return issuer.revoke(id).await;
        }
        let value = self.sealed_of(id, state).await?;
        if value.is_none() && self.is_retired(id).await? {
            // It was seen dead before its value was dropped.
            return Ok(());
        }
        let failed = |why: String| {
            Failure::new(Class::Permanent, Code::OldKeyStillAlive, format!("see the credential {id} dead"))
                .kind(FailureKind::StaysAlive)
                .because(why)
                .help(format!("end it at the issuer's console, then: keyroll retry {}", self.id))
        };
        let Some(value) = value else {
            return Err(failed("its value is not sealed, so nobody can ask".to_owned()));
        };
        let new = self.new_credential(state).await?.filter(|new| new.id.as_ref() != Some(id));
        let stays = new.as_ref().unwrap_or(&old.credential);
        for _ in 0..state.plan().policy.probes_dead.max(1) {
            self.refused_beside(&value, stays).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Whether every endpoint refuses a value as it refuses a wrong one, and goes on accepting the one that stays. An
    /// issuer that refuses everything shows nothing.
    pub(crate) async fn refused_beside(
        &self,
        value: &Credential,
        current: &Credential,
    ) -> Result<(), String> {
        let issuer = &self.ports.issuer;
        for endpoint in issuer.endpoints() {
            let deleted = self.ask(&endpoint, value).await;
            let stays = self.ask(&endpoint, current).await;
            let wrong = self.ask(&endpoint, &issuer.decoy(current)).await;
            let why = match (DeletedAnswers { deleted, stays, wrong }).show_dead() {
                Ok(()) => continue,
                Err(NotDead::Accepted) => "still accepts it",
                Err(NotDead::Unclear) => "neither accepts nor refuses it",
                Err(NotDead::RefusesAll) => {
                    "does not accept the key that stays either: its refusal shows nothing"
                }
                Err(NotDead::RefusesOtherwise) => {
                    "does not refuse a wrong key in this way: its refusal shows nothing"
                }
            };
            return Err(format!("{endpoint} {why}"));
        }
        Ok(())
    }

    /// What stands for an ended credential beside the old one. Its line is no harm: what cannot be edited any more is said
    /// and left.
    async fn remove_superseded(
        &self,
        ended: &CredentialId,
        old: &Old,
        asked: Asked,
        state: &State,
    ) -> Result<(), Failure> {
        let Some(gone) = self.sealed_of(ended, state).await? else { return Ok(()) };
        match self.ports.host.remove_superseded(values(old, Some(&gone), state), asked).await {
            Err(failure) if failure.class != Class::Retryable => {
                self.note(Note::Failed(failure));
                Ok(())
            }
            struck => struck,
        }
    }

    /// Removes the host's entry for a version that was abandoned and whose slot the new one took, which ended it. The entry
    /// has the new one's name, which could not be delivered beside it.
    async fn strike_replaced(&self, old: &Old, asked: Asked, state: &State) -> Result<(), Failure> {
        if state.plan().capabilities.overlap != Overlap::TwoSlots {
            return Ok(());
        }
        for replaced in state.abandoned() {
            self.remove_superseded(&CredentialId::new(replaced.as_str()), old, asked, state).await?;
        }
        Ok(())
    }

    /// The value of a credential that this rotation made.
    async fn sealed_of(&self, id: &CredentialId, state: &State) -> Result<Option<Credential>, Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        match versions.iter().find(|version| version.credential.as_ref() == Some(id)) {
            Some(version) => self.ports.store.read(self.secret(), version.number).await,
            // It may be kept only.
            None => Ok(self.new_credential(state).await?.filter(|new| new.id.as_ref() == Some(id))),
        }
    }

    /// Whether the credential is that of a version which this rotation made and gave up, and whose value is dropped.
    async fn is_retired(&self, id: &CredentialId) -> Result<bool, Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        Ok(versions.iter().any(|version| {
            let gone = version.credential.as_ref() == Some(id) && version.label == Label::Retired;
            gone && self.made_here(version).is_some()
        }))
    }

    /// What ends a key does not begin on a look that is too old by now: another process may have come to the key. This
    /// process may have been stopped since it wrote the intent.
    fn refuse_aged(&self, effect: &Effect) -> Result<(), Failure> {
        if !effect.is_aged(self.ports.clock.monotonic_ms()) {
            return Ok(());
        }
        let attempted = "end a key on a look at everything that uses it";
        Err(Failure::new(Class::Retryable, Code::RequestFailed, attempted)
            .because("the look is too old by now; it is made again"))
    }

    /// Nobody waits for an operation whose time is over: nothing more of it begins.
    fn refuse_late(&self, asked: Asked) -> Result<(), Failure> {
        if self.ports.clock.monotonic_ms() < asked.until_ms {
            return Ok(());
        }
        Err(Failure::new(
            Class::Retryable,
            Code::RequestFailed,
            "disable the old key within the time of a step",
        )
        .because("what comes before it took longer: reading where the logs end"))
    }

    /// The next value is sealed before the issuer hears of it.
    async fn choose(&self, old: &Old, intent: Seq) -> Result<(), Failure> {
        let proposed = self.ports.issuer.propose(&old.credential)?;
        let proposed = proposed.ok_or_else(|| {
            Failure::new(Class::Permanent, Code::SpecInvalid, "choose the next value")
                .because("the issuer chooses its own")
        })?;
        self.keep_listed(old, intent).await?;
        self.ports.staging.keep(self.secret(), &self.id, intent, &proposed).await
    }

    async fn mint(&self, old: &Old, intent: Seq, state: &State) -> Result<CredId, Failure> {
        let staging = &self.ports.staging;
        let proposed = match state.chosen_for(intent) {
            Some(chosen) => {
                let kept = staging.kept(self.secret(), &self.id, chosen).await?;
                // A value that is not sealed any more is not applied: it would be lost.
                Some(kept.ok_or_else(|| unsealed(self.secret()))?)
            }
            None => None,
        };
        let known = self.known_ids(old, intent, state).await?;
        let name = label(&self.id, intent);
        let minted = self.ports.issuer.mint(&name, &old.credential, proposed.as_ref()).await?;
        // What was answered is the credential in use: nothing was made, and deleting it later would end the only key.
        if same_secrets(&minted.fields, &old.credential.fields) {
            return Err(one_id(&minted.id));
        }
        let id = CredId::new(minted.id.as_str());
        let credential = Credential { id: Some(minted.id), fields: minted.fields };
        // The value is sealed before anybody else learns that it exists. If that fails the credential is there and
        // its value is not: Reconcile finds it by its label.
        let kept = staging.keep(self.secret(), &self.id, intent, &credential).await;
        kept.map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
        let again = credential.id.as_ref().and_then(|id| known.get_key_value(id));
        match again {
            Some((id, version)) => Err(self.id_again(id, *version)),
            None => Ok(id),
        }
    }

    /// Seals the new version as pending; returns its number. Harmless when repeated.
    pub(crate) async fn seal_pending(&self, state: &State) -> Result<u32, Failure> {
        let new = state.new_version().ok_or_else(|| {
            Failure::new(Class::Permanent, Code::Stopped, "stage the new version")
                .because("none was made yet")
        })?;
        let kept = self.ports.staging.kept(self.secret(), &self.id, new.mint).await?;
        let kept = kept.ok_or_else(|| unsealed(self.secret()))?;
        self.ports.store.put_pending(self.secret(), &self.id, new.mint, &kept).await
    }

    async fn retire(&self, which: Which, state: &State) -> Result<(), Failure> {
        match which {
            Which::Old => {
                // Values that shared the new one's slot, or were deleted in a rollback that was turned round, are dropped
                // with the last step. The old value goes last: once it is dropped, every other is.
                self.discard(None, state).await?;
                self.label_as_given_out(state).await?;
                self.drop_version(self.opening.from_version).await
            }
            Which::New => {
                // No operation of before is under way any more that could stage it once more.
                if let Some(intent) = state.minted() {
                    self.withdraw(intent).await?;
                }
                match (self.staged_number(state).await?, state.minted()) {
                    (Some(number), _) => self.drop_version(number).await,
                    (None, Some(intent)) => {
                        self.ports.staging.forget(self.secret(), &self.made_by(intent)).await
                    }
                    (None, None) => Ok(()),
                }
            }
        }
    }

    /// Drops the values of a version. What is kept for it goes first: a driver that ends in between begins again.
    async fn drop_version(&self, number: u32) -> Result<(), Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        let version = versions.iter().find(|version| version.number == number);
        if let Some(made_by) = version.and_then(|version| version.made_by.as_ref()) {
            self.ports.staging.forget(self.secret(), made_by).await?;
        }
        self.ports.store.retire(self.secret(), number).await
    }

    /// Drops the values of what this rotation gave up: of one credential, or all. Neither the new one nor the current one
    /// is dropped.
    async fn discard(&self, credential: Option<&CredentialId>, state: &State) -> Result<(), Failure> {
        let (store, stays) = (&self.ports.store, state.new_version().map(|new| new.mint));
        for version in store.versions(self.secret()).await? {
            let given_up = self.is_given_up(&version, state);
            let it = credential.is_none_or(|id| version.credential.as_ref() == Some(id));
            if given_up && it && !matches!(version.label, Label::Current | Label::Retired) {
                if let Some(intent) = self.made_here(&version) {
                    self.withdraw(intent).await?;
                }
                store.retire(self.secret(), version.number).await?;
            }
        }
        self.ports.staging.discard(self.secret(), &self.id, credential, stays).await
    }

    /// The number of the new version in the store, if it is there.
    pub(crate) async fn staged_number(&self, state: &State) -> Result<Option<u32>, Failure> {
        let Some(mint) = state.minted() else { return Ok(None) };
        let versions = self.ports.store.versions(self.secret()).await?;
        let ours = versions.iter().find(|version| self.made_here(version) == Some(mint));
        Ok(ours.map(|version| version.number))
    }

    /// Whether this rotation made a version and another one took its place.
    pub(crate) fn is_given_up(&self, version: &VersionInfo, state: &State) -> bool {
        let stays = state.new_version().map(|new| new.mint);
        self.made_here(version).is_some_and(|intent| Some(intent) != stays)
    }

    /// The intent of this rotation that made a version; `None` if another one made it, or it was imported.
    pub(crate) fn made_here(&self, version: &VersionInfo) -> Option<Seq> {
        version.made_by.as_ref().filter(|made_by| made_by.rotation == self.id).map(|made_by| made_by.intent)
    }
}

/// The new value is not sealed any more.
pub(crate) fn unsealed(secret: &str) -> Failure {
    Failure::new(Class::Permanent, Code::StoreOlderThanJournal, format!("read the new value of '{secret}'"))
        .because("it is not sealed in the store: the store was put back from a backup")
        .help("put the right store back and resume, or abort")
}

/// Two versions may never be one credential: whatever ends the one would end the other.
fn one_id(id: &CredentialId) -> Failure {
    Failure::new(
        Class::Permanent,
        Code::KeyIdUncertain,
        format!("tell the credential {id} from the one that stays"),
    )
    .because("the issuer gives both the same id, or answered a mint with the value in use")
    .help("nothing was ended: see at the issuer which credentials there are, and correct its spec")
}

/// Whether each secret field of one has the same value in the other; fields without a secret are never the same.
pub(crate) fn same_secrets(one: &Fields, other: &Fields) -> bool {
    let equal = |(name, value): (&str, &keyroll_secret::SecretBytes)| {
        other.get(name).is_some_and(|there| there.value == *value)
    };
    one.secrets().next().is_some() && one.secrets().all(equal)
}
