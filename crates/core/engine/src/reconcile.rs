//! Reconciles an intent whose outcome is unknown. Never a blind retry: list, read back, probe.

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind, Label, Touched};
use keyroll_rotation::{Fact, Op, Reconciled, Seq, State, Which, find_mint_by_probes, is_accepted};
use keyroll_secret::{Credential, CredentialId};

use crate::executor::{Executor, Note, Old, cred, key_list, label, values};

impl Executor {
    /// Reconciles a drop of the old value, without that value: it may be dropped already.
    pub(crate) async fn reconcile_retired(
        &self,
        intent: Seq,
        state: &State,
    ) -> Result<Option<Fact>, Failure> {
        let open = state.intents().iter().find(|open| open.seq == intent);
        let Some(open) = open.filter(|open| open.op == Op::Retire(Which::Old)) else { return Ok(None) };
        // A store of before has the old value, whatever was dropped from the right one.
        self.store_agrees(state).await?;
        let versions = self.ports.store.versions(self.secret()).await?;
        let before = versions.iter().find(|version| version.number == self.opening.from_version);
        let dropped = before.is_some_and(|version| version.label == Label::Retired);
        // A driver that was replaced may still be dropping it.
        let request_ms_max = state.plan().capabilities.request_ms_max;
        let found = open.find_drop(dropped, self.ports.clock.monotonic_ms(), request_ms_max);
        Ok(Some(Fact::Reconciled { intent, found }))
    }

    pub(crate) async fn reconcile(
        &self,
        old: &Old,
        intent: Seq,
        state: &State,
    ) -> Result<Option<Fact>, Failure> {
        let Some(open) = state.intents().iter().find(|open| open.seq == intent) else { return Ok(None) };
        let found = self.find(old, intent, &open.op, state).await?;
        Ok(Some(Fact::Reconciled { intent, found }))
    }

    async fn find(&self, old: &Old, intent: Seq, op: &Op, state: &State) -> Result<Reconciled, Failure> {
        let staging = &self.ports.staging;
        Ok(match op {
            Op::Choose => match staging.kept(self.secret(), &self.id, intent).await? {
                Some(_) => Reconciled::Executed(None),
                None => Reconciled::Absent,
            },
            Op::Mint => self.find_mint(old, intent, state).await?,
            // Its version was given up meanwhile: nothing is compared with that any more, and it is delivered anew.
            Op::Deliver(file, _) if state.new_version().is_none() => {
                self.ports.host.await_end(Touched::File(*file), intent).await?;
                Reconciled::Absent
            }
            Op::Deliver(file, which) => {
                let new = self.new_credential(state).await?;
                self.ports.host.delivered(*file, *which, values(old, new.as_ref(), state), intent).await?
            }
            // Each of these loads what the files hold, or deletes what is deleted already: once nothing of it goes on any
            // more, it is harmless to carry it out again. A consumer is not restarted twice where a record shows the first.
            Op::Fetch(consumer) | Op::Apply(consumer, ..) => {
                match self.ports.host.await_end(Touched::Consumer(*consumer), intent).await? {
                    true => Reconciled::Executed(None),
                    false => Reconciled::Absent,
                }
            }
            Op::DeleteNew | Op::DeleteOrphan(_) | Op::DeleteAbandoned(_) => {
                self.ports.host.await_end(Touched::All, intent).await?;
                Reconciled::Absent
            }
            Op::Promote | Op::Demote if state.new_version().is_none() => Reconciled::Absent,
            Op::Promote | Op::Demote => self.find_current(old, intent, op, state).await?,
            // It is withdrawn by whoever goes back: a request of before must not stage it after that.
            Op::Stage if self.ports.truth.is_some() && self.may_arrive(intent, state) => Reconciled::Unclear,
            // Carried out again, its refusals would be counted from then on: those since the first time would be lost.
            Op::Disable if self.is_off(old, state).await? => Reconciled::Executed(None),
            Op::Disable => Reconciled::Absent,
            // Each of these is harmless when it is carried out twice, by the ports' contracts: it is wanted again
            // as long as it is still right.
            Op::Stage | Op::Enable | Op::Revoke | Op::EndSessions | Op::Retire(_) => Reconciled::Absent,
        })
    }

