//! The alerts of each source, read from what it sends or writes.
//!
//! The forms are those of the sources' own documentation or output; `docs/guides/incidents.md` names them. Fields that are
//! not used may be anything, because sources add some.

use keyroll_needle::VALUE_BYTES_MAX;
pub use keyroll_needle::VALUE_BYTES_MIN;
use keyroll_secret::SecretBytes;
use serde_json::Value;

use super::alert::Alert;

/// The most alerts in one document.
const ALERTS_MAX: usize = 5_000;
/// The largest document, bytes.
pub const DOCUMENT_BYTES_MAX: u64 = 16 << 20;

/// Who sends or writes alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// GitHub: a webhook, the message to a partner, or the list of its API.
    Github,
    /// GitGuardian: a custom webhook.
    Gitguardian,
    /// GitLab's Token Revocation API.
    Gitlab,
    /// TruffleHog's `--json`.
    Trufflehog,
    /// Kingfisher's JSON.
    Kingfisher,
    /// The JSON report of gitleaks or Betterleaks.
    Gitleaks,
    /// SARIF 2.1.0.
    Sarif,
    /// keyroll's own form.
    Generic,
}

impl Source {
    /// Every source, with its name in options and addresses.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Github, "github"),
        (Self::Gitguardian, "gitguardian"),
        (Self::Gitlab, "gitlab"),
        (Self::Trufflehog, "trufflehog"),
        (Self::Kingfisher, "kingfisher"),
        (Self::Gitleaks, "gitleaks"),
        (Self::Sarif, "sarif"),
        (Self::Generic, "generic"),
    ];

    /// The source of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(source, _)| *source)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(source, _)| *source == self).map_or("", |(_, name)| name)
    }

    /// The alerts of a document. None if it tells of no leak, such as a test of the connection.
    ///
    /// # Errors
    /// Why it is not understood, without a part of the document.
    pub fn read(self, document: &[u8]) -> Result<Vec<Alert>, String> {
        let read = match self {
            Self::Github => |value: &Value| each(value, github),
            Self::Gitguardian => |value: &Value| each(value, gitguardian),
            Self::Gitlab => |value: &Value| each(value, gitlab),
            Self::Trufflehog => |value: &Value| each(value, trufflehog),
            Self::Kingfisher => |value: &Value| each(within(value, "findings"), kingfisher),
            Self::Gitleaks => |value: &Value| each(within(value, "findings"), gitleaks),
            Self::Sarif => sarif,
            Self::Generic => |value: &Value| each(within(value, "alerts"), generic),
        };
        let mut alerts = Vec::new();
        // One document, or one per line.
        for (value, number) in serde_json::Deserializer::from_slice(document).into_iter::<Value>().zip(1..) {
            let value = value.map_err(|error| not_json(&error, number))?;
            let found =
                read(&value).ok_or_else(|| format!("part {number} is no alert of {}", self.name()))?;
            alerts.extend(found);
            if alerts.len() > ALERTS_MAX {
                return Err(format!("it has more than {ALERTS_MAX} alerts: send it in parts"));
            }
        }
        Ok(alerts)
    }
}

/// Where JSON ends; the parser's own words may repeat a part of the document.
fn not_json(error: &serde_json::Error, part: u32) -> String {
    format!("part {part} is not JSON: line {}, column {}", error.line(), error.column())
}

