use std::sync::{Arc, Mutex};

use keyroll_port::{
    Applied, Brings, Class, Failure, Gap, Holder, JournalError, Live, Opening, Probe, Residue, RotationId,
    Values,
};
use keyroll_rotation::{
    ConsumerId, CredId, Effect, IllegalEvent, OldKey, Op, Outcome, Overlap, Seq, State, Which,
};
use keyroll_secret::{Credential, CredentialId, Fields};
use tokio::sync::{OnceCell, mpsc};

use crate::beside::Candidate;
use crate::look::Unexplained;
use crate::{Ports, Trouble};

/// Something for people beside the protocol's own entries.
#[derive(Debug)]
pub enum Note {
    /// An attempt did not succeed; what follows is decided by the protocol.
    Failed(Failure),
    /// What a look could not see.
    NotVisible(Vec<String>),
    /// A holder that nobody explains.
    Holder(Holder),
    /// A process whose use of the old key was refused, or that holds that key while one was.
    User(Holder),
    /// A refused use by somebody who is no process of this machine, as the issuer names it.
    Refused(String),
    /// A place with the old value that the plan does not have.
    Stranger(String),
    /// What the last search left.
    Residues(Vec<Residue>),
    /// What a restart makes live beside the value, or would have: then nothing was done.
    Live {
        /// What it is.
        live: Vec<Live>,
        /// Nothing was done.
        refused: bool,
    },
    /// A consumer with one instance was not there for a while.
    Gap(Gap),
    /// A person's word that cannot be.
    Rejected(IllegalEvent),
    /// The journal could not be written.
    Journal(String),
}

/// The ports of one rotation, with what their calls need. Carries operations out, looks, and decides nothing.
pub(crate) struct Bench {
    pub(crate) ports: Ports,
    pub(crate) id: RotationId,
    pub(crate) opening: Opening,
    notes: mpsc::UnboundedSender<Note>,
    old: OnceCell<Arc<Old>>,
    pub(crate) candidate: Mutex<Option<Candidate>>,
    pub(crate) unexplained: Mutex<Unexplained>,
}

/// The version that is being replaced: it does not change during a rotation.
pub(crate) struct Old {
    pub(crate) number: u32,
    pub(crate) credential: Credential,
}

/// The label that a credential made under this intent carries at the issuer.
pub(crate) fn label(id: &RotationId, intent: Seq) -> String {
    format!("keyroll/{id}/{intent}")
}

impl Bench {
    pub(crate) fn new(
        ports: Ports,
        id: RotationId,
        opening: Opening,
        notes: mpsc::UnboundedSender<Note>,
    ) -> Self {
        Self {
            ports,
            id,
            opening,
            notes,
            old: OnceCell::new(),
            candidate: Mutex::default(),
            unexplained: Mutex::default(),
        }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.opening.secret
    }

    pub(crate) fn note(&self, note: Note) {
        // Nobody listens any more when the shell has ended: then there is nobody to tell.
        drop(self.notes.send(note));
    }

    /// What the host measured meanwhile, and what it has to say about its evidence.
    pub(crate) fn note_asides(&self) {
        self.ports.host.remarks().into_iter().for_each(|remark| self.note(Note::Failed(remark)));
        self.ports.host.gaps().into_iter().for_each(|gap| self.note(Note::Gap(gap)));
    }

    pub(crate) fn trouble(&self, error: JournalError) -> Trouble {
        let trouble = match &error {
            JournalError::Fenced { .. } => Trouble::Fenced,
            JournalError::Conflict { .. } | JournalError::UnknownCommit(_) => Trouble::Unsure,
            JournalError::Held { .. } | JournalError::Unavailable(_) => Trouble::Unavailable,
            JournalError::Damaged(_) | JournalError::Newer { .. } => Trouble::Fenced,
        };
        self.note(Note::Journal(error.to_string()));
        trouble
    }

    /// The version that is being replaced: current before Promote, previous after it.
    pub(crate) async fn old(&self) -> Result<Arc<Old>, Failure> {
        self.old.get_or_try_init(|| self.read_old()).await.cloned()
    }

