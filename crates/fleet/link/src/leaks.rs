//! Findings of a scan for leaks as items of an answer, and back.
//!
//! A host is not told what the secrets are called whose fingerprints it searches for: it has the number of a version.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keyroll_inventory::Missed;
use keyroll_scanner::{
    Accepted, AcceptedBy, Detector, Finding, FindingKind, FindingPlace, Identity, Position, Report,
    SecretVersion, Skipped,
};

use crate::frame::Item;
use crate::leak_call::{LeakItem, LeakWhat, LeaksEnd};

/// The most that the findings, and what was not scanned, have in an answer, bytes. The rest is counted.
const FINDINGS_BYTES_MAX: usize = 32 << 20;
const MISSED_BYTES_MAX: usize = 8 << 20;

/// What a host found.
pub struct HostLeaks {
    /// The findings, with the host.
    pub report: Report,
    /// The wanted findings: their identities under the other key, with those under the key.
    pub picked: BTreeMap<Identity, Identity>,
    /// Why the scan did not read everything.
    pub late: Option<String>,
}

/// The items of a report. The findings of a known value carry its number in place of a name.
pub fn leak_items(report: Report, picked: BTreeMap<Identity, Identity>, late: Option<String>) -> Vec<Item> {
    let Report {
        mut findings,
        findings_left_out,
        skipped,
        skipped_left_out,
        passed_over,
        unread,
        // Nothing is staged on hosts.
        allowed: _,
        texts,
        bytes,
    } = report;
    // If not all fit, the values that work stay.
    findings.sort_by_key(|one| one.what.state());
    let leak = |one| Item::Leak(Box::new(item(one)));
    let (mut items, findings_more) = fitting(findings, FINDINGS_BYTES_MAX, leak);
    let missed = |one: Skipped| Item::Missed(Missed { what: one.what, why: one.why });
    let (missed, skipped_more) = fitting(skipped, MISSED_BYTES_MAX, missed);
    items.extend(missed);
    let pair = |(named, here): (Identity, Identity)| Item::Picked(named.to_string(), here.to_string());
    items.extend(picked.into_iter().map(pair));
    items.push(Item::LeaksEnd(LeaksEnd {
        texts,
        bytes,
        unread,
        findings_left_out: findings_left_out.saturating_add(findings_more),
        skipped_left_out: skipped_left_out.saturating_add(skipped_more),
        passed_over,
        late,
    }));
    items
}

/// The first items that have together at most so many bytes, and how many more there are.
fn fitting<T>(all: Vec<T>, bytes_max: usize, item: impl Fn(T) -> Item) -> (Vec<Item>, u64) {
    let (mut items, mut bytes, mut more) = (Vec::new(), 0, 0);
    for item in all.into_iter().map(item) {
        bytes += serde_json::to_vec(&item).map_or(bytes_max, |text| text.len());
        match bytes <= bytes_max {
            true => items.push(item),
            false => more += 1,
        }
    }
    (items, more)
}

fn item(one: Finding) -> LeakItem {
    let Finding { identity, what, name, form, place, accepted, remark, asked: _ } = one;
    let what = match what {
        FindingKind::Known(version) => LeakWhat::Known(version.secret),
        FindingKind::Kind { rule, title, provider } => LeakWhat::Kind { rule, title, provider },
    };
    LeakItem {
        identity: identity.to_string(),
        what,
        name,
        form: form.map(Cow::into_owned),
        source: place.source,
        path: place.path.map(|path| path.to_string_lossy().into_owned()),
        inside: place.inside,
        start: (place.start.line, place.start.column),
        end: (place.end.line, place.end.column),
        commit: place.commit,
        accepted: accepted.map(|one| (one.reason, one.until.map(|day| day.to_string()))),
        remark,
    }
}

/// The report of a host of these items. `detector` is that of this machine, and `versions` are what the numbers mean.
///
/// # Errors
/// An item is none that keyroll-host sends for this scan.
pub fn host_leaks(
    host: &str,
    items: Vec<Item>,
    versions: &[SecretVersion],
    detector: &Detector,
) -> Result<HostLeaks, &'static str> {
    let mut all = HostLeaks { report: Report::default(), picked: BTreeMap::new(), late: None };
    let mut ended = false;
    for item in items {
        match item {
            Item::Leak(one) => {
                all.report.findings.push(finding(host, *one, versions, detector)?);
            }
            Item::Missed(Missed { what, why }) => {
                all.report.skipped.push(Skipped { what: format!("{host} › {what}"), why });
            }
            Item::Picked(named, here) => {
                let read = |text: &str| Identity::read(text).ok_or("an identity has another form");
                all.picked.insert(read(&named)?, read(&here)?);
            }
            Item::LeaksEnd(end) => {
                ended = true;
                all.report.texts = end.texts;
                all.report.bytes = end.bytes;
                all.report.unread = end.unread;
                all.report.findings_left_out = end.findings_left_out;
                all.report.skipped_left_out = end.skipped_left_out;
                all.report.passed_over = end.passed_over;
                all.late = end.late;
            }
            // They belong to other calls.
            Item::Value { .. }
            | Item::Scan(_)
            | Item::Found { .. }
            | Item::Copies { .. }
            | Item::Instance { .. }
            | Item::Store(_)
            | Item::Draft(_)
            | Item::LeftOut(_)
            | Item::Why(_)
            | Item::Sentence(_)
            | Item::Differs(_)
            | Item::Refused
            | Item::Fact(_)
            | Item::Reply(_) => {}
        }
    }
    if !ended {
        return Err("the end of the scan is missing");
    }
    keep_picked(&mut all, detector);
    Ok(all)
}

