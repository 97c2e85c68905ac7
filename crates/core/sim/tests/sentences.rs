//! Sentences of the protocol that no mutant can break from outside.

use std::path::Path;

use keyroll_sim::{Class, Fault, FaultPlan, Keep, Kind, Mutant, Phase, Planned, Report, Scene, Size, run};

const ALL: Keep = Keep { classes: true, states: false, log: true };

fn independent(draw: u64, faults: Vec<Planned>) -> Report {
    let scene = Scene::plain(Size::Reduced, Kind::Independent, draw);
    run(&FaultPlan { scene, seed: draw, faults, policy: None }, &Mutant::NONE, ALL, None)
}

fn written(report: &Report) -> Vec<&String> {
    report.log.iter().filter(|line| line.contains("asks Append")).collect()
}

/// "No driver" follows from the absence of a driver: a driver that dies writes nothing, and the next entry is the start
/// of the next driver.
#[test]
fn no_driver_is_no_entry() {
    for draw in 0..6 {
        let report = independent(draw, vec![Planned { at: 40, fault: Fault::CrashBefore }]);
        assert_eq!(report.violation, None);
        let dies = report.log.iter().position(|line| line.contains("dies")).expect("a driver dies");
        let next = report.log[dies..].iter().find(|line| line.contains("asks Append")).expect("another one");
        assert!(next.contains("fact: DriverStarted"), "{next}");
        assert!(!written(&report).iter().any(|line| line.to_lowercase().contains("no driver")));
    }
}

/// A new credential whose deletion was begun is never relied on again.
#[test]
fn whoever_turns_round_after_a_deletion_mints_anew() {
    let mut turned = 0;
    for draw in 0..40 {
        let abort = Planned { at: 45, fault: Fault::Abort };
        let back = independent(draw, vec![abort]);
        let delete = back.classes.iter().position(|(_, class)| *class == Class::Carry(12));
        let Some(at) = delete.and_then(|at| u32::try_from(at).ok()) else { continue };
        let report = independent(draw, vec![abort, Planned { at, fault: Fault::RollFirst }]);
        assert_eq!(report.violation, None, "draw {draw}");
        let made =
            |line: &&&String| line.contains("fact: Intended(Mint)") || line.contains("fact: HandMinted");
        assert_eq!(written(&report).iter().filter(made).count(), 2, "draw {draw}");
        assert_eq!(report.phase, Phase::Done, "draw {draw}");
        turned += 1;
    }
    assert!(turned > 5, "{turned} rotations rolled back");
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap().to_lowercase()));
        }
    }
}

/// The protocol and its driver branch on capabilities alone.
#[test]
fn the_core_names_no_issuer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut names: Vec<String> = std::fs::read_dir(root.join("issuers"))
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_lowercase()))
        .collect();
    names.extend(["postgres", "redis", "mariadb", "rabbitmq"].map(str::to_owned));
    assert!(names.len() > 2);
    let mut core = Vec::new();
    sources(&root.join("crates/core/rotation/src"), &mut core);
    sources(&root.join("crates/core/engine/src"), &mut core);
    assert!(core.len() > 20);
    for (path, text) in &core {
        let named = names.iter().find(|name| text.contains(name.as_str()));
        assert_eq!(named, None, "{path}");
    }
}

/// The command `status` cannot drive: its code names nothing that takes over a rotation or writes an entry.
#[test]
fn status_never_drives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../front/cli/src/commands/status.rs");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("fn "));
    for word in ["drive(", "drive::drive", "take_over", ".append(", "engine::run"] {
        assert!(!text.contains(word), "status.rs says {word}");
    }
}
