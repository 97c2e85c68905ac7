use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, JournalError, Recorded, RotationId};
use keyroll_rotation::{Event, Fact, Hold, IllegalEvent, Outcome, PlanDefect, Reason, Seq, State};
use tokio::sync::mpsc;

use crate::executor::{Executor, Note};
use crate::task::{Limit, Task, Tasks, until};
use crate::turns::Turns;
use crate::{Action, AppendError, Core, Drive, Driver, DriverState, Input, Pace, Ports, Protocol};

/// A command to a running driver.
#[derive(Debug, Clone)]
pub enum Command {
    /// An event of the operator: consent, adoption, pause, abort …
    Tell(Fact),
    /// The operator does not answer, or does not consent: as if no operator were there.
    Unanswered,
    /// End as soon as nothing is under way; the rotation can be resumed.
    Leave,
}

/// What an observer replies when the driver waits for the operator.
#[derive(Debug, Clone)]
pub enum ObserverReply {
    /// This command goes to the driver.
    Say(Command),
    /// The operator is being asked: the answer comes as a command, and the driver goes on looking until then.
    Awaited,
    /// No operator is there.
    Nobody,
}

/// What follows a rotation while it is driven.
pub trait Observer: Send {
    /// An entry is durable; `state` is what follows from it.
    fn appended(&mut self, seq: Seq, event: &Event, state: &State);

    /// Something for the operator that is not part of the protocol.
    fn note(&mut self, note: Note);

    /// The driver waits for the operator, or has ended. Asked again as long as that is so.
    fn standing(&mut self, standing: &DriverState, state: &State) -> ObserverReply;

    /// The driver waits, for the world or for the operator. Returns after how many milliseconds this is to be called again
    /// at the latest; otherwise it is called when something happened.
    fn waits(&mut self, _state: &State) -> Option<u64> {
        None
    }
}

/// How driving ended.
#[derive(Debug)]
pub enum Ending {
    /// The rotation stands at this; the state is what the journal holds.
    At(DriverState, Box<State>),
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
    replay_over(&Protocol, recorded)
}

fn replay_over(core: &impl Core, recorded: &Recorded) -> Result<State, Ending> {
    let opened = State::open(recorded.opening.plan.clone(), recorded.opening.at);
    let mut state = opened.map_err(Ending::Plan)?;
    for event in &recorded.events {
        let seq = state.seq().saturating_add(1);
        state = core.step(&state, event).map_err(|illegal| Ending::Impossible(seq, illegal))?.0;
    }
    Ok(state)
}

/// Takes a rotation over and drives it until it ends, is held, or waits for the operator.
///
/// Everything durable is in the journal when this returns; a crash at any point is taken up by the next driver.
pub async fn run(
    ports: Ports,
    id: RotationId,
    pace: Pace,
    commands: mpsc::Receiver<Command>,
    observer: &mut dyn Observer,
) -> Ending {
    run_over(Protocol, |driver| driver, ports, id, pace, commands, observer).await
}

/// The same over another core than the protocol itself, and with the driver in the hands of something that watches it.
pub async fn run_over<C: Core + Copy + Send + Sync + 'static, D: Drive>(
    core: C,
    watch: impl FnOnce(Driver<C>) -> D,
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
    let state = match replay_over(&core, &recorded) {
        Ok(state) => state,
        Err(ending) => return ending,
    };
    let executor = Arc::new(Executor::new(ports.clone(), id.clone(), recorded.opening));
    let leave_ms_max = pace.leave_ms_max;
    let driver = Driver::over(core, state, epoch, ports.clock.boot(), ports.clock.monotonic_ms(), pace);
    let shell = Shell {
        ports,
        id,
        executor,
        core,
        driver: watch(driver),
        tasks: Tasks::default(),
        turns: Turns::default(),
        leaving: None,
        leave_ms_max,
        deserted: false,
        named: false,
    };
    shell.drive(&mut commands, observer).await
}

struct Shell<C, D> {
    ports: Ports,
    id: RotationId,
    executor: Arc<Executor>,
    core: C,
    driver: D,
    tasks: Tasks,
    turns: Turns,
    /// Since when it wants to end, and how long it tries to leave nothing behind.
    leaving: Option<u64>,
    leave_ms_max: u64,
    /// The operator did not answer.
    deserted: bool,
    /// The users of the old key were looked for.
    named: bool,
}

/// What the shell waits for: the first of these in this order.
enum Woken {
    Input(Option<Input>),
    Command(Option<Command>),
    Time,
}

