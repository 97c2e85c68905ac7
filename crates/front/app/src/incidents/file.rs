//! The files of the incidents: one per incident, replaced in one step.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use keyroll_codes::Code;
use keyroll_secret::{Binding, SecretBytes};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::lock_file::lock;
use crate::places::{Places, make_folder};
use crate::problem::Problem;
use crate::records::state_file::{load, replace};
use crate::wiring::sealing::sealing_key;

/// The form of a file.
const VERSION: u32 = 1;
/// The most incidents of a state folder; the oldest that is over makes room.
pub(super) const INCIDENTS_MAX: usize = 10_000;
/// The most open incidents of one source, without those of stored keys: a flood of one source must not fill the disk, nor
/// keep out another source.
pub(super) const OPEN_MAX: usize = 500;
/// The alerts of one incident that are listed; more are counted.
const ALERTS_MAX: usize = 50;
/// The hexadecimal digits of an id.
const ID_DIGITS: usize = 10;

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident {
    pub version: u32,
    pub id: String,
    pub opened_unix_ms: u64,
    /// A keyed hash of the leaked value, or of the alert if it has none.
    pub identity: String,
    pub subject: Subject,
    pub alerts: Vec<Seen>,
    /// Further alerts, which are not listed.
    pub more_alerts: u64,
    /// When it began an emergency by itself.
    pub acted_unix_ms: Option<u64>,
    /// Why it did not begin one, or why that failed; or why the value is missing.
    pub why: Option<String>,
    /// How often it was tried to begin that emergency.
    #[serde(default)]
    pub attempts: u32,
    /// When somebody began to contain it, or it did so itself.
    pub contain_unix_ms: Option<u64>,
    /// Its issuer was seen to accept the value: of a key that keyroll does not manage.
    #[serde(default)]
    pub seen_alive: bool,
    /// What was found about it.
    pub assessed: Option<Assessed>,
    /// When the issuer was seen to refuse the value: of a key that keyroll does not manage.
    pub dead_unix_ms: Option<u64>,
    pub closed: Option<Closed>,
}

/// What leaked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Subject {
    /// A version of a stored secret.
    Stored { secret: String, number: u32 },
    /// A value that keyroll does not manage. `sealed`: the value, until the incident is closed.
    Foreign { what: String, issuer: Option<Whose>, sealed: Option<String> },
    /// The alert has no value.
    Unseen { what: String },
}

/// The issuer of a key that keyroll does not manage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whose {
    /// That of this configured secret: the value has the form of its keys.
    Secret(String),
    /// A shipped one: a rule for its keys found the value.
    Shipped(String),
}

impl Whose {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Secret(name) => format!("the issuer of {name}"),
            Self::Shipped(name) => name.clone(),
        }
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub source: String,
    pub id: Option<String>,
    pub unix_ms: u64,
    pub place: Option<String>,
    pub since: Option<String>,
}

/// What an assessment found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assessed {
    pub unix_ms: u64,
    pub alive: String,
    pub users: Vec<String>,
    pub copies: Vec<String>,
    pub exposed: Vec<String>,
    pub first_exposed: Option<String>,
    pub stops: Vec<String>,
    pub not_visible: Vec<String>,
}

/// Why nobody works on it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    pub unix_ms: u64,
    pub because: String,
    /// The key was dead before the incident was opened.
    #[serde(default)]
    pub was_dead: bool,
}

impl Incident {
    pub(super) fn new(identity: String, subject: Subject, unix_ms: u64) -> Self {
        let random = Uuid::new_v4().simple().to_string();
        Self {
            version: VERSION,
            id: random.chars().take(ID_DIGITS).collect(),
            opened_unix_ms: unix_ms,
            identity,
            subject,
            alerts: Vec::new(),
            more_alerts: 0,
            acted_unix_ms: None,
            attempts: 0,
            why: None,
            contain_unix_ms: None,
            seen_alive: false,
            assessed: None,
            dead_unix_ms: None,
            closed: None,
        }
    }

    /// Adds an alert. Returns false if it is known already.
    pub(super) fn see(&mut self, seen: Seen) -> bool {
        // One that has neither an id nor a place cannot be told from another one.
        let same = |other: &Seen| match (&seen.id, &other.id) {
            (Some(id), Some(other_id)) => id == other_id && seen.source == other.source,
            (_, _) => seen.place.is_some() && seen.source == other.source && seen.place == other.place,
        };
        if self.alerts.iter().any(same) {
            return false;
        }
        match self.alerts.len() < ALERTS_MAX {
            true => self.alerts.push(seen),
            false => self.more_alerts += 1,
        }
        true
    }

    /// Nobody needs to act any more, as far as this file says.
    pub(super) fn is_over(&self) -> bool {
        self.closed.is_some() || self.dead_unix_ms.is_some()
    }

