//! Opens incidents from alerts, and closes them.

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Label};
use keyroll_rotation::MintedBy;
use keyroll_scanner::Identity;
use keyroll_secret::SecretBytes;

use super::alert::Alert;
use super::file::{Closed, Files, INCIDENTS_MAX, Incident, OPEN_MAX, Seen, Subject, seal};
use super::github;
use super::matches::{Matcher, Meant, Stored};
use super::shown::IncidentShown;
use super::standing::{Standing, shown, shown_with};
use super::told::Told;
use crate::installation::Installation;
use crate::operator::{Operator, Phase};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::records::versions::kept;
use crate::reports::emergency::{open_rotation, row};
use crate::wiring::issuer::described;
use crate::wiring::open::{runtime, store};

/// The time within which emergencies that began by themselves count.
const BUDGET_MS: u64 = 24 * 3_600 * 1_000;
/// How often it is tried to begin the emergency of one incident.
const ATTEMPTS_MAX: u32 = 10;
/// Who tells of it, where no source does.
pub const OPERATOR: &str = "operator";

/// What incidents are opened from.
pub struct Opening<'a> {
    /// Who tells of it: the name of a source, or [`OPERATOR`].
    pub source: &'a str,
    /// What it tells.
    pub alerts: Vec<Alert>,
    /// This secret leaked: its current version.
    pub secret: Option<&'a str>,
    /// When the alert came, milliseconds since the Unix epoch; none = now.
    pub alerted_unix_ms: Option<u64>,
    /// An emergency may begin by itself, within the budget of the secret.
    pub acts: bool,
}

/// What alerts led to.
pub struct Opened {
    /// The incidents, one for each leaked key.
    pub incidents: Vec<IncidentShown>,
    /// Why some alerts opened none: the same document must be sent again.
    pub left_out: Option<Problem>,
}

/// What an alert leads to.
struct Found {
    incident: Incident,
    value: Option<SecretBytes>,
    alert: Seen,
    stored: Option<Stored>,
}

/// Opens an incident for each leaked key, or adds the alert to the one that is open.
///
/// # Errors
/// The store or the incidents cannot be read; nothing was opened.
pub fn open(
    mut opening: Opening<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Opened, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    if let Some(server) = &config.server {
        github::complete(&mut opening.alerts, &server.alerts, &places, operator)?;
    }
    let now = SystemClock::new().unix_ms();
    let at = opening.alerted_unix_ms.map_or(now, |at| at.min(now));
    let source = opening.source;
    let mut found = match opening.secret {
        Some(name) => vec![of_secret(name, source, at, &config, &places)?],
        None => of_alerts(opening.alerts, source, at, &config, installation)?,
    };
    // A flood of unknown keys must not keep out a stored one.
    found.sort_by_key(|one| match one.incident.subject {
        Subject::Stored { .. } => 0,
        Subject::Foreign { issuer: Some(_), .. } => 1,
        Subject::Foreign { issuer: None, .. } => 2,
        Subject::Unseen { .. } => 3,
    });
    let files = Files::of(&places);
    places.ensure()?;
    let _lock = files.lock()?;
    let mut book = Book { all: files.all()?, files, config: &config, places: &places, now };
    let mut opened = Opened { incidents: Vec::new(), left_out: None };
    let mut full = 0_usize;
    for one in found {
        let taken = match take(one, opening.acts, &mut book) {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                full += 1;
                continue;
            }
            Err(problem) => {
                opened.left_out = Some(problem);
                break;
            }
        };
        match opened.incidents.iter_mut().find(|other| other.id == taken.id) {
            Some(other) => {
                *other = IncidentShown {
                    acts: other.acts || taken.acts,
                    known: other.known && taken.known,
                    ..taken
                };
            }
            None => opened.incidents.push(taken),
        }
    }
    if full > 0 && opened.left_out.is_none() {
        opened.left_out = Some(
            Problem::new(Code::StateUnusable, "open an incident for each alert")
                .because(format!("{full} were left out: {OPEN_MAX} incidents of {source} are open already"))
                .help("contain or close some (keyroll incident list), and send it again"),
        );
    }
    Ok(opened)
}

