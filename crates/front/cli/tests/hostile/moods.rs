//! An issuer with unexpected answers: a plan is refused; after a mint or a revoke keyroll finds out the outcome and
//! never guesses it.

use crate::hostile::Case;
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::{Ask, ResponseFault};

pub const CASES: &[Case] = &[
    ("at the plan", at_plan),
    ("half a list at the plan", half_list_at_plan),
    ("mints answered by a page, by 429 and in half", || {
        at_mint(&[ResponseFault::Html, ResponseFault::TooMany, ResponseFault::CutShort])
    }),
    ("mints that are never answered, or whose answer is lost", || {
        at_mint(&[ResponseFault::Silence, ResponseFault::Lost])
    }),
    ("a mint whose answer is lost, and half lists", lost_mint_half_lists),
    ("a mint that is answered by a page for ever", mint_in_vain),
    ("a mint that is forbidden", forbidden_mint),
    ("revocations answered by a page and by 429", || {
        at_revoke(&[ResponseFault::Html, ResponseFault::TooMany])
    }),
    ("revocations that are never answered, or whose answer is lost", || {
        at_revoke(&[ResponseFault::Silence, ResponseFault::Lost])
    }),
    ("a revocation that is forbidden, then not", forbidden_revocation),
    ("a disable that is forbidden, then not", forbidden_disable),
    ("a new key that somebody ends after it was proven", new_key_ended),
    ("a list that cannot be read before the old key is disabled", silent_list),
    ("an old key that a waived process uses on and on", waived_user),
    ("a new key that a waived process uses on and on", user_of_the_new_key),
    ("a new key that somebody deletes before the rollback", deleted_new_key),
    ("a debt that is paid after another rotation", debt_after_another_rotation),
    ("a check that cannot fail", cannot_fail),
    ("a current key that is dead", dead_current),
];

fn at_plan() {
    let scene = Scene::new();
    let before = scene.snapshot();
    for ask in [Ask::List, Ask::Me] {
        for mood in [
            ResponseFault::Html,
            ResponseFault::TooMany,
            ResponseFault::Silence,
            ResponseFault::CutShort,
            ResponseFault::Redirect,
        ] {
            scene.issuer.mood(ask, mood, 99);
            let ran = scene.run(&["plan", "ring"]);
            assert_eq!(ran.code, Some(1), "{ask:?} {mood:?}: {}", ran.text);
            let error = ran.of("error");
            let told = error.first().is_some_and(|error| error["code"].as_str().is_some());
            assert!(told, "{ask:?} {mood:?}: {}", ran.text);
            assert_eq!(scene.snapshot(), before, "{ask:?} {mood:?}");
            scene.issuer.calm();
        }
    }
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

/// An incomplete list proves no absence. keyroll reports it if it does not matter, and refuses if a slot could be
/// somebody else's. A plan that was made with an incomplete list is refused once the list is complete.
fn half_list_at_plan() {
    let scene = Scene::new();
    drop(scene.issuer.mint("of somebody"));
    let before = scene.snapshot();
    scene.issuer.mood(Ask::List, ResponseFault::HalfList, 99);
    let ran = scene.run(&["plan", "ring"]);
    ran.exits(0).says(&["the issuer's list is incomplete"]);
    let asked = scene.run(&["verify", "ring"]);
    asked.exits(0).says(&["list of keys", "incomplete, so it proves no absence"]);
    scene.issuer.calm();
    let id = ran.plan();
    let stale = scene.run(&["apply", &id, "--confirm", "ring"]);
    stale.refused(1, "K0838", &["keyroll plan ring"]);
    assert_eq!(scene.snapshot(), before);
    let slots = Scene::made(|_, spec| {
        *spec = spec.replace("kind = \"independent\", max = 0", "kind = \"two-slots\"");
    });
    slots.issuer.mood(Ask::List, ResponseFault::HalfList, 99);
    slots.run(&["plan", "ring"]).refused(1, "K0107", &["incomplete"]);
    assert_eq!(slots.issuer.asked(Ask::Mint), 0);
}

/// Whatever the outcome of the request was, in the end there is one new key, and the leftovers of lost answers are
/// gone.
fn at_mint(moods: &[ResponseFault]) {
    let scene = Scene::new();
    moods.iter().for_each(|mood| scene.issuer.mood(Ask::Mint, *mood, 1));
    scene.apply().exits(0).ended("done");
    scene.rotated();
    assert_eq!(scene.issuer.asked(Ask::Mint), moods.len() + 1);
}

fn lost_mint_half_lists() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Mint, ResponseFault::Lost, 1);
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("mint");
    scene.issuer.mood(Ask::List, ResponseFault::HalfList, 4);
    running.end().exits(0).ended("done");
    scene.rotated();
}

