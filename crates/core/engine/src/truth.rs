//! The source of truth that consumers fetch from, where that is not keyroll's own store. What it gives out decides; the
//! labels of the sealed store follow it.

use keyroll_codes::Code;
use keyroll_port::{Asked, Class, Failure, FailureKind, GivenOut, Label, MadeBy, Truth};
use keyroll_rotation::{Consumer, ConsumerId, Phase, Seq, State, TruthValue, Which, may_be_given_out};
use keyroll_secret::Credential;

use crate::execute::{same_secrets, unsealed};
use crate::executor::{Executor, Note, Old, values};
use crate::observe::NEW_VALUE_LOST;
use crate::task::until;

/// What the source of truth gives out now, and the number of the sealed version with the same secret fields.
struct Given {
    out: GivenOut,
    number: Option<u32>,
}

impl Executor {
    pub(crate) fn made_by(&self, intent: Seq) -> MadeBy {
        MadeBy { rotation: self.id.clone(), intent }
    }

    async fn given(&self, truth: &dyn Truth) -> Result<Given, Failure> {
        let out = truth.current().await?;
        let versions = self.ports.store.versions(self.secret()).await?;
        for version in versions.iter().rev().filter(|version| version.label != Label::Retired) {
            let sealed = self.ports.store.read(self.secret(), version.number).await?;
            if sealed.is_some_and(|sealed| same_secrets(&sealed.fields, &out.fields)) {
                return Ok(Given { out, number: Some(version.number) });
            }
        }
        Ok(Given { out, number: None })
    }

    /// The number of the version that consumers are given now, by the source of truth or by the store.
    pub(crate) async fn current_number(&self) -> Result<Option<u32>, Failure> {
        let Some(truth) = &self.ports.truth else { return self.sealed_current().await };
        let given = self.given(truth.as_ref()).await?;
        match given.number {
            Some(number) => Ok(Some(number)),
            None => Err(self.changed_elsewhere(truth.as_ref(), &given)),
        }
    }

    /// Another party put there what is given out now.
    fn changed_elsewhere(&self, truth: &dyn Truth, given: &Given) -> Failure {
        let (secret, id, rotation) = (self.secret(), &given.out.id, &self.id);
        let made = given.out.unix_ms.and_then(utc).map(|at| format!(", made {at},")).unwrap_or_default();
        let what = match given.number {
            Some(number) => format!("has the value of version {number}"),
            None => "has a value that keyroll did not write".to_owned(),
        };
        let attempted = format!("go on with what {} gives out for '{secret}'", truth.name());
        Failure::new(Class::Permanent, Code::ChangedElsewhere, attempted)
            .kind(FailureKind::ChangedElsewhere)
            .because(format!("its version {id}{made} {what}: somebody else changed it"))
            .help(format!(
                "keyroll overwrites nothing there: give out the old or the new value there again, then \
                 keyroll retry {rotation}; keyroll status {rotation} says what else is possible"
            ))
    }

    /// The same with what the operator can do: a rollback leaves another party's value there only if the new version was
    /// never given out.
    fn with_choices(&self, failure: Failure, state: &State) -> Failure {
        if failure.kind != FailureKind::ChangedElsewhere {
            return failure;
        }
        let (rotation, secret) = (&self.id, self.secret());
        let again = format!("give out the old or the new value there again, then keyroll retry {rotation}");
        let back = state.phase() == Phase::RollingBack;
        let forward_only = state.decided() || state.emergency().is_some();
        failure.help(match (back, forward_only, may_be_given_out(state)) {
            (true, ..) => format!(
                "keyroll overwrites nothing there, and consumers may have the new value: keep the other one, {again}, which \
                 ends the rollback; then write the other one there again and keyroll secret import {secret}"
            ),
            (false, true, _) => format!("keyroll overwrites nothing there: {again}"),
            (false, false, true) => format!(
                "keyroll overwrites nothing there: {again}; keyroll abort {rotation} needs the same, because consumers may \
                 have the new value"
            ),
            (false, false, false) => format!(
                "keyroll overwrites nothing there: {again}; or keyroll abort {rotation}, which leaves the store as it is, then \
                 keyroll secret import {secret} for the other value"
            ),
        })
    }

    /// Before anything is made: whether the source of truth gives out the version that is to be replaced.
    pub(crate) async fn truth_is_as_sealed(&self, old: &Old) -> Result<bool, Failure> {
        let Some(truth) = &self.ports.truth else { return Ok(true) };
        let failure = match self.given(truth.as_ref()).await {
            Ok(given) if given.number == Some(old.number) => match truth.writable().await {
                Ok(()) => return Ok(true),
                Err(failure) if failure.class == Class::Permanent => failure,
                Err(failure) => return Err(failure),
            },
            Ok(given) => self.changed_elsewhere(truth.as_ref(), &given).help(format!(
                "nothing was made: keyroll secret import {0} takes the value over, or give out the value of version {1} \
                 there again; then keyroll plan {0}",
                self.secret(),
                old.number
            )),
            Err(failure) if failure.class == Class::Permanent => failure,
            Err(failure) => return Err(failure),
        };
        self.note(Note::Failed(failure));
        Ok(false)
    }

