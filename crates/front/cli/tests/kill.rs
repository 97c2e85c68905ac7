//! The shipped program killed at the N-th write, fsync, rename, connect or send, many times in each rotation: every
//! rotation ends with one live credential, every consumer on it, and nothing left over.

pub(crate) mod apart;
pub(crate) mod order;
pub(crate) mod part;
pub(crate) mod scene;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use scene::{Ran, Scene, program};
use serde_json::json;
use trace::{Counts, Draw, Place, all_calls, counts, under};

/// Kills in all, where `KEYROLL_KILLS` does not say.
const KILLS: u64 = 200;

/// The draws of a change's test, where `KEYROLL_SEED` does not say.
const SEED: u64 = 0x6b65_7972_6f6c_6c01;

/// Kills of one rotation, after which it is left to end: 200 kills are at least 40 rotations.
const KILLS_MAX: usize = 5;

/// One rotation of so many is killed at its very end first.
const LATE_EVERY: u64 = 3;

/// Scenes at the same time per issuer: most of a rotation is waiting.
const LANES: u64 = 3;

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

fn traces() -> bool {
    let works = trace::works();
    assert!(works || std::env::var("CI").is_err(), "strace cannot trace in CI");
    if !works {
        eprintln!("left out: strace is not installed or may not trace");
    }
    works
}

/// The report of a lane.
#[derive(Default)]
struct Tally {
    rotations: u64,
    kills: BTreeMap<String, u64>,
    phases: BTreeMap<String, u64>,
}

impl Tally {
    fn killed(&self) -> u64 {
        self.kills.values().sum()
    }
}

/// One rotation of a scene, killed again and again.
struct Rotation<'a> {
    scene: &'a Scene,
    draw: &'a mut Draw,
    log: Vec<String>,
}

impl Rotation<'_> {
    /// Runs a command, and kills it at a drawn place if it gets there.
    fn attempt(&mut self, place: Option<Place>, words: &[&str]) -> (Ran, Option<Place>) {
        let record = self.scene.home().join("state").join(trace::name());
        let begun = place.as_ref().map(|place| under(self.scene.keyroll(), &record, "", Some(place)));
        let ran = self.scene.run(begun, words);
        let _ = fs::remove_file(record);
        // No rotation of this ring has a reason to roll back: if one does, its complete output is shown.
        if ran.events.iter().any(|event| event["phase"] == "rolling_back") {
            println!("{} went back ({place:?}):\n{}", words.join(" "), ran.text);
        }
        if !ran.killed {
            let code = ran.code;
            self.log.push(format!("{} ended with {code:?} ({place:?})", words[0]));
            return (ran, None);
        }
        let place = place.expect("only strace kills");
        let of = if place.store { " of the store" } else { "" };
        let (call, nth) = (place.call, place.nth);
        self.log.push(format!("{} killed at {call} {nth}{of} in {}", words[0], ran.last_phase()));
        (ran, Some(place))
    }

    fn drive(&mut self, counts: &Counts, tally: &mut Tally) {
        let id = self.scene.plan();
        let mut kills = 0;
        let mut resume = false;
        for _ in 0..KILLS_MAX * 4 {
            let words = match resume {
                true => vec!["resume", "--confirm", "ring"],
                false => vec!["apply", id.as_str(), "--confirm", "ring"],
            };
            let late = kills == 0 && tally.rotations % LATE_EVERY == 1;
            let drawn = if late { self.draw.late(counts) } else { self.draw.place(counts) };
            let (ran, place) = self.attempt(Some(drawn).filter(|_| kills < KILLS_MAX), &words);
            if let Some(place) = place {
                kills += 1;
                let class = if place.store { "store" } else { place.class };
                *tally.kills.entry(class.to_owned()).or_default() += 1;
                *tally.phases.entry(ran.last_phase().to_owned()).or_default() += 1;
                resume = self.is_open();
                if !resume && self.was_opened(&id) {
                    break;
                }
                continue;
            }
            let done = ran.events.iter().any(|event| event["type"] == "done" && event["outcome"] == "done");
            assert!(ran.code == Some(0) && done, "{}\n{}", self.log.join("\n"), ran.text);
            break;
        }
        tally.rotations += 1;
    }

    fn is_open(&self) -> bool {
        let status = self.scene.run(None, &["status"]);
        status.events.iter().any(|event| event["type"] == "paused")
    }

    fn was_opened(&self, id: &str) -> bool {
        self.scene.run(None, &["status", id]).code == Some(0)
    }
}

