//! What has to be watched over months: when each secret is due, what is open, how the last rotations ended, and what
//! leaked. Read from the journal, the store and the files of the incidents at each look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Journal as _, Overview, RotationId};

use super::due::{due, has_standing_consent};
use super::emergency::row;
use super::status::StatusReader;
use crate::incidents::{IncidentShown, list};
use crate::installation::Installation;
use crate::operator::{DueShown, Outcome, StatusShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::cause;
use crate::records::past::{Past, outcome};
use crate::records::plan_names::Called;
use crate::records::recorded::{last_unix_ms, rotations_unread};
use crate::wiring::open::{journal_for_a_look, runtime};

/// The ended rotations that are listed.
const ENDED_MAX: usize = 50;

/// What stands at one moment.
#[derive(Debug, Clone, Default)]
pub struct Upkeep {
    /// When it was read, Unix seconds.
    pub at_s: u64,
    /// How long before it is due a secret is told of.
    pub warn_before: Duration,
    /// Every configured secret.
    pub secrets: Vec<SecretUpkeep>,
    /// The rotations that are open, and those whose old key was not seen dead; newest first.
    pub rotations: Vec<StatusShown>,
    /// The rotations that ended last, the last one first.
    pub ended: Vec<EndedShown>,
    /// How many rotations of each secret the journal has.
    pub counts: BTreeMap<String, u64>,
    /// The incidents that are not over.
    pub incidents: Vec<IncidentShown>,
}

/// One configured secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretUpkeep {
    /// Its name.
    pub secret: String,
    /// Who is responsible for it.
    pub owner: Option<String>,
    /// A standing consent is configured.
    pub unattended: bool,
    /// Its row of `keyroll due`, if it has a `rotate_every`.
    pub due: Option<DueShown>,
}

/// A rotation that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedShown {
    /// Its id.
    pub rotation: String,
    /// Its secret.
    pub secret: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When, Unix seconds.
    pub ended_s: u64,
    /// It was an emergency.
    pub emergency: bool,
    /// Why it was rolled back.
    pub cause: Option<String>,
    /// From its beginning to its end, seconds.
    pub took_s: u64,
}

/// Reads it, as often as it is asked. What a rotation was that has ended is remembered.
#[derive(Debug, Default)]
pub struct Watch {
    ended: BTreeMap<RotationId, EndedShown>,
    /// Those that were open at the last look: one that ends is seen, however long ago it began.
    open: BTreeSet<RotationId>,
}

impl Watch {
    /// What stands now.
    ///
    /// # Errors
    /// The configuration, the journal, the store or an incident cannot be read.
    pub fn look(&mut self, installation: &Installation) -> Result<Upkeep, Problem> {
        let (config, places) = (installation.config()?, installation.places()?);
        let mut rows: BTreeMap<String, DueShown> =
            due(&config, &places)?.into_iter().map(|row| (row.secret.clone(), row)).collect();
        let secrets = config.secrets.values().map(|secret| SecretUpkeep {
            secret: secret.name.to_string(),
            owner: secret.owner.clone(),
            unattended: has_standing_consent(secret),
            due: rows.remove(secret.name.as_str()),
        });
        let secrets = secrets.collect();
        let Rotations { rotations, ended, counts } = self.rotations(&places)?;
        Ok(Upkeep {
            at_s: SystemClock::new().unix_ms() / 1_000,
            warn_before: config.schedule.warn_before,
            secrets,
            rotations,
            ended,
            counts,
            incidents: list(false, installation)?,
        })
    }

    fn rotations(&mut self, places: &Places) -> Result<Rotations, Problem> {
        let Some(reader) = StatusReader::open(places, None)? else { return Ok(Rotations::default()) };
        let (journal, doubt) = journal_for_a_look(places)?;
        // What is told to others must be true.
        if let Some(doubt) = doubt {
            return Err(doubt);
        }
        let runtime = runtime(places)?;
        let all = runtime.block_on(journal.list()).map_err(rotations_unread)?;
        let mut counts = BTreeMap::new();
        for one in &all {
            let count: &mut u64 = counts.entry(one.secret.clone()).or_default();
            *count = count.saturating_add(1);
        }
        let mut rotations: Vec<StatusShown> =
            reader.read_open()?.into_iter().filter(|row| !row.ended || row.owes).collect();
        let was_open = std::mem::take(&mut self.open);
        self.open = all.iter().filter(|one| one.open).map(|one| one.id.clone()).collect();
        let known = std::mem::take(&mut self.ended);
        let mut ended = Vec::new();
        for (one, at) in all.iter().filter(|one| !one.open).zip(0..) {
            if at >= ENDED_MAX && !known.contains_key(&one.id) && !was_open.contains(&one.id) {
                continue;
            }
            let seen = match known.get(&one.id) {
                Some(seen) => seen.clone(),
                None => {
                    let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
                    let Some(seen) = shown(one, &recorded) else { continue };
                    seen
                }
            };
            if seen.outcome == Outcome::Debt && !rotations.iter().any(|row| row.id == one.id.0) {
                rotations.push(row(&one.id.0, places)?);
            }
            ended.push((one.id.clone(), seen));
        }
        ended.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.ended_s));
        ended.truncate(ENDED_MAX);
        // What is still owed may be done later.
        let settled = ended.iter().filter(|(_, seen)| seen.outcome != Outcome::Debt).cloned();
        self.ended = settled.collect();
        let ended = ended.into_iter().map(|(_, seen)| seen).collect();
        Ok(Rotations { rotations, ended, counts })
    }
}

#[derive(Default)]
struct Rotations {
    rotations: Vec<StatusShown>,
    ended: Vec<EndedShown>,
    counts: BTreeMap<String, u64>,
}

fn shown(one: &Overview, recorded: &keyroll_port::Recorded) -> Option<EndedShown> {
    let past = Past::of(recorded);
    let state = past.state.as_ref()?;
    let last = last_unix_ms(recorded);
    Some(EndedShown {
        rotation: one.id.to_string(),
        secret: one.secret.clone(),
        outcome: outcome(state)?,
        ended_s: last / 1_000,
        emergency: state.emergency().is_some(),
        cause: cause::of(recorded, &Called::of(recorded)),
        took_s: last.saturating_sub(recorded.opening.unix_ms) / 1_000,
    })
}
