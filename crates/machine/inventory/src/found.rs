//! What was found on a machine, as it is shown, with labels instead of values.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::quantity::quantity;

/// What one stage of a search covered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanShown {
    /// `files`: listings, environments and files; `memory`: the memory of processes.
    pub stage: Cow<'static, str>,
    pub processes: usize,
    pub files: usize,
    pub services: usize,
    pub values: usize,
    pub took_s: f64,
}

impl ScanShown {
    /// For people.
    pub fn text(&self) -> String {
        let Self { processes, files, services, values, took_s, .. } = self;
        let (processes, files) = (quantity(*processes, "process"), quantity(*files, "file"));
        if self.stage == "memory" {
            let values = quantity(*values, "value");
            return format!("searched the memory of {processes} for {values} in {took_s:.1} s");
        }
        let services = if *services == 0 { String::new() } else { quantity(*services, "service") + ", " };
        format!("searched {services}{processes} and {files} in {took_s:.1} s")
    }
}

/// One value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueShown {
    pub label: String,
    /// Of a configured secret: `v7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `current`, `previous`, `retired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Cow<'static, str>>,
}

impl ValueShown {
    /// For people: `v7 sk-…·9f3c21 (current)`.
    pub fn text(&self) -> String {
        let version = self.version.map(|version| format!("v{version} ")).unwrap_or_default();
        let state = self.state.as_ref().map(|state| format!(" ({state})")).unwrap_or_default();
        format!("{version}{}{state}", self.label)
    }
}

/// A copy of a value in a file or database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyShown {
    pub place: String,
    pub name: Option<String>,
    pub value: String,
    /// `plain`, `base64` …
    pub form: Cow<'static, str>,
}

/// A file whose values cannot be read without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreShown {
    pub path: String,
    /// `sops`, `KeePass` …
    pub encrypted_with: Cow<'static, str>,
    /// Who has it open, or runs in its folder.
    pub used_by: Vec<String>,
}

impl StoreShown {
    /// For people.
    pub fn text(&self) -> String {
        let Self { path, encrypted_with, used_by } = self;
        let users = match used_by.is_empty() {
            true => String::new(),
            false => format!("; seems to be used by {}", used_by.join(", ")),
        };
        format!("encrypted: {path} ({encrypted_with}): its values are not visible{users}")
    }
}

/// Who uses a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserShown {
    pub keeper: Cow<'static, str>,
    pub name: String,
    /// What runs there; of a service its name.
    #[serde(skip)]
    pub program: String,
    pub processes: Vec<u32>,
    /// What makes a change live there, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies: Option<String>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundShown {
    pub secret: String,
    /// It is configured.
    pub managed: bool,
    pub values: Vec<ValueShown>,
    pub copies: Vec<CopyShown>,
    pub used_by: Vec<UserShown>,
    /// Several of its users share the value.
    pub shared: bool,
    pub risks: Vec<String>,
    /// The same in few words, for a cell.
    #[serde(skip)]
    pub risk: String,
}

/// The result of searching a process's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryShown {
    /// `whole`, `in part`, `closed`, `not searched`.
    pub searched: Cow<'static, str>,
    pub values: Vec<String>,
}

/// One process that uses a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceShown {
    pub secret: String,
    pub used_by: String,
    pub keeper: Cow<'static, str>,
    /// What runs there; of a service its name.
    pub program: String,
    pub pid: u32,
    pub started: Option<String>,
    /// The name under which it takes the secret.
    pub name: Option<String>,
    /// The values that it was started with; none where that is not visible.
    pub start: Option<Vec<String>>,
    pub memory: MemoryShown,
    /// The value that a restart would load.
    pub next: Option<String>,
    /// `current`, `stale`, `likely stale`, `mixed`, `unknown`.
    pub verdict: Cow<'static, str>,
    /// Why it uses this version, and the commands, in one line.
    pub cause: String,
    /// The same without the commands.
    #[serde(skip)]
    pub sentence: String,
    /// The command that moves the process to the version of the copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies: Option<String>,
    /// A command that only seems to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seems: Option<String>,
    /// When it was started, clock ticks since the boot.
    #[serde(skip)]
    pub started_ticks: u64,
    /// A copy of it was changed since the process started, and a new start would not read that change.
    pub unread_edit: bool,
    /// Why the version is unknown, briefly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Cow<'static, str>>,
    /// What the verdict rests on, one sentence each; for *likely stale*, what speaks for it and what keeps it from being a
    /// proof.
    pub grounds: Vec<String>,
    /// The observations, one per line, if requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl InstanceShown {
    /// `api (pid 4711)`.
    pub fn who(&self) -> String {
        format!("{} (pid {})", self.program, self.pid)
    }
}

/// The sources of a service's secret, the winning one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainShown {
    pub secret: String,
    pub used_by: String,
    pub keeper: Cow<'static, str>,
    pub name: String,
    pub links: Vec<LinkShown>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkShown {
    pub what: String,
    pub place: Option<String>,
    pub value: Option<String>,
    /// `wins`, `shadowed`, `not read`, `not visible`.
    pub standing: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seems: Option<String>,
}

/// Secrets, copies, services and processes, and their relations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GraphShown {
    pub nodes: Vec<NodeShown>,
    pub edges: Vec<EdgeShown>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeShown {
    pub id: String,
    /// `value`, `copy`, `service`, `process`.
    pub kind: &'static str,
    pub label: String,
}

/// A relation between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeShown {
    pub from: String,
    pub to: String,
    /// `stands in`, `wins`, `shadowed`, `not read`, `not visible`, `runs`, `holds`.
    pub kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_as_json_is_read_as_it_was() {
        let value = ValueShown { label: "sk-…·9f3c21".to_owned(), version: None, state: None };
        let user = UserShown {
            keeper: "systemd".into(),
            name: "api".to_owned(),
            program: String::new(),
            processes: vec![4711],
            applies: None,
        };
        let found = FoundShown {
            secret: "openai".to_owned(),
            managed: false,
            values: vec![value],
            copies: Vec::new(),
            used_by: vec![user],
            shared: false,
            risks: vec!["copies differ".to_owned()],
            risk: String::new(),
        };
        let instance = InstanceShown {
            secret: "openai".to_owned(),
            used_by: "api".to_owned(),
            keeper: "systemd".into(),
            program: "api".to_owned(),
            pid: 4711,
            started: None,
            name: None,
            start: None,
            memory: MemoryShown { searched: "not searched".into(), values: Vec::new() },
            next: None,
            verdict: "unknown".into(),
            cause: "version unknown".to_owned(),
            sentence: String::new(),
            applies: None,
            seems: None,
            started_ticks: 0,
            unread_edit: false,
            doubt: Some("its memory was not searched".into()),
            grounds: Vec::new(),
            evidence: Vec::new(),
        };
        let text = serde_json::to_string(&(&found, &instance)).unwrap();
        assert!(!text.contains("evidence") && !text.contains("started_ticks"), "{text}");
        let read: (FoundShown, InstanceShown) = serde_json::from_str(&text).unwrap();
        assert_eq!(read, (found, instance));
    }
}
