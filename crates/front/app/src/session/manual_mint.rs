//! Takes in a key that the operator made at the issuer's console.
//!
//! The value is sealed before the issuer is asked about it. It becomes the new version when the issuer accepts it and
//! confirms its id in the same account, and when it is sealed under the number of the journal entry that records this.
//! A value that is not confirmed in time stays sealed, and the next `resume` tries again.

mod judge;

use std::path::PathBuf;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Name, Secret};
use keyroll_issuer::Spec;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Failure, FailureKind, Journal as _, Recorded, RotationId, Staging, Store};
use keyroll_rotation::{CredId, Fact, MintedBy, Next, State, step};
use keyroll_secret::{Credential, CredentialId, Fields};
use tokio::runtime::Runtime;

pub use judge::pause;
pub(crate) use judge::{Judge, ValueRejection};

use super::append_offline::{now, take_over, write};
use super::manual_steps::Steps;
use crate::exit::Exit;
use crate::operator::{Confirmation, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::{Opened, rotations_unread};
use crate::shell_words::quoted;
use crate::weak_values::Strength;
use crate::wiring::issuer::Described;
use crate::wiring::open::{journal, runtime, store};

/// The first number for sealed values that no journal entry names yet; higher than any entry's number.
const GIVEN: u64 = 1 << 62;

/// The most values that the operator may enter in one rotation.
const GIVEN_MAX: u64 = 64;

/// The source of the value, if it is not a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Standard input.
    Stdin,
    /// A file or a pipe.
    File(PathBuf),
}

impl Given {
    /// The source that two options name.
    pub fn named(stdin: bool, file: Option<&PathBuf>) -> Option<Self> {
        file.cloned().map(Self::File).or_else(|| stdin.then_some(Self::Stdin))
    }

    /// The option that names it again, after a space.
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::Stdin => " --value-stdin".to_owned(),
            Self::File(path) => {
                let path = path.display().to_string();
                // After a space, a name that begins so would be a flag.
                let between = if path.starts_with('-') { '=' } else { ' ' };
                format!(" --value-file{between}{}", quoted(&path))
            }
        }
    }
}

/// True while a rotation waits for a key that the operator makes, also while it is paused.
pub fn awaited(state: &State) -> bool {
    Next::HandMint.is_possible(state)
}

/// True from the beginning of a rotation until it has a key that a person makes or brings.
pub(crate) fn takes_key(state: &State) -> bool {
    let human = state.plan().capabilities.minted_by == MintedBy::Human;
    human && state.new_version().is_none() && !state.ended()
}

/// What is needed to take in a value.
struct ManualMint<'a> {
    id: &'a RotationId,
    secret: &'a Secret,
    store: Arc<dyn Store>,
    staging: Arc<dyn Staging>,
    runtime: &'a Runtime,
    journal: Arc<SqliteJournal>,
    recorded: Recorded,
    judge: Judge<'a>,
}

