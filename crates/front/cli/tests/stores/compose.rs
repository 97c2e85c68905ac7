//! The recipe as people do it by hand with docker compose: a script makes `.env` from the store, and `docker compose up
//! --no-deps` replaces one container, and then the next. All of them call their issuer all the time.

use std::cell::Cell;
use std::time::Instant;

use keyroll_testkit::command::Ran;
use serde_json::Value;

use crate::stores::recipe::{self, is, restarts};
use crate::stores::scene::{INSTANCES, Scene};

/// How many calls each service makes at least while the services are moved: enough of them that no gap would be missed.
const CALLS_MIN: usize = 100;

/// Until the key is tried nothing is given out; then `.env` is fetched, and each container is replaced once the one before it
/// was seen to use the new key. The old key is revoked at the end.
pub fn forward(scene: &Scene) {
    let (watched, before) = (Watched::new(scene), containers(scene));
    let staged = |new: &str| {
        assert_eq!(scene.given("AWSPENDING").as_deref(), Some(new), "read by the service's login");
        assert_eq!(containers(scene), before, "a container was replaced before the value was given out");
        watched.called(1);
    };
    let moved = |ran: &Ran| {
        proved_in_turn(&ran.events);
        watched.called(CALLS_MIN);
    };
    let new = recipe::forward(scene, staged, moved);
    watched.called(1);
    all_replaced(&containers(scene), &before);
    watched.one_by_one(&new);
}

/// All containers are on a new key; then the previous version is given out and fetched again, and each container is replaced
/// once more.
pub fn back(scene: &Scene) {
    let (watched, before) = (Watched::new(scene), containers(scene));
    let moved = || watched.called(CALLS_MIN);
    recipe::back(scene, &scene.old, moved);
    watched.called(1);
    all_replaced(&containers(scene), &before);
    watched.one_by_one(&scene.old);
}

/// Somebody changes another key of the document while a rotation is open. The script fetches it too, and a new container would
/// have it: none is replaced before the operator accepts that by its name.
pub fn another_variable(scene: &Scene) {
    let before = containers(scene);
    let id = scene.until("roll");
    scene.others("change-other", "");
    let resume = ["resume", &id, "--confirm", "ring"];
    let accept = ["--accept", "app/environment:OTHER"];
    let ran = scene.run(&resume);
    ran.exits(6).says(&[&format!("keyroll resume {id} {}", accept.join(" "))]).paused();
    assert_eq!(containers(scene), before, "a container was replaced");
    assert!(scene.issuer.keys().iter().all(|key| !key.disabled) && scene.issuer.keys().len() == 2);
    scene.run(&[&resume[..], &accept].concat()).exits(0).ended("done");
    all_replaced(&containers(scene), &before);
    scene.is_on(&scene.new_key());
}

/// After a container was replaced, and before the next one is, its log has a login and its calls use the key.
fn proved_in_turn(events: &[Value]) {
    let replaced = restarts(events);
    assert_eq!(replaced.len(), INSTANCES.len(), "restarts");
    for (at, begins) in replaced.iter().enumerate() {
        let ends = replaced.get(at + 1).copied().unwrap_or(events.len());
        for grade in ["reported", "exercised"] {
            let shown = |event: &Value| is(event, "evidence") && event["grade"] == grade;
            assert!(events[*begins..ends].iter().any(shown), "restart {at} was not seen {grade}");
        }
    }
}

fn containers(scene: &Scene) -> [String; 3] {
    INSTANCES.map(|instance| scene.shop().container(instance))
}

fn all_replaced(now: &[String], before: &[String]) {
    assert!(now.iter().all(|id| !id.is_empty() && !before.contains(id)), "{now:?} were {before:?}");
}

/// The calls of the services, as the issuer sees them, and a neighbour that is left alone.
struct Watched<'a> {
    scene: &'a Scene,
    neighbour: String,
    began: Instant,
    /// How many calls there were in the phases that are over.
    over: Cell<usize>,
}

impl<'a> Watched<'a> {
    fn new(scene: &'a Scene) -> Self {
        let over = Cell::new(scene.issuer.accepted_calls().len());
        Self { scene, neighbour: scene.shop().container("other"), began: Instant::now(), over }
    }

    /// A phase is over. Each service made at least so many calls in it, and the neighbour is the same container.
    #[track_caller]
    fn called(&self, least: usize) {
        let calls = self.scene.issuer.accepted_calls();
        for instance in INSTANCES {
            let made = calls[self.over.get()..].iter().filter(|(who, _)| who == instance).count();
            assert!(made >= least, "{instance} made {made} calls");
        }
        self.over.set(calls.len());
        assert_eq!(self.scene.shop().container("other"), self.neighbour, "the neighbour was replaced");
    }

    /// All services call with this key in the end, and went over to it one by one: who is next still called with the other key
    /// after the one before it had called with this one.
    #[track_caller]
    fn one_by_one(&self, key: &str) {
        let calls = self.scene.issuer.accepted_calls();
        let seconds = usize::try_from(self.began.elapsed().as_secs()).unwrap().max(1);
        println!("{} calls were accepted, {} a second", calls.len(), calls.len() / seconds);
        let mut went: Vec<(usize, usize, &str)> = Vec::new();
        for instance in INSTANCES {
            let with_other = |(who, with): &(String, String)| who == instance && with != key;
            let left = calls.iter().rposition(with_other).unwrap();
            let with_this = |(who, with): &(String, String)| who == instance && with == key;
            let came = left + calls[left..].iter().position(with_this).unwrap();
            went.push((left, came, instance));
        }
        went.sort_unstable();
        for pair in went.windows(2) {
            let ((_, came, one), (left, _, next)) = (pair[0], pair[1]);
            assert!(came < left, "{next} was replaced before {one} had called with the key");
        }
    }
}
