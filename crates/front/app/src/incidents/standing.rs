//! How far an incident is: what the journal says of its secret's rotation, and the file of the incident.

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_port::{Journal as _, Label, Recorded, VersionInfo};
use keyroll_rotation::{Aim, Phase, State};

use super::file::{Files, Incident, Subject, Whose};
use super::shown::IncidentShown;
use crate::installation::Installation;
use crate::operator::{Outcome, StatusShown};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::records::past::Past;
use crate::records::recorded::{last_unix_ms, rotations_unread, state_of};
use crate::records::versions::{kept, label};
use crate::reports::emergency::row;
use crate::wiring::open::{journal_for_a_look, runtime, store};

/// The rotation that ends a leaked version.
pub(super) struct Ending {
    pub recorded: Recorded,
    pub past: Past,
    pub row: StatusShown,
}

/// What is known of a leaked version.
#[derive(Default)]
pub(super) struct Standing {
    pub version: Option<VersionInfo>,
    /// The rotation away from it.
    pub ending: Option<Ending>,
    /// The open rotation that moves the consumers to it.
    pub moves_to: Option<StatusShown>,
    /// The rotation that made it, and was rolled back or gave it up: its issuer accepted the end of it.
    pub taken_back: Option<String>,
    /// When a rotation away from it last did something, however it ended, milliseconds since the Unix epoch.
    pub last_unix_ms: Option<u64>,
    /// The secret is in the configuration.
    pub configured: bool,
}

impl Standing {
    /// That of the leaked version of an incident; none if it has none.
    pub(super) fn of_incident(
        incident: &Incident,
        config: Option<&Config>,
        places: &Places,
    ) -> Result<Option<Self>, Problem> {
        match &incident.subject {
            Subject::Stored { secret, number } => Self::of(secret, *number, config, places).map(Some),
            Subject::Foreign { .. } | Subject::Unseen { .. } => Ok(None),
        }
    }

    pub(super) fn of(
        secret: &str,
        number: u32,
        config: Option<&Config>,
        places: &Places,
    ) -> Result<Self, Problem> {
        let runtime = runtime(places)?;
        let versions = runtime.block_on(kept(store(places)?.as_ref(), secret))?;
        let version = versions.into_iter().find(|version| version.number == number);
        let configured = config.is_some_and(|config| config.secret(secret).is_ok());
        let mut standing = Self { version, configured, ..Self::default() };
        if !places.journal().exists() {
            return Ok(standing);
        }
        let (journal, _) = journal_for_a_look(places)?;
        let made_by = standing.version.as_ref().and_then(|version| version.made_by.clone());
        for one in runtime.block_on(journal.list()).map_err(rotations_unread)? {
            if one.secret != secret {
                continue;
            }
            let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
            if made_by.as_ref().is_some_and(|made| made.rotation == one.id) {
                standing.made_by(&recorded, row(&one.id.0, places)?)?;
            }
            if recorded.opening.from_version != number {
                continue;
            }
            let last = last_unix_ms(&recorded);
            standing.last_unix_ms = standing.last_unix_ms.max(Some(last));
            let past = Past::of(&recorded);
            // One that was rolled back, or that gave one consumer a key of its own, left the version in use.
            let left = |state: &State| state.phase() == Phase::RolledBack || state.plan().aim == Aim::Part;
            if past.state.as_ref().is_none_or(left) {
                continue;
            }
            let row = row(&one.id.0, places)?;
            let past = past.with_outside(row.not_visible.clone());
            standing.ending = Some(Ending { recorded, past, row });
            break;
        }
        Ok(standing)
    }

    /// The rotation that made the version: it moves consumers to it, or has given it up.
    fn made_by(&mut self, recorded: &Recorded, row: StatusShown) -> Result<(), Problem> {
        let state = state_of(recorded)?;
        let its = self.version.as_ref().and_then(|version| version.credential.as_ref());
        let new = state.new_version().map(|new| new.credential.as_str());
        let is_new = its.is_some_and(|its| new == Some(its.as_str()));
        let gone = its.is_some_and(|its| !state.abandoned().iter().any(|one| one.as_str() == its.as_str()));
        match row.outcome {
            None if is_new || row.phase == Some(crate::operator::Phase::RollingBack) => {
                self.moves_to = Some(row)
            }
            Some(Outcome::RolledBack) => self.taken_back = Some(row.id),
            None | Some(Outcome::Done) if !is_new && gone => self.taken_back = Some(row.id),
            None | Some(_) => {}
        }
        Ok(())
    }