/// One alert, or a list of them. None if one is not understood. The value may stand in any part of an item, so all of it
/// is its text.
fn each(value: &Value, one: fn(&Value) -> Option<Vec<Alert>>) -> Option<Vec<Alert>> {
    let whole = |item: &Value| {
        let mut alerts = one(item)?;
        for alert in &mut alerts {
            alert.text = Some(SecretBytes::from(item.to_string()));
        }
        Some(alerts)
    };
    match value {
        Value::Array(all) => {
            let all: Option<Vec<Vec<Alert>>> = all.iter().map(whole).collect();
            all.map(|all| all.into_iter().flatten().collect())
        }
        Value::Object(_) => whole(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The list of a report, if it is one.
fn within<'v>(value: &'v Value, list: &str) -> &'v Value {
    value.get(list).filter(|list| list.is_array()).unwrap_or(value)
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A number or a text.
fn word(value: &Value, pointer: &str) -> Option<String> {
    match value.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value of so many bytes can be a credential.
pub(super) fn is_credential(bytes: usize) -> bool {
    (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&bytes)
}

/// A value, unless the source left it out.
fn secret(value: &Value, pointer: &str) -> Option<SecretBytes> {
    let text = text(value, pointer)?.trim();
    let whole =
        is_credential(text.len()) && !text.contains("***") && !text.to_ascii_lowercase().contains("redacted");
    whole.then(|| SecretBytes::new(text.as_bytes().to_vec()))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// A path with its line and commit: `deploy.sh:12 in 4f1c2d3e`.
fn at(path: Option<&str>, line: Option<String>, commit: Option<&str>) -> Option<String> {
    let line = line.filter(|line| line != "0").map(|line| format!(":{line}")).unwrap_or_default();
    let commit: Option<String> = commit.map(|commit| commit.chars().take(12).collect());
    let commit = commit.map(|commit| format!(" in commit {commit}")).unwrap_or_default();
    path.map(|path| format!("{path}{line}{commit}"))
}

fn github(value: &Value) -> Option<Vec<Alert>> {
    // A partner's message: the token itself.
    if let Some(token) = secret(value, "/token") {
        let kind = text(value, "/type")?;
        let place = owned(text(value, "/url"));
        return Some(vec![Alert { value: Some(token), place, ..Alert::new(kind) }]);
    }
    if value.get("zen").is_some() {
        return Some(Vec::new());
    }
    // A webhook has the alert in a field; the API's list is of alerts.
    let alert = value.get("alert").unwrap_or(value);
    let kind = text(alert, "/secret_type")?;
    let news = ["created", "reopened", "publicly_leaked"];
    if text(value, "/action").is_some_and(|action| !news.contains(&action)) {
        return Some(Vec::new());
    }
    let page = text(alert, "/html_url").or_else(|| text(alert, "/url"))?;
    let details = "/location/details";
    let inside = at(
        text(value, &format!("{details}/path")),
        word(value, &format!("{details}/start_line")),
        text(value, &format!("{details}/commit_sha")),
    );
    let place = inside.map_or_else(|| page.to_owned(), |inside| format!("{page}: {inside}"));
    let number = alert.get("number").and_then(Value::as_u64);
    Some(vec![Alert {
        // That it was made public is news of its own.
        id: Some(format!(
            "{place} {} {}",
            text(value, "/action").unwrap_or_default(),
            text(alert, "/updated_at").unwrap_or_default()
        )),
        place: Some(place),
        value: secret(alert, "/secret"),
        github: text(value, "/repository/full_name").map(str::to_owned).zip(number),
        since: owned(text(alert, "/created_at")),
        ..Alert::new(kind)
    }])
}

fn gitguardian(value: &Value) -> Option<Vec<Alert>> {
    let Some(incident) = value.get("incident") else {
        // The test of the connection has another shape, with a made-up key.
        return value.get("matches").map(|_| Vec::new());
    };
    let news = [
        "incident_triggered",
        "new_occurrence",
        "incident_reopened",
        "incident_regression",
        "incident_shared_publicly",
    ];
    if text(value, "/action").is_some_and(|action| !news.contains(&action)) {
        return Some(Vec::new());
    }
    let kind = text(incident, "/detector/display_name").or_else(|| text(incident, "/detector/name"))?;
    let page = text(incident, "/gitguardian_url");
    let file = at(text(value, "/occurrence/filepath"), None, text(value, "/occurrence/sha"));
    let place = match (page, file) {
        (Some(page), Some(file)) => Some(format!("{page}: {file}")),
        (page, file) => owned(page).or(file),
    };
    let id = match (word(incident, "/id"), word(value, "/occurrence/id")) {
        (Some(incident), Some(occurrence)) => Some(format!("{incident}/{occurrence}")),
        (incident, _) => incident,
    };
    let action = text(value, "/action").unwrap_or_default();
    let id = id.map(|id| format!("{id} {action}"));
    Some(vec![Alert { id, place, since: owned(text(incident, "/date")), ..Alert::new(kind) }])
}

fn gitlab(value: &Value) -> Option<Vec<Alert>> {
    let kind = text(value, "/type")?;
    let token = secret(value, "/token")?;
    Some(vec![Alert { value: Some(token), place: owned(text(value, "/location")), ..Alert::new(kind) }])
}

fn trufflehog(value: &Value) -> Option<Vec<Alert>> {
    let Some(kind) = text(value, "/DetectorName") else {
        // A line of its log.
        return (value.get("level").is_some() || value.get("msg").is_some()).then(Vec::new);
    };
    let data = value.pointer("/SourceMetadata/Data").and_then(Value::as_object);
    let data = data.and_then(|all| all.values().next()).cloned().unwrap_or_default();
    let place = at(text(&data, "/file"), word(&data, "/line"), text(&data, "/commit"));
    let place = place.or_else(|| owned(text(&data, "/link")));
    Some(vec![Alert {
        value: secret(value, "/Raw"),
        place,
        since: owned(text(&data, "/timestamp")),
        ..Alert::new(kind)
    }])
}

fn kingfisher(value: &Value) -> Option<Vec<Alert>> {
    let Some(kind) = text(value, "/rule/name").or_else(|| text(value, "/rule/id")) else {
        // The counts of a scan.
        let counts = ["metadata", "summary", "audit", "successful_validations"];
        return counts.iter().any(|key| value.get(*key).is_some()).then(Vec::new);
    };
    let commit = text(value, "/finding/git_metadata/commit/id");
    Some(vec![Alert {
        value: secret(value, "/finding/snippet"),
        place: at(text(value, "/finding/path"), word(value, "/finding/line"), commit),
        since: owned(text(value, "/finding/git_metadata/commit/date")),
        ..Alert::new(kind)
    }])
}

fn gitleaks(value: &Value) -> Option<Vec<Alert>> {
    // Betterleaks, which continues gitleaks: a line has its finding in a field, a report has a list of them.
    let found = value.get("finding").unwrap_or(value);
    if let Some(kind) = text(found, "/rule_id") {
        let commit = found.get("attributes").and_then(|all| all.get("git.sha")).and_then(Value::as_str);
        return Some(vec![Alert {
            value: secret(found, "/match/value"),
            place: at(text(found, "/location/path"), word(found, "/location/start_line"), commit),
            ..Alert::new(kind)
        }]);
    }
    if value.get("scan").is_some() {
        return Some(Vec::new());
    }
    let kind = text(value, "/RuleID")?;
    Some(vec![Alert {
        value: secret(value, "/Secret"),
        place: at(text(value, "/File"), word(value, "/StartLine"), text(value, "/Commit")),
        since: owned(text(value, "/Date")),
        ..Alert::new(kind)
    }])
}

fn sarif(value: &Value) -> Option<Vec<Alert>> {
    let mut alerts = Vec::new();
    for run in value.get("runs")?.as_array()? {
        let tool = text(run, "/tool/driver/name").unwrap_or("SARIF");
        for result in run.get("results").and_then(Value::as_array).into_iter().flatten() {
            let rule = text(result, "/ruleId").or_else(|| text(result, "/rule/id")).unwrap_or("a result");
            let location = "/locations/0/physicalLocation";
            alerts.push(Alert {
                value: secret(result, &format!("{location}/region/snippet/text")),
                text: Some(SecretBytes::from(result.to_string())),
                place: at(
                    text(result, &format!("{location}/artifactLocation/uri")),
                    word(result, &format!("{location}/region/startLine")),
                    text(result, "/partialFingerprints/commitSha"),
                ),
                since: owned(text(result, "/partialFingerprints/date")),
                ..Alert::new(format!("{rule} ({tool})"))
            });
        }
    }
    Some(alerts)
}

fn generic(value: &Value) -> Option<Vec<Alert>> {
    let known = ["id", "type", "value", "text", "url", "since"];
    if value.as_object()?.keys().any(|key| !known.contains(&key.as_str())) {
        return None;
    }
    let (given, told, kind) = (secret(value, "/value"), text(value, "/text"), text(value, "/type"));
    if given.is_none() && told.is_none() && kind.is_none() {
        return None;
    }
    Some(vec![Alert {
        id: word(value, "/id"),
        value: given,
        place: owned(text(value, "/url")),
        since: owned(text(value, "/since")),
        ..Alert::new(kind.unwrap_or("a leaked key"))
    }])
}