    async fn read_old(&self) -> Result<Arc<Old>, Failure> {
        let secret = self.secret();
        let number = self.opening.from_version;
        let credential = self.ports.store.read(secret, number).await?;
        let gone = || {
            Failure::new(
                Class::Permanent,
                "K0702",
                format!("read version {number} of '{secret}' from the store"),
            )
            .because("its value is not sealed there any more")
        };
        let credential = credential.ok_or_else(gone)?;
        self.ports.issuer.remember(&credential);
        Ok(Arc::new(Old { number, credential }))
    }

    /// The value of the new version: what was kept under its mint, or what we chose and have not applied yet.
    pub(crate) async fn new_credential(&self, state: &State) -> Result<Option<Credential>, Failure> {
        let intent = match (state.new_version(), state.chosen()) {
            (Some(new), _) => new.mint,
            (None, Some(chosen)) => chosen,
            (None, None) => return Ok(None),
        };
        self.ports.store.kept(self.secret(), &self.id, intent).await
    }

    pub(crate) fn old_id(old: &Old) -> Result<&CredentialId, Failure> {
        old.credential.id.as_ref().ok_or_else(|| {
            Failure::new(Class::Permanent, "K0703", "address the old credential at its issuer")
                .because("its value is not bound to an id")
                .help("revoke it at the issuer's console, then: keyroll resume --revoked-by-hand")
        })
    }

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
    pub(crate) async fn carry(&self, effect: &Effect, state: &State) -> Outcome {
        if let Op::Apply(consumer, slot, which) = effect.op {
            return self.apply(consumer, slot, which, effect.intent, state).await;
        }
        match self.attempt(effect, state).await {
            Ok(minted) => Outcome::Done(minted),
            Err(failure) => self.failed(failure),
        }
    }

