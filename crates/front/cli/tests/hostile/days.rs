//! Bad days of the machine: a journal that was damaged or restored, a clock that jumps, a driver that comes back.

use std::fs;
use std::path::Path;

use keyroll_database::rusqlite::Connection;
use keyroll_testkit::command::has_ended;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use rustix::process::Signal;

use crate::hostile::Case;
use crate::hostile::ran::{Ran, Running, wait};
use crate::hostile::scene::{Scene, put, side};
use crate::kill::apart::namespaces_or_skip;

pub const CASES: &[Case] = &[
    ("a journal with other bytes", damaged_journal),
    ("a journal from a backup", restored_journal),
    ("a journal of before, and the witness of after", restored_after_the_end),
    ("an admin credential and a spec that are gone", issuer_gone),
    ("a witness that is gone", no_witness),
    ("a driver that stands still", stopped_driver),
    ("a driver in another PID namespace", driver_elsewhere),
    ("commands where the processes of a rotation are not visible", unseen_from_here),
    ("emergencies where a holder of the key is not visible", emergencies_in_a_part),
    ("a driver that comes back", returning_driver),
    ("a process that stands still while it writes the witness", held_witness),
    ("a wall clock that is set back a year", clock_set_back),
    ("Ctrl-C during roll", interrupted),
    ("a terminal that is closed while the old key is off", hung_up),
];

/// A command that must be refused because of the journal; nothing is revoked at the issuer.
#[track_caller]
fn frozen(scene: &Scene, words: &[&str]) {
    let before = scene.snapshot();
    for command in [&["resume", "--confirm", "ring"][..], &["status"]] {
        let ran = scene.run(command);
        ran.exits(6).says(words);
        let help = ran.of("error").pop().unwrap()["help"].as_str().unwrap_or_default().to_owned();
        assert!(help.contains("nothing was revoked"), "{}", ran.text);
    }
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
}

fn copy_state(scene: &Scene, from: &Path, to: &str) {
    fs::create_dir_all(scene.path("../aside")).unwrap();
    let to = scene.path("../aside").join(to);
    scene.sh(&format!("rm -rf '{0}'; cp -a '{1}' '{0}'", to.display(), from.display()));
}

fn put_back(scene: &Scene, name: &str) {
    scene.sh(&format!("rm -rf ../state; cp -a '../aside/{name}' ../state"));
}

fn damaged_journal() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let path = scene.state().join("journal.db");
    copy_state(&scene, &scene.state(), "good");
    // Somewhere in what was recorded, not in the header.
    let good = fs::read(&path).unwrap();
    let name = id.as_bytes();
    let places: Vec<usize> =
        (0..good.len().saturating_sub(name.len())).filter(|&at| good[at..].starts_with(name)).collect();
    let mut seen = 0;
    for place in [places[0], places[places.len() / 2], places[places.len() - 1]] {
        let mut bad = good.clone();
        bad[place..place + 8].iter_mut().for_each(|byte| *byte ^= 0x15);
        fs::write(&path, &bad).unwrap();
        let before = scene.snapshot();
        let ran = scene.run(&["resume", "--confirm", "ring"]);
        seen += usize::from(ran.code == Some(6));
        assert_ne!(ran.code, Some(0), "{}", ran.text);
        assert!(!ran.of("error").is_empty(), "{}", ran.text);
        assert_eq!(scene.snapshot(), before);
        assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
        put_back(&scene, "good");
    }
    assert!(seen > 0);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Restored to before the mint: a key exists that this journal does not know.
