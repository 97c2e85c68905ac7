//! What was found on this machine, as it is shown: labels in place of values.

use serde::Serialize;

/// What one stage of a look took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ScanShown {
    /// `files`: listings, environments and files; `memory`: the memory of processes.
    pub(crate) stage: &'static str,
    pub(crate) processes: usize,
    pub(crate) files: usize,
    pub(crate) services: usize,
    pub(crate) values: usize,
    pub(crate) took_s: f64,
}

impl ScanShown {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { processes, files, services, values, took_s, .. } = self;
        if self.stage == "memory" {
            return format!(
                "searched the memory of {processes} processes for {values} values in {took_s:.1} s"
            );
        }
        let services = if *services == 0 { String::new() } else { format!("{services} services, ") };
        format!("looked at {services}{processes} processes and {files} files in {took_s:.1} s")
    }
}

/// One value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ValueShown {
    pub(crate) label: String,
    /// Of a configured secret: `v7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u32>,
    /// `current`, `previous`, `retired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<&'static str>,
}

impl ValueShown {
    /// For people: `v7 sk-…·9f3c21 (current)`.
    pub(crate) fn text(&self) -> String {
        let version = self.version.map(|version| format!("v{version} ")).unwrap_or_default();
        let state = self.state.map(|state| format!(" ({state})")).unwrap_or_default();
        format!("{version}{}{state}", self.label)
    }
}

/// A place at rest that holds a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CopyShown {
    pub(crate) place: String,
    pub(crate) name: Option<String>,
    pub(crate) value: String,
    /// `plain`, `base64` …
    pub(crate) form: &'static str,
}

/// A file whose values cannot be read without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StoreShown {
    pub(crate) path: String,
    /// `sops`, `KeePass` …
    pub(crate) encrypted_with: &'static str,
    /// Who has it open, or runs in its folder.
    pub(crate) used_by: Vec<String>,
}

impl StoreShown {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { path, encrypted_with, used_by } = self;
        let users = match used_by.is_empty() {
            true => String::new(),
            false => format!("; seems to be used by {}", used_by.join(", ")),
        };
        format!("encrypted: {path} ({encrypted_with}): its values are not visible{users}")
    }
}

/// Who uses a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct UserShown {
    pub(crate) keeper: &'static str,
    pub(crate) name: String,
    /// What runs there; of a service its name.
    #[serde(skip)]
    pub(crate) program: String,
    pub(crate) processes: Vec<u32>,
    /// What makes a change of it live there, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applies: Option<String>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FoundShown {
    pub(crate) secret: String,
    /// It stands in the configuration.
    pub(crate) managed: bool,
    pub(crate) values: Vec<ValueShown>,
    pub(crate) copies: Vec<CopyShown>,
    pub(crate) used_by: Vec<UserShown>,
    /// A change concerns more than one of them.
    pub(crate) shared: bool,
    pub(crate) risks: Vec<String>,
    /// The same in few words, for a cell.
    #[serde(skip)]
    pub(crate) risk: String,
}

/// What a search of a process's memory showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MemoryShown {
    /// `whole`, `in part`, `closed`, `not searched`.
    pub(crate) searched: &'static str,
    pub(crate) values: Vec<String>,
}

/// One process that uses a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct InstanceShown {
    pub(crate) secret: String,
    pub(crate) used_by: String,
    pub(crate) keeper: &'static str,
    /// What runs there; of a service its name.
    pub(crate) program: String,
    pub(crate) pid: u32,
    pub(crate) started: Option<String>,
    /// The name under which it takes the secret.
    pub(crate) name: Option<String>,
    /// The values that it was started with; none where that is not visible.
    pub(crate) start: Option<Vec<String>>,
    pub(crate) memory: MemoryShown,
    /// What a new start would take.
    pub(crate) next: Option<String>,
    /// `current`, `stale`, `mixed`, `unknown`.
    pub(crate) verdict: &'static str,
    pub(crate) cause: String,
    /// Of an unknown one: why, in few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) doubt: Option<&'static str>,
    /// What was seen, one thing in each line; where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) evidence: Vec<String>,
}

impl InstanceShown {
    /// `api (pid 4711)`.
    pub(crate) fn who(&self) -> String {
        format!("{} (pid {})", self.program, self.pid)
    }
}

/// Where a service takes a secret from, what wins first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChainShown {
    pub(crate) secret: String,
    pub(crate) used_by: String,
    pub(crate) keeper: &'static str,
    pub(crate) name: String,
    pub(crate) links: Vec<LinkShown>,
}

/// One place that it may be taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LinkShown {
    pub(crate) what: String,
    pub(crate) place: Option<String>,
    pub(crate) value: Option<String>,
    /// `wins`, `shadowed`, `not read`, `not visible`.
    pub(crate) standing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) applies: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seems: Option<String>,
}

/// Secrets, copies, services and processes, and how they hang together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GraphShown {
    pub(crate) nodes: Vec<NodeShown>,
    pub(crate) edges: Vec<EdgeShown>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NodeShown {
    pub(crate) id: String,
    /// `value`, `copy`, `service`, `process`.
    pub(crate) kind: &'static str,
    pub(crate) label: String,
}

/// What leads from one to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct EdgeShown {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `stands in`, `wins`, `shadowed`, `not read`, `not visible`, `runs`, `holds`.
    pub(crate) kind: &'static str,
}