    fn failed(&self, failure: Failure) -> Outcome {
        let outcome = match failure.class {
            Class::Retryable => Outcome::Failed { retry: true },
            Class::Permanent => Outcome::Failed { retry: false },
            Class::Unknown => Outcome::Unknown,
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
        intent: Seq,
        state: &State,
    ) -> Outcome {
        let asks = state.asks_acceptance(which);
        let brings = if asks { Brings::Accepted(state.accepted()) } else { Brings::Anything };
        match self.ports.host.apply(consumer, slot, intent, brings).await {
            Ok(Applied::Done(live)) => {
                if !live.is_empty() {
                    self.note(Note::Live { live, refused: false });
                }
                Outcome::Done(None)
            }
            Ok(Applied::Refused(live)) if asks => {
                let differences = live.iter().map(|one| one.difference.clone()).collect();
                self.note(Note::Live { live, refused: true });
                Outcome::Refused(differences)
            }
            // Nobody asked for a refusal: nothing was done, and it is tried again.
            Ok(Applied::Refused(_)) => Outcome::Failed { retry: true },
            Err(failure) => self.failed(failure),
        }
    }

    async fn attempt(&self, effect: &Effect, state: &State) -> Result<Option<CredId>, Failure> {
        let (host, issuer, intent) = (&self.ports.host, &self.ports.issuer, effect.intent);
        host.tell_ended(old_ended(state));
        if let Op::Retire(which) = &effect.op {
            // The old value may be dropped already, by a driver that ended before it could say so.
            return self.retire(*which, state).await.map(|()| None);
        }
        let old = self.old().await?;
        match &effect.op {
            Op::Choose => self.choose(&old, intent).await?,
            Op::Mint => return self.mint(&old, intent, state).await.map(Some),
            Op::Stage => drop(self.stage(state).await?),
            Op::Deliver(file, which) => {
                let new = self.new_credential(state).await?;
                if *which == Which::New {
                    self.strike_replaced(&old, state).await?;
                }
                let values = values(&old, new.as_ref());
                host.deliver(*file, *which, values, intent).await?;
            }
            Op::Fetch(consumer) => host.fetch(*consumer, intent).await?,
            Op::Promote => {
                let number = self.stage(state).await?;
                // A version that was abandoned in an emergency may be current: then that is what is expected.
                let current = if state.abandoned().is_empty() { None } else { self.current_number().await? };
                let expected = current.filter(|current| *current != number).unwrap_or(old.number);
                self.ports.store.promote(self.secret(), expected, number).await?;
            }
            Op::Demote => {
                let number = self.stage(state).await?;
                self.ports.store.demote(self.secret(), old.number, number).await?;
            }
            Op::Disable => {
                let id = Self::ending(&old, state)?;
                // Carried out again because its first outcome is unknown, the refusals since that first time count.
                if !(state.off_in_doubt() && self.is_watched(state).await) {
                    self.watch_refusals(&old, state).await?;
                }
                issuer.disable(id).await?;
            }
            Op::Enable => issuer.enable(Self::old_id(&old)?).await?,
            Op::Revoke => issuer.revoke(Self::ending(&old, state)?).await?,
            Op::EndSessions => self.end_sessions(&old, state).await?,
            Op::DeleteNew => {
                if let Some(new) = state.new_version() {
                    let ended = Self::superfluous(&new.credential, &old, None)?;
                    self.end(&ended, &old, state).await?;
                    self.strike(&ended, &old).await?;
                }
            }
            Op::DeleteOrphan(credential) | Op::DeleteAbandoned(credential) => {
                let new = state.new_version().map(|new| &new.credential);
                let ended = Self::superfluous(credential, &old, new)?;
                self.end(&ended, &old, state).await?;
                self.strike(&ended, &old).await?;
                // Its value goes once its end was seen. A driver that ends in between begins again with the deletion.
                self.discard(Some(&ended), state).await?;
            }
            // Both are carried out elsewhere.
            Op::Apply(..) | Op::Retire(_) => {}
        }
        Ok(None)
    }

    /// Ends a credential that does not stay. Where only a person can, it counts as ended once it is seen dead; their
    /// word alone is nothing.
    async fn end(&self, id: &CredentialId, old: &Old, state: &State) -> Result<(), Failure> {
        let issuer = &self.ports.issuer;
        if issuer.revokes() {
            return issuer.revoke(id).await;
        }
        let value = self.sealed_of(id).await?;
        let failed = |why: String| {
            Failure::new(Class::Permanent, "K0715", format!("see the credential {id} dead"))
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
    async fn refused_beside(&self, value: &Credential, stays: &Credential) -> Result<(), String> {
        let issuer = &self.ports.issuer;
        for endpoint in issuer.endpoints() {
            match issuer.probe(&endpoint, value).await {
                Probe::Dead => {}
                Probe::Alive | Probe::Denied => return Err(format!("{endpoint} still accepts it")),
                Probe::Unknown(why) => return Err(format!("{endpoint}: {why}")),
            }
            match issuer.probe(&endpoint, stays).await {
                Probe::Alive | Probe::Denied => {}
                Probe::Dead | Probe::Unknown(_) => {
                    return Err(format!(
                        "{endpoint} does not accept the key that stays either: its refusal tells nothing"
                    ));
                }
            }
            if issuer.probe(&endpoint, &issuer.decoy(stays)).await != Probe::Dead {
                return Err(format!(
                    "{endpoint} does not refuse a wrong key in this way: its refusal tells nothing"
                ));
            }
        }
        Ok(())
    }

    /// What stands for an ended credential beside the old one. Its line is no harm: what cannot be edited any more is said
    /// and left.
    async fn strike(&self, ended: &CredentialId, old: &Old) -> Result<(), Failure> {
        let Some(gone) = self.sealed_of(ended).await? else { return Ok(()) };
        match self.ports.host.strike(values(old, Some(&gone))).await {
            Err(failure) if failure.class != Class::Retryable => {
                self.note(Note::Failed(failure));
                Ok(())
            }
            struck => struck,
        }
    }

    /// What stands for a version that this rotation gave up and whose slot the new one took: with that it was ended, and
    /// whoever ended it may have come to no more. Its line has the new one's name, which could not be delivered.
    async fn strike_replaced(&self, old: &Old, state: &State) -> Result<(), Failure> {
        if state.plan().capabilities.overlap != Overlap::TwoSlots {
            return Ok(());
        }
        for replaced in state.abandoned() {
            self.strike(&CredentialId::new(replaced.as_str()), old).await?;
        }
        Ok(())
    }

    async fn sealed_of(&self, id: &CredentialId) -> Result<Option<Credential>, Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        match versions.iter().find(|version| version.credential.as_ref() == Some(id)) {
            Some(version) => self.ports.store.read(self.secret(), version.number).await,
            None => Ok(None),
        }
    }

    /// The next value is sealed before the issuer hears of it.
    async fn choose(&self, old: &Old, intent: Seq) -> Result<(), Failure> {
        let proposed = self.ports.issuer.propose(&old.credential)?;
        let proposed = proposed.ok_or_else(|| {
            Failure::new(Class::Permanent, "K0704", "choose the next value")
                .because("the issuer chooses its own")
        })?;
        self.keep_listed(old, intent).await?;
        self.ports.store.keep(self.secret(), &self.id, intent, &proposed).await
    }

    async fn mint(&self, old: &Old, intent: Seq, state: &State) -> Result<CredId, Failure> {
        let store = &self.ports.store;
        let proposed = match state.chosen() {
            Some(chosen) => {
                let kept = store.kept(self.secret(), &self.id, chosen).await?;
                // What is not sealed any more is not applied: nobody would ever know it.
                Some(kept.ok_or_else(|| unsealed(self.secret()))?)
            }
            None => None,
        };
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
        let kept = store.keep(self.secret(), &self.id, intent, &credential).await;
        kept.map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
        Ok(id)
    }

    pub(crate) async fn stage(&self, state: &State) -> Result<u32, Failure> {
        let new = state.new_version().ok_or_else(|| {
            Failure::new(Class::Permanent, "K0705", "stage the new version").because("none was made yet")
        })?;
        self.ports.store.stage(self.secret(), &self.id, new.mint).await
    }

    async fn retire(&self, which: Which, state: &State) -> Result<(), Failure> {
        let number = match which {
            Which::Old => {
                // What shared the new one's slot, or was deleted on a way back that was left, is dropped with the last
                // step. The old value goes last: where it is gone, everything is.
                self.discard(None, state).await?;
                self.opening.from_version
            }
            Which::New => match self.staged_number(state).await? {
                Some(number) => number,
                None => return Ok(()),
            },
        };
        self.ports.store.retire(self.secret(), number).await
    }

    /// Drops the values of what this rotation gave up: of one credential, or all. The new one stays.
    async fn discard(&self, credential: Option<&CredentialId>, state: &State) -> Result<(), Failure> {
        let stays = state.new_version().map(|new| new.mint);
        self.ports.store.discard(self.secret(), &self.id, credential, stays).await
    }

    /// The number under which the new version was staged, if it ever was.
    pub(crate) async fn staged_number(&self, state: &State) -> Result<Option<u32>, Failure> {
        let Some(mint) = state.minted() else { return Ok(None) };
        if self.ports.store.kept(self.secret(), &self.id, mint).await?.is_none() {
            return Ok(None);
        }
        self.ports.store.stage(self.secret(), &self.id, mint).await.map(Some)
    }
}

/// Whether nothing uses the old credential any more: with a debt it lives on.
pub(crate) fn old_ended(state: &State) -> bool {
    state.old_key() == OldKey::Ended && state.debt().is_none()
}

/// The value that was chosen is not in the store.
fn unsealed(secret: &str) -> Failure {
    Failure::new(Class::Permanent, "K0713", format!("read the value that was chosen for '{secret}'"))
        .because("it is not sealed in the store: the store was put back from a backup")
        .help("put the right store back and resume, or abort")
}

/// Two versions may never be one credential: whatever ends the one would end the other.
fn one_id(id: &CredentialId) -> Failure {
    Failure::new(Class::Permanent, "K0708", format!("tell the credential {id} from the one that stays"))
        .because("the issuer gives both the same id, or answered a mint with the value in use")
        .help("nothing was ended: see at the issuer which credentials there are, and correct its spec")
}

fn same_secrets(one: &Fields, other: &Fields) -> bool {
    let equal = |(name, value): (&str, &keyroll_secret::SecretBytes)| {
        other.get(name).is_some_and(|there| there.value == *value)
    };
    one.secrets().next().is_some() && one.secrets().all(equal)
}

pub(crate) fn values<'a>(old: &'a Old, new: Option<&'a Credential>) -> Values<'a> {
    let new: Option<&'a Fields> = new.map(|credential| &credential.fields);
    Values { old: &old.credential.fields, new }
}
