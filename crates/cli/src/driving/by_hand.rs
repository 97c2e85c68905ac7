//! What a person makes at the issuer's console is taken in.
//!
//! The value is sealed before anything is asked about it. It becomes the new version only when the issuer accepts it,
//! says to which id of the same account it belongs, and it is sealed under the number of the entry that says so. What
//! is not accepted in time, or cannot be seen, stays sealed, and is taken up by the next `resume`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_config::{Name, Secret};
use keyroll_host::SystemClock;
use keyroll_issuer::Spec;
use keyroll_journal::SqliteJournal;
use keyroll_port::{Failure, Issuer, Journal as _, Probe, Recorded, RotationId, Store};
use keyroll_rotation::{CredId, Fact, MintedBy, Person, Phase, Stamp, State, Want, step, wants};
use keyroll_secret::{Credential, CredentialId, Fields};

use super::steps::Steps;
use super::told::write;
use crate::exit::Exit;
use crate::interrupt;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::Opened;
use crate::ui::{Answer, Event, Ui};
use crate::wiring::issuer::Described;
use crate::wiring::open::{journal, runtime, store};

/// Where what a person gave is sealed until an entry names it: above the number of any entry.
const GIVEN: u64 = 1 << 62;

/// Values that a person may give in one rotation.
const GIVEN_MAX: u64 = 64;

/// The store has another value under this number.
const OTHER_VALUE: &str = "K0617";

/// Between two questions to the issuer, milliseconds.
const ASK_AGAIN_MS: u64 = 1_000;

/// Where the value comes from, if not from a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    Stdin,
    File(PathBuf),
}

/// Whether a key is waited for that a person makes; also while it stands still.
pub(super) fn awaited(state: &State) -> bool {
    let asked = wants(state).contains(&Want::Person(Person::MintByHand));
    let human = state.plan().capabilities.minted_by == MintedBy::Human;
    asked || (human && state.phase() == Phase::Mint && state.new_version().is_none())
}

/// Everything that is needed to take a value in.
struct Desk<'a> {
    id: &'a RotationId,
    secret: &'a Secret,
    spec: &'a Spec,
    store: Arc<dyn Store>,
    issuer: Arc<dyn Issuer>,
    journal: Arc<SqliteJournal>,
    recorded: Recorded,
    old: Credential,
}

/// The key that is waited for, if it comes with the command, or if nobody gave one before and somebody can be asked.
/// Whoever drives meanwhile is not held up.
pub(super) fn read(
    open: &Opened,
    given: Option<&Given>,
    (secret, described): (&Secret, &Described),
    places: &Places,
    ui: &mut Ui,
) -> Result<Option<Credential>, Problem> {
    if !awaited(&open.state) {
        return given.map_or(Ok(None), |_| Err(not_awaited(&open.id)));
    }
    let Some(spec) = &described.spec else { return Ok(None) };
    let desk = Desk::open(&open.id, (secret, described, spec), places)?;
    if given.is_none() {
        if !ui.may_ask() || !desk.wants_another(&open.state, ui)? {
            return Ok(None);
        }
        ui.note(Steps::of(Some(spec)).mint);
    }
    desk.read(given, ui).map(Some)
}

/// On the way back: what a person gave and nobody was seen to accept is theirs to end.
pub(super) fn tell_of_given(
    open: &Opened,
    (secret, described): (&Secret, &Described),
    places: &Places,
    ui: &mut Ui,
) -> Result<(), Problem> {
    let Some(spec) = &described.spec else { return Ok(()) };
    if !awaited(&open.state) {
        return Ok(());
    }
    let desk = Desk::open(&open.id, (secret, described, spec), places)?;
    if runtime()?.block_on(desk.pending(&open.state))?.is_some() {
        ui.note("the key that was given was never seen accepted, and is not used: if there is such a key, end it at the issuer's console");
    }
    Ok(())
}