/// Reads the key that the rotation waits for, from the command or a prompt; none if a key was entered before or nobody
/// can be asked. A driver is not delayed meanwhile.
pub fn read(
    open: &Opened,
    given: Option<&Given>,
    (secret, described): (&Secret, &Described),
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<Option<Credential>, Problem> {
    if !awaited(&open.state) {
        return given.map_or(Ok(None), |_| Err(not_awaited(&open.id)));
    }
    let Some(spec) = &described.spec else { return Ok(None) };
    let manual = ManualMint::open(&open.id, secret, described, spec, places)?;
    if given.is_none() {
        if !operator.may_ask() || !manual.wants_another(&open.state, operator)? {
            return Ok(None);
        }
        operator.note(Steps::of(Some(spec)).mint);
    }
    manual.read(given, operator).map(Some)
}

/// During a rollback: the operator must revoke a key that was entered and never confirmed.
pub fn tell_of_given(
    open: &Opened,
    (secret, described): (&Secret, &Described),
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let Some(spec) = &described.spec else { return Ok(()) };
    if !awaited(&open.state) {
        return Ok(());
    }
    let manual = ManualMint::open(&open.id, secret, described, spec, places)?;
    if runtime(places)?.block_on(manual.pending(&open.state))?.is_some() {
        operator.note("the entered key was never seen accepted and is not used: if it exists, revoke it at the issuer's \
         console");
    }
    Ok(())
}

/// Seals a value for a rotation that was just opened. The rotation takes it in when it waits for a key.
pub fn keep(
    id: &RotationId,
    credential: &Credential,
    (secret, described): (&Secret, &Described),
    places: &Places,
) -> Result<(), Problem> {
    let Some(spec) = &described.spec else { return Ok(()) };
    let manual = ManualMint::open(id, secret, described, spec, places)?;
    manual.runtime.block_on(manual.seal(credential)).map(drop)
}

/// The last value that was sealed for the rotation and that no entry names yet, with its number.
pub(crate) async fn pending(
    staging: &dyn Staging,
    name: &str,
    recorded: &Recorded,
    state: &State,
) -> Result<Option<(u64, Credential)>, Failure> {
    let id = &recorded.id;
    let mut named = Vec::new();
    for seq in told(recorded, state) {
        named.extend(staging.kept(name, id, seq).await?.map(|it| it.fields.encode()));
    }
    for slot in (GIVEN..GIVEN.saturating_add(GIVEN_MAX)).rev() {
        let Some(kept) = staging.kept(name, id, slot).await? else { continue };
        // A value from before a recorded one is abandoned.
        return Ok(if named.contains(&kept.fields.encode()) { None } else { Some((slot, kept)) });
    }
    Ok(None)
}

/// Whether such a value is sealed for the rotation, so that its next driver takes it in.
pub(crate) fn is_sealed(open: &Opened, places: &Places) -> Result<bool, Problem> {
    let (store, runtime) = (store(places)?, runtime(places)?);
    let recorded = runtime.block_on(journal(places)?.load(&open.id)).map_err(rotations_unread)?;
    let sealed = pending(store.as_ref(), &open.saved.secret, &recorded, &open.state);
    Ok(runtime.block_on(sealed)?.is_some())
}

/// The numbers of the entries that recorded a key made by the operator.
fn told(recorded: &Recorded, state: &State) -> Vec<u64> {
    let count = u64::try_from(recorded.events.len()).unwrap_or(u64::MAX);
    let first = state.seq().saturating_sub(count).saturating_add(1);
    let entries = (first..).zip(&recorded.events);
    entries.filter(|(_, event)| matches!(event.fact, Fact::HandMinted(_))).map(|(seq, _)| seq).collect()
}

/// Reads a value from its source, or from a hidden prompt; fields that are not secret stay those of the old value.
pub(crate) fn read_value(
    secret: &Secret,
    old: &Credential,
    given: Option<&Given>,
    operator: &mut dyn Operator,
) -> Result<Credential, Problem> {
    let secrets: Vec<&Name> =
        secret.fields.iter().filter(|(_, field)| field.secret).map(|(name, _)| name).collect();
    let mut fields = Fields::new();
    for (name, field) in old.fields.iter().filter(|(_, field)| !field.secret) {
        fields.insert(name, field.value.duplicate(), false);
    }
    let typed = given.is_none() || (given == Some(&Given::Stdin) && operator.may_ask());
    if !typed && secrets.len() != 1 {
        return Err(Problem::new(Code::MintByHand, "accept the key that was made by hand")
            .because("it has several secret fields, which must be typed at a terminal")
            .exits(Exit::NeedsPerson));
    }
    for name in secrets {
        let what = format!("{name} of the new key of {}", secret.name);
        let value = match given {
            Some(Given::File(path)) => operator.value_of_file(&what, path)?,
            Some(Given::Stdin) | None => operator.hidden(&what)?,
        };
        fields.insert(name.as_str(), value, true);
    }
    Ok(Credential { id: None, fields })
}

/// Whether all secret fields are the same.
pub(crate) fn same_value(credential: &Credential, other: &Credential) -> bool {
    let mut all = credential.fields.secrets();
    all.all(|(name, value)| other.fields.get(name).is_some_and(|field| field.value == *value))
}

/// The stored version that has this value: `ring v1`.
pub(crate) async fn stored_as(store: &dyn Store, credential: &Credential) -> Result<Option<String>, Failure> {
    for name in store.secrets().await? {
        for version in store.versions(&name).await? {
            let other = store.read(&name, version.number).await?;
            if other.as_ref().is_some_and(|other| same_value(credential, other)) {
                return Ok(Some(format!("{name} v{}", version.number)));
            }
        }
    }
    Ok(None)
}

/// Warns of a new value that is easy to guess. The issuer decides whether it is the key, so it is not refused.
pub(crate) fn warn_of_weakness(secret: &Secret, credential: &Credential, operator: &mut dyn Operator) {
    for weak in Strength::of(secret, &credential.fields).weak {
        let (why, name) = (weak.why, &secret.name);
        operator.note(format!(
            "warning: {why}; the rotation continues with it; to replace it with a random one afterwards: keyroll plan {name}"
        ));
    }
}

pub(crate) fn already_exists(which: &str) -> String {
    format!("it is the value of {which}, which already exists")
}

fn not_awaited(id: &RotationId) -> Problem {
    Problem::new(Code::MintByHand, "accept a key that was made by hand")
        .because("this rotation is not waiting for a key")
        .help(format!("keyroll status {id}"))
}

/// Takes in the key that the rotation waits for, as just read or as entered before. Returns true if it was recorded in
/// the rotation.
pub fn take(
    open: &mut Opened,
    typed: Option<Credential>,
    given: Option<&Given>,
    (secret, described): (&Secret, &Described),
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<bool, Problem> {
    let id = open.id.clone();
    if !awaited(&open.state) {
        return typed.map_or(Ok(false), |_| Err(not_awaited(&id)));
    }
    let Some(spec) = &described.spec else { return Ok(false) };
    let runtime = runtime(places)?;
    let manual = ManualMint::open(&id, secret, described, spec, places)?;
    let before = runtime.block_on(manual.pending(&open.state))?;
    let (slot, credential) = match (typed, before) {
        (None, Some(before)) => {
            operator.note(match open.state.emergency() {
                Some(_) => "the new key is sealed; asking the issuer about it",
                None => "the key that was entered before is sealed, and keyroll checks it again",
            });
            before
        }
        (None, None) => return Ok(false),
        (Some(credential), _) => {
            runtime.block_on(manual.refuse_slips(&credential, &open.state))?;
            let slot = runtime.block_on(manual.seal(&credential))?;
            operator.note("the new value is sealed; asking the issuer about it");
            warn_of_weakness(secret, &credential, operator);
            (slot, credential)
        }
    };
    let plan = open.state.plan().clone();
    let limit = plan.capabilities.birth_ms_max.saturating_add(plan.capabilities.request_ms_max);
    let seen = runtime.block_on(manual.judge.see(&credential, plan.denied_is_alive, limit, operator));
    let found = match seen {
        Ok(found) => found,
        // The issuer accepted it before the emergency began: one answer drops no key that somebody relies on.
        Err(ValueRejection::Wrong(why)) if open.state.emergency().is_some() => return Err(manual.unseen(why)),
        Err(ValueRejection::Wrong(why)) => {
            let given = given_id(slot);
            runtime.block_on(manual.staging.discard(manual.name(), &id, Some(&given), None))?;
            return Err(refused(&id, [why]).because("nothing was changed: the old key is still in use"));
        }
        // A value that is not known to be wrong stays sealed.
        Err(ValueRejection::NotYet(why) | ValueRejection::NotVisible(why)) => return Err(manual.unseen(why)),
    };
    runtime.block_on(manual.tell(open, credential, found))?;
    if let Some(Given::File(path)) = given {
        let path = path.display();
        operator.note(format!("{path} still contains the key, which is in use now: remove that file"));
    }
    Ok(true)
}

fn reading() -> Problem {
    Problem::new(Code::StateDamaged, "read the rotation").exits(Exit::NeedsPerson)
}

fn refused(id: &RotationId, why: impl IntoIterator<Item = String>) -> Problem {
    let problem =
        Problem::new(Code::MintByHand, "accept the key that was made by hand").exits(Exit::NeedsPerson);
    let problem = why.into_iter().fold(problem, Problem::because);
    problem.help(format!("make a key by following the steps, then: keyroll resume {id}"))
}

/// The pasted text is not the key as the console showed it; the key itself may be right.
fn slipped(id: &RotationId, why: impl IntoIterator<Item = String>) -> Problem {
    refused(id, why).help(format!("paste the same complete key again, and nothing else: keyroll resume {id}"))
}

fn given_id(slot: u64) -> CredentialId {
    CredentialId::new(format!("given/{}", slot.saturating_sub(GIVEN)))
}

impl<'a> ManualMint<'a> {
    fn open(
        id: &'a RotationId,
        secret: &'a Secret,
        described: &Described,
        spec: &'a Spec,
        places: &'a Places,
    ) -> Result<Self, Problem> {
        let (runtime, journal, store) = (runtime(places)?, journal(places)?, store(places)?);
        let recorded = runtime.block_on(journal.load(id)).map_err(|error| reading().because_of(&error))?;
        let old = runtime.block_on(store.read(secret.name.as_str(), recorded.opening.from_version))?;
        let old = old.ok_or_else(|| reading().because("the old value is no longer sealed"))?;
        let issuer = described.issuer(secret, None)?;
        let unbound = format!("by-hand/{id}/{}", recorded.events.len());
        let judge = Judge { spec, issuer, old, unbound };
        Ok(Self { id, secret, staging: store.clone(), store, runtime, journal, recorded, judge })
    }

    fn name(&self) -> &str {
        self.secret.name.as_str()
    }

    /// True if the operator should be asked for a key: none was entered, or it was not accepted.
    fn wants_another(&self, state: &State, operator: &mut dyn Operator) -> Result<bool, Problem> {
        let Some((_, before)) = self.runtime.block_on(self.pending(state))? else { return Ok(true) };
        let seen = self.runtime.block_on(self.judge.accepted(&before, state.plan().denied_is_alive));
        let Err(ValueRejection::Wrong(why) | ValueRejection::NotYet(why) | ValueRejection::NotVisible(why)) =
            seen
        else {
            return Ok(false);
        };
        operator
            .note(format!("the key that was entered before is sealed, and is not accepted so far: {why}"));
        let question = "Do you have another key? Any other answer checks the same key again.";
        Ok(matches!(operator.ask_name(question, "another"), Confirmation::Yes))
    }

    fn unseen(&self, why: String) -> Problem {
        let id = self.id;
        refused(id, [why])
            .because("it stays sealed, and the old key is still in use")
            .help(format!("keyroll resume {id}\nto enter another key: keyroll resume {id} --value-stdin"))
    }

    /// The last sealed value that no entry names yet.
    async fn pending(&self, state: &State) -> Result<Option<(u64, Credential)>, Failure> {
        pending(self.staging.as_ref(), self.name(), &self.recorded, state).await
    }

    /// Reads the value from its source or a hidden prompt.
    fn read(&self, given: Option<&Given>, operator: &mut dyn Operator) -> Result<Credential, Problem> {
        let read = read_value(self.secret, &self.judge.old, given, operator);
        read.map_err(|problem| match (given, problem.code) {
            (_, Code::MintByHand) => {
                problem.help(format!("at a terminal: keyroll resume {} --value-stdin", self.id))
            }
            (None, _) => self.not_read(problem),
            (Some(_), _) => problem,
        })
    }

    /// Tells an operator who is asked again that nothing is lost.
    fn not_read(&self, problem: Problem) -> Problem {
        let exit = if problem.exit() == Exit::Interrupted { Exit::Interrupted } else { Exit::NeedsPerson };
        problem
            .because(
                "nothing was changed: the rotation is waiting for the key, and the old one is still in use",
            )
            .help(format!("paste the complete key and nothing else: keyroll resume {}", self.id))
            .exits(exit)
    }

    /// Refuses a value that is wrong by its form alone.
    async fn refuse_slips(&self, credential: &Credential, state: &State) -> Result<(), Problem> {
        let mut faults = self.judge.spec.faults(&credential.fields);
        faults.extend(Strength::of(self.secret, &credential.fields).unfit());
        if !faults.is_empty() {
            return Err(slipped(self.id, faults));
        }
        let same = |other: &Credential| same_value(credential, other);
        for seq in told(&self.recorded, state) {
            if self.staging.kept(self.name(), self.id, seq).await?.as_ref().is_some_and(same) {
                let why = "it is a value that this rotation abandoned".to_owned();
                return Err(refused(self.id, [why]));
            }
        }
        match stored_as(self.store.as_ref(), credential).await? {
            Some(which) => Err(refused(self.id, [already_exists(&which)])),
            None => Ok(()),
        }
    }

    /// Seals the value under the first free number.
    async fn seal(&self, credential: &Credential) -> Result<u64, Problem> {
        for slot in GIVEN..GIVEN.saturating_add(GIVEN_MAX) {
            let sealed = Credential { id: Some(given_id(slot)), fields: credential.fields.duplicate() };
            match self.staging.keep(self.name(), self.id, slot, &sealed).await {
                // A value that was dropped as wrong and is entered again gets a new number.
                Ok(()) if self.staging.kept(self.name(), self.id, slot).await?.is_some() => return Ok(slot),
                Ok(()) => {}
                // Another value has this number.
                Err(failure) if failure.kind == FailureKind::OtherValue => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        let why = format!("{GIVEN_MAX} values were already entered in this rotation");
        Err(refused(self.id, [why]).help(format!("keyroll abort {}", self.id)))
    }

    /// Seals the value under the number of the entry that names it, and appends that entry.
    async fn tell(&self, open: &mut Opened, credential: Credential, found: CredId) -> Result<(), Problem> {
        let fact = Fact::HandMinted(found.clone());
        let event = keyroll_rotation::Event { at: now(open.state.now().epoch), fact: fact.clone() };
        if let Err(illegal) = step(&open.state, &event) {
            return Err(refused(self.id, [illegal.why.to_owned()]));
        }
        let epoch = take_over(&self.journal, open).await?;
        let seq = open.state.seq().saturating_add(1);
        let id = Some(CredentialId::new(found.as_str()));
        let sealed = Credential { id, fields: credential.fields };
        self.staging.keep(self.name(), self.id, seq, &sealed).await?;
        write(&self.journal, open, epoch, fact).await?;
        Ok(())
    }
}
