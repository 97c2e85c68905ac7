//! The present state of rotations: the open ones, and the last that ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_journal::{SqliteJournal, Work};
use keyroll_port::{Journal as _, Overview};
use keyroll_rotation::{ConsumerId, Debt, Emergency, State, Unit, UnitStep, Which};
use tokio::runtime::Runtime;

use crate::configured::ssh_hosts;
use crate::operator::{OldKeyShown, StatusShown, UnitShown, WaitingShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::hosts_left::HostsLeft;
use crate::records::open_rotation_guard::{driver, held_by};
use crate::records::past::{moved_units, outcome};
use crate::records::plan_names::Called;
use crate::records::recorded::{last_unix_ms, rotations_unread, state_of};
use crate::records::rotation_ids::{chosen_id, no_rotation};
use crate::records::saved_plan::Saved;
use crate::records::waivers::Waivers;
use crate::records::ways::ways;
use crate::records::{blockers, cause, old_key, reasons, remembered_names, waiting, waived};
use crate::session::manual_steps::awaited_back;
use crate::wiring::issuer::refuse_unusable;
use crate::wiring::open;

/// Ended rotations that are listed besides the open ones.
const ENDED_SHOWN_MAX: usize = 5;

/// Reads the status of rotations, as often as it is asked; it never drives one.
pub struct StatusReader<'p> {
    places: &'p Places,
    runtime: &'p Runtime,
    journal: Arc<SqliteJournal>,
    id: Option<String>,
    /// Why nothing may be done by this journal, if it was opened unchecked.
    pub doubt: Option<Problem>,
}

impl<'p> StatusReader<'p> {
    /// Opens the journal for the rotation whose id begins with `id`, or for all; none where no rotation ever began.
    ///
    /// # Errors
    /// The journal cannot be read, or `id` fits no rotation or several.
    pub fn open(places: &'p Places, id: Option<&str>) -> Result<Option<Self>, Problem> {
        if !places.has_journal() {
            let why = no_rotation_yet(places);
            let refused = || no_rotation().because(why).help("keyroll plan SECRET makes a plan");
            return id.map_or(Ok(None), |_| Err(refused()));
        }
        let runtime = open::runtime(places)?;
        let (journal, doubt) = open::journal_for_a_look(places)?;
        let id = match id {
            Some(id) => {
                let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
                Some(chosen_id(id, all.iter().map(|one| one.id.0.as_str()), no_rotation())?)
            }
            None => None,
        };
        Ok(Some(Self { places, runtime, journal, id, doubt }))
    }

    /// Each rotation as it stands now, the newest first.
    ///
    /// # Errors
    /// The journal cannot be read; an unreadable rotation is an error only if it was named.
    pub fn read(&self) -> Result<Vec<StatusShown>, Problem> {
        self.rows(ENDED_SHOWN_MAX)
    }