    /// When the issuer was seen to refuse the version, milliseconds since the Unix epoch.
    pub(super) fn dead_unix_ms(&self) -> Option<u64> {
        let ending = self.ending.as_ref().filter(|ending| ending.row.outcome == Some(Outcome::Done))?;
        ending.past.dead_unix_ms
    }
}

/// The incidents that are not over, or all of them; the newest first.
///
/// # Errors
/// An incident, the journal or the store cannot be read.
pub fn list(all: bool, installation: &Installation) -> Result<Vec<IncidentShown>, Problem> {
    let places = installation.places()?;
    let config = installation.config().ok();
    let mut shown = Vec::new();
    // Of one that is over by its own file the journal is not read.
    for incident in Files::of(&places).all()?.iter().filter(|one| all || !one.is_over()) {
        let one = self::shown(incident, config.as_ref(), &places)?;
        if all || !one.is_over() {
            shown.push(one);
        }
    }
    Ok(shown)
}

/// The incident whose id begins with `id`; without one, the only one that is not over.
pub(super) fn chosen(id: Option<&str>, installation: &Installation) -> Result<Incident, Problem> {
    let files = Files::of(&installation.places()?);
    let id = match id {
        Some(id) => id.to_owned(),
        None => {
            let problem = || Problem::new(Code::NameNotFound, "find the incident");
            let mut open = list(false, installation)?.into_iter();
            match (open.next(), open.next()) {
                (Some(only), None) => only.id,
                (None, _) => {
                    return Err(problem()
                        .because("no incident is open")
                        .help("keyroll incident list --all shows the others"));
                }
                (Some(_), Some(_)) => {
                    return Err(problem()
                        .because("several are open")
                        .help("name one by its id: keyroll incident list"));
                }
            }
        }
    };
    files.find(&id)
}

/// The whole id of an incident and its secret, as [`chosen`] finds it; none if it finds none.
pub fn subject(id: Option<&str>, installation: &Installation) -> Option<(String, Option<String>)> {
    let incident = chosen(id, installation).ok()?;
    let shown = shown(&incident, installation.config().ok().as_ref(), &installation.places().ok()?).ok()?;
    Some((incident.id, shown.secret))
}

/// Refuses an id that no incident, or several, have.
///
/// # Errors
/// It is such a one.
pub fn find(id: &str, installation: &Installation) -> Result<(), Problem> {
    Files::of(&installation.places()?).find(id).map(drop)
}

/// The incidents that cannot be read, each with the reason.
///
/// # Errors
/// Their folder cannot be read.
pub fn unreadable(installation: &Installation) -> Result<Vec<Problem>, Problem> {
    Files::of(&installation.places()?).unreadable()
}

/// One incident as it stands.
pub(super) fn shown(
    incident: &Incident,
    config: Option<&Config>,
    places: &Places,
) -> Result<IncidentShown, Problem> {
    let standing = Standing::of_incident(incident, config, places)?;
    Ok(shown_with(incident, standing.as_ref()))
}

/// One incident, whose standing was looked at already.
pub(super) fn shown_with(incident: &Incident, standing: Option<&Standing>) -> IncidentShown {
    let id = &incident.id;
    let mut shown = blank(incident);
    if let Some(standing) = standing {
        told(&mut shown, standing);
    }
    shown.why = shown.why.or_else(|| incident.why.clone());
    if let Some(dead) = incident.dead_unix_ms {
        (shown.state, shown.dead) = ("contained", Some(clock(dead)));
    }
    if let Some(closed) = &incident.closed {
        shown.state = "closed";
        (shown.why, shown.next) = (Some(closed.because.clone()), None);
    }
    match shown.state {
        "contained" => shown.next = Some(format!("keyroll incident report {id}")),
        "open" if incident.assessed.is_none() => shown.next = Some(format!("keyroll incident assess {id}")),
        "open" => shown.next = Some(way(incident)),
        _ => {}
    }
    shown
}

