//! The three courses of a row, and what must hold for each.

use std::sync::OnceLock;

use keyroll_manager::Notice;
use keyroll_testkit::load::{Callers, Front, Tally};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::hostile::ran::{Ran, Running, wait};
use crate::matrix::place::Place;
use crate::matrix::rows::Row;

/// Requests a second at the service's address.
const RATE: u32 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Forward, until the old key is revoked.
    Load,
    /// To the last step that can be rolled back, and then a rollback.
    Back,
    /// Forward, with the driver killed as soon as the service is being restarted or reloaded.
    Kill,
}

impl Course {
    pub const ALL: [Self; 3] = [Self::Load, Self::Back, Self::Kill];
}

/// Runs the courses of one row one after the other, each from the state that the previous one left; returns the
/// measurements.
pub fn run(row: &'static Row, courses: &[Course]) -> String {
    let Some(mut place) = Place::raise(row) else { return "left out".to_owned() };
    place.trap();
    let _front = front(&place);
    let mut told = Vec::new();
    for course in courses {
        println!("{}: {course:?}", row.name);
        let calls = Calls::start(&place);
        let shown = match course {
            Course::Load => forward(&mut place),
            Course::Back => back(&place),
            Course::Kill => killed(&mut place),
        };
        told.push(format!("{course:?}: {shown}, {}", calls.end(&place)));
    }
    told.join(" · ")
}

fn forward(place: &mut Place) -> String {
    let plan = plan(place);
    let ran = place.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    place.rotated();
    let shown = &ran.of("summary")[0]["downtimes"];
    if place.row.notice() != Notice::Away {
        let longest = &ran.of("summary")[0]["downtime_s"];
        assert!(shown.is_null() && longest.is_null(), "nobody was away: {}", ran.text);
        assert!(!ran.text.contains("downtime"), "nobody was away: {}", ran.text);
        return "nobody away".to_owned();
    }
    // Announced and measured, here and in the history; the length itself is the machine's.
    let downtime = &shown[0];
    assert!(
        downtime["consumer"] == "bot" && downtime["measured_s"].as_f64().is_some_and(|s| s > 0.0),
        "{}",
        ran.text
    );
    assert_eq!(downtime["by"], "ready", "{}", ran.text);
    assert!(downtime["announced_s"][1].as_u64().is_some_and(|most| most > 0), "{}", ran.text);
    ran.says(&["measured by keyroll's checks", "announced: 0 to"]);
    assert_eq!(&past(place, &plan)["downtimes"], shown, "{}", ran.text);
    format!("away {} s of the announced 0 to {} s", downtime["measured_s"], downtime["announced_s"][1])
}

fn back(place: &Place) -> String {
    let plan = plan(place);
    place.run(&["apply", &plan, "--confirm", "ring", "--until", "quiesce"]).exits(4).paused();
    place.run(&["abort", &plan]).exits(5).ended("rolled_back");
    place.as_before();
    "came back".to_owned()
}

fn killed(place: &mut Place) -> String {
    let plan = plan(place);
    let before = place.told();
    let running = Running::start(place.command(&["apply", &plan, "--confirm", "ring"]));
    wait("the service is told", || place.told() != before);
    place.kill(&running, Signal::KILL);
    running.end();
    let ran = place.run(&["resume", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    place.rotated();
    let downtimes = &past(place, &plan)["downtimes"];
    assert_eq!(downtimes.is_array(), place.row.notice() == Notice::Away, "{downtimes}");
    let measured =
        downtimes[0]["measured_s"].as_f64().map_or("not measured".to_owned(), |s| format!("away {s} s"));
    if downtimes.is_array() {
        format!("moved by the next driver, {measured}")
    } else {
        "moved by the next driver".to_owned()
    }
}

/// Makes a plan; returns the downtime that it announces.
fn plan(place: &Place) -> String {
    let ran = place.run(&["plan", "ring"]);
    ran.exits(0);
    assert!(ran.of("live").is_empty(), "{}", ran.text);
    let plan = ran.of("plan")[0];
    let announced = plan["away"].as_array().is_some_and(|all| all.iter().any(|one| one["consumer"] == "bot"));
    assert_eq!(announced, place.row.notice() == Notice::Away, "{}", ran.text);
    assert_eq!(ran.text.contains("DOWNTIME of 0 to"), announced, "{}", ran.text);
    plan["id"].as_str().unwrap().to_owned()
}

/// A rotation as `history` shows it.
fn past(place: &Place, id: &str) -> Value {
    let ran: Ran = place.run(&["history", "--all"]);
    let all = ran.exits(0).of("past");
    (*all.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{}", ran.text))).clone()
}

/// One for all callers: they only wait.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

/// A front before both instances, where there are two.
fn front(place: &Place) -> Option<Front> {
    let [first, second, port] = place.ports;
    let both = [first, second];
    let front = place.row.two.then(|| runtime().block_on(Front::start(port, &both)).unwrap())?;
    wait("both instances are ready", || both.iter().all(|port| front.uses(*port)));
    Some(front)
}

/// Callers at the service's address.
struct Calls(Option<Callers>);

impl Calls {
    fn start(place: &Place) -> Self {
        let _entered = runtime().enter();
        let [first, _, front] = place.ports;
        let port = if place.row.two { front } else { first };
        Self((place.row.notice() != Notice::Job).then(|| Callers::start(port, RATE)))
    }

    /// Their counts; checks that no request was refused.
    fn end(self, place: &Place) -> String {
        place.nobody_was_refused();
        let Some(callers) = self.0 else { return place.jobs() };
        let tally: Tally = runtime().block_on(callers.stop());
        assert!(tally.answers.contains_key("bot"), "nothing was answered: {:?}", tally.answers);
        let refused = tally.answers.keys().find(|answer| answer.contains("the query failed"));
        assert_eq!(refused, None, "{:?}", tally.answers);
        if place.row.notice() == Notice::NoneFails {
            // When a worker of uvicorn ends, it closes the connections whose request it has not read yet
            // (`Server.shutdown` in uvicorn/server.py): one in 1,126 requests under load, one in 592, and seven in 776
            // beside many other tests. The caller sees a reset if the request had arrived, and the end of the connection if
            // it came later. How many there are is uvicorn's matter; that no request fails in another way is keyroll's.
            let spared = place.row.name == "uvicorn-hup";
            let unread = |answer: &str| {
                answer.contains("Connection reset") || answer.contains("closed without an answer")
            };
            let closed = tally.answers.iter().filter(|(answer, _)| unread(answer));
            let closed: u64 = closed.map(|(_, times)| *times).sum();
            assert!(closed == 0 || spared, "of {}: {:?}", tally.sent, tally.answers);
            assert_eq!(tally.failed, closed, "of {}: {:?}", tally.sent, tally.answers);
        }
        let away = tally.away.as_secs_f64();
        format!("{} requests, {} failed, {away:.2} s without an answer", tally.sent, tally.failed)
    }
}