    /// What became of a Promote or a Demote, by what consumers are given.
    async fn find_current(
        &self,
        old: &Old,
        intent: Seq,
        op: &Op,
        state: &State,
    ) -> Result<Reconciled, Failure> {
        // A store that lost the staged version was restored from a backup: it shows nothing of what was done to ours.
        let Some(new) = self.staged_number(state).await? else { return Ok(Reconciled::Unclear) };
        let goal = if *op == Op::Promote { new } else { old.number };
        match self.current_number().await {
            Ok(Some(current)) if current == goal => {
                let labelled = self.sealed_current().await?;
                if labelled == Some(goal) || self.ports.truth.is_none() {
                    return Ok(Reconciled::Executed(None));
                }
                // The driver may have ended between the source of truth and the store, or be about to write the store: the
                // store's labels follow once nobody else changes them any more.
                if self.may_arrive(intent, state) {
                    return Ok(Reconciled::Unclear);
                }
                self.label_current(labelled, (old.number, new), goal).await?;
                Ok(Reconciled::Executed(None))
            }
            Ok(Some(_)) => Ok(Reconciled::Absent),
            Ok(None) => Ok(Reconciled::Unclear),
            Err(failure) if failure.kind == FailureKind::ChangedElsewhere => {
                self.note(Note::Failed(failure));
                Ok(Reconciled::Foreign)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether a request of this operation may still be under way.
    fn may_arrive(&self, intent: Seq, state: &State) -> bool {
        let (now_ms, request_ms_max) =
            (self.ports.clock.monotonic_ms(), state.plan().capabilities.request_ms_max);
        let open = state.intents().iter().find(|open| open.seq == intent);
        open.is_some_and(|open| open.may_arrive(now_ms, request_ms_max))
    }

    /// Whether the issuer lists the old credential as disabled.
    async fn is_off(&self, old: &Old, state: &State) -> Result<bool, Failure> {
        if !state.plan().capabilities.list {
            return Ok(false);
        }
        let listing = self.listing(old).await?;
        let entry = listing.entries.iter().find(|entry| Some(&entry.id) == old.credential.id.as_ref());
        match entry.filter(|entry| entry.disabled) {
            // Its second half may have come to nothing: then it is carried out again.
            Some(entry) => self.ports.issuer.is_wholly_off(&entry.id).await,
            None => Ok(false),
        }
    }

    /// A mint's answer may be lost: its value is here, or the credential is there without it, or neither.
    async fn find_mint(&self, old: &Old, intent: Seq, state: &State) -> Result<Reconciled, Failure> {
        let staging = &self.ports.staging;
        if let Some(kept) = staging.kept(self.secret(), &self.id, intent).await?
            && let Some(id) = &kept.id
        {
            let new = self.is_new(&kept, old, intent, state).await?;
            return Ok(if new { Reconciled::Executed(Some(cred(id))) } else { Reconciled::Unclear });
        }
        let chosen = state.chosen_for(intent);
        let proposed = match chosen {
            Some(chosen) => staging.kept(self.secret(), &self.id, chosen).await?,
            None => None,
        };
        let capabilities = &state.plan().capabilities;
        if capabilities.list && capabilities.label {
            return self.find_by_label(old, intent, proposed, state).await;
        }
        // No version has what it may have made, and the next mint replaces that.
        if capabilities.mint_replaces && chosen.is_none() {
            return Ok(Reconciled::Absent);
        }
        // The chosen value is not in the store any more: a probe of the old one shows nothing of the mint.
        if proposed.is_none() && chosen.is_some() {
            return Ok(Reconciled::Unclear);
        }
        if chosen.is_none() && capabilities.list && !capabilities.exchanges() {
            self.name_unknown_keys(old).await;
        }
        self.find_by_probe(old, intent, proposed, state).await
    }

    /// Names the keys that no version has: the value of one of them may have been lost with an answer. None is ended, because
    /// without a label nothing shows that another party did not make it.
    async fn name_unknown_keys(&self, old: &Old) {
        let attempted = "tell which key the issuer made when its answer was lost";
        let uncertain = || Failure::new(Class::Permanent, Code::KeyIdUncertain, attempted);
        let by_hand = || {
            format!(
                "once the rotation is stuck: {}; delete the new key in that list, if nobody else made it; then: keyroll \
                 retry {}",
                self.ports.issuer.list_by_hand(),
                self.id
            )
        };
        let listing = match self.listing(old).await {
            Ok(listing) => listing,
            Err(failure) => {
                let why = failure.source.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                let why = format!("its keys could not be listed: {failure}{why}");
                self.note(Note::Failed(uncertain().because(why).help(by_hand())));
                return;
            }
        };
        if !listing.complete {
            let why = listing.incomplete.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let why = format!("the list of its keys is incomplete{why}");
            self.note(Note::Failed(uncertain().because(why).help(by_hand())));
        }
        let versions = match self.ports.store.versions(self.secret()).await {
            Ok(versions) => versions,
            Err(failure) => {
                self.note(Note::Failed(failure));
                return;
            }
        };
        let is_known = |id: &CredentialId| {
            let mut known = versions.iter().filter_map(|version| version.credential.as_ref());
            old.credential.id.as_ref() == Some(id) || known.any(|known| known == id)
        };
        for entry in listing.entries.iter().filter(|entry| !is_known(&entry.id)) {
            self.note(Note::Failed(
                uncertain()
                    .because(format!("it lists {}, whose value keyroll does not have", entry.id))
                    .help(format!(
                        "once the rotation is stuck, and if nobody else made that key: {}; then: keyroll retry {}",
                        self.ports.issuer.end_by_hand(&entry.id),
                        self.id
                    )),
            ));
        }
    }

    async fn find_by_label(
        &self,
        old: &Old,
        intent: Seq,
        proposed: Option<Credential>,
        state: &State,
    ) -> Result<Reconciled, Failure> {
        let wanted = label(&self.id, intent);
        let listing = self.listing(old).await?;
        let found = key_list(&listing, |label| (label == wanted).then_some(intent)).find_mint(intent);
        let (Reconciled::ValueLost(id), Some(proposed)) = (&found, proposed) else { return Ok(found) };
        let kept = Credential { id: Some(CredentialId::new(id.as_str())), fields: proposed.fields };
        // The label is there, but the value may not be: only an accepted call shows that it is.
        if !self.accepted(&kept).await || !self.is_new(&kept, old, intent, state).await? {
            return Ok(Reconciled::Unclear);
        }
        self.ports.staging.keep(self.secret(), &self.id, intent, &kept).await?;
        Ok(Reconciled::Executed(Some(id.clone())))
    }

    /// Without labels: the new value accepted or the current one refused = executed.
    async fn find_by_probe(
        &self,
        old: &Old,
        intent: Seq,
        proposed: Option<Credential>,
        state: &State,
    ) -> Result<Reconciled, Failure> {
        let accepted = match &proposed {
            Some(proposed) => self.accepted(proposed).await,
            None => false,
        };
        let (Some(proposed), true) = (proposed, accepted) else {
            return Ok(find_mint_by_probes(false, None, self.accepted(&old.credential).await));
        };
        let id = self.id_of(old, intent, &proposed, state).await?;
        let found = find_mint_by_probes(true, id.as_ref().map(cred), false);
        if id.is_some() {
            let kept = Credential { id, fields: proposed.fields };
            self.ports.staging.keep(self.secret(), &self.id, intent, &kept).await?;
        }
        Ok(found)
    }

    /// The id of a value that we chose and that works. One that took the old one's place has its id; one beside it is
    /// told by the lists of before and after.
    async fn id_of(
        &self,
        old: &Old,
        intent: Seq,
        proposed: &Credential,
        state: &State,
    ) -> Result<Option<CredentialId>, Failure> {
        match &proposed.id {
            Some(id) => Ok(Some(id.clone())),
            None if state.plan().capabilities.exchanges() => Ok(old.credential.id.clone()),
            None => self.only_new(old, intent, state).await,
        }
    }

    async fn accepted(&self, credential: &Credential) -> bool {
        for endpoint in self.ports.issuer.endpoints() {
            if !is_accepted(self.ask(&endpoint, credential).await) {
                return false;
            }
        }
        true
    }
}