/// keyroll gives up after a few attempts, with nothing changed.
fn mint_in_vain() {
    let scene = Scene::new();
    let before = scene.snapshot();
    scene.issuer.mood(Ask::Mint, ResponseFault::Html, 9999);
    scene.apply().exits(1).ended("rolled_back");
    assert_eq!(scene.snapshot(), before);
    assert!(scene.issuer.asked(Ask::Mint) <= 5, "{} times", scene.issuer.asked(Ask::Mint));
    scene.as_before();
}

fn forbidden_mint() {
    let scene = Scene::new();
    let before = scene.snapshot();
    scene.issuer.mood(Ask::Mint, ResponseFault::Forbidden, 999);
    scene.apply().exits(1).ended("rolled_back");
    assert_eq!(scene.snapshot(), before);
    scene.as_before();
}

fn at_revoke(moods: &[ResponseFault]) {
    let scene = Scene::new();
    moods.iter().for_each(|mood| scene.issuer.mood(Ask::Delete, *mood, 1));
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

/// After the point of no return, an issuer that does not revoke leaves a debt, and the next command settles it.
fn forbidden_revocation() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Delete, ResponseFault::Forbidden, 999);
    let ran = scene.apply();
    ran.exits(6).ended("debt");
    // Why the issuer did not revoke it is said to whoever looks later, too.
    scene.run(&["status"]).exits(6).says(&["debt", "could not ", "status 403"]);
    scene.issuer.calm();
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// A pause names its cause also when nobody drives any more.
fn forbidden_disable() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Disable, ResponseFault::Forbidden, 999);
    scene.apply().exits(6).says(&["disable failed: could not "]);
    scene.run(&["status"]).exits(6).says(&["disable failed: could not ", "status 403"]);
    scene.issuer.calm();
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// An issuer that shows when a key was last used. The window is shorter than the time between two of its answers.
fn shows_use() -> Scene {
    Scene::made(|config, spec| {
        *config = config.replace("old_idle_for = \"0s\"", "old_idle_for = \"1s\"");
        let deadlines = "[secrets.ring]\nunit_deadline = \"10s\"\nphase_deadline = \"15s\"\n";
        *config = config.replacen("[secrets.ring]\n", deadlines, 1);
        let used =
            "last_used = { at = \"/last_used_ms\", form = \"unix-ms\" }\npage     = { kind = \"cursor\"";
        *spec = spec.replacen("page     = { kind = \"cursor\"", used, 1);
        let shown = "[last_used]\nper = \"key\"\nlag = \"0s\"\ngranularity = \"1s\"\n\n[propagation]";
        *spec = spec.replacen("[propagation]", shown, 1);
    })
}

/// An outage passes: nothing has to be waived for it.
fn silent_list() {
    let scene = shows_use();
    let id = scene.until("quiesce");
    scene.issuer.mood(Ask::List, ResponseFault::Html, 9999);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["the issuer did not say when the old key was last used: could not list"]);
    let status = scene.run(&["status"]);
    status.exits(6).says(&[
        "last used: could not list",
        "wait until the issuer shows again",
        &format!("keyroll resume {id}"),
    ]);
    let [wait, waive] = ["wait until the issuer", "waive last-use"].map(|way| status.text.find(way).unwrap());
    assert!(wait < waive, "{}", status.text);
    scene.issuer.calm();
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    assert_eq!(ran.of("decided")[0]["waivers"], 0, "{}", ran.text);
    scene.rotated();
}