fn recorded(scene: &Scene) -> Counts {
    let record = scene.home().join(trace::name());
    let id = scene.plan();
    let began = Instant::now();
    let begun = under(scene.keyroll(), &record, &all_calls(), None);
    let ran = scene.run(Some(begun), &["apply", &id, "--confirm", "ring"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let counted = counts(&record);
    println!("recorded in {:.1} s: {counted:?}", began.elapsed().as_secs_f64());
    fs::remove_file(record).unwrap();
    scene.check();
    counted
}

fn drive(scene: &Scene, seed: u64, kills: u64) -> Tally {
    let counts = recorded(scene);
    let mut draw = Draw(seed);
    let mut mine = Tally::default();
    while mine.killed() < kills {
        let mut rotation = Rotation { scene, draw: &mut draw, log: Vec::new() };
        let began = Instant::now();
        rotation.drive(&counts, &mut mine);
        let log = rotation.log.join("\n  ");
        println!("rotation {} in {:.1} s\n  {log}", mine.rotations, began.elapsed().as_secs_f64());
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scene.check()));
        assert!(checked.is_ok(), "after:\n  {log}");
    }
    mine
}

/// A lane of a ring, where this program was started as one: the issuer, a seed, kills, and the program.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let words: Vec<&str> = words.splitn(4, ' ').collect();
    let program = Path::new(words[3]);
    let scene = if words[0] == "http" { Some(Scene::http(program)) } else { Scene::postgres(program) };
    let tally = scene.map(|scene| drive(&scene, words[1].parse().unwrap(), words[2].parse().unwrap()));
    let tally = tally.map(|tally| json!([tally.rotations, tally.kills, tally.phases]));
    fs::write(report, tally.unwrap_or_default().to_string()).unwrap();
}

fn ring(name: &str, issuer: &str) {
    if !traces() {
        return;
    }
    let (_folder, program) = program();
    let began = Instant::now();
    let number = |name: &str, otherwise| {
        std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(otherwise)
    };
    let (wanted, seed) = (number("KEYROLL_KILLS", KILLS) / 2, number("KEYROLL_SEED", SEED));
    let words = |at: u64| {
        let seed = seed.wrapping_add(at.wrapping_mul(7919));
        format!("{issuer} {seed} {} {}", wanted.div_ceil(LANES), program.display())
    };
    let reports: Vec<_> = std::thread::scope(|scope| {
        let lanes: Vec<_> =
            (0..LANES).map(|at| scope.spawn(move || apart::run("kill::lane", &words(at)))).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    let mut all = Tally::default();
    let mut left_out = false;
    for report in reports {
        type Report = Option<(u64, BTreeMap<String, u64>, BTreeMap<String, u64>)>;
        let report: Report = serde_json::from_str(&report.unwrap()).unwrap();
        left_out |= report.is_none();
        let (rotations, kills, phases) = report.unwrap_or_default();
        all.rotations += rotations;
        kills.into_iter().for_each(|(place, count)| *all.kills.entry(place).or_default() += count);
        phases.into_iter().for_each(|(phase, count)| *all.phases.entry(phase).or_default() += count);
    }
    println!(
        "kill ring, {name}: {} kills over {} rotations in {:.0} s; by place {:?}; by phase {:?}",
        all.killed(),
        all.rotations,
        began.elapsed().as_secs_f64(),
        all.kills,
        all.phases
    );
    assert!(left_out || (all.killed() >= wanted && all.rotations >= wanted / KILLS_MAX as u64));
}

#[test]
fn killed_anywhere_with_an_http_issuer() {
    ring("HTTP issuer", "http");
}

#[test]
fn killed_anywhere_with_postgresql() {
    ring("PostgreSQL", "postgres");
}

/// From a record of one whole rotation: a file is written, made durable, renamed, and its folder made durable; an
/// effect at the issuer begins only after its intent is durable in the journal and in the witness.
#[test]
fn nothing_happens_before_it_is_durable() {
    if !traces() {
        return;
    }
    let (_folder, program) = program();
    let scene = Scene::http(&program);
    let id = scene.plan();
    let record = scene.home().join(trace::name());
    let traced = |words: &[&str]| scene.run(Some(order::recording(&program, &record)), words);
    let mut ran = traced(&["apply", &id, "--confirm", "ring"]);
    // strace keeps the page that it read last: if the old key stands in it, keyroll rightly names that process, which has
    // ended by then. The rotation goes on, and so does the record.
    for _ in 0..5 {
        let held: Vec<_> = ran.events.iter().filter(|event| event["type"] == "blocked").collect();
        let by_tracer = held.iter().all(|event| {
            event["holder"]["executable"].as_str().is_some_and(|path| path.ends_with("/strace"))
        });
        if ran.code != Some(6) || held.is_empty() || !by_tracer {
            break;
        }
        ran = traced(&["resume", &id, "--confirm", "ring"]);
    }
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let calls = order::calls(&record);
    let dir = scene.dir();
    let targets = ["api/api.env", "reader/key", "nightly/nightly.env"].map(|copy| dir.join(copy));
    order::check_replacements(&calls, &targets);
    let effects = order::check_effects(&calls);
    // A key is made; the old one is disabled and revoked.
    assert!(effects >= 3, "{effects} effects at the issuer");
    println!("{} calls recorded, {effects} effects at the issuer", calls.len());
}