fn not_awaited(id: &RotationId) -> Problem {
    Problem::new("K0870", "take in a key that was made by hand")
        .because("this rotation does not wait for one now")
        .help(format!("keyroll status {id}"))
}

/// Takes in the key that is waited for, if there is one: as it was read, or given before. Returns whether the rotation
/// was told of it.
pub(super) fn take(
    open: &mut Opened,
    typed: Option<Credential>,
    given: Option<&Given>,
    (secret, described): (&Secret, &Described),
    places: &Places,
    ui: &mut Ui,
) -> Result<bool, Problem> {
    let id = open.id.clone();
    if !awaited(&open.state) {
        return typed.map_or(Ok(false), |_| Err(not_awaited(&id)));
    }
    let Some(spec) = &described.spec else { return Ok(false) };
    let runtime = runtime()?;
    let desk = Desk::open(&id, (secret, described, spec), places)?;
    let before = runtime.block_on(desk.pending(&open.state))?;
    let (slot, credential) = match (typed, before) {
        (None, Some(before)) => {
            ui.note("the key that was given before is sealed, and is taken up again");
            before
        }
        (None, None) => return Ok(false),
        (Some(credential), _) => {
            runtime.block_on(desk.refuse_slips(&credential, &open.state))?;
            let slot = runtime.block_on(desk.seal(&credential))?;
            ui.note("the new value is sealed; the issuer is asked about it");
            (slot, credential)
        }
    };
    let plan = open.state.plan().clone();
    let limit = plan.capabilities.birth_ms_max.saturating_add(plan.capabilities.request_ms_max);
    let seen = runtime.block_on(desk.see(&credential, plan.denied_is_alive, limit, ui));
    let found = match seen {
        Ok(found) => found,
        Err(Seen::Wrong(why)) => {
            let given = given_id(slot);
            runtime.block_on(desk.store.discard(desk.name(), &id, Some(&given), None))?;
            return Err(refused(&id, [why]).because("nothing was changed: the old key is in use as before"));
        }
        // What is not known to be another's, or the old key, may be right: it stays sealed.
        Err(Seen::NotYet(why) | Seen::NotVisible(why)) => return Err(desk.unseen(why)),
    };
    runtime.block_on(desk.tell(open, credential, found))?;
    if let Some(Given::File(path)) = given {
        let path = path.display();
        ui.note(format!("{path} still holds the key, which is in use from now on: remove that file"));
    }
    Ok(true)
}

fn reading() -> Problem {
    Problem::new("K0835", "read the rotation").exits(Exit::NeedsPerson)
}

fn refused(id: &RotationId, why: impl IntoIterator<Item = String>) -> Problem {
    let problem = Problem::new("K0871", "take in the key that was made by hand").exits(Exit::NeedsPerson);
    let problem = why.into_iter().fold(problem, Problem::because);
    problem.help(format!("make a key as the steps say, then: keyroll resume {id}"))
}

/// What was pasted is not the key as the console showed it; the key itself may well be right.
fn slipped(id: &RotationId, why: impl IntoIterator<Item = String>) -> Problem {
    refused(id, why).help(format!("paste the same key again, whole and alone: keyroll resume {id}"))
}

fn given_id(slot: u64) -> CredentialId {
    CredentialId::new(format!("given/{}", slot.saturating_sub(GIVEN)))
}

/// Why a value did not become the new version.
enum Seen {
    /// It is not the key that is needed.
    Wrong(String),
    /// So too, if that stays so: a key that was made a moment ago may look like this.
    NotYet(String),
    /// Nobody could say whether it is.
    NotVisible(String),
}