fn of_secret(name: &str, source: &str, at: u64, config: &Config, places: &Places) -> Result<Found, Problem> {
    let secret = crate::configured::secret(config, name)?;
    let versions = runtime(places)?.block_on(kept(store(places)?.as_ref(), secret.name.as_str()))?;
    let current = versions.iter().find(|version| version.label == Label::Current).ok_or_else(|| {
        Problem::new(Code::NoCurrentValue, "open an incident")
            .because(format!("{name} has no current value"))
            .help(format!("keyroll secret show {name}"))
    })?;
    let (number, label) = (current.number, current.label);
    let stored = Stored { secret: name.to_owned(), number, label, by_chance: false };
    let alert = Seen { source: source.to_owned(), id: unique(source), unix_ms: at, place: None, since: None };
    Ok(Found { incident: of_stored(&stored, at), value: None, alert, stored: Some(stored) })
}

/// A person who tells of a leak again tells of another one.
fn unique(source: &str) -> Option<String> {
    (source == OPERATOR).then(|| uuid::Uuid::new_v4().simple().to_string())
}

fn of_stored(stored: &Stored, at: u64) -> Incident {
    let Stored { secret, number, .. } = stored;
    let subject = Subject::Stored { secret: secret.clone(), number: *number };
    Incident::new(format!("{secret} v{number}"), subject, at)
}

fn of_alerts(
    alerts: Vec<Alert>,
    source: &str,
    at: u64,
    config: &Config,
    installation: &Installation,
) -> Result<Vec<Found>, Problem> {
    let matcher = Matcher::new(config, installation)?;
    let mut all = Vec::new();
    for alert in alerts {
        let meanings = matcher.of(&alert);
        let foreign = meanings.iter().filter_map(|meant| match meant {
            Meant::Foreign { value, .. } => Some(value),
            Meant::Stored(_) | Meant::Staged { .. } | Meant::Unseen => None,
        });
        let told = Told::of(alert.value.iter().chain(foreign).chain(matcher.values_of(&meanings)));
        let seen = Seen {
            source: source.to_owned(),
            id: alert.id.as_deref().map(|id| told.line(id)).or_else(|| unique(source)),
            unix_ms: at,
            place: alert.place.as_deref().map(|place| told.address(place)),
            since: alert.since.as_deref().map(|since| told.line(since)),
        };
        let what = told.line(&alert.kind);
        for meant in meanings {
            let (alert_seen, what) = (seen.clone(), what.clone());
            all.push(match meant {
                Meant::Stored(stored) => Found {
                    incident: of_stored(&stored, at),
                    value: None,
                    alert: alert_seen,
                    stored: Some(stored),
                },
                Meant::Foreign { issuer, value } => {
                    let identity = Identity::of(&matcher.identity.fingerprint(&value)).to_string();
                    let subject = Subject::Foreign { what, issuer, sealed: None };
                    let incident = Incident::new(identity, subject, at);
                    Found { incident, value: Some(value), alert: alert_seen, stored: None }
                }
                Meant::Staged { rotation } => {
                    let identity = format!("staged {rotation}");
                    let mut incident = Incident::new(identity, Subject::Unseen { what }, at);
                    incident.why = Some(format!(
                        "it is the new key that a person brought for the open rotation {rotation}: abort that one, and \
                         bring another key"
                    ));
                    Found { incident, value: None, alert: alert_seen, stored: None }
                }
                Meant::Unseen => {
                    let named = seen.id.clone().or_else(|| seen.place.clone()).unwrap_or_default();
                    let identity = format!("{source} {what} {named}");
                    let mut incident = Incident::new(identity, Subject::Unseen { what }, at);
                    incident.why = alert.missing.as_deref().map(|why| told.line(why));
                    Found { incident, value: None, alert: alert_seen, stored: None }
                }
            });
        }
    }
    Ok(all)
}

/// The incidents, while they are locked.
struct Book<'a> {
    all: Vec<Incident>,
    files: Files,
    config: &'a Config,
    places: &'a Places,
    now: u64,
}

