//! Opens incidents from alerts, and closes them.

use std::time::Duration;

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_host::SystemClock;
use keyroll_needle::{NeedleId, Needles};
use keyroll_port::{Clock as _, Label};
use keyroll_rotation::MintedBy;
use keyroll_scanner::Identity;
use keyroll_secret::SecretBytes;

use super::alert::Alert;
use super::file::{Closed, Files, INCIDENTS_MAX, Incident, OPEN_MAX, Seen, Subject, seal};
use super::github;
use super::matches::{Matcher, Meant, Stored};
use super::shown::IncidentShown;
use super::standing::{Standing, shown};
use crate::installation::Installation;
use crate::operator::{Event, Operator, plain};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::records::versions::kept;
use crate::redact;
use crate::reports::emergency::open_rotation;
use crate::wiring::issuer::described;
use crate::wiring::open::{runtime, store};

/// The time within which emergencies that began by themselves count.
const BUDGET_MS: u64 = 24 * 3_600 * 1_000;
/// The longest text of an alert that is kept, characters.
const SHOWN_CHARS_MAX: usize = 300;

/// What incidents are opened from.
pub struct Opening<'a> {
    /// Who tells of it: the name of a source, or `operator`.
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
/// The store or an incident cannot be read or written, or too many incidents are open; those before it were opened.
pub fn open(
    mut opening: Opening<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Vec<IncidentShown>, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    if let Some(server) = &config.server {
        github::complete(&mut opening.alerts, &server.alerts, &places, operator)?;
    }
    let now = SystemClock::new().unix_ms();
    let at = opening.alerted_unix_ms.map_or(now, |at| at.min(now));
    let mut found = match opening.secret {
        Some(name) => vec![of_secret(name, at, &config, &places)?],
        None => of_alerts(opening.alerts, opening.source, at, &config, installation)?,
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
    let mut opened: Vec<IncidentShown> = Vec::new();
    let mut left_out = 0_usize;
    for mut one in found {
        one.alert.source = opening.source.to_owned();
        let Some(taken) = take(one, opening.acts, &mut book)? else {
            left_out += 1;
            continue;
        };
        match opened.iter_mut().find(|other| other.id == taken.id) {
            Some(other) => *other = IncidentShown { acts: other.acts || taken.acts, ..taken },
            None => opened.push(taken),
        }
    }
    if left_out > 0 {
        let why = format!("{OPEN_MAX} incidents are open already: contain or close some, and send it again");
        operator.event(Event::NotVisible { what: format!("{left_out} further alerts"), why });
    }
    Ok(opened)
}

fn of_secret(name: &str, at: u64, config: &Config, places: &Places) -> Result<Found, Problem> {
    let secret = crate::configured::secret(config, name)?;
    let versions = runtime(places)?.block_on(kept(store(places)?.as_ref(), secret.name.as_str()))?;
    let current = versions.iter().find(|version| version.label == Label::Current).ok_or_else(|| {
        Problem::new(Code::NoCurrentValue, "open an incident")
            .because(format!("{name} has no current value"))
            .help(format!("keyroll secret show {name}"))
    })?;
    let stored =
        Stored { secret: name.to_owned(), number: current.number, label: current.label, by_chance: false };
    let alert = Seen { source: String::new(), id: None, unix_ms: at, place: None, since: None };
    Ok(Found { incident: of_stored(&stored, at), value: None, alert, stored: Some(stored) })
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
    let mut builder = Needles::builder();
    let values = alerts.iter().filter_map(|alert| alert.value.as_ref());
    for (value, number) in values.zip(0..) {
        builder = builder.add(NeedleId(number), value).name(NeedleId(number), "value");
    }
    // A value that is too long to be looked for is too long for a line that is shown.
    let hides = builder.build().ok();
    let matcher = Matcher::new(config, installation)?;
    let one = |mut alert: Alert| {
        let meant = matcher.of(&mut alert);
        let told = |text: &str| told(text, hides.as_ref());
        let seen = Seen {
            source: source.to_owned(),
            id: alert.id.as_deref().map(told),
            unix_ms: at,
            place: alert.place.as_deref().map(told),
            since: alert.since.as_deref().map(told),
        };
        let what = told(&alert.kind);
        match meant {
            Meant::Stored(stored) => {
                Found { incident: of_stored(&stored, at), value: None, alert: seen, stored: Some(stored) }
            }
            Meant::Foreign { issuer, value } => {
                let identity = Identity::of(&matcher.identity.fingerprint(&value)).to_string();
                let subject = Subject::Foreign { what, issuer, sealed: None };
                let incident = Incident::new(identity, subject, at);
                Found { incident, value: Some(value), alert: seen, stored: None }
            }
            Meant::Unseen => {
                let named = seen.id.clone().or_else(|| seen.place.clone()).unwrap_or_default();
                let identity = format!("{source} {what} {named}");
                let mut incident = Incident::new(identity, Subject::Unseen { what }, at);
                incident.not_acted = alert.missing.as_deref().map(told);
                Found { incident, value: None, alert: seen, stored: None }
            }
        }
    };
    Ok(alerts.into_iter().map(one).collect())
}

/// A text of an alert that may be shown: short, on one line, without a value.
fn told(text: &str, hides: Option<&Needles>) -> String {
    let clean = hides.map(|needles| needles.redact_text(text).into_owned());
    let clean = redact::pass(clean.as_deref().unwrap_or(text)).into_owned();
    plain(&clean.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

/// The incidents, while they are locked.
struct Book<'a> {
    all: Vec<Incident>,
    files: Files,
    config: &'a Config,
    places: &'a Places,
    now: u64,
}

/// Adds one alert to the incidents; none if too many are open.
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
        None if stored.is_none() && book.all.iter().filter(|one| !one.is_over()).count() >= OPEN_MAX => {
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
    if let Some(stored) = &stored
        && incident.closed.is_none()
        && incident.acted_unix_ms.is_none()
    {
        let standing = Standing::of(&stored.secret, stored.number, Some(config), places)?;
        if let Some(dead) = standing.dead_unix_ms() {
            let because = format!("it was dead already: seen at {}", clock(dead));
            incident.closed = Some(Closed { unix_ms: now, because, was_dead: true });
        } else if acts {
            match may_begin(stored, &standing, book)? {
                Ok(()) => {
                    (incident.acted_unix_ms, incident.contain_unix_ms) = (Some(now), Some(now));
                    (incident.not_acted, begins) = (None, true);
                }
                Err(why) => incident.not_acted = Some(why),
            }
        }
    }
    book.files.save(&incident)?;
    let shown = shown(&incident, Some(config), places)?;
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
fn may_begin(stored: &Stored, standing: &Standing, book: &Book<'_>) -> Result<Result<(), String>, Problem> {
    let Book { all, config, places, now, .. } = book;
    let Ok(secret) = config.secret(&stored.secret) else {
        return Ok(Err("its secret is not configured".to_owned()));
    };
    if stored.by_chance {
        return Ok(Err("its value is so short that it may stand there by chance".to_owned()));
    }
    if let Some(row) = &standing.moves_to {
        return Ok(Err(format!("the open rotation {} moves consumers to it", row.id)));
    }
    let open = open_rotation(&stored.secret, places)?;
    if open.as_ref().is_some_and(|open| open.emergency) {
        return Ok(Err("an emergency of it is open already".to_owned()));
    }
    let ends = standing.ending.as_ref().is_some_and(|ending| !ending.row.ended);
    if stored.label != Label::Current && !ends {
        return Ok(Err("no consumer should use this version, and no rotation ends it".to_owned()));
    }
    if open.is_none() && by_hand(secret)? {
        return Ok(Err("its issuer has no API that makes a key: a person must bring one".to_owned()));
    }
    let counts = |one: &&Incident| {
        one.secret() == Some(stored.secret.as_str())
            && one.acted_unix_ms.is_some_and(|at| now.abs_diff(at) < BUDGET_MS)
    };
    let (begun, most) = (all.iter().filter(counts).count(), secret.emergencies_per_day);
    if begun >= usize::try_from(most).unwrap_or(usize::MAX) {
        let hours = Duration::from_millis(BUDGET_MS).as_secs() / 3_600;
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

/// Closes an incident: nobody works on it any more. A leaked value that keyroll does not manage is dropped.
///
/// # Errors
/// No incident has this id, or its file cannot be written.
pub fn close(id: &str, because: &str, installation: &Installation) -> Result<IncidentShown, Problem> {
    let because = told(because, None);
    set(id, installation, |incident, now| {
        incident.closed = Some(Closed { unix_ms: now, because, was_dead: false });
        if let Subject::Foreign { sealed, .. } = &mut incident.subject {
            *sealed = None;
        }
    })
}

/// Opens a closed incident again.
///
/// # Errors
/// No incident has this id, or its file cannot be written.
pub fn reopen(id: &str, installation: &Installation) -> Result<IncidentShown, Problem> {
    set(id, installation, |incident, _| incident.closed = None)
}

fn set(
    id: &str,
    installation: &Installation,
    change: impl FnOnce(&mut Incident, u64),
) -> Result<IncidentShown, Problem> {
    let places = installation.places()?;
    let files = Files::of(&places);
    let incident = files.find(Some(id))?;
    let now = SystemClock::new().unix_ms();
    let incident = files.change(&incident.id, |incident| change(incident, now))?;
    shown(&incident, installation.config().ok().as_ref(), &places)
}