    /// Counts for the limit of its source.
    pub(super) fn is_open_of(&self, source: &str) -> bool {
        let first = self.alerts.first().is_some_and(|seen| seen.source == source);
        first && self.secret().is_none() && !self.is_over()
    }

    /// The secret of which it leaked a version.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.subject {
            Subject::Stored { secret, .. } => Some(secret),
            Subject::Foreign { .. } | Subject::Unseen { .. } => None,
        }
    }
}

/// The incidents of a state folder.
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn of(places: &Places) -> Self {
        Self { folder: places.incidents() }
    }

    /// The lock under which incidents are changed.
    pub(super) fn lock(&self) -> Result<File, Problem> {
        let made = make_folder(&self.folder);
        let locked = made.and_then(|()| lock(&self.folder.join("lock"), FlockOperation::LockExclusive));
        locked.map_err(|error| {
            Problem::new(Code::StateUnusable, format!("lock {}", self.folder.display())).because_of(&error)
        })
    }

    /// Every incident, the newest first. One that cannot be read does not hide the others.
    pub(super) fn all(&self) -> Result<Vec<Incident>, Problem> {
        let mut all = Vec::new();
        for path in self.paths()? {
            // One that another process removed meanwhile is skipped.
            all.extend(load::<Option<Incident>>(&path).ok().flatten());
        }
        all.sort_by_key(|one| (std::cmp::Reverse(one.opened_unix_ms), one.id.clone()));
        Ok(all)
    }

    /// The files that cannot be read, each with the reason.
    pub(super) fn unreadable(&self) -> Result<Vec<Problem>, Problem> {
        let read = |path: &PathBuf| load::<Option<Incident>>(path).err();
        Ok(self.paths()?.iter().filter_map(read).collect())
    }

    fn paths(&self) -> Result<Vec<PathBuf>, Problem> {
        let unread =
            || Problem::new(Code::StateUnusable, format!("read the folder {}", self.folder.display()));
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unread().because_of(&error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unread().because_of(&error))?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.extension().is_some_and(|end| end == "json") && !hidden {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// The incident whose id begins with `id`.
    pub(super) fn find(&self, id: &str) -> Result<Incident, Problem> {
        let problem =
            Problem::new(Code::NameNotFound, "find the incident").help("keyroll incident list --all");
        let mut found = self.all()?.into_iter().filter(|one| !id.is_empty() && one.id.starts_with(id));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(problem.because("no incident has this id in this state folder")),
            (Some(_), Some(_)) => Err(problem.because("several ids begin with these characters")),
        }
    }

    /// Changes an incident as it is in its file now.
    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Incident)) -> Result<Incident, Problem> {
        let _lock = self.lock()?;
        let path = self.path(id);
        let mut now = load::<Option<Incident>>(&path)?.ok_or_else(|| {
            Problem::new(Code::NameNotFound, "find the incident").because("no incident has this id")
        })?;
        change(&mut now);
        self.save(&now).map(|()| now)
    }

    /// Writes an incident; the caller has the lock.
    pub(super) fn save(&self, incident: &Incident) -> Result<(), Problem> {
        replace(&self.path(&incident.id), incident)
    }

    /// Removes the file of an incident; the caller has the lock.
    #[expect(clippy::disallowed_methods, reason = "makes room for other incidents")]
    pub(super) fn remove(&self, id: &str) -> Result<(), Problem> {
        fs::remove_file(self.path(id)).map_err(|error| {
            Problem::new(Code::StateUnusable, "forget the oldest incident").because_of(&error)
        })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn binding(incident: &str) -> Vec<u8> {
    Binding { tenant: "local", secret: incident, version: "leaked" }.to_aad()
}

fn unsealed(attempted: &str) -> Problem {
    Problem::new(Code::SealingKeyUnusable, format!("{attempted} the value of the incident"))
}

/// Seals a leaked value for its incident.
pub(super) fn seal(incident: &str, value: &SecretBytes, places: &Places) -> Result<String, Problem> {
    let sealed = sealing_key(places)?.seal(&binding(incident), value.expose());
    let sealed = sealed.map_err(|error| unsealed("seal").because_of(&error))?;
    Ok(BASE64_STANDARD_NO_PAD.encode(sealed))
}

/// The leaked value of an incident of a key that keyroll does not manage; none if the alert had no value, or the incident
/// was closed.
pub(super) fn leaked(incident: &Incident, places: &Places) -> Result<Option<SecretBytes>, Problem> {
    let Subject::Foreign { sealed: Some(sealed), .. } = &incident.subject else { return Ok(None) };
    let sealed = BASE64_STANDARD_NO_PAD.decode(sealed);
    let sealed = sealed.map_err(|error| unsealed("read").because_of(&error))?;
    let value = sealing_key(places)?.open(&binding(&incident.id), &sealed);
    let value = value.map_err(|error| unsealed("open").because_of(&error))?;
    crate::redact::remember(&value);
    Ok(Some(value))
}