impl<'a> Desk<'a> {
    fn open(
        id: &'a RotationId,
        (secret, described, spec): (&'a Secret, &Described, &'a Spec),
        places: &Places,
    ) -> Result<Self, Problem> {
        let (runtime, journal, store) = (runtime()?, journal(places)?, store(places)?);
        let recorded = runtime.block_on(journal.load(id)).map_err(|error| reading().because_of(&error))?;
        let old = runtime.block_on(store.read(secret.name.as_str(), recorded.opening.from_version))?;
        let old = old.ok_or_else(|| reading().because("the old value is not sealed any more"))?;
        let issuer = described.issuer(secret, None)?;
        Ok(Self { id, secret, spec, store, issuer, journal, recorded, old })
    }

    fn name(&self) -> &str {
        self.secret.name.as_str()
    }

    /// The numbers of the entries that took in a key that was made by hand.
    fn told(&self, state: &State) -> Vec<u64> {
        let count = u64::try_from(self.recorded.events.len()).unwrap_or(u64::MAX);
        let first = state.seq().saturating_sub(count).saturating_add(1);
        let entries = (first..).zip(&self.recorded.events);
        entries.filter(|(_, event)| matches!(event.fact, Fact::HandMinted(_))).map(|(seq, _)| seq).collect()
    }

    /// Whether a person is asked for a key: none was given before, or it is not accepted, and they have another.
    fn wants_another(&self, state: &State, ui: &mut Ui) -> Result<bool, Problem> {
        let runtime = runtime()?;
        let Some((_, before)) = runtime.block_on(self.pending(state))? else { return Ok(true) };
        let seen = runtime.block_on(self.accepted(&before, state.plan().denied_is_alive));
        let Err(Seen::Wrong(why) | Seen::NotYet(why) | Seen::NotVisible(why)) = seen else {
            return Ok(false);
        };
        ui.note(format!("the key that was given before is sealed, and is not accepted so far: {why}"));
        let question = "Is there another one? Anything else asks about that one again.";
        Ok(matches!(ui.ask_name(question, "another"), Answer::Yes))
    }

    fn unseen(&self, why: String) -> Problem {
        let id = self.id;
        refused(id, [why])
            .because("it stays sealed, and the old key is in use as before")
            .help(format!("keyroll resume {id}\nanother key in its place: keyroll resume {id} --value-stdin"))
    }

    /// What was given last and is sealed, and no entry names yet.
    async fn pending(&self, state: &State) -> Result<Option<(u64, Credential)>, Failure> {
        let mut named = Vec::new();
        for seq in self.told(state) {
            named.extend(self.store.kept(self.name(), self.id, seq).await?.map(|it| it.fields.encode()));
        }
        for slot in (GIVEN..GIVEN.saturating_add(GIVEN_MAX)).rev() {
            let Some(kept) = self.store.kept(self.name(), self.id, slot).await? else { continue };
            // What was given before one that was taken in is given up.
            return Ok(if named.contains(&kept.fields.encode()) { None } else { Some((slot, kept)) });
        }
        Ok(None)
    }

    /// The value from where it was said to be, or by a hidden prompt; what is not secret is as it was.
    fn read(&self, given: Option<&Given>, ui: &mut Ui) -> Result<Credential, Problem> {
        let secrets: Vec<&Name> =
            self.secret.fields.iter().filter(|(_, field)| field.secret).map(|(name, _)| name).collect();
        let mut fields = Fields::new();
        for (name, field) in self.old.fields.iter().filter(|(_, field)| !field.secret) {
            fields.insert(name, field.value.duplicate(), false);
        }
        let typed = given.is_none() || (given == Some(&Given::Stdin) && ui.may_ask());
        if !typed && secrets.len() != 1 {
            return Err(refused(
                self.id,
                ["it has several secret fields: they are typed at a terminal".to_owned()],
            )
            .help(format!("at a terminal: keyroll resume {} --value-stdin", self.id)));
        }
        for name in secrets {
            let what = format!("{name} of the new key of {}", self.secret.name);
            let value = match given {
                Some(Given::File(path)) => ui.value_of_file(&what, path)?,
                Some(Given::Stdin) => ui.hidden(&what)?,
                None => ui.hidden(&what).map_err(|problem| self.not_read(problem))?,
            };
            fields.insert(name.as_str(), value, true);
        }
        Ok(Credential { id: None, fields })
    }

