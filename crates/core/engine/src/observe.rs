//! Looks at the outside, and says what was seen.

use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_port::{Class, Described, Evidence, Failure, Label, Listed, Listing, Named, Proving, Swept};
use keyroll_rotation::{
    ConsumerId, CredId, Delivery, Fact, HostId, Incarnation, KeyList, LastUse, Phase, PreflightDefect, Proof,
    Query, Seq, State, Which, digest_of_life,
};
use keyroll_secret::{Credential, CredentialId};

use crate::executor::{Executor, Note, Old, cred, listed_key, values};
use crate::ports::OtherKeys;

/// The host that keyroll runs on: its processes are looked at when they are shown.
const HERE: HostId = HostId(0);

/// Of a store that was put back from a backup.
pub(crate) const NEW_VALUE_LOST: &str = "does not have the new value, which this rotation had sealed";

/// How many undeclared processes and copies of one look are named: a host decides how many it claims.
const NAMES_MAX: usize = 64;

/// The longest name of an undeclared copy that is remembered, in bytes.
const NAME_BYTES_MAX: usize = 512;

impl Executor {
    /// Looks, and says what was seen; `None` if nothing could be seen.
    pub(crate) async fn look(&self, query: &Query, state: &State) -> Option<Fact> {
        match self.see(query, state).await {
            Ok(fact) => fact,
            Err(failure) => {
                // A pause for want of this answer names its cause also when nobody drives any more.
                if matches!(query, Query::LastUsed) {
                    self.remember(vec![Named::of_failure(&self.id.0, state.phase(), &failure)]).await;
                }
                self.note(Note::Failed(failure));
                None
            }
        }
    }

    async fn see(&self, query: &Query, state: &State) -> Result<Option<Fact>, Failure> {
        self.ports.host.may_be_away(&state.left_hosts());
        if let Query::Reconcile(intent) = query
            && let Some(fact) = self.reconcile_retired(*intent, state).await?
        {
            return Ok(Some(fact));
        }
        let old = self.old().await?;
        Ok(Some(match query {
            Query::Preflight => self.preflight(&old, state).await?,
            Query::StageCheck => self.stage_check(state).await?,
            Query::Probe(endpoint, which) => self.probe(&old, *endpoint, *which, state).await?,
            Query::List => self.list(&old, state).await?,
            Query::Enumerate => self.enumerate(&old, state).await?,
            Query::Prove(consumer, slot, which) => self.prove(&old, *consumer, *slot, *which, state).await?,
            Query::LastUsed => self.last_used(&old, state).await?,
            Query::Refusals => self.refusals(&old, state).await?,
            Query::Reconcile(intent) => return self.reconcile(&old, *intent, state).await,
            Query::Sweep => self.sweep(&old, state).await?,
        }))
    }

    async fn preflight(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        let (issuer, host) = (&self.ports.issuer, &self.ports.host);
        let mut clear = true;
        match issuer.preflight(&old.credential).await {
            Ok(_) => {}
            Err(failure) if failure.class == Class::Permanent => {
                self.note(Note::Failed(failure));
                clear = false;
            }
            Err(failure) => return Err(failure),
        }
        clear &= self.truth_is_as_sealed(old).await?;
        let next = issuer.propose(&old.credential).ok().flatten();
        for against in host.trial(values(old, next.as_ref(), state)).await? {
            self.note(Note::Failed(against));
            clear = false;
        }
        let answers = self.preflight_answers(old, state).await?;
        answers.defects().iter().for_each(|defect| self.note(Note::Failed(preflight_failure(*defect))));
        Ok(Fact::Preflight(answers.seen(clear)))
    }

    async fn stage_check(&self, state: &State) -> Result<Fact, Failure> {
        let number = self.seal_pending(state).await?;
        let kept = self.new_credential(state).await?;
        let staged = self.ports.store.read(self.secret(), number).await?;
        let intact = match (&kept, &staged) {
            (Some(kept), Some(staged)) => same(kept, staged),
            _ => false,
        };
        let mut carried = false;
        if let Some(staged) = &staged {
            match self.ports.host.carries(&staged.fields).await {
                Ok(()) => carried = true,
                Err(failure) if failure.class == Class::Permanent => self.note(Note::Failed(failure)),
                // A host that does not answer says nothing about the format of its copies.
                Err(failure) => return Err(failure),
            }
        }
        Ok(Fact::StageChecked { intact, carried })
    }

