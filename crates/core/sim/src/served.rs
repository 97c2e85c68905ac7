//! Consumers that take their value from keyroll's socket: what their processes are given, when they use it, and what they
//! say of it.

use keyroll_rotation::{Consumer, ConsumerId, Delivery, Kinds, PATHS_MAX, ReloadMode};

use crate::issuer::{FOREIGN, Value};
use crate::process::{Proc, Served};
use crate::quirks::Quirk;
use crate::rng::Rng;
use crate::world::World;

/// The longest time until a process uses what it was given.
const LOADS_MS_MAX: u64 = 6_000;
/// The longest time until a process that is not waiting for an answer asks again.
const ASKS_MS_MAX: u64 = 4_000;
/// The longest time for which a process is stopped: longer than a unit may take.
const STOPPED_MS_MAX: u64 = 20_000;
/// The longest time for which one path goes on with the former value.
const LAGS_MS_MAX: u64 = 5_000;
/// How long a process waits before it asks again for a value that keyroll does not know.
const RETRY_MS: u64 = 500;

/// What the ledger and the host show of one path of a served process.
pub(crate) struct Showing {
    /// The value that evidence is asked for.
    pub(crate) value: Value,
    pub(crate) path: usize,
    /// It uses the value, the issuer accepts it, and there was a call on this path.
    pub(crate) works: bool,
    pub(crate) trusted: bool,
    pub(crate) attributable: bool,
    pub(crate) now: u64,
}

impl Proc {
    /// The true evidence of one path, and what the process says besides although it is not true.
    pub(crate) fn served_evidence(&mut self, rng: &mut Rng, seen: &Showing) -> Option<(Kinds, Kinds)> {
        let (at_rest, loaded) = (self.at_rest, self.loaded == seen.value);
        let served = self.served.as_mut()?;
        if at_rest {
            let checked = !seen.trusted && seen.works && rng.one_in(2);
            let checked = if checked { Kinds::CHECKED } else { Kinds::NONE };
            return Some((if loaded { Kinds::DELIVERED.and(checked) } else { Kinds::NONE }, Kinds::NONE));
        }
        if served.given != Some(seen.value) {
            return Some((Kinds::NONE, Kinds::NONE));
        }
        let stopped = seen.now < served.stopped_until;
        let says = seen.works || (loaded && (seen.path == 0 || served.only));
        if let Some(said) = served.said.get_mut(seen.path) {
            *said |= says && !stopped;
        }
        let said = loaded && served.said.get(seen.path).is_some_and(|said| *said);
        served.shown_given |= !loaded;
        let part = |is: bool, kinds: Kinds| if is { kinds } else { Kinds::NONE };
        let whole = Kinds::DELIVERED
            .and(part(said, Kinds::TOLD))
            .and(part(seen.works && seen.attributable && !stopped, Kinds::EXERCISED))
            .and(part(seen.works && seen.trusted, Kinds::LOADED))
            .and(part(seen.works && !seen.trusted && !seen.attributable, Kinds::LOADED.and(Kinds::CHECKED)));
        Some((whole, part(served.lies && !stopped, Kinds::TOLD)))
    }
}

impl World {
    /// Whether the processes of a consumer take their value from the socket.
    pub(crate) fn is_served(&self, id: ConsumerId) -> bool {
        let pushed = |it: &Consumer| it.delivery == Delivery::Push && it.uptake != ReloadMode::Verb;
        self.scene.quirks.has(Quirk::Served) && self.plan.consumers.get(id.index()).is_some_and(pushed)
    }

    /// Sets up the processes of served consumers: some consumers have two.
    pub(crate) fn start_served(&mut self) {
        let first = self.first_value();
        for at in 0..self.procs.len() {
            let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { continue };
            if !self.is_served(id) {
                continue;
            }
            let more = self.procs.get(at).filter(|it| !it.at_rest).map(|it| it.host);
            let more = more.filter(|_| self.quirk_rng.one_in(2));
            let more = more.map(|host| self.process(Some(id), 0, host, first));
            for at in more.into_iter().chain([at]) {
                self.begin_served(at, first);
            }
        }
    }

    /// Another process of a consumer begins with what it asked for. Where its word decides, it says the truth.
    pub(crate) fn begin_served(&mut self, at: usize, value: Value) {
        let Some(id) = self.procs.get(at).and_then(|proc| proc.consumer) else { return };
        if !self.is_served(id) {
            return;
        }
        let believed = self.plan.consumers.get(id.index()).is_some_and(|it| it.own_word && !it.attributable);
        let lies = !believed && self.quirk_rng.one_in(2);
        if let Some(proc) = self.procs.get_mut(at) {
            proc.served = Some(Served::started(value, lies));
        }
    }

