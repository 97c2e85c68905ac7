use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use keyroll_scanner::{AcceptedBy, Finding, FindingKind, Identity, LeakState, Outcome, PassedOver, Report};
use serde::Serialize;

use crate::leaks::VerifiedShown;

/// A finding, as it is shown: never its value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeakShown {
    /// The same for the same value and rule, within the scope of [`Identities`].
    pub identity: String,
    /// The rule's id; for a value that keyroll stores, the secret's name.
    pub rule: String,
    /// What was found, in words.
    pub title: String,
    /// The name of the value, if nothing else identifies it.
    #[serde(rename = "name", skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The secret, if keyroll stores the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// `current`, `previous`, `retired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'static str>,
    /// `live`: a stored version that works; `retired`: a stored version that no longer works; `active`: the issuer
    /// accepts it; `dead`: the issuer refuses it; `unknown`: the issuer was not asked, or its answer is inconclusive.
    pub state: &'static str,
    /// The issuer's answer about it, with `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedShown>,
    /// Its encoding, if it is not plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<Cow<'static, str>>,
    pub place: PlaceShown,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedShown>,
    /// Why an acceptance that somebody wrote does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// The location of a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceShown {
    /// The host, if several machines were scanned; this one is `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The source if it is not a file: `stdin`, `image NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The path within archives, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<String>,
    /// From 1 on.
    pub line: u64,
    /// Characters, from 1 on.
    pub column: u64,
    pub end_line: u64,
    pub end_column: u64,
    /// The commits that contain it, for a finding in a history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitShown>,
}

/// The commits that contain the finding under this path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommitShown {
    /// The oldest.
    pub first: String,
    /// The author that this commit names; unverified.
    pub author: String,
    /// The time of this commit, UTC.
    pub first_at: String,
    /// The newest that contains it.
    pub last: String,
    pub last_at: String,
    /// Whether the commit that is checked out contains it.
    pub in_head: bool,
}

/// Where the finding was accepted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AcceptedShown {
    /// `comment`, `baseline`, or `list` (a file of another tool).
    pub by: &'static str,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Which key makes the identities, and so where a finding keeps its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Identities {
    /// The baseline's key: the same wherever that baseline is used.
    Baseline,
    /// The store's key: the same on this machine.
    Store,
    /// A random key: valid in this output only.
    Run,
}

impl Identities {
    /// Whether the next run shows the same identities.
    pub fn stay(self) -> bool {
        match self {
            Self::Baseline | Self::Store => true,
            Self::Run => false,
        }
    }
}

/// The counts of a scan. A finding is one location of one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaksShown {
    /// Findings that nobody accepted.
    pub open: usize,
    /// How many different values the open findings have.
    pub open_values: usize,
    pub accepted: usize,
    pub(crate) accepted_values: usize,
    /// The open findings whose issuers accept the value, with `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active_values: Option<usize>,
    /// The open findings of stored versions that work, without the active ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) live_values: Option<usize>,
    /// Findings beyond the limit, which are not shown.
    pub left_out: u64,
    /// Files, members of archives and streams that were read.
    pub texts: u64,
    pub bytes: u64,
    /// Items that were not scanned, or only in part.
    pub not_visible: u64,
    /// What was not scanned on purpose, and how many.
    #[serde(skip_serializing_if = "PassedOver::is_none")]
    pub passed_over: PassedOver,
    /// Rules of a file that are not used; each is listed with the items that were not scanned.
    #[serde(skip_serializing_if = "is_zero")]
    pub rules_not_used: usize,
    pub identities: Identities,
    /// The machines that were scanned to the end, if several were meant; this one is `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Whether the scan ran to its end.
    pub whole: bool,
    pub took_s: f64,
}