impl<C: Core + Copy + Send + Sync + 'static, D: Drive> Shell<C, D> {
    async fn drive(mut self, commands: &mut mpsc::Receiver<Command>, observer: &mut dyn Observer) -> Ending {
        loop {
            // Commands are heard before anything new is begun: `--until` pauses before the step it names.
            while let Ok(command) = commands.try_recv() {
                self.command(command);
            }
            let now = self.ports.clock.monotonic_ms();
            let poll = self.driver.poll(now);
            for action in poll.actions {
                self.start(action);
            }
            for note in self.executor.take_notes() {
                observer.note(note);
            }
            for rejected in self.driver.take_rejected() {
                observer.note(Note::Rejected(rejected));
            }
            if self.may_leave(now) {
                self.tasks.clear();
                return Ending::Left(self.ending_state());
            }
            match poll.standing {
                DriverState::Driving => {}
                DriverState::Lost => return Ending::At(DriverState::Lost, self.ending_state()),
                DriverState::Held(Hold::Paused(Reason::RefusedUse)) if !self.named => {
                    // The old key is on again: now there is time to find out who needs it.
                    self.named = true;
                    let named = self.name_users(now);
                    named.await;
                    continue;
                }
                standing @ (DriverState::Person(_) | DriverState::Held(_) | DriverState::Ended) => {
                    let deserted = std::mem::take(&mut self.deserted);
                    let word = match observer.standing(&standing, &self.driver.snapshot()) {
                        ObserverReply::Awaited if deserted => ObserverReply::Nobody,
                        word @ (ObserverReply::Say(_) | ObserverReply::Awaited | ObserverReply::Nobody) => {
                            word
                        }
                    };
                    match word {
                        ObserverReply::Say(command) => {
                            self.command(command);
                            continue;
                        }
                        ObserverReply::Awaited => {}
                        ObserverReply::Nobody if self.driver.unanswered(now) => continue,
                        ObserverReply::Nobody => {
                            self.tasks.clear();
                            return Ending::At(standing, self.ending_state());
                        }
                    }
                }
            }
            let again_ms = observer.waits(&self.driver.snapshot()).map(|ms| now.saturating_add(ms));
            let wake_ms = poll.wake_ms.into_iter().chain(again_ms).min();
            self.wait(wake_ms, now, commands, observer).await;
        }
    }

    fn ending_state(&self) -> Box<State> {
        Box::new(State::clone(&self.driver.snapshot()))
    }

    /// Asked to leave, and nothing is under way. A key that is off is enabled first, and what was seen is written down, for
    /// a limited time: an entry that cannot be written holds nobody up, because the next driver finds out what it says.
    fn may_leave(&mut self, now: u64) -> bool {
        let Some(since) = self.leaving else { return false };
        let over = now >= since.saturating_add(self.leave_ms_max);
        if over && !self.driver.carries() {
            return true;
        }
        if !self.driver.idle() || self.driver.unanswered(now) {
            return false;
        }
        !self.driver.owes_enabling()
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
        let mut timer = self.ports.clock.sleep_until(wake_ms.unwrap_or(now.saturating_add(IDLE_MS_MAX)));
        let listens = self.leaving.is_none();
        let executor = self.executor.clone();
        let mut noted = pin!(executor.noted.notified());
        let tasks = &mut self.tasks;
        let woken = poll_fn(|cx| {
            if let Poll::Ready(input) = tasks.poll_next(cx) {
                return Poll::Ready(Woken::Input(input));
            }
            if listens && let Poll::Ready(command) = commands.poll_recv(cx) {
                return Poll::Ready(Woken::Command(command));
            }
            // What the operator is to be told does not wait for the next step.
            if noted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Time);
            }
            timer.as_mut().poll(cx).map(|()| Woken::Time)
        });
        match woken.await {
            Woken::Input(Some(input)) => self.take(input, observer),
            Woken::Command(Some(command)) => self.command(command),
            Woken::Command(None) => self.leave(),
            Woken::Input(None) | Woken::Time => {}
        }
    }

    fn take(&mut self, input: Input, observer: &mut dyn Observer) {
        let event = if let Input::Appended = &input { self.driver.in_flight() } else { None };
        let before = event.as_ref().map(|_| self.driver.snapshot().seq());
        self.driver.on(input, self.ports.clock.monotonic_ms());
        if let (Some(event), Some(before)) = (event, before) {
            let after = self.driver.snapshot();
            if after.seq() > before {
                observer.appended(after.seq(), &event, &after);
            }
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
        let (id, executor, core) = (self.id.clone(), self.executor.clone(), self.core);
        let (state, clock) = (self.driver.snapshot(), self.ports.clock.clone());
        let (now, mut limit) = (clock.monotonic_ms(), None);
        let task: Task = match action {
            Action::Append { seq, event } => Box::pin(async move {
                let ports = &executor.ports;
                let unix_ms = ports.clock.unix_ms();
                Some(match ports.journal.append(&id, seq, &event, unix_ms).await {
                    Ok(()) => Input::Appended,
                    Err(error) => Input::AppendFailed(executor.append_error(&error)),
                })
            }),
            Action::Reload => Box::pin(async move { Some(reload(&core, &id, &executor).await) }),
            Action::Witness { intent } => Box::pin(async move {
                let witnessed = executor.ports.journal.witness().await;
                let ok = witnessed.map_err(|error| executor.append_error(&error)).is_ok();
                Some(Input::Witnessed { intent, ok })
            }),
            Action::Carry { effect, limit_ms } => {
                let (intent, until_ms) = (effect.intent, now.saturating_add(limit_ms));
                // Out of time: it may have had its effect.
                let late = Some(Input::Ended { intent, outcome: Outcome::Unknown });
                let longest = Limit { clock, until_ms, late };
                let on_host = effect.op.on_host();
                let task: Task = Box::pin(async move {
                    let outcome = executor.carry(&effect, until_ms, &state).await;
                    Some(Input::Ended { intent, outcome })
                });
                if on_host {
                    let running = self.ports.spawner.spawn(task, None);
                    return self.tasks.add(Box::pin(awaited(self.executor.clone(), running, longest)));
                }
                limit = Some(longest);
                task
            }
            Action::Look { query, limit_ms } => {
                let (until_ms, late) = (now.saturating_add(limit_ms), Some(Input::Seen(query.clone(), None)));
                limit = Some(Limit { clock, until_ms, late });
                let turn = self.turns.of(&query);
                Box::pin(async move {
                    let _turn = turn.lock().await;
                    let seen = executor.look(&query, &state).await;
                    Some(Input::Seen(query, seen))
                })
            }
        };
        self.tasks.add(self.ports.spawner.spawn(task, limit));
    }

    /// Names who still uses the old key; nothing else goes on meanwhile.
    fn name_users(&self, now: u64) -> Task {
        let (executor, state) = (self.executor.clone(), self.driver.snapshot());
        let task = Box::pin(async move {
            if let Err(failure) = executor.name_holders(&state).await {
                executor.note(Note::Failed(failure));
            }
            None
        });
        let until_ms = now.saturating_add(NAME_MS_MAX);
        let limit = Limit { clock: self.ports.clock.clone(), until_ms, late: None };
        self.ports.spawner.spawn(task, Some(limit))
    }
}