fn restored_journal() {
    let scene = Scene::new();
    let id = scene.until("mint");
    copy_state(&scene, &scene.state(), "old");
    scene.run(&["resume", &id, "--confirm", "ring", "--until", "quiesce"]).exits(4);
    copy_state(&scene, &scene.state(), "new");
    put_back(&scene, "old");
    frozen(&scene, &["K06", "keyroll doctor --accept-journal"]);
    // Red: it offered `resume` and `abort`, which are refused, and said of a key what an older journal knew.
    let status = scene.run(&["status"]);
    let row = status.of("status")[0];
    assert_eq!(row["old_key"]["state"], "unknown", "{}", status.text);
    for offer in [&row["next"], &row["waiting"]["forward"], &row["waiting"]["back"]] {
        assert!(offer.is_null(), "{offer}: {}", status.text);
    }
    put_back(&scene, "new");
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// The rotation is complete: with the older journal, keyroll would start another one.
fn restored_after_the_end() {
    let scene = Scene::new();
    scene.apply().exits(0);
    copy_state(&scene, &scene.state(), "old");
    scene.apply().exits(0);
    let before = scene.snapshot();
    let deleted = scene.issuer.deletions().len();
    put_back(&scene, "old");
    let ran = scene.run(&["plan", "ring"]);
    let ran = match ran.of("plan").first() {
        Some(plan) => scene.run(&["apply", plan["id"].as_str().unwrap(), "--confirm", "ring"]),
        None => ran,
    };
    assert!(ran.code != Some(0), "{}", ran.text);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.deletions().len(), deleted);
}

/// Red: `status` offered `resume` and `abort`, and only they said why they were refused.
fn issuer_gone() {
    let scene = Scene::new();
    let id = scene.until("quiesce");
    for (lose, find, words) in [
        ("mv admin.key kept", "mv kept admin.key", "admin.key: No such file"),
        (
            "cp -p acme.toml kept; echo nonsense = 1 >> acme.toml",
            "mv kept acme.toml",
            "unknown key `nonsense`",
        ),
    ] {
        scene.sh(lose);
        let status = scene.run(&["status"]);
        let cause = status.of("status")[0]["cause"].as_str().unwrap_or_default();
        assert!(cause.contains("until this is mended") && cause.contains(words), "{}", status.text);
        scene.run(&["resume", &id, "--confirm", "ring"]).exits(1).says(&[words.rsplit(": ").next().unwrap()]);
        scene.sh(find);
        let status = scene.run(&["status"]);
        assert!(status.exits(4).of("status")[0]["cause"].is_null(), "{}", status.text);
    }
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

fn no_witness() {
    let scene = Scene::new();
    scene.until("quiesce");
    let witness = scene.keys_folder().join("witness");
    let kept = fs::read(&witness).unwrap();
    fs::remove_file(&witness).unwrap();
    frozen(&scene, &["K06", "witness", "keyroll doctor --accept-journal"]);
    fs::write(&witness, kept).unwrap();
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// A stopped driver receives the request to pause. If it does not release the lock, it stays the driver, and no other
/// driver starts.
fn stopped_driver() {
    let scene = Scene::new();
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("probe");
    running.signal(Signal::STOP);
    scene.run(&["pause"]).exits(4);
    running.end().exits(130);
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["resume", "--confirm", "ring"]);
    wait("the restart", || scene.path("run/restarting-api").exists());
    let before = (scene.issuer.made(), scene.issuer.deletions());
    scene.run(&["resume", "--confirm", "ring"]).refused(7, "K0828", &["keyroll status -w", &plan]);
    assert_eq!((scene.issuer.made(), scene.issuer.deletions()), before);
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None);
    scene.sh("rm run/hold");
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    assert_eq!(scene.issuer.made(), 2);
}

/// A driver that is stopped in the middle of a commit, or while it writes the witness, holds the journal: no other
/// process can write, so no fencing is needed.
fn stop_outside_a_commit(scene: &Scene, running: &Running) {
    wait("a moment without a commit", || {
        running.signal(Signal::STOP);
        let journal = Connection::open(scene.state().join("journal.db")).unwrap();
        journal.busy_timeout(std::time::Duration::ZERO).unwrap();
        let witness = fs::File::open(scene.keys_folder()).unwrap();
        let free = journal.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() && witness.try_lock().is_ok();
        if !free {
            running.signal(Signal::CONT);
        }
        free
    });
}

