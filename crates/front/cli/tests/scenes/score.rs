//! The output for all scenes, compared with the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use keyroll_testkit::command::Ran;
use serde_json::Value;

use crate::scenes::truth::{Truth, Version};

/// Questions at the same time.
const LANES: usize = 2;

/// The largest part of the instances that may be unknown, in hundredths.
const UNKNOWN_MAX: usize = 5;

/// Inspects all scenes once, prints the table, and fails if anything in it is wrong.
#[track_caller]
pub fn every_cause_is_named(roots: &[PathBuf], all: &[Truth], look: &(dyn Fn(&[&str]) -> Ran + Sync)) {
    let roots: Vec<&str> = roots.iter().map(|root| root.to_str().unwrap()).collect();
    let ran = look(&[&["scan", "--json", "--wait", "300"], &roots[..]].concat());
    ran.exits(0);
    let said = Said::of(&ran);
    let mut scores: Vec<Score> = all.iter().map(|truth| score(truth, &said, roots[0])).collect();
    asked(&mut scores, all, &said, &roots, look);
    let table = table(&scores);
    println!("{table}");
    let mut wrong: Vec<String> = scores.iter().flat_map(|one| one.wrong.clone()).collect();
    let (instances, unknown): (usize, usize) =
        scores.iter().fold((0, 0), |sum, one| (sum.0 + one.instances, sum.1 + one.unknown));
    if unknown * 100 > instances * UNKNOWN_MAX {
        wrong.push(format!("{unknown} of {instances} instances are unknown"));
    }
    assert!(wrong.is_empty(), "\n{table}\n{}\nnot visible: {:#?}", wrong.join("\n"), ran.of("not_visible"));
}

/// The program's output.
struct Said {
    /// A place, and the labels of the values that stand there.
    copies: BTreeMap<String, BTreeSet<String>>,
    instances: Vec<Value>,
}

impl Said {
    fn of(ran: &Ran) -> Self {
        let mut copies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for found in ran.of("found") {
            for copy in found["copies"].as_array().unwrap() {
                let [place, label] = ["place", "value"].map(|key| copy[key].as_str().unwrap().to_owned());
                copies.entry(place).or_default().insert(label);
            }
        }
        Self { copies, instances: ran.of("instance").into_iter().cloned().collect() }
    }
}

#[derive(Default)]
struct Score {
    cause: &'static str,
    copies: usize,
    found: usize,
    instances: usize,
    right: usize,
    unknown: usize,
    named: bool,
    wrong: Vec<String>,
}

fn score(truth: &Truth, said: &Said, root: &str) -> Score {
    let mut score = Score { cause: truth.cause, copies: truth.copies.len(), ..Score::default() };
    let labels = labels(truth, said, &mut score);
    copies(truth, said, &labels, root, &mut score);
    instances(truth, said, &labels, &mut score);
    line(truth, said, &mut score);
    let cause = truth.cause;
    score.wrong.iter_mut().for_each(|text| *text = format!("{cause}: {text}"));
    score
}

/// Which label belongs to which version. A version without a copy is the other one that the scene's processes hold.
fn labels(truth: &Truth, said: &Said, score: &mut Score) -> BTreeMap<Version, String> {
    let mut all: BTreeMap<Version, String> = BTreeMap::new();
    for (place, version) in &truth.copies {
        for label in said.copies.get(place).into_iter().flatten() {
            let known = all.entry(*version).or_insert_with(|| label.clone());
            if known != label {
                score.wrong.push(format!("{place} holds {label}, and {version:?} is {known} elsewhere"));
            }
        }
    }
    for one in &truth.instances {
        let held = rows(said, one.pid).flat_map(held).collect::<BTreeSet<_>>();
        let other: Vec<&String> =
            held.iter().filter(|label| !all.values().any(|known| known == *label)).collect();
        if let (Some(version), [label]) =
            (one.holds.iter().find(|version| !all.contains_key(version)), other.as_slice())
        {
            let label = (*label).clone();
            all.insert(*version, label);
        }
    }
    let apart: BTreeSet<&String> = all.values().collect();
    if apart.len() < all.len() {
        score.wrong.push("both versions have one label".to_owned());
    }
    all
}

fn copies(truth: &Truth, said: &Said, labels: &BTreeMap<Version, String>, root: &str, score: &mut Score) {
    for (place, version) in &truth.copies {
        let here = said.copies.get(place);
        if here.is_some_and(|here| labels.get(version).is_some_and(|label| here.contains(label))) {
            score.found += 1;
        } else {
            score.wrong.push(format!("the copy of {version:?} at {place} was not found: {here:?}"));
        }
    }
    for (place, here) in &said.copies {
        let ours = labels.values().any(|label| here.contains(label)) && place.contains(root);
        if ours && !truth.copies.iter().any(|(known, _)| known == place) {
            score.wrong.push(format!("a copy that is none: {place}"));
        }
    }
}