/// An effect on a host that goes on after its limit, because a disk or a command does not answer, is neither done nor
/// absent until it has ended: its unit waits, and the operator is told.
async fn awaited(executor: Arc<Executor>, mut running: Task, limit: Limit) -> Option<Input> {
    let Limit { clock, until_ms, late } = limit;
    if let Some(ended) = until(clock.as_ref(), until_ms, running.as_mut()).await {
        return ended.or(late);
    }
    let attempted = "carry out a step on a host within its time";
    let failure = Failure::new(Class::Retryable, Code::WriteFailed, attempted)
        .because("it still goes on: a disk or a command does not answer")
        .help("the other steps go on; keyroll waits until this one has ended");
    executor.note(Note::Failed(failure));
    running.await.or(late)
}

/// How long a look for those who hold the old key may take.
const NAME_MS_MAX: u64 = 90_000;

/// The longest the shell waits without asking the driver again.
const IDLE_MS_MAX: u64 = 60_000;

async fn reload(core: &impl Core, id: &RotationId, executor: &Executor) -> Input {
    match executor.ports.journal.load(id).await {
        Ok(recorded) => match replay_over(core, &recorded) {
            Ok(state) => Input::Reloaded(Box::new(state)),
            Err(_) => Input::AppendFailed(AppendError::Fenced),
        },
        Err(error) => Input::AppendFailed(match executor.append_error(&error) {
            AppendError::Unavailable => AppendError::Unsure,
            worse @ (AppendError::Unsure | AppendError::Fenced) => worse,
        }),
    }
}
