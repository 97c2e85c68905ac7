//! Other scanners, as commands: offline, nothing is validated. Their versions are those that are installed.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{DetectorFinding, Span};

/// A scanner, how it is asked, and how its answer is read.
pub struct Peer {
    pub name: &'static str,
    arguments: &'static [&'static str],
    read: fn(&str) -> Vec<DetectorFinding>,
}

/// All that are known here. The folder comes behind the arguments.
pub const PEERS: [Peer; 6] = [
    Peer {
        name: "gitleaks",
        arguments: &["dir", "--no-banner", "--exit-code", "0", "-f", "json", "-r", "-"],
        read: gitleaks,
    },
    Peer {
        name: "betterleaks",
        arguments: &["dir", "--no-banner", "--exit-code", "0", "-f", "json", "-r", "-"],
        read: gitleaks,
    },
    Peer {
        name: "kingfisher",
        arguments: &[
            "scan",
            "--no-validate",
            "--no-update-check",
            "--no-dedup",
            "--git-history",
            "none",
            "-f",
            "json",
        ],
        read: kingfisher,
    },
    Peer {
        name: "trufflehog",
        arguments: &["filesystem", "--no-verification", "--no-update", "--json"],
        read: trufflehog,
    },
    Peer { name: "ripsecrets", arguments: &[], read: ripsecrets },
    Peer { name: "detect-secrets", arguments: &["scan", "--no-verify", "--all-files"], read: detect_secrets },
];

impl Peer {
    /// What it finds below a folder; `None` where it is not installed.
    pub fn scan(&self, root: &Path) -> Option<Vec<DetectorFinding>> {
        let output = Command::new(self.name)
            .args(self.arguments)
            .arg(root)
            .current_dir(root)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let mut found = (self.read)(&String::from_utf8_lossy(&output.stdout));
        let start = format!("{}/", root.display());
        for one in &mut found {
            let path = one.path.strip_prefix(&start).or_else(|| one.path.strip_prefix("./"));
            one.path = path.unwrap_or(&one.path).to_owned();
        }
        Some(found)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_default() as usize
}

/// Columns are of the whole match; below the first line they are one too high.
fn gitleaks(answer: &str) -> Vec<DetectorFinding> {
    let all: Value = serde_json::from_str(answer).unwrap_or_default();
    let one = |one: &Value| DetectorFinding {
        path: text(&one["File"]),
        span: Span {
            start: (number(&one["StartLine"]), number(&one["StartColumn"])),
            end: (number(&one["EndLine"]), number(&one["EndColumn"]) + 1),
        },
        rule: text(&one["RuleID"]),
    };
    all.as_array().into_iter().flatten().map(one).collect()
}

/// Columns are counted from 0. A finding of several lines has those of its first.
fn kingfisher(answer: &str) -> Vec<DetectorFinding> {
    let all: Value = answer.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    let one = |one: &Value| {
        let (place, line) = (&one["finding"], number(&one["finding"]["line"]));
        let (start, end) = (number(&place["column_start"]) + 1, number(&place["column_end"]) + 2);
        let span = if end > start {
            Span { start: (line, start), end: (line, end) }
        } else {
            Span::lines(line, line)
        };
        DetectorFinding { path: text(&place["path"]), span, rule: text(&one["rule"]["id"]) }
    };
    all["findings"].as_array().into_iter().flatten().map(one).collect()
}

fn trufflehog(answer: &str) -> Vec<DetectorFinding> {
    let one = |line: &str| {
        let one: Value = serde_json::from_str(line).ok()?;
        let place = &one["SourceMetadata"]["Data"]["Filesystem"];
        let line = number(&place["line"]);
        Some(DetectorFinding {
            path: text(place.get("file")?),
            span: Span::lines(line, line),
            rule: text(&one["DetectorName"]),
        })
    };
    answer.lines().filter_map(one).collect()
}

/// `path:line:text of the line`.
fn ripsecrets(answer: &str) -> Vec<DetectorFinding> {
    let one = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (path, line) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(DetectorFinding { path, span: Span::lines(line, line), rule: "secret".to_owned() })
    };
    answer.lines().filter_map(one).collect()
}

fn detect_secrets(answer: &str) -> Vec<DetectorFinding> {
    let all: Value = serde_json::from_str(answer).unwrap_or_default();
    let one = |one: &Value| {
        let line = number(&one["line_number"]);
        DetectorFinding {
            path: text(&one["filename"]),
            span: Span::lines(line, line),
            rule: text(&one["type"]),
        }
    };
    all["results"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, all)| all.as_array().into_iter().flatten().map(one))
        .collect()
}
