//! A saved plan: everything that was inspected, as keyed digests, so that a stale plan can be refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_port::Recorded;
use keyroll_rotation::{Fact, HostId};
use serde::{Deserialize, Serialize};

use crate::atomic_file;
use crate::configured::secret_flag;
use crate::places::{Places, make_folder};
use crate::problem::Problem;
use crate::records::rotation_ids::chosen_id;

/// The version of the saved form.
const VERSION: u32 = 1;

/// The largest saved plan, bytes.
const PLAN_BYTES_MAX: u64 = 4 << 20;

/// A saved plan. It never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The version of this form.
    pub version: u32,
    /// Its id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The version in use when the plan was made.
    pub from_version: u32,
    pub(crate) made_unix_ms: u64,
    /// The configuration file, absolute, and its text when the plan was made: it has references only.
    pub config_file: PathBuf,
    pub(crate) config_text: String,
    /// True if keyroll knows the old key's id and can revoke it.
    pub bound: bool,
    pub(crate) denied_is_alive: bool,
    pub(crate) recovery: bool,
    /// Holders and copies that were waived by name, with the reason.
    pub seen: SeenAll,
    /// The settings that the new credential copies; plans of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// The time of the alert, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerted_unix_ms: Option<u64>,
    /// The accepted pending changes, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
    /// Of a split: each consumer and its new secret, in order. Each is a rotation of its own, as is the revocation of
    /// the shared key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// The plan's part in replacing a key that several consumers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Somebody brings the new key, also where the issuer's API could make one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brought: bool,
    /// The source of truth, as it names itself, if it is not keyroll's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
    /// The names of the hosts by their numbers, `local` first; empty if everything runs on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The hosts that the plan leaves out because they are away. Their consumers are not part of it, and they are searched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The PID namespace in which the rotation was begun; none in plans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
}

/// A host that a plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Its name.
    pub host: String,
    /// Why its consumers may lose access.
    pub reason: String,
    /// Its consumers of the secret, which keep the old key.
    pub consumers: Vec<LeftConsumer>,
}

/// A consumer on a host that a plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftConsumer {
    /// Its name.
    pub name: String,
    /// The files of its copies there, whose folders are searched.
    pub copies: Vec<PathBuf>,
}

impl LeftOut {
    /// The folders of the copies of its consumers.
    pub(crate) fn folders(&self) -> BTreeSet<String> {
        let copies = self.consumers.iter().flat_map(|consumer| &consumer.copies);
        copies.filter_map(|copy| Some(copy.parent()?.display().to_string())).collect()
    }

    /// The names of its consumers.
    pub fn names(&self) -> Vec<&str> {
        self.consumers.iter().map(|one| one.name.as_str()).collect()
    }
}

/// A consumer of a split and its new secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The consumer.
    pub consumer: String,
    /// Its new secret.
    pub secret: String,
}

/// A rotation about a key that several consumers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Family {
    /// A consumer gets a key of its own in place of this version, which is kept.
    Member {
        /// The shared secret.
        from: String,
        /// Its version.
        version: u32,
        /// The plan of the split.
        split: String,
    },
    /// The shared key is revoked without a successor.
    End {
        /// The new secrets of the consumers that shared the key.
        own: BTreeMap<String, String>,
        /// The plan of the split, if this is its last step.
        split: Option<String>,
    },
    /// The shared key itself is replaced in an emergency, while open rotations give some of its consumers keys of
    /// their own. Those consumers are not part of this plan.
    Leaked {
        /// The rotations that give its consumers keys of their own.
        apart: Vec<Apart>,
    },
}

/// A consumer that an open rotation gives a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apart {
    /// The id of the rotation.
    pub rotation: String,
    /// The secret.
    pub secret: String,
    /// The consumer.
    pub consumer: String,
}

impl Family {
    /// The plan of the split that it belongs to.
    pub fn split(&self) -> Option<&str> {
        match self {
            Self::Member { split, .. } => Some(split),
            Self::End { split, .. } => split.as_deref(),
            Self::Leaked { .. } => None,
        }
    }
}

/// What an inspection found. Two inspections are compared line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenAll {
    /// The resolved path and a keyed digest of the content of each file; `NAME:PATH` for one of another host.
    pub files: BTreeMap<PathBuf, SeenFile>,
    /// The number of processes of each consumer, by executable.
    pub processes: BTreeMap<String, BTreeMap<String, u32>>,
    /// The ids that the issuer lists.
    pub issuer_ids: Vec<String>,
    /// Undeclared copies of the value.
    pub unexplained: Vec<String>,
    /// A keyed digest of the issuer's capabilities, endpoints and spec.
    #[serde(default)]
    pub issuer: String,
    /// The hosts that may receive credentials; none in plans of older versions.
    #[serde(default)]
    pub reach: Vec<String>,
    /// The pending changes: a keyed digest by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub live: BTreeMap<String, u64>,
    /// The hosts of which the issuer does not show which process made a call, although it shows its sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unattributed: Vec<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenFile {
    /// The file behind all links.
    pub real: PathBuf,
    /// A keyed digest of its content.
    pub digest: String,
}

/// A file of a plan: its path, and before it the name of its host if that is not this machine.
pub fn on_host(host: Option<&str>, path: &Path) -> PathBuf {
    host.map_or_else(|| path.to_owned(), |host| PathBuf::from(format!("{host}:{}", path.display())))
}