/// Adds one alert to the incidents; none if too many of its source are open.
fn take(found: Found, acts: bool, book: &mut Book<'_>) -> Result<Option<IncidentShown>, Problem> {
    let (config, places, now) = (book.config, book.places, book.now);
    let Found { incident, value, alert, stored } = found;
    // After somebody closed an incident, another alert of the same key is another incident; the same alert is not.
    let same = book.all.iter().position(|other| {
        let goes_on = other.closed.as_ref().is_none_or(|closed| closed.was_dead);
        other.identity == incident.identity && (goes_on || !other.clone().see(alert.clone()))
    });
    let mut incident = match same {
        Some(at) => book.all.remove(at),
        // Stored versions are few, and each of them matters.
        None if stored.is_none()
            && book.all.iter().filter(|one| one.is_open_of(&alert.source)).count() >= OPEN_MAX =>
        {
            return Ok(None);
        }
        None => incident,
    };
    if same.is_none() && book.all.len() >= INCIDENTS_MAX {
        forget_oldest(&mut book.all, &book.files)?;
    }
    let is_new = incident.see(alert);
    if let (Subject::Foreign { sealed: sealed @ None, .. }, Some(value), None) =
        (&mut incident.subject, &value, &incident.closed)
    {
        *sealed = Some(seal(&incident.id, value, places)?);
    }
    let mut begins = false;
    let standing = Standing::of_incident(&incident, Some(config), places)?;
    if let (Some(stored), Some(standing), None) = (&stored, &standing, &incident.closed) {
        if let Some(dead) = standing.dead_unix_ms() {
            // One that was open is over by its rotation, which its row tells.
            if same.is_none() {
                let because = format!("it was dead already: seen at {}", clock(dead));
                incident.closed = Some(Closed { unix_ms: now, because, was_dead: true });
            }
        } else if acts {
            match may_begin(&incident, stored, standing, book)? {
                Ok(()) => {
                    incident.acted_unix_ms.get_or_insert(now);
                    incident.contain_unix_ms.get_or_insert(now);
                    begins = true;
                }
                Err(why) => incident.why = Some(why),
            }
        }
    }
    book.files.save(&incident)?;
    let shown = shown_with(&incident, standing.as_ref());
    book.all.insert(0, incident);
    Ok(Some(IncidentShown { acts: begins, known: !is_new, ..shown }))
}

/// Makes room for an incident: the oldest one that is over is forgotten.
fn forget_oldest(all: &mut Vec<Incident>, files: &Files) -> Result<(), Problem> {
    if let Some(at) = all.iter().rposition(Incident::is_over) {
        files.remove(&all.remove(at).id)?;
    }
    Ok(())
}

/// Whether an emergency may begin by itself; or why not.
fn may_begin(
    incident: &Incident,
    stored: &Stored,
    standing: &Standing,
    book: &Book<'_>,
) -> Result<Result<(), String>, Problem> {
    let Book { all, config, places, now, .. } = book;
    let Ok(secret) = config.secret(&stored.secret) else {
        return Ok(Err("its secret is not configured".to_owned()));
    };
    if secret.emergencies_per_day == 0 {
        return Ok(Err("alerts may begin no emergency of it (emergencies_per_day = 0)".to_owned()));
    }
    if incident.attempts >= ATTEMPTS_MAX {
        let given_up = format!("{ATTEMPTS_MAX} attempts to begin its emergency failed; the last one: ");
        let why = incident.why.clone().unwrap_or_default();
        // An alert after that one finds the sentence there already.
        return Ok(Err(if why.starts_with(&given_up) { why } else { given_up + &why }));
    }
    if stored.by_chance {
        return Ok(Err("its value is so short that it may stand there by chance".to_owned()));
    }
    if let Some(row) = &standing.moves_to {
        return Ok(Err(format!("the open rotation {} moves consumers to it", row.id)));
    }
    if incident.acted_unix_ms.is_some_and(|acted| standing.last_unix_ms.is_some_and(|last| last >= acted)) {
        return Ok(Err("an emergency began by itself before: the next one is for a person".to_owned()));
    }
    if let Some(open) = open_rotation(&stored.secret, places)? {
        if open.emergency {
            return Ok(Err("an emergency of it is open already".to_owned()));
        }
        let row = row(&open.id, places)?;
        // Somebody decided that, or must decide something.
        if row.phase == Some(Phase::RollingBack) || row.why.is_some() || row.person {
            return Ok(Err(format!(
                "its rotation {} is open, and waits for a person or rolls back",
                open.id
            )));
        }
    } else if by_hand(secret)? {
        return Ok(Err("its issuer has no API that makes a key: a person must bring one".to_owned()));
    }
    let ends = standing.ending.as_ref().is_some_and(|ending| !ending.row.ended);
    if stored.label != Label::Current && !ends {
        return Ok(Err("no consumer should use this version, and no rotation ends it".to_owned()));
    }
    // One that was counted, and never came to a rotation, is begun again.
    if incident.acted_unix_ms.is_some_and(|acted| now.abs_diff(acted) < BUDGET_MS) {
        return Ok(Ok(()));
    }
    let counts = |one: &&Incident| {
        one.secret() == Some(stored.secret.as_str())
            && one.acted_unix_ms.is_some_and(|at| now.abs_diff(at) < BUDGET_MS)
    };
    let (begun, most) = (all.iter().filter(counts).count(), secret.emergencies_per_day);
    if begun >= usize::try_from(most).unwrap_or(usize::MAX) {
        let hours = BUDGET_MS / 3_600_000;
        return Ok(Err(format!(
            "{begun} of {most} emergencies that alerts may begin within {hours} h began already \
             (emergencies_per_day)"
        )));
    }
    Ok(Ok(()))
}