    /// The version that is current now, if it is not the old one: a debt may be paid after further rotations. It is only
    /// presented to the issuer: a source of truth that is away does not keep the old key from being seen dead.
    pub(crate) async fn current_since(&self, old: &Old) -> Result<Option<Credential>, Failure> {
        match self.sealed_current().await?.filter(|number| *number != old.number) {
            Some(number) => self.ports.store.read(self.secret(), number).await,
            None => Ok(None),
        }
    }

    /// The number of the version that is current in the store.
    pub(crate) async fn sealed_current(&self) -> Result<Option<u32>, Failure> {
        let versions = self.ports.store.versions(self.secret()).await?;
        let current = versions.iter().find(|version| version.label == Label::Current);
        Ok(current.map(|version| version.number))
    }

    pub(crate) async fn listing(&self, old: &Old) -> Result<Listing, Failure> {
        self.ports.issuer.list(&old.credential).await
    }

    async fn list(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        let listing = self.listing(old).await?;
        let mut list = KeyList { keys: Vec::new(), complete: listing.complete };
        for entry in &listing.entries {
            let intent = self.intent_of(entry).await?;
            if intent == Some(Seq::MAX) && old.credential.id.as_ref() != Some(&entry.id) {
                self.note(Note::Failed(unknown_label(self.secret(), entry, &self.ports.other_keys)));
            }
            list.keys.push(listed_key(entry, intent));
        }
        let (old_id, new) = (old.credential.id.as_ref().map(cred), state.new_version());
        let labelled = list.labelled(old_id.as_ref());
        for found in labelled.iter().filter(|found| new.is_some_and(|new| found.is_twin_of(new))) {
            self.note(Note::Failed(
                Failure::new(
                    Class::Permanent,
                    Code::KeyIdUncertain,
                    format!("account for the credential {} at the issuer", found.credential.as_str()),
                )
                .because("it carries the label of this rotation's own mint and is not the key that was kept")
                .help("nobody has its value: end it at the issuer's console"),
            ));
        }
        if list.complete && state.phase() != Phase::RollingBack {
            let alone = labelled.iter().filter(|found| found.stands_for_new(&labelled, state));
            alone.for_each(|found| self.note(Note::Failed(new_unlisted(&found.credential))));
        }
        let old = list.standing(old_id.as_ref(), new);
        Ok(Fact::Listed { complete: list.complete, labelled, old })
    }

    /// The intent that the label of a key at the issuer names, as far as it concerns this rotation.
    async fn intent_of(&self, entry: &Listed) -> Result<Option<Seq>, Failure> {
        let Some(text) = entry.label.as_deref() else { return Ok(None) };
        let Some(label) = keyroll_rotation::Label::parse(text) else { return Ok(None) };
        if label.rotation == self.id.0 {
            return Ok(label.seen_by(&self.id.0, true));
        }
        // Both must match: a label is copied easily, and another rotation of the other keyroll has another label.
        if self.ports.other_keys.named.contains(&(entry.id.to_string(), text.to_owned())) {
            return Ok(None);
        }
        // A journal that cannot be read neither knows nor denies a label: then the look shows nothing.
        let known = self.ports.journal.list().await.map_err(|error| {
            Failure::new(Class::Retryable, Code::StateUnusable, "look a label up among the rotations")
                .because(error)
        })?;
        Ok(label.seen_by(&self.id.0, known.iter().any(|overview| overview.id.0 == label.rotation)))
    }

    /// Pull consumers have what the store gives out: no look counts while the store lost what this rotation promoted. With a
    /// source of truth, the store's label may be behind; a store that lost the version itself was put back.
    pub(crate) async fn store_agrees(&self, state: &State) -> Result<(), Failure> {
        if !state.gives_out_new() {
            return Ok(());
        }
        if self.ports.truth.is_some() {
            return match self.staged_number(state).await? {
                Some(_) => Ok(()),
                None => Err(self.store_is_older(NEW_VALUE_LOST)),
            };
        }
        if self.sealed_current().await? != Some(self.opening.from_version) {
            return Ok(());
        }
        Err(self.store_is_older("gives out the version of before, which this rotation had replaced"))
    }

    pub(crate) fn store_is_older(&self, why: &str) -> Failure {
        let attempted = format!("look at who uses '{}'", self.secret());
        Failure::new(Class::Retryable, Code::StoreOlderThanJournal, attempted)
            .because(format!("the store {why}: the store was put back from a backup"))
            .help("put the right store back beside its journal; nothing is ended until then")
    }

    /// The new value, for a look at who holds it. While the store lacks it, its copies and holders are not visible: no look
    /// counts. A version that a later rotation retired has lost it for good.
    async fn new_to_look_for(&self, state: &State) -> Result<Option<Credential>, Failure> {
        let new = self.new_credential(state).await?;
        let lost = new.is_none() && state.new_version().is_some();
        if lost && self.staged_number(state).await?.is_none() {
            return Err(self.store_is_older(NEW_VALUE_LOST));
        }
        Ok(new)
    }