impl SeenAll {
    /// The differences, as shown to the operator.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, before) in &self.files {
            match now.files.get(path) {
                None => lines.push(format!("{} is gone", path.display())),
                Some(after) if after.real != before.real => {
                    lines.push(format!("{} now leads to {}", path.display(), after.real.display()));
                }
                Some(after) if after.digest != before.digest => {
                    lines.push(format!("the content of {} has changed", path.display()));
                }
                Some(_) => {}
            }
        }
        for (name, before) in &self.processes {
            let after = now.processes.get(name);
            if after != Some(before) {
                lines.push(format!("the processes of '{name}' have changed (their count or executable)"));
            }
        }
        for id in now.issuer_ids.iter().filter(|id| !self.issuer_ids.contains(id)) {
            lines.push(format!("the issuer lists a new credential: {id}"));
        }
        for id in self.issuer_ids.iter().filter(|id| !now.issuer_ids.contains(id)) {
            lines.push(format!("the issuer no longer lists this credential: {id}"));
        }
        if self.issuer != now.issuer {
            lines.push("the issuer's spec has changed".to_owned());
        }
        if self.unexplained != now.unexplained {
            lines.push("there are other undeclared copies of the value".to_owned());
        }
        for host in now.unattributed.iter().filter(|host| !self.unattributed.contains(host)) {
            lines.push(format!("the issuer no longer shows which process of {host} made a call"));
        }
        lines
    }
}

fn not_found() -> Problem {
    Problem::new(Code::NameNotFound, "find the plan").help("keyroll plan SECRET makes one and prints its id")
}

impl Saved {
    /// The version of this form.
    pub const fn form() -> u32 {
        VERSION
    }

    /// The flag by which a command about what holds its secret names that, behind a blank, where it has to.
    pub(crate) fn secret_flag(&self) -> String {
        self.config().map(|config| secret_flag(&config, &self.secret)).unwrap_or_default()
    }

    fn folder(places: &Places) -> PathBuf {
        places.state.join("plans")
    }

    /// Writes the plan; a plan is never changed.
    pub fn write(&self, places: &Places) -> Result<PathBuf, Problem> {
        let folder = Self::folder(places);
        let path = folder.join(format!("{}.json", self.id));
        let attempted = || Problem::new(Code::StateUnusable, format!("save the plan {}", path.display()));
        make_folder(&folder).map_err(|error| attempted().because_of(&error))?;
        let text = self.text()?;
        atomic_file::create(&path, text.as_bytes(), 0o600).map_err(|error| attempted().because_of(&error))?;
        Ok(path)
    }

    /// The text of the plan, as the journal stores it.
    pub fn text(&self) -> Result<String, Problem> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Problem::new(Code::StateUnusable, "write the plan").because_of(&error))
    }

    /// Reads a saved plan back.
    pub fn load(places: &Places, id: &str) -> Result<Self, Problem> {
        let path = Self::folder(places).join(format!("{id}.json"));
        Self::load_file(&path)
    }

    /// The configuration as it was when the plan was made.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        Ok(Config::parse(&self.config_text, &self.config_file.display().to_string())?)
    }

    /// The number of a host in this plan.
    pub fn host_id(&self, name: &str) -> Option<HostId> {
        let at = self.hosts.iter().position(|host| host == name)?;
        u16::try_from(at).ok().map(HostId)
    }

    /// Reads the saved plan whose id begins with `id`.
    pub fn meant(places: &Places, id: &str) -> Result<Self, Problem> {
        let ids = Self::ids(places);
        let id = chosen_id(id, ids.iter().map(String::as_str), not_found())?;
        Self::load(places, &id)
    }

    /// The ids of all saved plans.
    pub(crate) fn ids(places: &Places) -> Vec<String> {
        let entries = fs::read_dir(Self::folder(places)).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        entries.filter_map(name).filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// The ids of the plans that are splits.
    pub fn splits(places: &Places) -> Vec<String> {
        let split = |id: &String| Self::load(places, id).is_ok_and(|saved| !saved.shares.is_empty());
        Self::ids(places).into_iter().filter(split).collect()
    }

    fn load_file(path: &Path) -> Result<Self, Problem> {
        let attempted = not_found;
        let meta = fs::metadata(path).map_err(|error| attempted().because_of(&error))?;
        if meta.len() > PLAN_BYTES_MAX {
            return Err(attempted().because("it is too large for a plan"));
        }
        let text = fs::read_to_string(path).map_err(|error| attempted().because_of(&error))?;
        Self::parse(&text)
    }

    /// The present plan of a rotation, with adopted consumers and corrected commands.
    pub fn of(recorded: &Recorded) -> Result<Self, Problem> {
        let latest = recorded.events.iter().rev().find_map(|event| {
            let (Fact::Adopted { names, .. } | Fact::Corrected { names, .. }) = &event.fact else {
                return None;
            };
            Some(names.to_string())
        });
        Self::parse(latest.as_deref().unwrap_or(&recorded.opening.names))
    }

    /// Reads a plan from its text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let attempted = || Problem::new(Code::NameNotFound, "read the plan");
        let saved: Self = serde_json::from_str(text).map_err(|error| attempted().because_of(&error))?;
        if saved.version != VERSION {
            return Err(attempted()
                .because(format!("it has version {}, and this keyroll reads {VERSION}", saved.version)));
        }
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_stale_when_calls_of_one_more_host_are_not_attributed() {
        let seen = |hosts: &[&str]| SeenAll {
            unattributed: hosts.iter().map(|&host| host.to_owned()).collect(),
            ..SeenAll::default()
        };
        let stale = seen(&["web-1"]).differences(&seen(&["web-1", "web-2"]));
        assert_eq!(stale, ["the issuer no longer shows which process of web-2 made a call"]);
        // Less evidence was asked for than there is now.
        assert!(seen(&["web-1"]).differences(&seen(&[])).is_empty());
        let text = serde_json::to_string(&SeenAll::default()).unwrap();
        assert!(!text.contains("unattributed"), "an older keyroll reads plans without such hosts: {text}");
    }
}