    /// What the socket gives out to a process changed. It waits for that, asks later, or is stopped; or it ends.
    pub(crate) fn offer(&mut self, at: usize, value: Value, by_us: bool) {
        let now = self.now;
        let of = self.procs.get(at).and_then(|proc| proc.consumer);
        let alone = self.procs.iter().filter(|proc| proc.consumer == of).count() == 1;
        let (choice, ends) = (self.quirk_rng.below(8), self.quirk_rng.one_in(10));
        let ms = |world: &mut Self, most| world.quirk_rng.between(50, most);
        let (loads, asks) = (ms(self, LOADS_MS_MAX), ms(self, ASKS_MS_MAX));
        let stops = ms(self, STOPPED_MS_MAX);
        if alone && ends {
            return self.end_served(at, now + stops);
        }
        let Some(served) = self.procs.get_mut(at).and_then(|proc| proc.served.as_mut()) else { return };
        served.by_us = by_us;
        if now < served.stopped_until || served.given.is_none() {
            served.asks_at.get_or_insert(served.stopped_until.max(now));
            return;
        }
        // Nothing new is given out.
        if served.given == Some(value) {
            return;
        }
        match choice {
            // keyroll gives out no value that it does not know.
            _ if value == FOREIGN => {}
            0..=3 => self.take(at, value),
            4 | 5 => {
                served.give(value);
                served.loads_at = Some(now + loads);
            }
            6 => served.asks_at = Some(now + asks),
            _ => {
                (served.stopped_until, served.asks_at) = (now + stops, Some(now + stops));
                served.loads_at = None;
                if let Some(proc) = self.procs.get_mut(at) {
                    proc.calls_at = proc.calls_at.max(now + stops);
                }
            }
        }
    }

    /// A process is given a value and uses it at once; now and then its last path goes on with the former one.
    fn take(&mut self, at: usize, value: Value) {
        let now = self.now;
        let lags = self.quirk_rng.one_in(3).then(|| now + self.quirk_rng.between(50, LAGS_MS_MAX));
        let Some(proc) = self.procs.get_mut(at) else { return };
        let (held, id) = (proc.loaded, proc.consumer);
        let Some(served) = proc.served.as_mut() else { return };
        served.give(value);
        let by_us = served.by_us;
        let paths = id.and_then(|id| self.plan.consumers.get(id.index())).map_or(1, |it| it.paths);
        let lags = lags.filter(|_| paths > 1 && held != value && held != FOREIGN);
        if held != value {
            served.lags_until = lags;
            proc.also = lags.map(|_| (paths - 1, held));
        }
        let before = served.shown_given;
        self.load(at, value, by_us);
        if let Some(proc) = self.procs.get_mut(at).filter(|_| before) {
            proc.shown.iter_mut().for_each(|shown| *shown = shown.and(Kinds::DELIVERED));
        }
    }

    /// The only process of a consumer ends; another one is started later.
    fn end_served(&mut self, at: usize, starts_at: u64) {
        let file = self.file_of(at);
        let value = file.unwrap_or(FOREIGN);
        self.load(at, value, false);
        let now = self.now;
        let Some(proc) = self.procs.get_mut(at) else { return };
        proc.begin(1, now);
        (proc.at_rest, proc.active) = (true, false);
        proc.shown = [Kinds::NONE; PATHS_MAX];
        proc.served = Some(Served { starts_at: Some(starts_at), ..Served::default() });
    }

    /// What the socket gives out to a process.
    fn file_of(&self, at: usize) -> Option<Value> {
        let id = self.procs.get(at)?.consumer?;
        self.plan.consumers.get(id.index())?.files.first().map(|file| self.file(*file))
    }

    /// What processes of served consumers do at this time.
    pub(crate) fn serve_due(&mut self) {
        let now = self.now;
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        for at in 0..self.procs.len() {
            let runs = self.procs.get(at).filter(|_| !self.runs_nowhere(at));
            let Some(served) = runs.and_then(|proc| proc.served.clone()) else { continue };
            let value = self.file_of(at).filter(|value| *value != FOREIGN);
            if due(served.lags_until)
                && let Some(proc) = self.procs.get_mut(at)
            {
                proc.also = None;
                proc.served.iter_mut().for_each(|served| served.lags_until = None);
            }
            if due(served.starts_at) && value.is_some() {
                if let Some(proc) = self.procs.get_mut(at) {
                    (proc.at_rest, proc.active) = (false, true);
                }
                self.restart(at, false);
            } else if due(served.asks_at) {
                match value {
                    Some(value) => self.take(at, value),
                    None => {
                        let served = self.procs.get_mut(at).and_then(|proc| proc.served.as_mut());
                        served.into_iter().for_each(|served| served.asks_at = Some(now + RETRY_MS));
                    }
                }
            } else if let Some(given) = served.given.filter(|_| due(served.loads_at)) {
                self.take(at, given);
                // What was given out since then it has yet to ask for.
                let served_now = self.procs.get_mut(at).and_then(|proc| proc.served.as_mut());
                served_now.into_iter().for_each(|it| it.asks_at = it.asks_at.or(served.asks_at));
            }
        }
    }
}
