//! A command opens its journal, its store and the sealing key once, and passes them on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use crate::kill::scene::{Scene, program};

/// How often opening a database opens each of its files: the journal has a connection that writes and one that reads.
/// The witness is not among them: it is read again before each effect at the issuer, as the protocol asks.
const ONCE: [(&str, usize); 3] = [("journal.db", 2), ("secrets.db", 1), ("sealing.key", 1)];

fn opens(scene: &Scene, words: &[&str], code: i32) -> Option<BTreeMap<&'static str, usize>> {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var("CI").is_err(), "strace cannot trace in CI");
        eprintln!("left out: strace is not installed or may not trace");
        return None;
    }
    let record = scene.home().join("opens");
    let mut begun = Command::new("strace");
    begun.args(["-f", "-b", "execve", "-qq", "-e", "trace=openat", "-o"]).arg(&record);
    begun.arg("--").arg(scene.keyroll());
    let ran = scene.run(Some(begun), words);
    assert_eq!(ran.code, Some(code), "{}", ran.text);
    let text = fs::read_to_string(&record).unwrap();
    fs::remove_file(&record).unwrap();
    // A database is made, where it is missing, by an opening of its own, which is tried each time.
    let opened = |name: &str| {
        let end = format!("/{name}\"");
        let all = text.lines().filter(|line| line.contains(&end) && !line.contains("O_CREAT"));
        all.inspect(|line| println!("{line}")).count()
    };
    Some(ONCE.iter().map(|(name, _)| (*name, opened(name))).collect())
}

#[test]
fn a_command_opens_each_part_of_its_state_once() {
    let (_folder, program) = program();
    let scene = Scene::http(&program);
    let plan = scene.plan();
    let once = BTreeMap::from(ONCE);
    for (words, code) in [
        (&["apply", plan.as_str(), "--until", "quiesce"][..], 4),
        (&["resume", "--confirm", "ring"], 0),
        (&["status"], 0),
    ] {
        let Some(mut opened) = opens(&scene, words, code) else { return };
        println!("{words:?}: {opened:?}");
        if words == ["status"] {
            // Nothing is driven: no value is read.
            opened.insert("secrets.db", 1);
        }
        assert_eq!(opened, once, "{words:?}");
    }
}
