use std::sync::Arc;
use std::time::Duration;

use keyroll_port::{Journal, JournalError, Recorded, RotationId};
use keyroll_rotation::{Event, Fact, Hold, IllegalEvent, Outcome, PlanDefect, Reason, Seq, State, step};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::hands::{Bench, Note};
use crate::{Action, Driver, Input, Pace, Ports, Standing, Trouble};

/// A word to a running driver.
#[derive(Debug, Clone)]
pub enum Command {
    /// A fact that a person asserts: consent, adoption, pause, abort …
    Tell(Fact),
    /// Whoever was asked does not answer, or does not consent: as if nobody were there.
    Unanswered,
    /// End as soon as nothing is under way; the rotation can be resumed.
    Leave,
}

/// What an observer says when the driver has nothing to do but wait for a person.
#[derive(Debug, Clone)]
pub enum Word {
    /// The driver is told this.
    Say(Command),
    /// Somebody is being asked: the answer comes as a command, and the driver goes on looking until then.
    Awaited,
    /// Nobody is there.
    Nobody,
}

/// What follows a rotation while it is driven.
pub trait Observer: Send {
    /// An entry is durable; `state` is what follows from it.
    fn appended(&mut self, seq: Seq, event: &Event, state: &State);

    /// Something for people that is not part of the protocol.
    fn note(&mut self, note: Note);

    /// The driver has nothing to do but wait for a person, or has ended. Asked again as long as that is so.
    fn standing(&mut self, standing: &Standing, state: &State) -> Word;
}

/// How driving ended.
#[derive(Debug)]
pub enum Ending {
    /// The rotation stands at this; the state is what the journal holds.
    At(Standing, Box<State>),
    /// Asked to leave: no driver now.
    Left(Box<State>),
    /// The journal could not be read, or is not sound.
    Journal(JournalError),
    /// The journal holds an entry that cannot follow from those before it.
    Impossible(Seq, IllegalEvent),
    /// The plan in the journal cannot be carried out.
    Plan(PlanDefect),
}

/// The state that a recorded rotation is in.
pub fn replay(recorded: &Recorded) -> Result<State, Ending> {
    let opened = State::open(recorded.opening.plan.clone(), recorded.opening.at);
    let mut state = opened.map_err(Ending::Plan)?;
    for event in &recorded.events {
        let seq = state.seq().saturating_add(1);
        state = step(&state, event).map_err(|illegal| Ending::Impossible(seq, illegal))?.0;
    }
    Ok(state)
}

/// Takes a rotation over and drives it until it ends, stands still, or only a person can go on.
///
/// Everything durable is in the journal when this returns; a crash at any point is taken up by the next driver.
pub async fn run(
    ports: Ports,
    id: RotationId,
    pace: Pace,
    mut commands: mpsc::Receiver<Command>,
    observer: &mut dyn Observer,
) -> Ending {
    let epoch = match ports.journal.take_over(&id).await {
        Ok(epoch) => epoch,
        Err(error) => return Ending::Journal(error),
    };
    let recorded = match ports.journal.load(&id).await {
        Ok(recorded) => recorded,
        Err(error) => return Ending::Journal(error),
    };
    let state = match replay(&recorded) {
        Ok(state) => state,
        Err(ending) => return ending,
    };
    let (notes, notes_in) = mpsc::unbounded_channel();
    let bench = Arc::new(Bench::new(ports.clone(), id.clone(), recorded.opening.clone(), notes));
    let driver = Driver::new(state, epoch, ports.clock.boot(), ports.clock.monotonic_ms(), pace);
    let shell = Shell {
        ports,
        id,
        bench,
        driver,
        tasks: JoinSet::new(),
        leaving: None,
        deserted: false,
        named: false,
        notes: notes_in,
    };
    shell.drive(&mut commands, observer).await
}

struct Shell {
    ports: Ports,
    id: RotationId,
    bench: Arc<Bench>,
    driver: Driver,
    tasks: JoinSet<Option<Input>>,
    /// Since when it wants to end.
    leaving: Option<u64>,
    /// Whoever was asked did not answer.
    deserted: bool,
    /// Whoever used the old key was looked for.
    named: bool,
    notes: mpsc::UnboundedReceiver<Note>,
}

impl Shell {
    async fn drive(mut self, commands: &mut mpsc::Receiver<Command>, observer: &mut dyn Observer) -> Ending {
        loop {
            // A word that has come is heard before anything new is begun: `--until` pauses before the step it names.
            while let Ok(command) = commands.try_recv() {
                self.command(command);
            }
            let now = self.ports.clock.monotonic_ms();
            let poll = self.driver.poll(now);
            for action in poll.actions {
                self.start(action);
            }
            while let Ok(note) = self.notes.try_recv() {
                observer.note(note);
            }
            for rejected in self.driver.take_rejected() {
                observer.note(Note::Rejected(rejected));
            }
            if self.may_leave(now) {
                self.tasks.abort_all();
                return Ending::Left(Box::new(self.driver.state().clone()));
            }
            match poll.standing {
                Standing::Driving => {}
                Standing::Lost => return Ending::At(Standing::Lost, Box::new(self.driver.state().clone())),
                Standing::Held(Hold::Paused(Reason::RefusedUse)) if !self.named => {
                    // The old key is on again: now there is time to find out who needs it.
                    self.named = true;
                    self.name_users().await;
                    continue;
                }
                standing @ (Standing::Person(_) | Standing::Held(_) | Standing::Ended) => {
                    let deserted = std::mem::take(&mut self.deserted);
                    let word = match observer.standing(&standing, self.driver.state()) {
                        Word::Awaited if deserted => Word::Nobody,
                        word @ (Word::Say(_) | Word::Awaited | Word::Nobody) => word,
                    };
                    match word {
                        Word::Say(command) => {
                            self.command(command);
                            continue;
                        }
                        Word::Awaited => {}
                        Word::Nobody if self.driver.unanswered(now) => continue,
                        Word::Nobody => {
                            self.tasks.abort_all();
                            return Ending::At(standing, Box::new(self.driver.state().clone()));
                        }
                    }
                }
            }
            self.wait(poll.wake_ms, now, commands, observer).await;
        }
    }

