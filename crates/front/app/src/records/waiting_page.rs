//! The page docs/reference/waiting.md: every wait of a rotation, and what ends it. It is made from the states that the tests of
//! the protocol reach, and from which they take each of these ways.

use std::path::Path;

use keyroll_port::{Described, Named};
use keyroll_rotation::{Awaited, Phase, State, Step, Until, digest_of_life, way};

use super::cause::Observations;
use super::next_words::{fitted, shown};
use super::plan_names::Called;
use super::waiting::what;
use super::walk::reach::{Row, phases, reach};
use super::walk::world::{COPY, POD};
use crate::operator;

/// How the page begins.
const INTRO: &str = "# What a rotation waits for

Generated from the program; do not edit by hand.

`keyroll status` says what an open rotation waits for, since when and until when, and the commands that go on or roll back; \
`--json` has the same in `waiting`. This page has every wait with every way past it. The best way is first. What stands before \
a command has to be done first; several commands are given in this order. Where the only way is `keyroll resume`, \
a rotation that a process drives needs no command, and `keyroll status -w` follows it. All commands work while a process drives \
the rotation too.

The names are examples: `ID` is the rotation and `SECRET` its secret, `api` and `worker` are consumers, `web-1`, `web-2` and \
the cluster `prod` are hosts. What else stands in capitals only you know.
";

/// The parts of the page, and what each is about.
const PARTS: [(Part, &str, &str); 3] = [
    (
        Part::Held,
        "It is paused or stuck",
        "Before the point of no return both keys work meanwhile. A rotation that is paused goes on with `keyroll resume`, one \
         that is stuck with `keyroll retry`.",
    ),
    (Part::Asked, "It needs a step of yours", "A rotation that ended with a debt is here too."),
    (
        Part::Alone,
        "It goes on by itself",
        "Nobody has to do anything. When the time is over, the rotation goes on without the answer, rolls back, or is paused or \
         stuck, and says why.",
    ),
];

/// Who ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Held,
    Asked,
    Alone,
}

fn part(awaited: &Awaited) -> Part {
    match awaited {
        Awaited::Hold(_) => Part::Held,
        Awaited::Person(_) | Awaited::Debt(_) => Part::Asked,
        Awaited::Outcome(_)
        | Awaited::Operation(_)
        | Awaited::Begin(_)
        | Awaited::Unit(..)
        | Awaited::Watch(_)
        | Awaited::Pause
        | Awaited::Phase(_)
        | Awaited::Answer(_) => Part::Alone,
    }
}

fn called() -> Called {
    let mut called = Called::of_waits(COPY);
    let described = Described {
        name: "pod/agent-6d5f-x2x1z/app on prod".to_owned(),
        found_by: "it takes the key `token` of Secret agent".to_owned(),
    };
    called.learn([Named { digest: digest_of_life(POD), name: described.text() }]);
    called
}

/// The part of a row, and its line.
fn line(called: &Called, row: Row) -> (Part, String) {
    let state = reach(row).state;
    let wait = way(&state).unwrap();
    let told = what(&Observations::default(), called, &state, &wait.what);
    let back = match (wait.back.is_empty(), state.phase() == Phase::RollingBack) {
        (false, _) => ways(called, &state, &wait.back),
        (true, true) => "it is being rolled back".to_owned(),
        (true, false) => "none".to_owned(),
    };
    let cells = [
        told,
        when(&state, row, wait.back.is_empty()),
        until(wait.until).to_owned(),
        ways(called, &state, &wait.forward),
        back,
    ];
    let cells = cells.map(|cell| cell.replace('|', "\\|")).join(" | ");
    (part(&wait.what), format!("| {cells} |\n"))
}

/// The phases of a row.
fn when(state: &State, row: Row, forward_only: bool) -> String {
    let word = |phase: &Phase| operator::Phase::of(*phase).map_or("at the end", operator::Phase::word);
    let all: Vec<&str> = phases(row).iter().map(word).collect();
    let after = if forward_only && !state.ended() && state.phase() != Phase::RollingBack {
        ", when nothing can be rolled back any more"
    } else {
        ""
    };
    format!("{}{after}", all.join(", "))
}

fn until(until: Until) -> &'static str {
    match until {
        Until::Person => "you act",
        Until::Ms(_) => "its time is over",
        Until::Driver => "the operation has ended",
    }
}

/// Every way, each in a line of its own.
fn ways(called: &Called, state: &State, steps: &[Step]) -> String {
    let steps = shown(called, state, &fitted(called, state, steps.to_vec()));
    let one = |step: &operator::StepShown| {
        let commands = step.commands.iter().map(|one| format!("`{}`", one.command));
        step.first.iter().cloned().chain(commands).collect::<Vec<_>>().join(", then ")
    };
    steps.iter().map(one).collect::<Vec<_>>().join("<br>")
}

fn page() -> String {
    let called = called();
    let lines: Vec<(Part, String)> = Row::ALL.iter().map(|row| line(&called, *row)).collect();
    let mut page = INTRO.to_owned();
    for (part, title, about) in PARTS {
        page.push_str(&format!(
            "\n## {title}\n\n{about}\n\n| waits for | phases | until | forward | back |\n"
        ));
        page.push_str("|---|---|---|---|---|\n");
        page.extend(lines.iter().filter(|(of, _)| *of == part).map(|(_, line)| line.as_str()));
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it writes the page, where it is asked to")]
fn the_page_of_waits_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/waiting.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page(), "docs/reference/waiting.md is not current: cargo xtask codegen");
}

#[test]
fn each_wait_has_a_way_that_has_a_name() {
    let called = called();
    for row in Row::ALL {
        let (_, line) = line(&called, *row);
        let cells: Vec<&str> = line.trim_end().trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 5, "{line}");
        assert!(cells[3].contains("`keyroll "), "{row:?}: {line}");
        assert!(
            !line.contains("consumer 0") && !line.contains("file 0") && !line.contains("host 1"),
            "{line}"
        );
    }
}