impl LeakShown {
    pub fn of(finding: &Finding) -> Self {
        let (title, provider, version) = match &finding.what {
            FindingKind::Known(version) => {
                (format!("{} v{} ({})", version.secret, version.number, version.state), None, Some(version))
            }
            FindingKind::Kind { title, provider, .. } => (title.clone(), provider.clone(), None),
        };
        let place = &finding.place;
        let accepted = finding.accepted.as_ref().map(|accepted| AcceptedShown {
            by: match accepted.by {
                AcceptedBy::Comment => "comment",
                AcceptedBy::Baseline => "baseline",
                AcceptedBy::List => "list",
            },
            reason: accepted.reason.clone(),
            until: accepted.until.map(|day| day.to_string()),
        });
        Self {
            identity: finding.identity.to_string(),
            rule: finding.what.rule().to_owned(),
            title,
            variable: finding.name.clone(),
            provider,
            secret: version.map(|version| version.secret.clone()),
            version: version.map(|version| version.number),
            label: version.map(|version| version.state),
            state: match finding.asked.as_ref().map(|asked| asked.outcome) {
                Some(outcome @ (Outcome::Active | Outcome::Dead)) => outcome.name(),
                Some(Outcome::Unknown | Outcome::NotAsked) | None => finding.what.state().name(),
            },
            verified: finding.asked.as_ref().map(VerifiedShown::of),
            form: finding.form.clone(),
            place: PlaceShown {
                host: place.host.clone(),
                source: place.source.clone(),
                path: place
                    .path
                    .as_ref()
                    .map(|path| keyroll_observe::shown(path.strip_prefix("./").unwrap_or(path))),
                inside: place.inside.clone(),
                line: place.start.line,
                column: place.start.column,
                end_line: place.end.line,
                end_column: place.end.column,
                commit: place.commit.as_ref().map(|commit| CommitShown {
                    first: commit.first.clone(),
                    author: commit.author.clone(),
                    first_at: day(commit.first_s),
                    last: commit.last.clone(),
                    last_at: day(commit.last_s),
                    in_head: commit.in_head,
                }),
            },
            accepted,
            remark: finding.remark.clone(),
        }
    }

    /// Its state in a word. With `--verify`, an unknown state says whether the issuer was asked.
    pub fn standing(&self) -> &'static str {
        match &self.verified {
            Some(verified) if self.state == "unknown" => verified.outcome,
            Some(_) | None => self.state,
        }
    }

    /// Whether the value is known to work.
    pub fn opens(&self) -> bool {
        matches!(self.state, "live" | "active")
    }

    /// Whether the value is known to work no longer.
    pub fn is_over(&self) -> bool {
        matches!(self.state, "retired" | "dead")
    }

    /// What it is, in few words.
    pub fn name(&self) -> &str {
        if self.secret.is_some() { &self.title } else { &self.rule }
    }

    /// The same with the name of the value: `named-secret JWT_SECRET`.
    pub fn called(&self) -> String {
        let variable = self.variable.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}{variable}", self.name())
    }

    /// What was found, with the name of the value.
    pub fn titled(&self) -> String {
        let variable = self.variable.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
        format!("{}{variable}", self.title)
    }
}

