//! Services of real managers: after `init` and the few lines that the operator has to fill in, a plan succeeds, and one
//! rotation runs to its end.

use std::fs;
use std::sync::Mutex;

use keyroll_testkit::issuer::PREFIX;

use crate::matrix::place::Place;
use crate::matrix::rows::{ROWS, Row};

/// How each service must be found, and the text that the operator fills in for each `FILL-IN`.
struct Case {
    row: &'static str,
    /// Unchanged in the file.
    runs: &'static str,
    reads: &'static str,
    fill: &'static [(&'static str, &'static str)],
    /// Only the memory of its process holds the value.
    memory: &'static str,
    /// It is rotated to its end.
    whole: bool,
}

const CASES: [Case; 5] = [
    Case {
        row: "unit-environment",
        runs: "runs  = { unit = \"bot.service\" }",
        reads: "reads = { env_file = \"./bot.env\", variable = \"KEY\" }",
        fill: &[],
        memory: "0",
        whole: false,
    },
    Case {
        row: "compose-one",
        runs: "/shop\", service = \"bot\" }",
        reads: "reads = { env_file = \"./shop/bot.env\", variable = \"KEY\" }",
        fill: &[],
        memory: "0",
        whole: false,
    },
    Case {
        row: "pm2",
        runs: "runs  = { pm2 = \"./ecosystem.config.js\", app = \"bot\", home = \"./pm2\" }",
        reads: "reads = { env_file = \"./bot.env\", variable = \"KEY\" }",
        fill: &[],
        memory: "0",
        whole: false,
    },
    Case {
        row: "supervisor-environment",
        runs: "runs  = { supervisor = \"bot\", config = \"./supervisord.conf\" }",
        reads: "template = 'KEY=\"{value}\"'",
        fill: &[],
        memory: "0",
        whole: true,
    },
    Case {
        row: "restart-one",
        runs: "pid_file = \"./run/bot-1.pid\" }",
        reads: "reads = { env_file = \"./bot.env\", variable = \"KEY\" }",
        fill: &[("\"./FILL-IN-restart-", "\"./bot.sh\", \"1\", \"@PORT1@\"")],
        memory: "2",
        whole: false,
    },
];

/// Facts that the operator knows and the machine does not show.
const ISSUER: &str = "issuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n\
                      revoke = { old_idle_for = \"0s\", soak = \"0s\" }\n";

fn written(place: &Place) -> String {
    fs::read_to_string(place.scene.path("keyroll.toml")).unwrap()
}

/// The beginning of every value, in each encoding in which it could appear.
#[track_caller]
fn holds_no_value(text: &str) {
    for form in [PREFIX, "YWNtZV9za1", "61636d655f736b5f", "acme%5Fsk%5F"] {
        assert!(!text.contains(form), "a value: {text}");
    }
}

/// `init`, and what a person fills in.
fn begun(case: &Case, place: &Place) {
    let name = case.row;
    fs::remove_file(place.scene.path("keyroll.toml")).unwrap();
    let ran = place.run(&["init", ".", "--memory", case.memory]);
    ran.exits(0);
    holds_no_value(&ran.text);
    let mut text = written(place);
    holds_no_value(&text);
    println!("{name}:\n{text}");
    for part in [case.runs, case.reads, "[secrets.ring]"] {
        assert!(text.contains(part), "{name}: {part} is not in\n{text}\n{}", ran.text);
    }
    let open = "issuer = \"file:./FILL-IN-ring-issuer.toml\"\n";
    // `doctor` checked each line, and names what must be filled in.
    ran.says(&["ring: issuer", "K0140", "\"name\":\"ring: "]);
    text = text.replacen(open, ISSUER, 1);
    for (begin, with) in case.fill {
        let at = text.find(begin).unwrap_or_else(|| panic!("{name}: {begin} is not in\n{text}"));
        let end = at + 1 + text[at + 1..].find('"').unwrap() + 1;
        let with = with.replace("@PORT1@", &place.ports[0].to_string());
        text.replace_range(at..end, &with);
    }
    assert!(!text.contains("\"./FILL-IN") && !text.contains(":./FILL-IN"), "{name}: more is open:\n{text}");
    fs::write(place.scene.path("keyroll.toml"), text).unwrap();
}

fn run(case: &Case) {
    let row: &'static Row = ROWS.iter().find(|row| row.name == case.row).unwrap();
    let Some(mut place) = Place::raise(row) else { return };
    begun(case, &place);
    let ran = place.run(&["plan", "ring"]);
    ran.exits(0);
    holds_no_value(&ran.text);
    if case.whole {
        let plan = ran.plan();
        place.run(&["apply", &plan, "--confirm", "ring"]).exits(0).ended("done");
        place.rotated();
    }
    // Running it again changes nothing.
    let before = written(&place);
    let again = place.run(&["init", ".", "--memory", case.memory]);
    again.exits(0).says(&["nothing was changed"]);
    assert_eq!(written(&place), before, "{}", case.row);
}

#[test]
fn what_init_wrote_is_planned_for_every_manager_and_rotated() {
    let failed: Mutex<Vec<&str>> = Mutex::default();
    std::thread::scope(|scope| {
        for case in &CASES {
            let failed = &failed;
            scope.spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| run(case));
                if std::panic::catch_unwind(run).is_err() {
                    failed.lock().unwrap().push(case.row);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "failed: {failed:?}");
}
