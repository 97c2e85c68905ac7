//! What was found on a machine, as it is shown, with labels instead of values.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::quantity::quantity;

/// What one stage of a search covered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanShown {
    /// `files`: listings, environments and files; `memory`: the memory of processes; `cluster`: what the API of a cluster
    /// shows.
    pub stage: Cow<'static, str>,
    /// Of a cluster its pods.
    pub processes: usize,
    /// Of a cluster its Secrets.
    pub files: usize,
    /// Of a cluster its workloads.
    pub services: usize,
    pub values: usize,
    pub took_s: f64,
}

impl ScanShown {
    /// For people.
    pub fn text(&self) -> String {
        let Self { processes, files, services, values, took_s, .. } = self;
        if self.stage == "cluster" {
            let (workloads, pods) = (quantity(*services, "workload"), quantity(*processes, "pod"));
            let secrets = quantity(*files, "Secret");
            return format!("read {secrets}, {workloads} and {pods} in {took_s:.1} s");
        }
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
    /// Of a workload in a cluster the names of its pods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<String>,
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
    /// Of a cluster whose pods could not be listed.
    #[serde(skip)]
    pub pods_hidden: bool,
    /// The risks in few words, for a cell.
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

/// One process that uses a secret; in a cluster one container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceShown {
    pub secret: String,
    pub used_by: String,
    pub keeper: Cow<'static, str>,
    /// What runs there; of a service its name.
    pub program: String,
    /// Of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Of a container in a cluster its pod and its name: `agent-6d5f-x2x1z/app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
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
    /// `api (pid 4711)`, `agent (pod agent-6d5f-x2x1z/app)`.
    pub fn who(&self) -> String {
        match (self.pid, &self.pod) {
            (Some(pid), _) => format!("{} (pid {pid})", self.program),
            (None, Some(pod)) => format!("{} (pod {pod})", self.program),
            (None, None) => self.program.clone(),
        }
    }

    /// What tells it from the others of its machine: `4711`, `agent-6d5f-x2x1z/app`.
    pub fn number(&self) -> String {
        self.pid.map(|pid| pid.to_string()).or_else(|| self.pod.clone()).unwrap_or_default()
    }

    /// The name of its pod without the container: `agent-6d5f-x2x1z`.
    pub fn pod_name(&self) -> Option<&str> {
        self.pod.as_deref().map(|pod| pod.split_once('/').map_or(pod, |(name, _)| name))
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

    fn instance() -> InstanceShown {
        InstanceShown {
            secret: "openai".to_owned(),
            used_by: "api".to_owned(),
            keeper: "systemd".into(),
            program: "api".to_owned(),
            pid: Some(4711),
            pod: None,
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
        }
    }

    #[test]
    fn what_was_written_as_json_is_read_as_it_was() {
        let value = ValueShown { label: "sk-…·9f3c21".to_owned(), version: None, state: None };
        let user = UserShown {
            keeper: "systemd".into(),
            name: "api".to_owned(),
            program: String::new(),
            processes: vec![4711],
            pods: Vec::new(),
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
            pods_hidden: false,
            risk: String::new(),
        };
        let instance = instance();
        let text = serde_json::to_string(&(&found, &instance)).unwrap();
        assert!(!text.contains("evidence") && !text.contains("started_ticks"), "{text}");
        // What is said of a process is as it was before there were pods.
        assert!(text.contains("\"pid\":4711,") && !text.contains("pod"), "{text}");
        let read: (FoundShown, InstanceShown) = serde_json::from_str(&text).unwrap();
        assert_eq!(read, (found, instance));
    }

    #[test]
    fn a_container_is_named_by_its_pod_and_a_process_by_its_number() {
        let process = instance();
        let pod = InstanceShown {
            program: "agent".to_owned(),
            pid: None,
            pod: Some("agent-6d5f-x2x1z/app".to_owned()),
            ..instance()
        };
        assert_eq!((process.who().as_str(), process.number().as_str()), ("api (pid 4711)", "4711"));
        assert_eq!(process.pod_name(), None);
        assert_eq!(pod.who(), "agent (pod agent-6d5f-x2x1z/app)");
        assert_eq!(
            (pod.number().as_str(), pod.pod_name()),
            ("agent-6d5f-x2x1z/app", Some("agent-6d5f-x2x1z"))
        );
        let text = serde_json::to_string(&pod).unwrap();
        assert!(text.contains("\"pod\":\"agent-6d5f-x2x1z/app\"") && !text.contains("pid"), "{text}");
        assert_eq!(serde_json::from_str::<InstanceShown>(&text).unwrap().who(), pod.who());
    }

    #[test]
    fn what_was_read_of_a_cluster_is_told_in_its_own_words() {
        let scan = |stage: &'static str, processes, files, services| ScanShown {
            stage: stage.into(),
            processes,
            files,
            services,
            values: 4,
            took_s: 0.42,
        };
        let cluster = |pods, secrets, workloads| scan("cluster", pods, secrets, workloads).text();
        assert_eq!(cluster(31, 12, 8), "read 12 Secrets, 8 workloads and 31 pods in 0.4 s");
        assert_eq!(cluster(1, 1, 1), "read 1 Secret, 1 workload and 1 pod in 0.4 s");
        assert_eq!(scan("files", 1, 2, 0).text(), "searched 1 process and 2 files in 0.4 s");
    }
}
