//! Whole rotations that earlier versions recorded (`examples/record.rs`): the present protocol reads each of them to
//! its end.

use std::fs;
use std::path::Path;

use keyroll_journal::{decode_event, decode_opening};
use keyroll_rotation::{Phase, State, step};

/// The phases that a recorded rotation goes through.
fn phases(text: &str, name: &str) -> Vec<Phase> {
    let mut lines = text.lines();
    let opening = decode_opening(lines.next().expect("an opening").as_bytes());
    let opening = opening.unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut state = State::open(opening.plan, opening.at).unwrap();
    let mut phases = vec![state.phase()];
    for (number, line) in (1..).zip(lines) {
        let event = decode_event(line.as_bytes()).unwrap_or_else(|error| panic!("{name}, {number}: {error}"));
        let next = step(&state, &event);
        state = next.unwrap_or_else(|illegal| panic!("{name}, entry {number}: {illegal}: {line}")).0;
        if phases.last() != Some(&state.phase()) {
            phases.push(state.phase());
        }
    }
    assert!(state.ended() && state.intents().is_empty() && state.hold().is_none(), "{name}");
    phases
}

#[test]
fn recorded_rotations_go_through_the_same_phases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rotations");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "jsonl") {
            continue;
        }
        let name = path.display().to_string();
        let found: String = phases(&fs::read_to_string(&path).unwrap(), &name)
            .into_iter()
            .map(|phase| format!("{phase:?}\n"))
            .collect();
        assert_eq!(found, fs::read_to_string(path.with_extension("phases")).unwrap(), "{name}");
        seen += 1;
    }
    assert!(seen >= 7, "recordings are gone");
}