    /// The same without those that have ended.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_open(&self) -> Result<Vec<StatusShown>, Problem> {
        self.rows(0)
    }

    /// These rotations, whether or not they have ended; the newest first.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_these(&self, ids: &BTreeSet<String>) -> Result<Vec<StatusShown>, Problem> {
        self.wanted(|overview| ids.contains(&overview.id.0))
    }

    fn rows(&self, ended_max: usize) -> Result<Vec<StatusShown>, Problem> {
        let mut ended = 0;
        self.wanted(|overview| match &self.id {
            Some(id) => overview.id.0 == *id,
            None if overview.open => true,
            None => {
                ended += 1;
                ended <= ended_max
            }
        })
    }

    fn wanted(&self, mut is_wanted: impl FnMut(&Overview) -> bool) -> Result<Vec<StatusShown>, Problem> {
        let all = self.runtime.block_on(self.journal.list()).map_err(rotations_unread)?;
        let held = held_by(self.places);
        let waivers = Waivers::load(self.places)?;
        let mut rows = Vec::new();
        for overview in all.into_iter().filter(|overview| is_wanted(overview)) {
            // A driver of another rotation does not drive this one.
            let its = |work: &Option<Work>| work.as_ref().is_none_or(|work| work.rotation == overview.id);
            let driver = held.as_ref().filter(|(_, work)| its(work)).map(|(pid, _)| pid.unwrap_or_default());
            match self.row(&overview, driver, &waivers) {
                Ok(row) => {
                    let row = StatusShown { first: first(&row, held.as_ref()), ..row };
                    rows.push(if self.may_be_older() { doubted(row) } else { row });
                }
                Err(Unread::Journal(problem)) => return Err(problem),
                Err(Unread::Rotation(problem)) if self.id.is_some() => return Err(problem),
                // An unreadable rotation hides none of the others.
                Err(Unread::Rotation(problem)) => rows.push(unreadable(&overview, &problem)),
            }
        }
        Ok(rows)
    }

    /// Whether this may be another journal than the last one: it was put back from a backup, or comes from elsewhere.
    fn may_be_older(&self) -> bool {
        let code = self.doubt.as_ref().map(|doubt| doubt.code);
        matches!(code, Some(Code::JournalRestored | Code::OtherMachine))
    }

    /// True while something may change: a driver runs, or is about to open a rotation.
    pub fn is_driven(&self, rows: &[StatusShown]) -> bool {
        let mut open = rows.iter().filter(|row| !row.ended).peekable();
        match open.peek() {
            Some(_) => open.any(|row| row.driver.is_some()),
            None => self.id.is_none() && driver(self.places).is_some(),
        }
    }

    fn row(
        &self,
        overview: &Overview,
        driver: Option<u32>,
        waivers: &Waivers,
    ) -> Result<StatusShown, Unread> {
        let recorded = self.runtime.block_on(self.journal.load(&overview.id));
        let recorded = recorded.map_err(|error| Unread::Journal(rotations_unread(error)))?;
        let state = state_of(&recorded).map_err(Unread::Rotation)?;
        let called = remembered_names::called(&*self.journal, &recorded, Some(&state));
        let called = self.runtime.block_on(called);
        let mut row = row(overview, &called, &state, driver, old_key::seen(&recorded, &state));
        row.last_s = last_unix_ms(&recorded) / 1_000;
        row.blocked_by = blockers::all(&called, &state);
        row.waived = waived::waived(&called, waivers, &state);
        row.not_visible = called.outside();
        let left = HostsLeft::of(&recorded);
        for (at, unit) in row.units.iter_mut().enumerate() {
            if let Some(stage) = left.stage(&called, &state, at) {
                unit.stage = stage;
            }
        }
        row.hosts_back = left.back(&called, &state);
        let saved = Saved::of(&recorded).ok();
        row.hosts_not_searched = not_searched(saved.as_ref(), &state);
        row.cause = cause::of(&recorded, &called);
        let ways = ways(&called, &state, row.driver.is_some(), !row.blocked_by.is_empty());
        row.next = ways.as_ref().map(|ways| ways.next.clone());
        let waiting = waiting::seen(&recorded, &called, &state);
        row.waiting = ways.zip(waiting).map(|(ways, waiting)| ways.of_wait(waiting));
        if let Some(back) = awaited_back(&recorded, &state, self.places) {
            row.why = Some(row.why.map_or_else(|| back.clone(), |why| format!("{why}\n{back}")));
        }
        if row.next.is_some()
            && row.driver.is_none()
            && let Some(unusable) = saved.as_ref().and_then(unusable)
        {
            row.cause = Some(match row.cause {
                Some(cause) => format!("{cause}; now {unusable}"),
                None => unusable,
            });
        }
        Ok(row)
    }
}

/// The hosts of its configuration that an open rotation over hosts does not look at.
fn not_searched(saved: Option<&Saved>, state: &State) -> Vec<String> {
    let Some(saved) = saved.filter(|saved| !saved.hosts.is_empty()) else {
        return Vec::new();
    };
    if state.ended() || !state.plan().aim.ends_old() {
        return Vec::new();
    }
    let Ok(config) = saved.config() else {
        return Vec::new();
    };
    let left_out = ssh_hosts(&config).into_iter().filter(|name| saved.host_id(name).is_none());
    left_out.map(str::to_owned).collect()
}

/// What refuses every command that would drive a rotation now: its spec, or the file of its admin credential. It is found by
/// the configuration in its journal, as a driver finds it.
fn unusable(saved: &Saved) -> Option<String> {
    let config = saved.config().ok()?;
    let problem = refuse_unusable(config.secret(&saved.secret).ok()?).err()?;
    Some(format!("keyroll can neither go on nor roll back until this is mended: {}", problem.sentence()))
}

/// A rotation by a journal that may be an older one. What is done by it may be over, and every command is refused: it offers
/// none, and only a dead key stays what it was.
fn doubted(row: StatusShown) -> StatusShown {
    let offers_nothing = |waiting: WaitingShown| WaitingShown {
        forward: None,
        back: None,
        forward_steps: Vec::new(),
        back_steps: Vec::new(),
        ..waiting
    };
    let old_key = match row.old_key.state {
        "ended" => row.old_key,
        _ => OldKeyShown { state: "unknown", since: None },
    };
    let waiting = row.waiting.map(offers_nothing);
    StatusShown { old_key, waiting, blocked_by: Vec::new(), first: None, next: None, ..row }
}

