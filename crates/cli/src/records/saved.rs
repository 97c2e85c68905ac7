//! A plan as it is saved: everything that it saw, by keyed digests, so that a stale one is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keyroll_port::Recorded;
use keyroll_rotation::Fact;
use serde::{Deserialize, Serialize};

use crate::context::chosen_id;
use crate::places::Places;
use crate::problem::Problem;

/// The version of the saved form.
const VERSION: u32 = 1;

/// The largest saved plan, bytes.
const PLAN_BYTES_MAX: u64 = 4 << 20;

/// A saved plan. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) from_version: u32,
    pub(crate) made_unix_ms: u64,
    /// The configuration file, absolute, and its text when the plan was made: it has references only.
    pub(crate) config_file: PathBuf,
    pub(crate) config_text: String,
    pub(crate) bound: bool,
    pub(crate) denied_is_alive: bool,
    pub(crate) recovery: bool,
    /// Holders and copies that were waived by name, with the reason.
    pub(crate) seen: SeenAll,
    /// What the new credential copies of the one in use; a plan of before this was written down has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<String>,
    /// When the alert came that this answers, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alerted_unix_ms: Option<u64>,
    /// What was accepted that restarts make live beside the value, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) accepted: Vec<String>,
    /// Of a split: who gets which secret, in this order. Each is a rotation of its own, and so is the end of the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shares: Vec<Share>,
    /// What this has to do with a key that several consumers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<Family>,
}

/// One consumer of a split, and the secret that it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    pub(crate) consumer: String,
    pub(crate) secret: String,
}

/// A rotation about a key that several consumers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Family {
    /// A consumer gets a key of its own in place of this version, which is kept.
    Member {
        from: String,
        version: u32,
        /// The plan of the split.
        split: String,
    },
    /// The key is ended, and none takes its place.
    End {
        /// By the consumers that shared it the secrets that they have now.
        own: BTreeMap<String, String>,
        /// The plan of the split, where it is its last step.
        split: Option<String>,
    },
    /// The shared key itself is replaced in an emergency, while rotations that give consumers of it a key of their own
    /// are open. Those are not among its consumers.
    Leaked { apart: Vec<Apart> },
}

/// A consumer that an open rotation gives a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apart {
    pub(crate) rotation: String,
    pub(crate) secret: String,
    pub(crate) consumer: String,
}

impl Family {
    /// The plan of the split that it belongs to.
    pub(crate) fn split(&self) -> Option<&str> {
        match self {
            Self::Member { split, .. } => Some(split),
            Self::End { split, .. } => split.as_deref(),
            Self::Leaked { .. } => None,
        }
    }
}

/// What was seen. Two looks are compared line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenAll {
    /// Per file where it leads and a keyed digest of its content.
    pub(crate) files: BTreeMap<PathBuf, SeenFile>,
    /// Per consumer how many processes run, by executable.
    pub(crate) processes: BTreeMap<String, BTreeMap<String, u32>>,
    /// The issuer's ids.
    pub(crate) issuer_ids: Vec<String>,
    /// Copies of the value that no consumer names.
    pub(crate) unexplained: Vec<String>,
    /// A keyed digest of what the issuer can do, where it is asked, and its spec.
    #[serde(default)]
    pub(crate) issuer: String,
    /// Where credentials may be sent; none in a plan of before this was written down.
    #[serde(default)]
    pub(crate) reach: Vec<String>,
    /// What restarts would make live beside the value: by name a keyed digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) live: BTreeMap<String, u64>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenFile {
    pub(crate) real: PathBuf,
    pub(crate) digest: String,
}