/// A time, UTC; a number outside of the calendar is shown as it is.
fn day(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

impl PlaceShown {
    /// `deploy/app.env:3:16`, `backup.tar.gz › app.env:3:16`, `web-1 › /srv/app.env:3:16`.
    pub fn text(&self) -> String {
        format!("{}:{}:{}", self.way(), self.line, self.column)
    }

    /// The same without line and column.
    pub fn way(&self) -> String {
        let parts = self.host.iter().chain(&self.source).chain(&self.path).chain(&self.inside);
        parts.map(String::as_str).collect::<Vec<_>>().join(" › ")
    }
}

impl LeaksShown {
    pub fn of(report: &Report, identities: Identities, verified: bool, took_s: f64) -> Self {
        let active =
            |one: &&Finding| one.asked.as_ref().is_some_and(|asked| asked.outcome == Outcome::Active);
        let (open, open_values) = counts(report.open());
        let (accepted, accepted_values) = counts(report.findings.iter().filter(|one| !one.is_open()));
        let live = |one: &&Finding| one.what.state() == LeakState::Live;
        let (active, active_values) = verified.then(|| counts(report.open().filter(active))).unzip();
        let (live, live_values) = verified.then(|| counts(report.open().filter(live))).unzip();
        Self {
            open,
            open_values,
            accepted,
            accepted_values,
            active,
            active_values,
            live,
            live_values,
            left_out: report.findings_left_out,
            texts: report.texts,
            bytes: report.bytes,
            not_visible: report.not_scanned(),
            passed_over: report.passed_over,
            rules_not_used: 0,
            identities,
            hosts: None,
            whole: true,
            took_s,
        }
    }

    /// How many of the values work, by state; only if issuers were asked.
    fn opening(&self) -> Option<String> {
        Some(match (self.active_values?, self.live_values.unwrap_or_default()) {
            (active, 0) => format!(" ({active} active)"),
            (0, live) => format!(" ({live} live)"),
            (active, live) => format!(" ({active} active, {live} live)"),
        })
    }

    /// What was left out on purpose, and how to scan it.
    fn passed_over_text(&self) -> Option<String> {
        let PassedOver { histories, ignored, links, devices, kernel } = self.passed_over;
        let parts = [
            (histories, "git history", "git histories", " (--git)"),
            (ignored, "ignored file or folder", "ignored files and folders", " (--no-ignore)"),
            (links, "link", "links", " (followed if named)"),
            (devices, "pipe or device", "pipes and devices", ""),
            (kernel, "folder of the kernel", "folders of the kernel", " (scanned if named)"),
        ];
        let parts = parts.into_iter().filter(|(number, ..)| *number > 0);
        let parts = parts.map(|(number, one, more, with)| count(number, one, more) + with);
        let parts: Vec<String> = parts.collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// A line if most of what was given was not scanned. A scan that did not run to its end says so itself.
    pub fn mostly_unscanned(&self) -> Option<String> {
        let all = self.texts.saturating_add(self.not_visible);
        (self.whole && self.not_visible > self.texts).then(|| {
            format!(
                "most was not scanned: {} of {}; to make this an error: keyroll leaks --strict",
                self.not_visible,
                count(all, "location", "locations")
            )
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let hosts = self.hosts.as_ref().map(|all| all.join(", "));
        let mut text = match self.open {
            0 => match &hosts {
                Some(hosts) => format!("no leak was found on {hosts}"),
                None => "no leak was found".to_owned(),
            },
            open => {
                let values = count(self.open_values as u64, "leaked value", "leaked values");
                let opening = self.opening().unwrap_or_default();
                format!("found {values}{opening} in {}", count(open as u64, "place", "places"))
            }
        };
        if self.accepted > 0 {
            let values = count(self.accepted_values as u64, "accepted value", "accepted values");
            let places = count(self.accepted as u64, "place", "places");
            let beside = if self.open > 0 { ", and" } else { " but" };
            text.push_str(&format!("{beside} {values} in {places} (--all shows them)"));
        }
        let mib = self.bytes as f64 / f64::from(1 << 20);
        text.push_str(&format!(
            "; read {} ({mib:.1} MiB) in {:.1} s",
            count(self.texts, "text", "texts"),
            self.took_s
        ));
        if self.not_visible > 0 {
            text.push_str(&format!(
                "; {}",
                count(self.not_visible, "location was not scanned", "locations were not scanned")
            ));
        }
        if let Some(passed_over) = self.passed_over_text() {
            text.push_str(&format!("; left out {passed_over}"));
        }
        if self.rules_not_used > 0 {
            let rules = count(self.rules_not_used as u64, "rule is not used", "rules are not used");
            text.push_str(&format!("; {rules}"));
        }
        if self.left_out > 0 {
            text.push_str(&format!("; {} more findings are not shown: the limit was reached", self.left_out));
        }
        match hosts.filter(|_| self.open > 0) {
            Some(hosts) if hosts.is_empty() => text.push_str("; no host was scanned to the end"),
            Some(hosts) => text.push_str(&format!("; scanned to the end: {hosts}")),
            None => {}
        }
        text
    }
}

/// The number of findings, and of different values.
fn counts<'f>(findings: impl Iterator<Item = &'f Finding>) -> (usize, usize) {
    let all: Vec<&Identity> = findings.map(|one| &one.identity).collect();
    (all.len(), all.iter().collect::<BTreeSet<_>>().len())
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn count(count: u64, one: &str, more: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    }
}
