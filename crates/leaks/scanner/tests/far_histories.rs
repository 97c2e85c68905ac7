//! Text that decides about a value far away: the head of a table, the kind of a document, the text beside a name. Such
//! values are found in histories as in a checkout of every commit, however git packed them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine as _;
use keyroll_leak::Rules;
use keyroll_scanner::{Baseline, Detector, KnownValues, Report, Scan, Tree};

use crate::repository::{commit_all, git};

const COMMITS: u64 = 24;

fn looked(look: impl FnOnce(&Scan<'_>)) -> Report {
    let baseline = Baseline::new([7; 32]);
    let detector = Detector::new(KnownValues::default(), baseline.key())
        .with_rules(Rules::shipped().unwrap())
        .with_names();
    let scan = Scan::new(&detector, "2026-11-21".parse().unwrap());
    look(&scan);
    scan.finish()
}

fn value(number: u64) -> String {
    format!("kD93hfQ0p{:06}", number * 7_919 % 1_000_000)
}

/// Lines that say nothing, no two alike.
fn filler(name: &str, from: u64, count: u64) -> String {
    (from..from + count).map(|line| format!("# {name} {} {line}\n", line * 7_919)).collect()
}

/// One of two texts, by a bit of a number that is a commit's.
fn either<'t>(number: u64, bit: u32, one: &'t str, other: &'t str) -> &'t str {
    if ((number * 2_654_435_761) >> (bit + 3)) & 1 == 0 { one } else { other }
}

/// The files of a commit. In each, the deciding text and the value change at different times.
fn version(root: &Path, number: u64) {
    let old = number / 5;
    let rows = |from: u64| -> String {
        let row = |row: u64| format!("u{row},{},x{}\n", value(row + old / 2 * 40), row * 7_919);
        (from..from + 40).map(row).collect()
    };
    let table = either(number, 0, "user,password,note", "user,remark,note");
    let table = format!("{table}\n{}{}u,{},n\n{}", rows(0), rows(100), value(9_000 + number), rows(200));
    let note =
        |row: u64| format!("\"a\n{}{}\",u{row},{}\n", filler("n", row * 9, 6), row % 7, value(row + old));
    let notes: String = (0..60).map(note).collect();
    let quote = either(number, 8, "\"", "|,y");
    let notes = format!(
        "note,user,password\n{}\"b\n{}{quote},x,{}\n{notes}",
        filler("a", 0, 300),
        filler("c", 0, 9),
        value(8_000 + old)
    );
    let encoded = base64::prelude::BASE64_STANDARD.encode(value(old + 50));
    let kind = either(number, 1, "kind: Secret", "kind: ConfigMap");
    let listed = format!(
        "{{\n  \"items\": [\n    {{\n      \"data\": {{\n{}        \"pass-two\": \"{encoded}\"\n      }},\n      {},\n    }}\n  ]\n}}\n{}",
        "        \"mode\": \"\",\n".repeat(12),
        either(number, 10, "\"kind\": \"Secret\"", "\"kind\": \"ConfigMap\""),
        filler("d", 0, 300)
    );
    let secret = format!(
        "{}---\n{kind}\n{}data:\n{}  pass-one: {}\n{}",
        filler("before", 0, 300),
        filler("in", 0, 24),
        filler("below", 0, 24),
        encoded,
        filler("behind", 0, 300)
    );
    let web = format!(
        "{}\nk = {{\n  {}: \"OKP\",\n{}  \"d\": \"{}{}\"\n}}\n{}",
        filler("before", 0, 300),
        either(number, 2, "\"kty\"", "\"kind\""),
        filler("in", 0, 220),
        value(old),
        value(old + 1),
        filler("behind", 0, 300)
    );
    let variable = format!(
        "{}variable \"{}\" {{\n{}  default = \"{}\"\n}}\n{}",
        filler("before", 0, 300),
        either(number, 3, "db_password", "db_mode"),
        filler("in", 0, 9),
        value(old),
        filler("behind", 0, 300)
    );
    let logins: String =
        (0..10).map(|line| format!("h{line}:6432:x:app:{}\n", value(line + 100 * old))).collect();
    let port = either(number, 4, "5432", "6543");
    let logins =
        format!("{}h:{port}:x:app:{}\n{logins}{}", filler("a", 0, 300), value(77), filler("b", 0, 300));
    let pairs = format!(
        "{}- note: {number}\n- name: TRACE_ID\n  value: {}\n- name: API_TOKEN\n  value: {}\n{}- name: {}\n  value: {}\n- password: {}\n    {}\n{}- key: z\n{}",
        filler("a", 0, 300),
        value(old + 80),
        value(old + 81),
        filler("c", 0, 9),
        either(number, 5, "API_TOKEN", "API_MODE"),
        value(old),
        either(number, 6, "|-", "x"),
        value(old + 30),
        either(number, 7, "", "    more\n"),
        filler("b", 0, 300)
    );
    let wide = if number.is_multiple_of(3) { 18_000 } else { 9_000 };
    let line = format!(
        "{}{{ 'password': '{}' | 'x': '{}' }}\n{}",
        filler("a", 0, 300),
        value(old),
        "x ".repeat(wide / 2) + &number.to_string(),
        filler("b", 0, 300)
    );
    let wide = format!(
        "{}{{ \"x\": \"{}\", \"{}\": \"{}\", \"y\": \"{}{number}\" }}\n{}",
        filler("a", 0, 300),
        "y ".repeat(9_500),
        either(number, 5, "password", "remark"),
        value(old + 60),
        "z ".repeat(9_500),
        filler("b", 0, 300)
    );
    let dense = format!(
        "{}{{\"items\":[{}{{\"data\":{{\"mode\":\"\",\"three\":\"{encoded}\"}},{},\"x\":\"{number}\"}}]}}\n{}",
        filler("a", 0, 300),
        "{\"kind\":\"ConfigMap\"},".repeat(900),
        either(number, 10, "\"kind\":\"Secret\"", "\"kind\":\"ConfigMap\""),
        filler("b", 0, 300)
    );
    let code = "function(e,t){return e[t]}".repeat(400);
    let code = format!(
        "{}{code};c={{host:\"h\",{}:\"{}\",x:{number}}};{code}\n{}",
        filler("a", 0, 300),
        either(number, 5, "apiKey", "mode"),
        value(old + 70),
        filler("b", 0, 300)
    );
    let longer = either(number, 9, "", "# a longer one, by more than what decides\n");
    for (name, text) in [
        ("users.csv", table),
        ("notes.csv", notes + longer),
        ("list.json", listed + longer),
        // The longer one is git's delta base.
        ("secret.yaml", secret + longer),
        ("web.js", web + longer),
        ("vars.tf", variable),
        ("logins.txt", logins),
        ("pairs.yaml", pairs),
        ("line.env", line),
        ("wide.json", wide),
        ("dense.json", dense),
        ("code.js", code),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
}

#[test]
fn what_decides_from_far_away_is_seen_however_an_object_was_packed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    // For each finding the commits that have it, with its line.
    let mut there: BTreeMap<(String, String), Vec<(String, u64)>> = BTreeMap::new();
    let mut files: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for number in 0..COMMITS {
        version(root, number);
        let commit = commit_all(root);
        let report = looked(|scan| {
            scan.tree(&Tree { paths: vec![root.to_owned()], ignored_left_out: false });
        });
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for one in &report.findings {
            let path = one.place.path.as_ref().unwrap().strip_prefix(root).unwrap().display().to_string();
            *counts.entry(path.clone()).or_default() += 1;
            let all = there.entry((path, one.identity.to_string())).or_default();
            all.push((commit.clone(), one.place.start.line));
        }
        for name in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()) {
            let name = name.into_string().unwrap();
            let count = counts.get(&name).copied().unwrap_or_default();
            files.entry(name).or_default().insert(count);
        }
    }
    // In each file something is decided both ways; otherwise this would prove nothing.
    files.remove(".git");
    assert!(files.values().all(|counts| counts.len() > 1), "{files:?}");
    for packed in [false, true] {
        if packed {
            git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
            let check = "--batch-check=%(objecttype) %(deltabase)";
            let all = git(root, &["cat-file", "--batch-all-objects", check]);
            let blobs: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("blob ")).collect();
            let whole = blobs.iter().filter(|base| base.starts_with("00000000")).count();
            assert!(whole * 3 < blobs.len(), "most are told as differences: {whole} of {}", blobs.len());
        }
        let report = looked(|scan| scan.history(root).unwrap());
        assert!(report.skipped.is_empty(), "{:?}", report.skipped);
        let mut found = BTreeSet::new();
        for one in &report.findings {
            let key = (one.place.path.as_ref().unwrap().display().to_string(), one.identity.to_string());
            let commit = one.place.commit.as_ref().unwrap();
            let all = there.get(&key).map_or(&[][..], Vec::as_slice);
            let (Some(first), Some(last)) = (all.first(), all.last()) else { panic!("{packed} {key:?}") };
            assert_eq!((&commit.first, &commit.last), (&first.0, &last.0), "{packed} {key:?}");
            assert_eq!(one.place.start.line, last.1, "{packed} {key:?}");
            found.insert(key);
        }
        let missing: Vec<_> = there.keys().filter(|key| !found.contains(*key)).collect();
        assert!(missing.is_empty(), "{packed} {missing:?}");
    }
}

#[test]
fn what_was_decided_by_a_line_that_is_gone_is_decided_anew() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    git(root, &["init", "--quiet", "--initial-branch=main"]);
    let encoded = base64::prelude::BASE64_STANDARD.encode(value(1));
    let below = format!("{}data:\n  pass-one: {encoded}\n{}", filler("a", 0, 30), filler("b", 0, 300));
    // The larger one is git's delta base.
    fs::write(root.join("a.yaml"), format!("kind: Secret\n# and more of it\n{below}")).unwrap();
    let first = commit_all(root);
    fs::write(root.join("a.yaml"), format!("kind: Map\n{below}")).unwrap();
    commit_all(root);
    git(root, &["repack", "-adfq", "--depth=50", "--window=50"]);
    let report = looked(|scan| scan.history(root).unwrap());
    assert_eq!(report.findings.len(), 1);
    let commit = report.findings[0].place.commit.as_ref().unwrap();
    assert_eq!((&commit.first, &commit.last, commit.in_head), (&first, &first, false));
}