    /// Whoever is asked anew is told that nothing is lost.
    fn not_read(&self, problem: Problem) -> Problem {
        let exit = if problem.exit() == Exit::Interrupted { Exit::Interrupted } else { Exit::NeedsPerson };
        problem
            .because(
                "nothing was changed: the rotation waits for that key, and the old one is in use as before",
            )
            .help(format!("paste it whole and alone: keyroll resume {}", self.id))
            .exits(exit)
    }

    /// Refuses what can be told from the value alone.
    async fn refuse_slips(&self, credential: &Credential, state: &State) -> Result<(), Problem> {
        let faults = self.spec.faults(&credential.fields);
        if !faults.is_empty() {
            return Err(slipped(self.id, faults));
        }
        let same = |other: &Credential| {
            let mut all = credential.fields.secrets();
            all.all(|(name, value)| other.fields.get(name).is_some_and(|field| field.value == *value))
        };
        for seq in self.told(state) {
            if self.store.kept(self.name(), self.id, seq).await?.as_ref().is_some_and(same) {
                let why = "it is a value that this rotation gave up".to_owned();
                return Err(refused(self.id, [why]));
            }
        }
        for name in self.store.secrets().await? {
            for version in self.store.versions(&name).await? {
                let other = self.store.read(&name, version.number).await?;
                if other.as_ref().is_some_and(same) {
                    let which =
                        format!("it is the value of {name} v{}, which is known already", version.number);
                    return Err(refused(self.id, [which]));
                }
            }
        }
        Ok(())
    }