/// What could not be read: the journal, or the entries of one rotation.
enum Unread {
    Journal(Problem),
    Rotation(Problem),
}

/// Says that no rotation was ever started with this state folder.
pub fn no_rotation_yet(places: &Places) -> String {
    format!("there is no rotation yet ({})", places.state.display())
}

/// A rotation whose entries this version cannot read; nothing is done with it.
fn unreadable(overview: &Overview, problem: &Problem) -> StatusShown {
    StatusShown {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: old_key::clock(overview.unix_ms),
        phase: None,
        ended: !overview.open,
        owes: false,
        unlisted: false,
        last_s: overview.unix_ms / 1_000,
        decided: false,
        emergency: None,
        moved: 0,
        units: Vec::new(),
        old_key: OldKeyShown { state: "unknown", since: None },
        driver: None,
        outcome: None,
        why: Some(format!("its journal is unreadable ({})", problem.code)),
        cause: None,
        person: true,
        waiting: None,
        blocked_by: Vec::new(),
        waived: Vec::new(),
        hosts_back: Vec::new(),
        hosts_not_searched: Vec::new(),
        not_visible: Vec::new(),
        first: None,
        next: overview.open.then(|| format!("keyroll status {}", overview.id)),
    }
}

fn row(
    overview: &Overview,
    called: &Called,
    state: &State,
    driver: Option<u32>,
    old_key: OldKeyShown,
) -> StatusShown {
    let awaited = reasons::awaited(state);
    let held = state.hold().map(|hold| reasons::reason_text(called, state, hold.reason()));
    let stage_of = |id: ConsumerId, unit: &Unit| match state.has_gone(id) {
        true => LET_GO.to_owned(),
        false => stage(unit, state.hold().is_some()),
    };
    let units: Vec<UnitShown> = (0..)
        .map(ConsumerId)
        .zip(state.units().iter())
        .zip(called.consumers())
        .map(|((id, unit), name)| UnitShown { name: name.to_owned(), stage: stage_of(id, unit) })
        .collect();
    let moved = moved_units(state);
    StatusShown {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: old_key::clock(overview.unix_ms),
        phase: crate::operator::Phase::of(state.phase()),
        ended: state.ended(),
        owes: state.debt().is_some(),
        unlisted: state.debt() == Some(Debt::NotListed),
        last_s: overview.unix_ms / 1_000,
        decided: state.decided(),
        emergency: state.emergency().map(|mode| match mode {
            Emergency::RollFirst => "roll-first",
            Emergency::RevokeNow => "revoke-now",
        }),
        moved,
        units,
        old_key,
        // The lock belongs to the state folder: its holder drives what is open and not paused.
        driver: driver.filter(|_| !state.ended() && state.hold().is_none()),
        outcome: outcome(state),
        why: awaited.map(str::to_owned).or(held),
        cause: None,
        person: awaited.is_some() || state.hold().is_some_and(reasons::needs_person),
        waiting: None,
        blocked_by: Vec::new(),
        waived: Vec::new(),
        hosts_back: Vec::new(),
        hosts_not_searched: Vec::new(),
        not_visible: Vec::new(),
        first: None,
        next: None,
    }
}

/// The command that comes before the others while a process drives another rotation: they would be refused.
fn first(row: &StatusShown, held: Option<&(Option<u32>, Option<Work>)>) -> Option<String> {
    let (_, work) = held?;
    let driven = &work.as_ref()?.rotation;
    (driven.0 != row.id && row.next.is_some()).then(|| format!("keyroll pause {driven}"))
}

/// The step of a consumer that is taken as gone, whatever its files hold.
const LET_GO: &str = "taken as gone: nothing shows which key it has";

/// The step of one consumer. Nothing is watched while the rotation is held.
fn stage(unit: &Unit, held: bool) -> String {
    let key = match unit.toward {
        Which::New => "the new key",
        Which::Old => "the old key",
    };
    match unit.stage {
        UnitStep::Waiting => format!("waiting for {key}"),
        UnitStep::Delivering => format!("writing {key} to its files"),
        UnitStep::Applying(_) => format!("loading {key}"),
        UnitStep::Proving(_) if unit.watched && held => format!("proved {key} so far"),
        UnitStep::Proving(_) if unit.watched => format!("watched with {key}"),
        UnitStep::Proving(_) => format!("proving {key}"),
        UnitStep::Settled => format!("on {key}"),
        UnitStep::Failed => format!("failed to load {key}"),
    }
}