impl SeenAll {
    /// The lines that differ, for a person.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, before) in &self.files {
            match now.files.get(path) {
                None => lines.push(format!("{} is gone", path.display())),
                Some(after) if after.real != before.real => {
                    lines.push(format!("{} leads to {} now", path.display(), after.real.display()));
                }
                Some(after) if after.digest != before.digest => {
                    lines.push(format!("{} has other content", path.display()));
                }
                Some(_) => {}
            }
        }
        for (name, before) in &self.processes {
            let after = now.processes.get(name);
            if after != Some(before) {
                lines.push(format!("the processes of '{name}' are others (by number or executable)"));
            }
        }
        for id in now.issuer_ids.iter().filter(|id| !self.issuer_ids.contains(id)) {
            lines.push(format!("the issuer lists another credential: {id}"));
        }
        for id in self.issuer_ids.iter().filter(|id| !now.issuer_ids.contains(id)) {
            lines.push(format!("the issuer does not list this credential any more: {id}"));
        }
        if self.issuer != now.issuer {
            lines.push("the issuer's spec says something else".to_owned());
        }
        if self.unexplained != now.unexplained {
            lines.push("other copies of the value lie around".to_owned());
        }
        lines
    }
}

fn not_found() -> Problem {
    Problem::new("K0824", "find the plan").help("keyroll plan SECRET makes one and prints its id")
}

impl Saved {
    pub(crate) const fn form() -> u32 {
        VERSION
    }

    fn folder(places: &Places) -> PathBuf {
        places.state.join("plans")
    }

    /// Writes the plan; a plan is never changed.
    pub(crate) fn write(&self, places: &Places) -> Result<PathBuf, Problem> {
        let folder = Self::folder(places);
        let path = folder.join(format!("{}.json", self.id));
        let attempted = || Problem::new("K0823", format!("save the plan {}", path.display()));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| attempted().because_of(&error))?;
        let text = self.text()?;
        let open = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let written =
            open.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|error| attempted().because_of(&error))?;
        Ok(path)
    }

    /// The plan as it stands in the journal.
    pub(crate) fn text(&self) -> Result<String, Problem> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Problem::new("K0823", "write the plan down").because_of(&error))
    }

    /// Reads a saved plan back.
    pub(crate) fn load(places: &Places, id: &str) -> Result<Self, Problem> {
        let path = Self::folder(places).join(format!("{id}.json"));
        Self::load_file(&path)
    }

    /// The same by what a person typed of its id.
    pub(crate) fn meant(places: &Places, id: &str) -> Result<Self, Problem> {
        let ids = Self::ids(places);
        let id = chosen_id(id, ids.iter().map(String::as_str), not_found())?;
        Self::load(places, &id)
    }

    /// The ids of all saved plans.
    fn ids(places: &Places) -> Vec<String> {
        let entries = fs::read_dir(Self::folder(places)).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        entries.filter_map(name).filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// The ids of the plans that are splits.
    pub(crate) fn splits(places: &Places) -> Vec<String> {
        let split = |id: &String| Self::load(places, id).is_ok_and(|saved| !saved.shares.is_empty());
        Self::ids(places).into_iter().filter(split).collect()
    }

    fn load_file(path: &Path) -> Result<Self, Problem> {
        let attempted = not_found;
        let meta = fs::metadata(path).map_err(|error| attempted().because_of(&error))?;
        if meta.len() > PLAN_BYTES_MAX {
            return Err(attempted().because("it is too large to be one"));
        }
        let text = fs::read_to_string(path).map_err(|error| attempted().because_of(&error))?;
        Self::parse(&text)
    }

    /// The plan that a rotation goes by: the one that it was opened with, or as adoption left it.
    pub(crate) fn of(recorded: &Recorded) -> Result<Self, Problem> {
        let adopted = recorded.events.iter().rev().find_map(|event| {
            if let Fact::Adopted { names, .. } = &event.fact { Some(names.to_string()) } else { None }
        });
        Self::parse(adopted.as_deref().unwrap_or(&recorded.opening.names))
    }

    /// Reads a plan from its text.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let attempted = || Problem::new("K0824", "read the plan");
        let saved: Self = serde_json::from_str(text).map_err(|error| attempted().because_of(&error))?;
        if saved.version != VERSION {
            return Err(attempted()
                .because(format!("it has form {}, and this keyroll reads {VERSION}", saved.version)));
        }
        Ok(saved)
    }
}