    async fn name_users(&self) {
        let state = self.driver.state().clone();
        let limit = Duration::from_millis(NAME_MS_MAX);
        if let Ok(Err(failure)) = timeout(limit, self.bench.name_holders(&state)).await {
            self.bench.note(Note::Failed(failure));
        }
    }

    /// Asked to leave, and nothing is under way. A key that is off is switched on first, as long as that can be hoped
    /// for.
    fn may_leave(&mut self, now: u64) -> bool {
        let Some(since) = self.leaving else { return false };
        if !self.driver.idle() || self.driver.unanswered(now) {
            return false;
        }
        !self.driver.owes_enabling() || now >= since.saturating_add(LEAVE_MS_MAX)
    }

    fn leave(&mut self) {
        let now = self.ports.clock.monotonic_ms();
        self.leaving = self.leaving.or(Some(now));
    }

    async fn wait(
        &mut self,
        wake_ms: Option<u64>,
        now: u64,
        commands: &mut mpsc::Receiver<Command>,
        observer: &mut dyn Observer,
    ) {
        let wake =
            Instant::now() + Duration::from_millis(wake_ms.map_or(IDLE_MS_MAX, |at| at.saturating_sub(now)));
        tokio::select! {
            Some(joined) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                if let Ok(Some(input)) = joined {
                    self.take(input, observer);
                }
            }
            command = commands.recv(), if self.leaving.is_none() => match command {
                Some(command) => self.command(command),
                None => self.leave(),
            },
            () = sleep_until(wake) => {}
        }
    }

    fn take(&mut self, input: Input, observer: &mut dyn Observer) {
        let before = self.driver.state().seq();
        let now = self.ports.clock.monotonic_ms();
        let event = if let Input::Appended = &input { self.driver.in_flight() } else { None };
        self.driver.on(input, now);
        let after = self.driver.state().seq();
        if let Some(event) = event
            && after > before
        {
            observer.appended(after, &event, self.driver.state());
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Tell(fact) => {
                let now = self.ports.clock.monotonic_ms();
                self.driver.on(Input::Told(fact), now);
            }
            Command::Unanswered => self.deserted = true,
            Command::Leave => self.leave(),
        }
    }

    fn start(&mut self, action: Action) {
        let (journal, id, bench) = (self.ports.journal.clone(), self.id.clone(), self.bench.clone());
        let unix_ms = self.ports.clock.unix_ms();
        let state = self.driver.state().clone();
        match action {
            Action::Append { seq, event } => {
                self.tasks.spawn(async move {
                    Some(match journal.append(&id, seq, &event, unix_ms).await {
                        Ok(()) => Input::Appended,
                        Err(error) => Input::AppendFailed(bench.trouble(error)),
                    })
                });
            }
            Action::Reload => {
                self.tasks.spawn(async move { Some(reload(journal, id, bench).await) });
            }
            Action::Witness { intent } => {
                self.tasks.spawn(async move {
                    let ok = journal.witness().await;
                    let ok = ok.map_err(|error| bench.trouble(error)).is_ok();
                    Some(Input::Witnessed { intent, ok })
                });
            }
            Action::Carry { effect, limit_ms } => {
                self.tasks.spawn(async move {
                    let intent = effect.intent;
                    let carried =
                        timeout(Duration::from_millis(limit_ms), bench.carry(&effect, &state)).await;
                    // Out of time: it may have had its effect.
                    Some(Input::Ended { intent, outcome: carried.unwrap_or(Outcome::Unknown) })
                });
            }
            Action::Look { query, limit_ms } => {
                self.tasks.spawn(async move {
                    let seen = timeout(Duration::from_millis(limit_ms), bench.look(&query, &state)).await;
                    bench.note_asides();
                    Some(Input::Seen(query, seen.unwrap_or(None)))
                });
            }
        }
    }
}

/// How long a driver that was asked to leave goes on trying to switch the old key on again.
const LEAVE_MS_MAX: u64 = 30_000;

/// How long a look for those who hold the old key may take.
const NAME_MS_MAX: u64 = 90_000;

/// The longest the shell waits without asking the driver again.
const IDLE_MS_MAX: u64 = 60_000;

async fn reload(journal: Arc<dyn Journal>, id: RotationId, bench: Arc<Bench>) -> Input {
    match journal.load(&id).await {
        Ok(recorded) => match replay(&recorded) {
            Ok(state) => Input::Reloaded(Box::new(state)),
            Err(_) => Input::AppendFailed(Trouble::Fenced),
        },
        Err(error) => Input::AppendFailed(match bench.trouble(error) {
            Trouble::Unavailable => Trouble::Unsure,
            worse @ (Trouble::Unsure | Trouble::Fenced) => worse,
        }),
    }
}
