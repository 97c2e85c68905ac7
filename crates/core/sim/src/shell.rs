//! The real shells of one schedule, polled one after the other in virtual time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};

use keyroll_engine::{
    Drive, Driver, DriverState, Ending, Input, Note, Observer, ObserverReply, Pace, Poll, run_over,
};
use keyroll_port::RotationId;
use keyroll_rotation::{Event, IllegalEvent, Seq, State};
use tokio::sync::mpsc;

use crate::driver_slot::DriverSlot;
use crate::mutated::Mutated;
use crate::ports::{locked, ports};
use crate::scene::ROTATION;
use crate::schedule::Run;

/// Commands that a shell has not read yet: more than the operator ever sends at once.
const WORDS_WAITING_MAX: usize = 64;

type Shell = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// One schedule and the shells that drive it; a shell that died or ended is gone.
pub(crate) struct Shells {
    run: Arc<Mutex<Run>>,
    shells: Vec<Option<Shell>>,
    pub(crate) neighbour: Option<Box<Shells>>,
    /// The restarts of the machine that the neighbour went through.
    pub(crate) reboots: u32,
}

/// The driver of one shell. It lives in its slot, where everything that goes through it is checked.
struct Watched {
    run: Arc<Mutex<Run>>,
    slot: usize,
    /// The state that it began with.
    first: Arc<State>,
}

impl Watched {
    fn with<T>(&self, otherwise: T, ask: impl FnOnce(&mut Driver<Mutated>) -> T) -> T {
        locked(&self.run).slots.get_mut(self.slot).map_or(otherwise, |slot| ask(&mut slot.driver))
    }
}

impl Drive for Watched {
    fn snapshot(&self) -> Arc<State> {
        locked(&self.run).snapshot(self.slot).unwrap_or_else(|| self.first.clone())
    }

    fn in_flight(&self) -> Option<Event> {
        None
    }

    fn take_rejected(&mut self) -> Vec<IllegalEvent> {
        self.with(Vec::new(), Drive::take_rejected)
    }

    fn carries(&self) -> bool {
        self.with(false, |driver| driver.carries())
    }

    fn idle(&self) -> bool {
        self.with(true, |driver| driver.idle())
    }

    fn unanswered(&mut self, now_ms: u64) -> bool {
        self.with(false, |driver| driver.unanswered(now_ms))
    }

    fn owes_enabling(&self) -> bool {
        self.with(false, |driver| driver.owes_enabling())
    }

    fn on(&mut self, input: Input, _: u64) {
        locked(&self.run).hear(self.slot, input);
    }

    fn poll(&mut self, _: u64) -> Poll {
        locked(&self.run).poll(self.slot)
    }
}

/// An operator is always being asked; the answers come through the channel when the schedule has them.
struct AwaitingOperator;

impl Observer for AwaitingOperator {
    fn appended(&mut self, _: Seq, _: &Event, _: &State) {}

    fn note(&mut self, _: Note) {}

    fn standing(&mut self, _: &DriverState, _: &State) -> ObserverReply {
        ObserverReply::Awaited
    }
}

impl Shells {
    pub(crate) fn new(run: Run) -> Self {
        Self { run: Arc::new(Mutex::new(run)), shells: Vec::new(), neighbour: None, reboots: 0 }
    }

    pub(crate) fn run(&self) -> MutexGuard<'_, Run> {
        locked(&self.run)
    }

    pub(crate) fn drive(&mut self) {
        while self.run().going() {
            self.turn();
        }
        self.neighbour_to_its_end();
        // Everything that a shell had in progress is lost.
        self.shells.clear();
        let mut run = self.run();
        if run.violation.is_none() {
            run.finish();
        }
    }

    /// Lets every shell run as far as it can; then the next event happens, here or in the other rotation.
    pub(crate) fn turn(&mut self) {
        for at in 0..self.shells.len() {
            self.poll(at);
        }
        let starting = std::mem::take(&mut self.run().starting);
        for _ in 0..starting {
            self.start();
        }
        let mut run = locked(&self.run);
        if let Some(begun) = run.neighbour.take() {
            (self.neighbour, self.reboots) = (Some(Box::new(Shells::new(*begun))), run.reboots);
        }
        if self.neighbour.is_some() {
            let next = run.next_at();
            drop(run);
            self.neighbour_until(next);
            run = locked(&self.run);
        }
        if run.going() && run.starting == 0 {
            run.next();
            run.check_length();
        }
        drop(run);
        self.pass_on();
    }

    fn start(&mut self) {
        let slot = self.shells.len();
        let (words, commands) = mpsc::channel(WORDS_WAITING_MAX);
        let (run, ports) = (self.run.clone(), ports(&self.run, slot));
        let core = self.run().core;
        let watch = move |driver: Driver<Mutated>| {
            let (epoch, first) = (locked(&run).ledger.epoch, driver.snapshot());
            let now = locked(&run).world.now;
            locked(&run).slots.push(DriverSlot::new(driver, epoch, words, now));
            locked(&run).replayed(slot);
            Watched { run, slot, first }
        };
        let pace =
            Pace { look_ms_max: 3_000, host_look_ms_max: 3_000, carry_ms_max: 3_000, ..Pace::default() };
        let id = RotationId(ROTATION.to_owned());
        let shell =
            async move { run_over(core, watch, ports, id, pace, commands, &mut AwaitingOperator).await };
        self.shells.push(Some(Box::pin(shell)));
        self.poll_shell(slot);
    }

    /// Polls a shell that has something to hear, or whose time has come.
    fn poll(&mut self, at: usize) {
        let mut run = locked(&self.run);
        let mono = run.world.mono();
        let Some(slot) = run.slots.get_mut(at) else { return };
        if !slot.alive {
            drop(run);
            // The driver died: everything that its shell awaits is dropped.
            self.shells.get_mut(at).into_iter().for_each(|place| *place = None);
            return;
        }
        if slot.dirty || slot.wake.is_some_and(|wake| wake <= mono) {
            (slot.dirty, slot.wake) = (false, None);
            drop(run);
            self.poll_shell(at);
        }
    }

    fn poll_shell(&mut self, at: usize) {
        let Some(place) = self.shells.get_mut(at) else { return };
        let Some(shell) = place else { return };
        let polled = shell.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let std::task::Poll::Ready(ending) = polled {
            *place = None;
            locked(&self.run).shell_ended(at, &ending);
        } else if !locked(&self.run).slots.get(at).is_some_and(|slot| slot.alive) {
            // The driver died: everything that its shell awaits is dropped.
            *place = None;
        }
    }
}