/// Two containers with one state folder. Red: the command takes the driver's process id for one of its own namespace, and ends
/// by the signal that it sends there, or waits in vain for a driver that nobody asked.
fn driver_elsewhere() {
    if !namespaces_or_skip("a driver in another PID namespace") {
        return;
    }
    let scene = Scene::new();
    let (running, id) = scene.waits_for_api();
    let inside = |words: &[&str]| Ran::run(&mut scene.command_as(&scene.lock_holder(), words));
    for command in ["pause", "resume", "abort"] {
        let ran = inside(&[command, &id]);
        match command {
            "pause" => ran.refused(7, "K0828", &["in another PID namespace", "keyroll pause", &id]),
            _ => ran.refused(1, "K0411", &["run the command there", &id]),
        };
        assert!(!has_ended(running.pid()), "{command} ended the driver");
    }
    let shown = inside(&["status", &id]);
    assert_eq!(shown.of("status")[0]["driver"], 0, "no id of another namespace: {}", shown.text);
    scene.run(&["pause", &id]).exits(4);
    running.end().exits(130);
    scene.restart("api", "api/api.env");
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// Workers of the machine, and a rotation that is rolled back in a container. Red: they are not listed there, count as ended, and
/// the key that they use is deleted.
fn unseen_from_here() {
    if !namespaces_or_skip("commands where the processes of a rotation are not visible") {
        return;
    }
    let scene = Scene::new();
    let id = scene.until("quiesce");
    let before = scene.snapshot();
    let inside = |words: &[&str]| Ran::run(&mut scene.command_as("4000", words));
    for words in [&["abort", &id][..], &["retry", &id], &["resume", &id, "--confirm", "ring"]] {
        inside(words).refused(1, "K0411", &["another one", "on the machine itself", &id]);
        assert_eq!(scene.snapshot(), before);
    }
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
    inside(&["pause", &id]).exits(4);
    scene.run(&["abort", &id]).exits(5);
    scene.as_before();
}

/// A process of the machine that holds the key, and emergencies in a container. Red: what they cannot see holds them up; or their
/// report, their status or their history says nothing of it.
fn emergencies_in_a_part() {
    if !namespaces_or_skip("emergencies where a holder of the key is not visible") {
        return;
    }
    let scene = Scene::made(|config, _| config.push_str(&side("./also/side.env")));
    let (id, value) = scene.issuer.mint("of the side");
    put(&scene.path("also/side.env"), &["SIDE=", &value, "\n"], 0o600);
    scene.add("side", &id, &value).exits(0);
    drop(value);
    let holder = scene.start_by_hand("two", &scene.path("also/side.env"), "idle=yes variable=SIDE");
    let inside = |words: &[&str]| Ran::run(&mut scene.command_as("4000", words));
    for how in ["roll-first", "revoke-now"] {
        let planned = inside(&["plan", "side"]);
        planned.exits(0).says(&["processes outside it are not listed"]);
        let plan = planned.plan();
        let ran = inside(&["apply", &plan, "--emergency", how, "--confirm", "side"]);
        ran.exits(0).ended("done").says(&["processes outside it are not listed"]);
        let (status, history) = (scene.run(&["status", &plan]), scene.run(&["history", &plan]));
        let all = [
            &ran.of("summary")[0]["emergency"]["not_visible"],
            &status.of("status")[0]["not_visible"],
            &history.of("past")[0]["emergency"]["not_visible"],
        ];
        for said in all {
            let said = said[0].as_str().unwrap_or_default();
            assert!(said.contains("outside the container or PID namespace"), "{how}: {}", ran.text);
        }
    }
    scene.end(holder);
}

/// Somebody removed the lock of a stopped driver, which wakes up after another driver continued. The value in its
/// memory does not block the gate: it is keyroll itself, and fenced.
fn returning_driver() {
    let scene = Scene::new();
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("probe");
    stop_outside_a_commit(&scene, &running);
    fs::remove_file(scene.state().join("lock")).unwrap();
    let resumed = scene.run(&["resume", "--confirm", "ring"]);
    // If it is stopped in the middle of a call with the old key, its session blocks the revoke of that key like any
    // other session.
    let blocked = resumed.code == Some(6);
    if blocked {
        let blocked = resumed.of("blocked");
        let holder = blocked.first().map(|event| &event["holder"]["name"]);
        assert!(
            holder.is_some_and(|name| name == "keyroll"),
            "the first holder is {holder:?}, of {} blocked events; {:?}",
            blocked.len(),
            resumed.of("error"),
        );
    } else {
        resumed.exits(0).ended("done");
    }
    let before = (scene.snapshot(), scene.issuer.made(), scene.issuer.deletions());
    running.signal(Signal::CONT);
    running.end().refused(7, "K0834", &["another driver took the rotation over"]);
    assert_eq!((scene.snapshot(), scene.issuer.made(), scene.issuer.deletions()), before);
    if blocked {
        scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    }
    scene.rotated();
}

/// The lock is held by this process. A command that only looks needs no lock; nothing that cannot be undone happens
/// before the witness has the driver's entries.
fn held_witness() {
    let scene = Scene::new();
    scene.until("quiesce");
    scene.run(&["status"]).exits(4);
    let witness = fs::File::open(scene.keys_folder()).unwrap();
    witness.lock().unwrap();
    scene.run(&["status"]).exits(4);
    let before = scene.snapshot();
    let name = format!("is being written by process {}", std::process::id());
    let running = scene.start(&["resume", "--confirm", "ring"]);
    running.says("who holds the witness", |event| {
        event["text"].as_str().is_some_and(|text| text.contains(&name))
    });
    running.signal(Signal::INT);
    running.end().exits(130);
    // The entries of that driver are not in the witness yet.
    scene.run(&["resume", "--confirm", "ring"]).exits(6).says(&[&name, "nothing was changed", "kill -CONT"]);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.deletions(), [] as [String; 0]);
    drop(witness);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

fn clock_set_back() {
    let library = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(library) = library else {
        eprintln!("left out: libfaketime is not installed (apt install faketime)");
        return;
    };
    let scene = Scene::new();
    let plan = scene.plan();
    let clock = scene.path("../clock");
    fs::write(&clock, "+0\n").unwrap();
    let mut command = scene.command(&["apply", &plan, "--confirm", "ring"]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_RESET", "1");
    let running = crate::hostile::ran::Running::start(command);
    running.enters("roll");
    fs::write(&clock, "-365d\n").unwrap();
    let ran = running.end();
    ran.exits(0).ended("done");
    let years: std::collections::BTreeSet<&str> =
        ran.events.iter().filter_map(|event| event["at"].as_str()?.get(..4)).collect();
    assert!(years.len() == 2, "the clock was not set back: {years:?}");
    scene.rotated();
}

fn interrupted() {
    let scene = Scene::new();
    let plan = scene.plan();
    scene.sh("touch run/hold; rm -f run/restarting-api");
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    wait("the restart", || scene.path("run/restarting-api").exists());
    running.signal(Signal::INT);
    scene.sh("rm run/hold");
    let ran = running.end();
    ran.exits(130);
    scene.run(&["resume", "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
    assert_eq!(scene.issuer.made(), 2);
}

/// It pauses as after Ctrl-C, and enables the old key before it pauses. Before that, `verify` does not present the old
/// key, because a refusal would count as a use.
fn hung_up() {
    let scene = Scene::made(|config, _| {
        *config = config.replace("soak         = \"0s\"", "soak         = \"30m\"");
    });
    let plan = scene.plan();
    let running = scene.start(&["apply", &plan, "--confirm", "ring"]);
    running.enters("soak");
    let off = |scene: &Scene| scene.issuer.keys().iter().any(|key| key.id == scene.old && key.disabled);
    assert!(off(&scene));
    let driven = scene.run(&["verify", "ring"]);
    driven.exits(0).says(&["not presented", "is being driven", "lists it as disabled"]);
    running.signal(Signal::KILL);
    let _ = running.end();
    let left = scene.run(&["verify", "ring"]);
    left.exits(0).says(&["ring v1 previous", "disabled it", "ring v2 current at"]);
    assert_eq!(scene.issuer.refused_while_off(&scene.old), 0, "the old key was presented");
    scene.run(&["status"]).exits(4);
    let running = scene.start(&["resume", &plan, "--confirm", "ring"]);
    running.says("the rotation", |event| event["type"] == "rotation");
    running.enters("soak");
    running.signal(Signal::HUP);
    running.end().exits(130);
    assert!(!off(&scene), "the old key is off, and nobody looks");
    // Without a driver, `pause` enables the key itself, also if it is unknown whether the key was disabled.
    scene.issuer.mood(Ask::Disable, ResponseFault::Lost, 99);
    let running = scene.start(&["resume", &plan, "--confirm", "ring"]);
    wait("the old key is off", || off(&scene));
    running.signal(Signal::KILL);
    let _ = running.end();
    scene.issuer.calm();
    assert!(off(&scene));
    scene.run(&["pause", &plan]).exits(4);
    assert!(!off(&scene), "paused with a switched-off key");
    scene.run(&["abort", &plan]).exits(5);
    scene.as_before();
}