/// A waiver of the last use would cut it off.
fn waived_user() {
    let scene = shows_use();
    let pid = scene.start_by_hand("keeper", &scene.path("api/api.env"), "");
    let plan = scene.plan();
    scene.run(&["apply", &plan, "--confirm", "ring"]).exits(6).says(&[&format!("process {pid}")]);
    scene.run(&["consumer", "waive", &pid.to_string(), "--reason", "it stays"]).exits(0);
    let ran = scene.run(&["resume", "--confirm", "ring"]);
    ran.exits(6).says(&["still shows uses of the old key, the last at", &format!("end process {pid}")]);
    assert!(!ran.text.contains("waive last-use"), "{}", ran.text);
    // Nor by hand, and what the issuer showed counts on after it.
    let waive = ["consumer", "waive", "last-use", "--reason", "a test"];
    for _ in 0..2 {
        scene.run(&waive).refused(1, "K0846", &["still shows uses of the old key, the last at"]);
    }
    scene.run(&["status"]).exits(6).says(&["still shows uses of the old key, the last at"]);
    assert_eq!(scene.issuer.refused_workers(), [] as [String; 0]);
    scene.end(pid);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// A program that no plan knows has taken the new key from a copy, and goes on with it. Red: the rollback takes the key from it.
fn user_of_the_new_key() {
    let scene = shows_use();
    let id = scene.until("quiesce");
    let pid = scene.start_by_hand("keeper", &scene.path("api/api.env"), "");
    scene.run(&["abort", &id]).exits(6).says(&[&format!("process {pid}")]);
    scene.run(&["consumer", "waive", &pid.to_string(), "--reason", "it stays"]).exits(0);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["still shows uses of the new key, the last at", &format!("end process {pid}")]);
    assert!(!ran.text.contains("waive last-use"), "{}", ran.text);
    assert_eq!(scene.issuer.refused_workers(), [] as [String; 0]);
    scene.end(pid);
    scene.run(&["retry", &id]).ended("rolled_back");
    scene.as_before();
}

/// Nobody can use a key that somebody deleted at the console. Red: the rollback waits its whole time for the use of it, and pauses.
fn deleted_new_key() {
    let scene = shows_use();
    let id = scene.until("quiesce");
    scene.issuer.end(&scene.holds("api/api.env").unwrap());
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.as_before();
}

fn cannot_fail() {
    let scene = Scene::new();
    let plan = scene.plan();
    let before = scene.snapshot();
    scene.issuer.mood(Ask::Me, ResponseFault::AcceptAll, 9999);
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(1).ended("rolled_back").says(&["K0706", "the issuer accepted it", "then plan again"]);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

/// The old key is already dead: a recovery, without a point of no return.
fn dead_current() {
    let scene = Scene::new();
    scene.issuer.end(&scene.old.clone());
    scene.apply().exits(0).ended("done");
    scene.rotated();
}

/// Every consumer was proven on the new key, and then somebody deletes it: the old one is all that is left.
fn new_key_ended() {
    let refused = || {
        let scene = Scene::new();
        let id = scene.until("quiesce");
        let new = scene.holds("api/api.env").unwrap();
        scene.issuer.end(&new);
        let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
        ran.exits(6).says(&["K0718", "the issuer refuses the new key", &format!("keyroll abort {id}")]);
        assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
        let keys = scene.issuer.keys();
        assert!(keys.iter().any(|key| key.id == scene.old && !key.disabled), "{keys:?}");
        (scene, id, new)
    };
    // It was a mistake.
    let (scene, id, new) = refused();
    scene.issuer.restore(&new);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    // It is gone: the way back.
    let (scene, id, _) = refused();
    scene.run(&["abort", &id]).exits(5).ended("rolled_back");
    scene.as_before();
    // It is gone, and the old one leaked: another one takes its place.
    let (scene, _, new) = refused();
    scene.run(&["emergency", "ring", "--confirm", "ring"]).exits(0).ended("done");
    assert_ne!(scene.holds("api/api.env").as_ref(), Some(&new));
    scene.rotated();
}

/// After another rotation of the secret a debt is not paid by keyroll: it would prove the use of a key that everybody left.
/// The rotation stays as it is, and is in the way of none.
fn debt_after_another_rotation() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Delete, ResponseFault::Forbidden, 999);
    let id = scene.plan();
    scene.run(&["apply", &id, "--confirm", "ring"]).exits(6).ended("debt");
    scene.issuer.calm();
    let second = scene.plan();
    scene.run(&["apply", &second, "--confirm", "ring"]).exits(0).ended("done");
    let before = scene.issuer.deletions();
    for words in [&["revoke", "ring", "--version", "previous", "--confirm", "ring"][..], &["resume", &id]] {
        let ran = scene.run(words);
        ran.exits(1).says(&["K0817", "was rotated again since", &scene.old]);
    }
    assert_eq!(scene.issuer.deletions(), before);
    let third = scene.plan();
    scene.run(&["apply", &third, "--confirm", "ring"]).exits(0).ended("done");
}