    /// Seals it under the first number that is free.
    async fn seal(&self, credential: &Credential) -> Result<u64, Problem> {
        for slot in GIVEN..GIVEN.saturating_add(GIVEN_MAX) {
            let sealed = Credential { id: Some(given_id(slot)), fields: credential.fields.duplicate() };
            match self.store.keep(self.name(), self.id, slot, &sealed).await {
                // One that was dropped as wrong before, and is given again, is not sealed under its old number.
                Ok(()) if self.store.kept(self.name(), self.id, slot).await?.is_some() => return Ok(slot),
                Ok(()) => {}
                // Another value was given under this number.
                Err(failure) if failure.code == OTHER_VALUE => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        let why = format!("{GIVEN_MAX} values were given in this rotation");
        Err(refused(self.id, [why]).help(format!("keyroll abort {}", self.id)))
    }

    /// Sees it accepted everywhere, and whose it is. A key that was made a moment ago may not be known everywhere.
    async fn see(
        &self,
        credential: &Credential,
        denied_is_alive: bool,
        limit_ms: u64,
        ui: &mut Ui,
    ) -> Result<CredId, Seen> {
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
                        let what = "of which account the new key is".to_owned();
                        let why =
                            "the issuer does not tell, or the old key is dead and cannot be asked".to_owned();
                        ui.event(Event::NotVisible { what, why });
                    }
                    return Ok(id);
                }
                Err(seen @ Seen::Wrong(_)) => return Err(seen),
                Err(seen) if Instant::now() >= end => return Err(seen),
                Err(_) if interrupt::is_asked() => {
                    let why = "it was asked to stop (Ctrl-C or a signal) before that was seen";
                    return Err(Seen::NotVisible(why.to_owned()));
                }
                Err(Seen::NotYet(why) | Seen::NotVisible(why)) => why,
            };
            if !shown {
                let seconds = limit_ms / 1_000;
                ui.note(format!("{why}; a new key may take a while here, it is asked again for {seconds} s"));
                shown = true;
            }
            pause().await;
        }
    }

    async fn accepted(&self, credential: &Credential, denied_is_alive: bool) -> Result<(), Seen> {
        for endpoint in self.issuer.endpoints() {
            match self.issuer.probe(&endpoint, credential).await {
                Probe::Alive => {}
                Probe::Denied if denied_is_alive => {}
                Probe::Denied => {
                    return Err(Seen::Wrong(format!(
                        "{endpoint} knows it, and it may do less than the old key"
                    )));
                }
                Probe::Dead => {
                    return Err(Seen::NotYet(format!("{endpoint} refuses it: it is not a living key")));
                }
                Probe::Unknown(why) => {
                    return Err(Seen::NotVisible(format!(
                        "whether {endpoint} accepts it is not visible: {why}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The id that it belongs to, and whether it was seen that its account is that of the old key.
    async fn whose(&self, credential: &Credential) -> Result<(CredId, bool), Seen> {
        let unseen = |failure: Failure| {
            let cause = failure.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
            Seen::NotVisible(format!("whose it is is not visible: {failure}{cause}"))
        };
        let told = self.issuer.identify(credential).await.map_err(unseen)?;
        // What the old key can still say is compared; a dead one says nothing.
        let mut compared = false;
        if let Some(principal) = &told.principal
            && let Ok(before) = self.issuer.identify(&self.old).await
            && let Some(other) = &before.principal
        {
            if other != principal {
                return Err(Seen::Wrong("it belongs to another account than the old key".to_owned()));
            }
            compared = true;
        }
        if !self.spec.binds() {
            let unbound = format!("by-hand/{}/{}", self.id, self.recorded.events.len());
            return Ok((CredId::new(&unbound), compared));
        }
        let Some(id) = told.id else {
            let why = "no key that the issuer lists shows this value: it may be of another account";
            return Err(Seen::NotYet(why.to_owned()));
        };
        if self.old.id.as_ref() == Some(&id) {
            return Err(Seen::Wrong(format!("the issuer says that it is {id}, the old key")));
        }
        if self.issuer.capabilities().list {
            let list = self.issuer.list(credential).await.map_err(unseen)?;
            if !list.entries.iter().any(|entry| entry.id == id) {
                return Err(match list.complete {
                    true => {
                        Seen::NotYet(format!("{id} is not in the issuer's list: it is of another account"))
                    }
                    false => Seen::NotVisible(format!("whether {id} is in the issuer's list is not visible")),
                });
            }
        }
        Ok((CredId::new(id.as_str()), compared || self.issuer.capabilities().list))
    }

    /// Seals it under the number of the entry that names it, and writes that entry.
    async fn tell(&self, open: &mut Opened, credential: Credential, found: CredId) -> Result<(), Problem> {
        let clock = SystemClock::new();
        let at = |epoch| Stamp {
            ms: keyroll_port::Clock::monotonic_ms(&clock),
            boot: keyroll_port::Clock::boot(&clock),
            epoch,
        };
        let fact = Fact::HandMinted(found.clone());
        let event = keyroll_rotation::Event { at: at(open.state.now().epoch), fact: fact.clone() };
        if let Err(illegal) = step(&open.state, &event) {
            return Err(refused(self.id, [illegal.why.to_owned()]));
        }
        let attempted = || Problem::new("K0840", "tell the rotation");
        let epoch = self.journal.take_over(self.id).await.map_err(|error| attempted().because_of(&error))?;
        write(&self.journal, open, epoch, Fact::DriverStarted).await?;
        let seq = open.state.seq().saturating_add(1);
        let id = Some(CredentialId::new(found.as_str()));
        let sealed = Credential { id, fields: credential.fields };
        self.store.keep(self.name(), self.id, seq, &sealed).await?;
        write(&self.journal, open, epoch, fact).await?;
        Ok(())
    }
}

/// Between two questions, unless it is asked to stop.
pub(super) async fn pause() {
    let _ = tokio::time::timeout(Duration::from_millis(ASK_AGAIN_MS), interrupt::asked()).await;
}