    async fn enumerate(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        self.store_agrees(state).await?;
        if let Some(gives) = self.truth_disagrees(false, state).await? {
            return Ok(Fact::TruthRead(gives));
        }
        let new = self.new_to_look_for(state).await?;
        let sessions = self.sessions(old, state).await?;
        let stays = if state.phase() == Phase::RollingBack { Which::Old } else { Which::New };
        let looked = self.ports.host.enumerate(values(old, new.as_ref(), state), &sessions, stays).await?;
        self.note_downtimes(looked.downtimes);
        let seen = &looked.enumeration;
        let strangers = looked.names.iter().filter(|named| seen.strangers.contains(&named.digest));
        let pods = seen.instances.iter().map(|it| it.who).filter(|who| who.life.is_container());
        let pods: BTreeSet<u64> = pods.map(digest_of_life).collect();
        let of_pods = looked.names.iter().filter(|named| pods.contains(&named.digest));
        let named = strangers.take(NAMES_MAX).chain(of_pods.take(NAMES_MAX));
        self.remember(named.map(shortened).collect()).await;
        if !looked.not_visible.is_empty() {
            self.note(Note::NotVisible(looked.not_visible));
        }
        // Other holders of a key that is shared and kept go on with it: they are not reported.
        if stays == Which::New && !state.plan().aim.ends_old() {
            return Ok(Fact::Enumerated(looked.enumeration));
        }
        let undeclared = looked.enumeration.instances.iter().filter(|it| it.consumer.is_none());
        for instance in undeclared.take(NAMES_MAX) {
            if let Some(holder) = self.ports.host.describe(instance.who).await {
                if instance.who.host != HERE {
                    let (digest, name) = (digest_of_life(instance.who), Described::of(&holder).text());
                    self.remember(vec![Named { digest, name }]).await;
                }
                // A bystander blocks nothing. It is named where the rotation says what may keep the value.
                if looked.enumeration.bystander(instance.who).is_none() {
                    self.note(Note::Holder(holder));
                }
            }
        }
        for place in &looked.enumeration.strangers {
            if let Some(named) = looked.names.iter().find(|named| named.digest == *place) {
                self.note(Note::Stranger(named.name.clone()));
            }
        }
        Ok(Fact::Enumerated(looked.enumeration))
    }

    /// Stores names, for display alone: without them the look is the same.
    pub(crate) async fn remember(&self, names: Vec<Named>) {
        for named in &names {
            if let Err(error) = self.ports.journal.remember(named.digest, &named.name).await {
                self.note(Note::Journal(error.to_string()));
            }
        }
        if !names.is_empty() {
            self.note(Note::Names(names));
        }
    }

    async fn prove(
        &self,
        old: &Old,
        consumer: ConsumerId,
        slot: Option<u8>,
        which: Which,
        state: &State,
    ) -> Result<Fact, Failure> {
        let delivery = state.plan().consumers.get(consumer.index()).map(|consumer| consumer.delivery);
        // What is given out instead would only make it fail.
        if delivery == Some(Delivery::Follow)
            && let Some(gives) = self.truth_disagrees(true, state).await?
        {
            return Ok(Fact::TruthRead(gives));
        }
        let new = self.new_to_look_for(state).await?;
        let host = &self.ports.host;
        let watched = state.units().get(consumer.index()).is_some_and(|unit| unit.watched);
        let of = Proving { consumer, slot, which, values: values(old, new.as_ref(), state), watched };
        let before = self.sessions(old, state).await?;
        let prepared = host.prepare(of, &before).await?;
        let after = if prepared.reads_again { self.sessions(old, state).await? } else { before };
        let proved = host.go(prepared, of, &after).await;
        self.note_remarks(proved.remarks);
        proved.failing_checks.into_iter().for_each(|check| self.note(Note::CheckFails { consumer, check }));
        self.note_downtimes(proved.downtimes);
        let Evidence { proofs, against } = proved.evidence?;
        self.name_pods(&proofs, state).await;
        Ok(Fact::Proved { consumer, proofs, trouble: against })
    }