/// Drops each identity under the other key that was not asked for, or is of nothing that this host has found: findings of
/// other hosts would be accepted with it.
fn keep_picked(all: &mut HostLeaks, detector: &Detector) {
    let Some((key, begins)) = detector.selection() else { return all.picked.clear() };
    let same = key.bytes() == detector.identity_key().bytes();
    let found: BTreeSet<&Identity> = all.report.findings.iter().map(|one| &one.identity).collect();
    all.picked.retain(|named, here| {
        let wanted = begins.iter().any(|begin| named.as_str().starts_with(begin));
        wanted && (!same || named == here) && found.contains(here)
    });
}

fn finding(
    host: &str,
    one: LeakItem,
    versions: &[SecretVersion],
    detector: &Detector,
) -> Result<Finding, &'static str> {
    let (what, identity) = match one.what {
        LeakWhat::Known(number) => {
            let version = number.parse::<usize>().ok().and_then(|number| versions.get(number));
            let version = version.ok_or("a finding is of a value that was not searched for")?;
            (FindingKind::Known(version.clone()), detector.identity_of(version))
        }
        LeakWhat::Kind { rule, title, provider } => {
            let identity = Identity::read(&one.identity).ok_or("an identity has another form")?;
            (FindingKind::Kind { rule, title, provider }, identity)
        }
    };
    let accepted = match one.accepted {
        Some((reason, until)) => {
            let until = until.map(|day| day.parse()).transpose();
            let until = until.map_err(|_| "a day has another form")?;
            Some(Accepted { by: AcceptedBy::Comment, reason, until })
        }
        None => None,
    };
    let at = |(line, column)| Position { line, column };
    let place = FindingPlace {
        host: Some(host.to_owned()),
        source: one.source,
        path: one.path.map(PathBuf::from),
        inside: one.inside,
        start: at(one.start),
        end: at(one.end),
        commit: one.commit,
    };
    let mut finding = Finding {
        identity,
        what,
        name: one.name,
        form: one.form.map(Cow::Owned),
        place,
        accepted: None,
        remark: one.remark,
        asked: None,
    };
    if let Some(accepted) = accepted {
        finding.accept(accepted);
    }
    Ok(finding)
}

#[cfg(test)]
mod tests {
    use keyroll_scanner::{Commit, KnownValues, PassedOver};
    use keyroll_secret::FingerprintKey;

    use super::*;

    /// It selects findings by another key than that of its identities.
    fn detector() -> Detector {
        let detector = Detector::new(KnownValues::default(), FingerprintKey::new(&[3; 32]));
        detector.selecting(FingerprintKey::new(&[4; 32]), vec!["2c2c".to_owned()])
    }

    fn version() -> SecretVersion {
        SecretVersion { secret: "acme".to_owned(), number: 4, state: "current", retired: false }
    }

    /// A finding with everything that one may have.
    fn found(what: FindingKind, identity: Identity, host: Option<&str>) -> Finding {
        Finding {
            identity,
            what,
            name: Some("ACME_KEY".to_owned()),
            form: Some(Cow::Borrowed("base64")),
            place: FindingPlace {
                host: host.map(str::to_owned),
                source: Some("image app".to_owned()),
                path: Some(PathBuf::from("/srv/app.tar")),
                inside: vec!["app.env".to_owned()],
                start: Position { line: 3, column: 9 },
                end: Position { line: 4, column: 2 },
                commit: Some(Commit {
                    first: "0a".to_owned(),
                    author: "Ada".to_owned(),
                    first_s: -1,
                    last: "0b".to_owned(),
                    last_s: 2,
                    in_head: true,
                }),
            },
            accepted: None,
            remark: Some("if the file is a settings file".to_owned()),
            asked: None,
        }
    }

    fn kind() -> FindingKind {
        FindingKind::Kind { rule: "r".to_owned(), title: "R".to_owned(), provider: Some("acme".to_owned()) }
    }