    /// Seals the new version, and puts it beside the one that the source of truth gives out.
    pub(crate) async fn stage(&self, old: &Old, state: &State) -> Result<(), Failure> {
        let number = self.seal_pending(state).await?;
        let Some(truth) = &self.ports.truth else { return Ok(()) };
        // Another party gives it out already: there is nothing to put beside it.
        if self.current_number().await? == Some(number) {
            return Ok(());
        }
        // A version that was given up is not another party's: it makes way.
        for version in self.ports.store.versions(self.secret()).await? {
            let given_up = version.label != Label::Retired && self.is_given_up(&version, state);
            if let Some(intent) = self.made_here(&version).filter(|_| given_up) {
                self.withdraw(intent).await?;
            }
        }
        let (by, new) = self.staged(state).await?;
        let before = self.given_up_before(state).await?;
        truth.stage(&by, before.as_ref().unwrap_or(&old.credential), &new).await
    }

    /// Makes the new version current: at the source of truth first, then in the store.
    pub(crate) async fn promote(&self, old: &Old, state: &State) -> Result<(), Failure> {
        let number = self.seal_pending(state).await?;
        if let Some(truth) = &self.ports.truth {
            let (by, new) = self.staged(state).await?;
            let before = self.given_up_before(state).await?;
            self.before_given_out(Which::New, old, state).await?;
            let given = truth.give_out(&by, before.as_ref().unwrap_or(&old.credential), &new).await;
            given.map_err(|failure| self.with_choices(failure, state))?;
        }
        // A version that was abandoned in an emergency may be current: then that is what is expected. Its credential may
        // be gone: in one slot, the new one took its place.
        let current = if state.has_abandoned() { self.sealed_current().await? } else { None };
        let expected = current.filter(|current| *current != number).unwrap_or(old.number);
        self.ports.store.promote(self.secret(), expected, number).await?;
        self.see_promoted(state).await
    }

    /// The number of the new version is the one of the store that it was sealed in. Where another store took its place since, it
    /// may be the number of a version that was given up: then a look tells that the new one is not given out, and it is promoted
    /// by its own number.
    async fn see_promoted(&self, state: &State) -> Result<(), Failure> {
        if !state.has_abandoned() {
            return Ok(());
        }
        // What cannot be read now says nothing against it.
        let versions = self.ports.store.versions(self.secret()).await.unwrap_or_default();
        if !versions.iter().any(|it| it.label == Label::Current && self.is_given_up(it, state)) {
            return Ok(());
        }
        let attempted = format!("give out the new version of '{}'", self.secret());
        Err(Failure::new(Class::Unknown, Code::StoreOlderThanJournal, attempted)
            .because(
                "the store gives out a version that was given up: another store took its place meanwhile",
            )
            .help("leave the right store in its place; keyroll looks, and gives the new version out again"))
    }

    /// Makes the old version current again: at the source of truth first, then in the store.
    pub(crate) async fn demote(&self, old: &Old, state: &State) -> Result<(), Failure> {
        let number = self.seal_pending(state).await?;
        if let Some(truth) = &self.ports.truth {
            let (by, new) = self.staged(state).await?;
            self.before_given_out(Which::Old, old, state).await?;
            let given = truth.give_out(&by, &new, &old.credential).await;
            given.map_err(|failure| self.with_choices(failure, state))?;
        }
        self.ports.store.demote(self.secret(), old.number, number).await
    }

    /// What programs that read the store by themselves hold and have open before it gives out a version is no evidence of
    /// that version.
    async fn before_given_out(&self, which: Which, old: &Old, state: &State) -> Result<(), Failure> {
        if !state.plan().consumers.iter().any(Consumer::follows_live) {
            return Ok(());
        }
        let new = self.new_credential(state).await?;
        let sessions = self.sessions(old, state).await?;
        self.ports.host.before_given_out(which, values(old, new.as_ref(), state), &sessions).await
    }

    /// The new version, and the intent that made it.
    async fn staged(&self, state: &State) -> Result<(MadeBy, Credential), Failure> {
        let new = self.new_credential(state).await?;
        match (state.minted(), new) {
            (Some(intent), Some(new)) => Ok((self.made_by(intent), new)),
            (None, _) | (_, None) => Err(unsealed(self.secret())),
        }
    }