    /// Remembers the names of the containers that are proven for the first time.
    async fn name_pods(&self, proofs: &[Proof], state: &State) {
        let first = |who: &Incarnation| who.life.is_container() && state.proof(*who).is_none();
        let pods: Vec<Incarnation> =
            proofs.iter().map(|proof| proof.who).filter(first).take(NAMES_MAX).collect();
        let mut named = Vec::new();
        for who in pods {
            if let Some(holder) = self.ports.host.describe(who).await {
                named.push(Named { digest: digest_of_life(who), name: Described::of(&holder).text() });
            }
        }
        self.remember(named).await;
    }

    /// The last use of the key that the phase ends: in a rollback it is the new one.
    async fn last_used(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        let back = state.phase() == Phase::RollingBack;
        let id = match back {
            true => state.new_version().map(|new| new.credential.as_str()),
            false => old.credential.id.as_ref().map(CredentialId::as_str),
        };
        let listing = self.listing(old).await?;
        let entry = listing.entries.iter().find(|entry| Some(entry.id.as_str()) == id);
        // Neither a list without the key nor an entry without a time says that the key is unused: keyroll itself used it, in
        // Preflight or after it was made.
        let unknown = |why: &str| {
            let which = if back { "new" } else { "old" };
            let what = format!("read when the {which} key was last used");
            Failure::new(Class::Retryable, Code::RequestFailed, what)
                .because(why)
                .help("keyroll verify shows what the issuer lists; the key is not ended meanwhile")
        };
        if back && entry.is_none() && listing.complete && self.is_new_gone(old, state).await? {
            return Ok(Fact::LastUsed(LastUse { used: None, took_ms: 0 }));
        }
        let entry = entry.ok_or_else(|| unknown("the issuer's list does not contain the key"))?;
        let used = entry.last_used_unix_ms;
        let used = used.ok_or_else(|| unknown("the issuer's list has no time of last use for the key"))?;
        Ok(Fact::LastUsed(LastUse { used: Some(used), took_ms: 0 }))
    }

    async fn sweep(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        let new = self.new_to_look_for(state).await?;
        let swept = self.ports.host.sweep(values(old, new.as_ref(), state)).await?;
        let Swept { residues, not_visible, downtimes } = swept;
        self.note_downtimes(downtimes);
        let count = u32::try_from(residues.len()).unwrap_or(u32::MAX);
        self.note(Note::Residues(residues));
        if !not_visible.is_empty() {
            self.note(Note::NotVisible(not_visible));
        }
        Ok(Fact::Swept { residues: count })
    }
}

/// A name of limited length, which ends with a whole character.
fn shortened(named: &Named) -> Named {
    let mut name = named.name.clone();
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    Named { digest: named.digest, name }
}

fn preflight_failure(defect: PreflightDefect) -> Failure {
    let what = match defect {
        PreflightDefect::WrongAccepted => {
            return Failure::new(
                Class::Permanent,
                Code::NegativeControlAccepted,
                "see a deliberately wrong credential refused",
            )
            .because("the issuer accepted it: no other check would mean anything")
            .help("remove what accepts every credential (a `trust` line, a proxy), then plan again");
        }
        PreflightDefect::WrongUnclear => "a deliberately wrong credential refused",
        PreflightDefect::CurrentUnclear => "the current value accepted",
    };
    Failure::new(Class::Retryable, Code::RequestFailed, format!("see {what}"))
        .because("the issuer's answer says neither alive nor dead")
        .help("keyroll verify shows the answers; correct `op.verify` of the spec if they are not understood")
}

fn same(one: &Credential, other: &Credential) -> bool {
    let equal = |(name, field): (&str, &keyroll_secret::Field)| {
        other.fields.get(name).is_some_and(|there| there.value == field.value)
    };
    one.fields.iter().count() == other.fields.iter().count() && one.fields.iter().all(equal)
}

/// A complete list shows this key, which has the new key's value, and not the new key.
fn new_unlisted(found: &CredId) -> Failure {
    Failure::new(Class::Permanent, Code::NewKeyRefused, "see the new key in the issuer's list")
        .because(format!(
            "it lists {}, which an earlier request made with the same value, and not the key that keyroll knows: the \
             consumers may be using this one",
            found.as_str()
        ))
        .help("leave that key alone: keyroll deletes it when nothing uses its value any more")
}

/// A key whose label names a rotation that the journal does not have.
fn unknown_label(secret: &str, entry: &Listed, others: &OtherKeys) -> Failure {
    let (id, label) = (&entry.id, entry.label.as_deref().unwrap_or_default());
    Failure::new(Class::Permanent, Code::LabelUnknown, "identify the keys at the issuer")
        .because(format!("key {id} carries the label {label}, which is not in this journal"))
        .help(format!(
            "if another keyroll made it: {}; if nobody needs it, delete it at the issuer",
            others.help(secret, id.as_str(), label)
        ))
}