    /// What arrives of these items.
    fn arrived(items: &[Item], versions: &[SecretVersion]) -> Result<HostLeaks, &'static str> {
        let text = serde_json::to_string(items).unwrap();
        host_leaks("web-1", serde_json::from_str(&text).unwrap(), versions, &detector())
    }

    fn identity(digits: &str) -> Identity {
        Identity::read(&digits.repeat(16)).unwrap()
    }

    #[test]
    fn a_report_arrives_with_its_host_and_with_the_names_of_the_driver() {
        let numbered = SecretVersion { secret: "0".to_owned(), number: 0, ..version() };
        let mut noted = found(kind(), identity("1b"), None);
        let until = Some("2030-01-31".parse().unwrap());
        let by_comment = Accepted { by: AcceptedBy::Comment, reason: "a test".to_owned(), until };
        noted.accept(by_comment.clone());
        let passed_over = PassedOver { ignored: 2, ..PassedOver::default() };
        let report = Report {
            findings: vec![found(FindingKind::Known(numbered), identity("0a"), None), noted],
            findings_left_out: 1,
            skipped: vec![Skipped { what: "/srv/x".to_owned(), why: "gone".to_owned() }],
            skipped_left_out: 2,
            passed_over,
            unread: 3,
            allowed: 0,
            texts: 4,
            bytes: 5,
        };
        let picked = BTreeMap::from([(identity("2c"), identity("1b"))]);
        let items = leak_items(report, picked.clone(), Some("docker ended".to_owned()));
        let HostLeaks { report, picked: picks, late } = arrived(&items, &[version()]).unwrap();
        assert_eq!((picks, late.as_deref()), (picked, Some("docker ended")));
        // The host's own identity of a stored value is not used.
        let known = found(FindingKind::Known(version()), detector().identity_of(&version()), Some("web-1"));
        let mut noted = found(kind(), identity("1b"), Some("web-1"));
        noted.accept(by_comment);
        let wanted = Report {
            findings: vec![known, noted],
            findings_left_out: 1,
            skipped: vec![Skipped { what: "web-1 › /srv/x".to_owned(), why: "gone".to_owned() }],
            skipped_left_out: 2,
            passed_over,
            unread: 3,
            allowed: 0,
            texts: 4,
            bytes: 5,
        };
        assert_eq!(report, wanted);
    }

    #[test]
    fn what_no_scan_sends_is_refused() {
        let end = || leak_items(Report::default(), BTreeMap::new(), None);
        assert!(arrived(&end(), &[]).is_ok());
        assert!(arrived(&[], &[]).is_err(), "no end");
        for number in ["0", "1", "-1", "x", "18446744073709551616"] {
            let what = SecretVersion { secret: number.to_owned(), ..version() };
            let findings = vec![found(FindingKind::Known(what), identity("0a"), None)];
            let items = leak_items(Report { findings, ..Report::default() }, BTreeMap::new(), None);
            let versions = if number == "0" { vec![] } else { vec![version()] };
            assert!(arrived(&items, &versions).is_err(), "{number}");
        }
        let picked = [vec![Item::Picked("0A".to_owned(), "0a".repeat(16))], end()].concat();
        assert!(arrived(&picked, &[]).is_err());
    }

    #[test]
    fn only_what_was_asked_for_and_found_is_picked() {
        let found = || vec![found(kind(), identity("1b"), None)];
        let picked = |named: &str, here: &str, detector: &Detector| {
            let report = Report { findings: found(), ..Report::default() };
            let pairs = BTreeMap::from([(identity(named), identity(here))]);
            let items = leak_items(report, pairs, None);
            host_leaks("web-1", items, &[], detector).unwrap().picked.len()
        };
        assert_eq!(picked("2c", "1b", &detector()), 1);
        assert_eq!(picked("2d", "1b", &detector()), 0, "another beginning");
        assert_eq!(picked("2c", "1c", &detector()), 0, "not found there");
        let plain = Detector::new(KnownValues::default(), FingerprintKey::new(&[3; 32]));
        assert_eq!(picked("2c", "1b", &plain), 0, "nothing was asked for");
        let same = plain.selecting(FingerprintKey::new(&[3; 32]), vec!["2c".to_owned(), "1b".to_owned()]);
        assert_eq!(picked("2c", "1b", &same), 0, "it is not its own identity");
        assert_eq!(picked("1b", "1b", &same), 1);
    }

    #[test]
    fn findings_that_do_not_fit_are_counted() {
        let mut one = found(kind(), identity("0a"), None);
        one.remark = Some("x".repeat(FINDINGS_BYTES_MAX / 4));
        let mut findings = vec![one; 6];
        let numbered = SecretVersion { secret: "0".to_owned(), ..version() };
        findings.push(found(FindingKind::Known(numbered), identity("0b"), None));
        let what = "y".repeat(MISSED_BYTES_MAX / 2);
        let skipped = vec![Skipped { what, why: "gone".to_owned() }; 3];
        let report =
            Report { findings, findings_left_out: 10, skipped, skipped_left_out: 10, ..Report::default() };
        let report = arrived(&leak_items(report, BTreeMap::new(), None), &[version()]).unwrap().report;
        assert_eq!((report.findings.len(), report.findings_left_out), (4, 13));
        assert!(report.findings.iter().any(|one| one.what == FindingKind::Known(version())));
        assert_eq!((report.skipped.len(), report.skipped_left_out), (1, 12));
    }
}