    /// The version of this rotation that is given out although it was given up, in an emergency after it was promoted.
    async fn given_up_before(&self, state: &State) -> Result<Option<Credential>, Failure> {
        if !state.has_abandoned() {
            return Ok(None);
        }
        let Some(current) = self.current_number().await? else { return Ok(None) };
        let versions = self.ports.store.versions(self.secret()).await?;
        let given_up =
            versions.iter().any(|version| version.number == current && self.is_given_up(version, state));
        if given_up { self.ports.store.read(self.secret(), current).await } else { Ok(None) }
    }

    /// Takes back what was staged under an intent. Where that is refused for good, the version stays there, given out to
    /// nobody: a key does not live on because of that.
    pub(crate) async fn withdraw(&self, intent: Seq) -> Result<(), Failure> {
        let Some(truth) = &self.ports.truth else { return Ok(()) };
        match truth.withdraw(&self.made_by(intent)).await {
            Err(failure) if failure.class == Class::Permanent => {
                self.note(Note::Failed(failure));
                Ok(())
            }
            withdrawn => withdrawn,
        }
    }

    /// A consumer that fetches, or is restarted to read the store, takes whatever is given out: it begins only while that is
    /// the version that it is moved to.
    pub(crate) async fn gives_out_next(
        &self,
        consumer: ConsumerId,
        old: &Old,
        asked: Asked,
        state: &State,
    ) -> Result<(), Failure> {
        let Some(truth) = &self.ports.truth else { return Ok(()) };
        let next = match state.units().get(consumer.index()).map(|unit| unit.toward) {
            Some(Which::Old) => old.number,
            Some(Which::New) | None => match self.staged_number(state).await? {
                Some(new) => new,
                None => return Err(self.store_is_older(NEW_VALUE_LOST)),
            },
        };
        let read = until(self.ports.clock.as_ref(), asked.until_ms, self.given(truth.as_ref())).await;
        let given = read.unwrap_or_else(|| {
            let attempted = format!("read what {} gives out before a consumer takes it", truth.name());
            Err(Failure::new(Class::Retryable, Code::RequestFailed, attempted)
                .because("it did not answer within the time of a step")
                .help("keyroll tries again; the consumer goes on with the value that it has"))
        })?;
        if given.number == Some(next) {
            return Ok(());
        }
        Err(self.with_choices(self.changed_elsewhere(truth.as_ref(), &given), state))
    }

    /// What the source of truth gives out, where that is not what it should give out for a look to count. A debt may be paid
    /// after later rotations: theirs are right, and what they promoted is never promoted anew by this one. In a rollback,
    /// another party's value matters only where a consumer follows it.
    pub(crate) async fn truth_disagrees(
        &self,
        followed: bool,
        state: &State,
    ) -> Result<Option<TruthValue>, Failure> {
        let Some(truth) = &self.ports.truth else { return Ok(None) };
        let back = state.phase() == Phase::RollingBack;
        let Some(new) = self.staged_number(state).await? else { return Ok(None) };
        if !back && !state.gives_out_new() {
            return Ok(None);
        }
        let given = self.given(truth.as_ref()).await?;
        let gives = match given.number {
            Some(number) if number == new => TruthValue::New,
            Some(number) if number == self.opening.from_version => TruthValue::Old,
            Some(number) if number > new => return Ok(None),
            Some(_) | None => TruthValue::Other,
        };
        let agrees = match gives {
            TruthValue::New => !back,
            TruthValue::Old => back,
            TruthValue::Other => back && !followed,
        };
        if agrees {
            return Ok(None);
        }
        let failure = self.with_choices(self.changed_elsewhere(truth.as_ref(), &given), state);
        let versions = self.ports.store.versions(self.secret()).await?;
        if versions.iter().any(|version| version.number > new) {
            return Err(failure);
        }
        // In a rollback the new version is taken back, which is shown as any step.
        if gives != TruthValue::New {
            self.note(Note::Failed(failure));
        }
        Ok(Some(gives))
    }

    /// The store's label follows what is given out, before the value of the version of before is dropped: the current one is
    /// never dropped.
    pub(crate) async fn label_as_given_out(&self, state: &State) -> Result<(), Failure> {
        if self.ports.truth.is_none() {
            return Ok(());
        }
        let before = self.opening.from_version;
        let behind = self.sealed_current().await? == Some(before);
        match self.staged_number(state).await? {
            Some(new) if behind => self.ports.store.promote(self.secret(), before, new).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Makes the version current in the store that the source of truth gives out: the old or the new one.
    pub(crate) async fn label_current(
        &self,
        labelled: Option<u32>,
        (old, new): (u32, u32),
        goal: u32,
    ) -> Result<(), Failure> {
        if goal == old {
            return self.ports.store.demote(self.secret(), old, new).await;
        }
        self.ports.store.promote(self.secret(), labelled.unwrap_or(old), new).await
    }
}

/// A time for people; `None` if it is none.
fn utc(unix_ms: u64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}