fn instances(truth: &Truth, said: &Said, labels: &BTreeMap<Version, String>, score: &mut Score) {
    for one in &truth.instances {
        let ours = |row: &&Value| {
            let next = row["next"].as_str().map(str::to_owned);
            labels.values().any(|label| held(row).chain(next.clone()).any(|held| held == *label))
        };
        let all: Vec<&Value> = rows(said, one.pid).filter(ours).collect();
        if all.is_empty() {
            score.instances += 1;
            score.wrong.push(format!("process {} was not seen to use it", one.pid));
        }
        for row in all {
            score.instances += 1;
            let verdict = row["verdict"].as_str().unwrap();
            let next = row["next"].as_str();
            let wanted = one.next.and_then(|next| labels.get(&next));
            if next.is_some() && next != wanted.map(String::as_str) {
                score.wrong.push(format!("process {} would be started with {wanted:?}: {row}", one.pid));
            }
            match one.verdict() {
                _ if verdict == "unknown" => score.unknown += 1,
                Some(right) if right == verdict => score.right += 1,
                right => score.wrong.push(format!("process {} is {right:?}: {row}", one.pid)),
            }
        }
    }
    // Nothing is checked about other holders: a manager's daemon keeps the value for others, a shell passes it on, and
    // another test's keyroll may be searching at the same time.
    let known: Vec<u64> = truth.instances.iter().map(|one| u64::from(one.pid)).collect();
    for row in &said.instances {
        let ours = held(row).any(|held| labels.values().any(|label| *label == held));
        let apart =
            row["pid"].as_u64().is_some_and(|pid| known.contains(&pid)) || row["verdict"] == "unknown";
        if ours && !apart {
            score.wrong.push(format!("it is no instance: {row}"));
        }
    }
}

fn line(truth: &Truth, said: &Said, score: &mut Score) {
    let causes: Vec<&str> = rows(said, truth.line.pid).filter_map(|row| row["cause"].as_str()).collect();
    score.named = causes.iter().any(|cause| truth.line.is_in(cause));
    if !score.named {
        score.wrong.push(format!("it is not named: {:#?} in {causes:#?}", truth.line.says));
    }
}

/// `why` says the same in one line, for each of the causes; `trace` shows the same rows of the first.
fn asked(
    scores: &mut [Score],
    all: &[Truth],
    said: &Said,
    roots: &[&str],
    look: &(dyn Fn(&[&str]) -> Ran + Sync),
) {
    let left = Mutex::new(scores.iter_mut().zip(all).filter(|(_, truth)| truth.is_numbered()));
    let below: Vec<&str> = roots.iter().flat_map(|root| ["--in", root]).collect();
    let why = |truth: &Truth| {
        let pid = truth.line.pid.to_string();
        let one = truth.instances.iter().find(|one| one.pid == truth.line.pid).unwrap();
        let memory: &[&str] =
            if one.verdict() == Some("current") { &["--memory", "0"] } else { &["--wait", "300"] };
        let ran = look(&[&["why", &pid], &below[..], memory].concat());
        let here = format!("(pid {pid})");
        let named = whole(&ran.text).lines().any(|line| line.contains(&here) && truth.line.is_in(line));
        (!(named && ran.code == Some(0)))
            .then(|| format!("why does not name it: {:#?} in {}", truth.line.says, ran.text))
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let Some((score, truth)) = left.lock().unwrap().next() else { return };
                    score.wrong.extend(why(truth));
                }
            });
        }
    });
    let (first, secret) = (&all[0], rows(said, all[0].line.pid).find_map(|row| row["secret"].as_str()));
    let ran = look(&[&["trace", secret.unwrap()], &below[..], &["--wait", "300"]].concat());
    for one in &first.instances {
        let pid = one.pid.to_string();
        let shown = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&&*pid) && words.last().copied() == one.verdict()
        };
        if !ran.text.lines().any(shown) {
            scores[0].wrong.push(format!("trace does not show process {}: {}", one.pid, ran.text));
        }
    }
}

/// An output with each command, which has a line of its own, behind the sentence that it belongs to.
fn whole(text: &str) -> String {
    let mut all = String::new();
    for line in text.lines() {
        let (before, not) = (all.ends_with("; to move it:"), line.strip_prefix("  not: "));
        match (line.strip_prefix("  ").filter(|_| before), not) {
            (Some(command), _) => all.extend([" ", command]),
            (None, Some(wrong)) => all.extend([" (not: ", wrong, ")"]),
            (None, None) => all.extend(["\n", line]),
        }
    }
    all
}

fn rows(said: &Said, pid: u32) -> impl Iterator<Item = &Value> {
    said.instances.iter().filter(move |row| row["pid"] == pid)
}

/// The labels of what an instance was seen to hold.
fn held(row: &Value) -> impl Iterator<Item = String> {
    let all =
        [&row["start"], &row["memory"]["values"]].map(|all| all.as_array().cloned().unwrap_or_default());
    all.into_iter().flatten().filter_map(|label| label.as_str().map(str::to_owned))
}

fn table(scores: &[Score]) -> String {
    let mut text = format!(
        "{:<46}{:>8}{:>11}{:>7}{:>9}{:>7}  cause\n",
        "scene", "copies", "instances", "right", "unknown", "wrong"
    );
    for one in scores {
        let copies = format!("{}/{}", one.found, one.copies);
        let named = if one.named { "named" } else { "NOT NAMED" };
        text += &format!(
            "{:<46}{copies:>8}{:>11}{:>7}{:>9}{:>7}  {named}\n",
            one.cause,
            one.instances,
            one.right,
            one.unknown,
            one.wrong.len()
        );
    }
    text
}