fn by_hand(secret: &Secret) -> Result<bool, Problem> {
    let spec = described(secret)?.spec;
    Ok(spec.is_some_and(|spec| spec.capabilities().minted_by == MintedBy::Human))
}

/// The incidents whose emergency was to begin by itself, did not come to a rotation, and may still begin: their ids, each
/// with its secret. What is not readable is for a person.
///
/// # Errors
/// The configuration or the incidents cannot be read.
pub fn unbegun(installation: &Installation) -> Result<Vec<(String, String)>, Problem> {
    let places = installation.places()?;
    let files = Files::of(&places);
    let mut all = Vec::new();
    for incident in files.all()? {
        if let (true, Subject::Stored { secret, .. }) = (is_counted(&incident), &incident.subject)
            && let Ok(Ok(())) = may_begin_now(&incident, installation)
        {
            all.push((incident.id.clone(), secret.clone()));
        }
    }
    Ok(all)
}

/// It was to begin an emergency within the last day.
fn is_counted(incident: &Incident) -> bool {
    let now = SystemClock::new().unix_ms();
    incident.closed.is_none() && incident.acted_unix_ms.is_some_and(|acted| now.abs_diff(acted) < BUDGET_MS)
}

/// Whether the emergency of an incident that was counted may begin now; or why not. An operator may have done something
/// since.
pub(super) fn may_begin_now(
    incident: &Incident,
    installation: &Installation,
) -> Result<Result<(), String>, Problem> {
    let Subject::Stored { secret, number } = &incident.subject else {
        return Ok(Err("keyroll does not manage its key".to_owned()));
    };
    if !is_counted(incident) {
        return Ok(Err("it is closed, or its alert is more than a day old".to_owned()));
    }
    let (config, places) = (installation.config()?, installation.places()?);
    let standing = Standing::of(secret, *number, Some(&config), &places)?;
    let Some(label) = standing.version.as_ref().map(|version| version.label) else {
        return Ok(Err("its version is not stored any more".to_owned()));
    };
    if standing.dead_unix_ms().is_some() {
        return Ok(Err("its key is dead".to_owned()));
    }
    let stored = Stored { secret: secret.clone(), number: *number, label, by_chance: false };
    let files = Files::of(&places);
    let now = SystemClock::new().unix_ms();
    let book = Book { all: files.all()?, files, config: &config, places: &places, now };
    may_begin(incident, &stored, &standing, &book)
}

/// Closes an incident: nobody works on it any more. A leaked value that keyroll does not manage is dropped.
///
/// # Errors
/// No incident has this id, or its file cannot be written.
pub fn close(id: &str, because: &str, installation: &Installation) -> Result<IncidentShown, Problem> {
    let because = Told::of([]).line(because);
    let places = installation.places()?;
    let config = installation.config().ok();
    let (files, now) = (Files::of(&places), SystemClock::new().unix_ms());
    let before = files.find(id)?;
    let before = shown(&before, config.as_ref(), &places)?;
    let incident = files.change(&before.id, |incident| {
        incident.closed = Some(Closed { unix_ms: now, because, was_dead: false });
        if let Subject::Foreign { sealed, .. } = &mut incident.subject {
            *sealed = None;
        }
    })?;
    // What its rotation waits for stays to be done.
    let left = matches!(before.state, "moving" | "waiting");
    let shown = shown(&incident, config.as_ref(), &places)?;
    Ok(IncidentShown { next: before.next.filter(|_| left), ..shown })
}

/// Opens a closed incident again.
///
/// # Errors
/// No incident has this id, or its file cannot be written.
pub fn reopen(id: &str, installation: &Installation) -> Result<IncidentShown, Problem> {
    let places = installation.places()?;
    let files = Files::of(&places);
    let id = files.find(id)?.id;
    let incident = files.change(&id, |incident| incident.closed = None)?;
    shown(&incident, installation.config().ok().as_ref(), &places)
}