/// The command that goes on with an open incident.
fn way(incident: &Incident) -> String {
    let id = &incident.id;
    match &incident.subject {
        Subject::Stored { .. } => format!("keyroll incident contain {id} --roll-first"),
        Subject::Foreign { issuer: Some(_), .. } => {
            format!("keyroll incident contain {id} --revoke-now --confirm={id}")
        }
        Subject::Foreign { issuer: None, .. } => format!("keyroll incident close {id} --because REASON"),
        Subject::Unseen { .. } => {
            format!("keyroll incident close {id} --because REASON")
        }
    }
}

fn blank(incident: &Incident) -> IncidentShown {
    let alerts = u64::try_from(incident.alerts.len()).unwrap_or(u64::MAX);
    let mut sources: Vec<String> = incident.alerts.iter().map(|seen| seen.source.clone()).collect();
    sources.sort();
    sources.dedup();
    let (what, issuer) = match &incident.subject {
        Subject::Stored { secret, number } => (format!("{secret} v{number}"), None),
        Subject::Foreign { what, issuer, .. } => {
            let issuer = issuer.as_ref().map(Whose::text);
            let whose = issuer.as_ref().map(|issuer| format!(" of {issuer}")).unwrap_or_default();
            (format!("{what}: a key{whose} that keyroll does not manage"), issuer)
        }
        Subject::Unseen { what } => (format!("{what}: the alert has no value"), None),
    };
    IncidentShown {
        id: incident.id.clone(),
        opened: clock(incident.opened_unix_ms),
        state: "open",
        what,
        secret: incident.secret().map(str::to_owned),
        version: match &incident.subject {
            Subject::Stored { number, .. } => Some(*number),
            Subject::Foreign { .. } | Subject::Unseen { .. } => None,
        },
        label: None,
        issuer,
        alerts: alerts.saturating_add(incident.more_alerts),
        sources,
        places: incident.alerts.iter().filter_map(|seen| seen.place.clone()).collect(),
        acts: false,
        known: false,
        rotation: None,
        dead: None,
        why: None,
        next: None,
    }
}

/// What the journal and the store say.
fn told(shown: &mut IncidentShown, standing: &Standing) {
    let version = standing.version.as_ref();
    shown.label = version.map(|version| label(version.label));
    if let Some(label) = shown.label {
        shown.what = format!("{} ({label})", shown.what);
    }
    if !standing.configured {
        shown.why = Some("its secret is in keyroll.toml no more: keyroll cannot rotate it".to_owned());
    }
    let Some(Ending { row, .. }) = &standing.ending else {
        if let Some(row) = &standing.moves_to {
            shown.why = Some(format!("the open rotation {} moves consumers to this leaked key", row.id));
        } else if let Some(id) = &standing.taken_back {
            shown.state = "contained";
            shown.why =
                Some(format!("rotation {id} took it back, and its issuer accepted the end of this key"));
        } else if version.is_some_and(|version| version.label == Label::Retired) {
            shown.why = Some("its value was dropped; not visible whether its issuer refuses it".to_owned());
        }
        return;
    };
    shown.rotation = Some(row.id.clone());
    let ended = standing.dead_unix_ms();
    (shown.state, shown.why) = match row.outcome {
        Some(Outcome::Done) if ended.is_some() => ("contained", None),
        // Others have the key, or its end was not seen.
        Some(Outcome::Done) => return,
        _ if row.driver.is_some() => ("moving", None),
        Some(_) | None => {
            let waiting = row.waiting.as_ref().map(|waiting| format!("waiting for {}", waiting.what));
            ("waiting", row.why.clone().or(waiting))
        }
    };
    shown.next = row.next.clone();
    shown.dead = ended.map(clock);
}
