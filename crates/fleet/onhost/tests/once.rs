//! An order runs its command once, however often it comes, and does nothing after its time.

use std::fs;
use std::path::PathBuf;

use keyroll_link::{
    AskedForm, ClassForm, FailureForm, OpenOrder, Order, ReconciledForm, Reply, Sealed, WhichForm,
};

use crate::rotation::{Connected, Scene, is_in};

/// A year, milliseconds.
const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

/// Counts its runs, and fails.
const COUNTED: &str = "#!/bin/sh\necho run >> ./runs\nexit 3\n";

fn counted() -> Scene {
    let scene = Scene::new();
    keyroll_testkit::write_program(&scene.folder().join("restart.sh"), COUNTED);
    scene
}

/// How often the restart command of a scene ran.
fn runs(scene: &Scene) -> usize {
    fs::read_to_string(scene.folder().join("runs")).map_or(0, |text| text.lines().count())
}

/// The record of the steps, if there is one.
fn record(scene: &Scene) -> Option<PathBuf> {
    let mut files = fs::read_dir(scene.state()).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "steps"))
}

fn failed(reply: Reply) -> FailureForm {
    let Reply::Failed(failure) = reply else { panic!("it is no failure: {reply:?}") };
    failure
}

fn apply(intent: u64, until_ms: u64) -> Order {
    Order::Apply { consumer: 0, slot: 0, asked: AskedForm { intent, until_ms }, accepted: None }
}

/// Orders the restart, whose command fails.
fn restart(host: &mut Connected, intent: u64) -> FailureForm {
    failed(host.driver.order(apply(intent, u64::MAX)))
}

fn deliver(host: &Connected, scene: &Scene, intent: u64, until_ms: u64) -> Order {
    let asked = AskedForm { intent, until_ms };
    let order = |values: Sealed| Order::Deliver { file: 0, which: WhichForm::New, values, asked };
    host.sealed(scene, None, order)
}

#[test]
fn the_same_order_runs_its_command_once_and_is_answered_as_before_also_on_the_next_connection() {
    let scene = counted();
    let mut host = scene.opened(1, 1);
    assert_eq!(host.delivers(&scene), Reply::Done);
    let first = restart(&mut host, 43);
    assert_eq!((first.code.as_str(), runs(&scene)), ("K0402", 1), "{first:?}");
    let again = restart(&mut host, 43);
    assert_eq!((again.class, &again.code, runs(&scene)), (first.class, &first.code, 1));
    host.driver.end();
    let mut host = scene.opened(1, 2);
    let again = restart(&mut host, 43);
    assert_eq!((again.class, &again.code, runs(&scene)), (first.class, &first.code, 1));
    // The step is repeated: that is another order.
    restart(&mut host, 44);
    assert_eq!(runs(&scene), 2);
    let kept = fs::read(record(&scene).unwrap()).unwrap();
    assert!(!is_in(&kept, &scene.old) && !is_in(&kept, &scene.new), "a value is in the record");
    host.driver.end();
}

/// Whether it is on record that a command of this intent was carried out.
fn ended(host: &mut Connected, intent: u64) -> Reply {
    host.driver.order(Order::AwaitEnd { intent })
}

#[test]
fn a_restart_whose_answer_was_lost_is_on_record_and_need_not_be_repeated() {
    let scene = Scene::new();
    keyroll_testkit::write_program(&scene.folder().join("restart.sh"), "#!/bin/sh\necho run >> ./runs\n");
    let mut host = scene.opened(1, 1);
    assert_eq!(host.delivers(&scene), Reply::Done);
    let done = host.driver.order(apply(43, u64::MAX));
    assert!(matches!(done, Reply::Applied { done: true, .. }), "{done:?}");
    host.driver.end();
    let mut host = scene.opened(1, 2);
    assert_eq!(ended(&mut host, 43), Reply::Delivered(ReconciledForm::Executed));
    assert_eq!(ended(&mut host, 44), Reply::Delivered(ReconciledForm::Absent), "another step");
    assert_eq!(runs(&scene), 1);
    host.driver.end();
    // The driver that goes on with the rotation learns what the one before did not live to hear.
    let mut host = scene.opened(2, 1);
    assert_eq!(ended(&mut host, 43), Reply::Delivered(ReconciledForm::Executed));
    assert_eq!(ended(&mut host, 44), Reply::Delivered(ReconciledForm::Absent), "another step");
    // What that one was answered is no answer to an order of this one, whose numbers may be others.
    assert!(matches!(host.driver.order(apply(43, u64::MAX)), Reply::Applied { done: true, .. }));
    assert_eq!(runs(&scene), 2);
    host.driver.end();
}

#[test]
fn a_delivery_that_was_made_is_not_made_again_over_what_came_after_it() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    assert_eq!(host.delivers(&scene), Reply::Done);
    // The file has the old value again, as after a rollback.
    fs::write(scene.file(), scene.text(&scene.old)).unwrap();
    assert_eq!(host.delivers(&scene), Reply::Done);
    assert!(scene.holds(&scene.old));
    let next = deliver(&host, &scene, 42, u64::MAX);
    assert_eq!(host.driver.order(next), Reply::Done);
    assert!(scene.holds(&scene.new));
    host.driver.end();
}

/// Red where a delivery that failed, and comes again, writes over what was put right after it.
#[test]
fn a_delivery_that_failed_is_not_made_when_it_comes_again_behind_a_later_order() {
    let scene = Scene::new();
    let mut host = scene.opened(1, 1);
    fs::write(scene.file(), scene.text(&keyroll_testkit::alphanumeric(32))).unwrap();
    let sent_ms = host.driver.now_ms();
    let order = deliver(&host, &scene, 41, u64::MAX);
    let differs = failed(host.driver.order_sent(sent_ms, order.clone()));
    assert_ne!(differs.code, "K0960", "{differs:?}");
    // keyroll rolls back, and somebody has put the old value back.
    fs::write(scene.file(), scene.text(&scene.old)).unwrap();
    assert!(matches!(host.driver.order_sent(sent_ms + 1, Order::Live), Reply::Live(_)));
    let again = failed(host.driver.order_sent(sent_ms, order));
    assert_eq!((again.class, again.code.as_str()), (ClassForm::Retryable, "K0960"), "{again:?}");
    assert!(scene.holds(&scene.old));
    // What the same step tries after that is sent later.
    let next = deliver(&host, &scene, 41, u64::MAX);
    assert_eq!(host.driver.order_sent(sent_ms + 2, next), Reply::Done);
    assert!(scene.holds(&scene.new));
    host.driver.end();
}

#[test]
fn a_command_that_was_begun_when_its_program_ended_is_not_run_again() {
    let scene = counted();
    let mut host = scene.opened(1, 1);
    restart(&mut host, 43);
    host.driver.end();
    // As a program leaves it that was killed while the command ran.
    let path = record(&scene).unwrap();
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(kept["steps"][0]["outcome"].is_object(), "{kept}");
    kept["steps"][0]["outcome"] = serde_json::Value::Null;
    fs::write(&path, kept.to_string()).unwrap();
    let mut host = scene.opened(1, 2);
    let unknown = restart(&mut host, 43);
    assert_eq!((unknown.class, unknown.code.as_str()), (ClassForm::Unknown, "K0402"));
    assert_eq!(runs(&scene), 1);
    // keyroll looks, and then repeats the step by another order.
    assert_eq!(ended(&mut host, 43), Reply::Delivered(ReconciledForm::Absent));
    restart(&mut host, 44);
    assert_eq!(runs(&scene), 2);
    host.driver.end();
}

#[test]
fn the_steps_of_another_rotation_or_driver_answer_nothing() {
    let scene = counted();
    let mut host = scene.opened(1, 1);
    restart(&mut host, 43);
    host.driver.end();
    let rotation =
        |epoch, turn, id: &str| OpenOrder { rotation: id.to_owned(), ..scene.opening(epoch, turn) };
    for (open, expected) in [(rotation(1, 2, "18cd"), 2), (rotation(2, 1, "18cd"), 3)] {
        let mut host = scene.connect();
        host.open = open;
        assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
        restart(&mut host, 43);
        assert_eq!(runs(&scene), expected);
        host.driver.end();
    }
}

#[test]
fn a_damaged_record_holds_up_its_driver_and_not_the_next_one() {
    let scene = counted();
    let mut host = scene.opened(1, 1);
    restart(&mut host, 43);
    host.driver.end();
    let path = record(&scene).unwrap();
    fs::write(&path, "{").unwrap();
    let mut host = scene.opened(1, 2);
    let refused = restart(&mut host, 44);
    assert_eq!((refused.class, refused.code.as_str()), (ClassForm::Permanent, "K0601"));
    assert!(refused.attempted.ends_with(path.to_str().unwrap()), "{refused:?}");
    assert_eq!(runs(&scene), 1);
    // What writes nothing is answered.
    assert!(matches!(host.driver.order(Order::Live), Reply::Live(_)));
    host.driver.end();
    let mut host = scene.opened(2, 1);
    assert_eq!(restart(&mut host, 45).code, "K0402");
    assert_eq!(runs(&scene), 2);
    host.driver.end();
}

#[test]
fn an_order_that_comes_after_its_time_does_nothing_however_far_the_clocks_are_apart() {
    for begins_ms in [1_000_000, 50 * YEAR_MS] {
        let scene = counted();
        let mut host = scene.connect();
        host.driver.begins_ms = begins_ms;
        assert_eq!(host.opens(), Reply::Opened { files: Vec::new() });
        // On the way for a minute; it might have begun within half of one.
        let sent_ms = host.driver.now_ms() - 60_000;
        let order = deliver(&host, &scene, 41, sent_ms + 30_000);
        let late = failed(host.driver.order_sent(sent_ms, order));
        assert_eq!((late.class, late.code.as_str()), (ClassForm::Retryable, "K0960"), "{late:?}");
        assert!(scene.holds(&scene.old) && record(&scene).is_none());
        let order = deliver(&host, &scene, 42, host.driver.now_ms() + 3_600_000);
        assert_eq!(host.driver.order(order), Reply::Done);
        assert!(scene.holds(&scene.new));
        let sent_ms = host.driver.now_ms() - 60_000;
        let late = failed(host.driver.order_sent(sent_ms, apply(43, sent_ms + 30_000)));
        assert_eq!((late.class, late.code.as_str()), (ClassForm::Retryable, "K0960"), "{late:?}");
        assert_eq!(runs(&scene), 0);
        host.driver.end();
    }
}

#[test]
fn an_order_that_was_carried_out_is_answered_as_before_also_if_it_comes_late() {
    let scene = counted();
    let mut host = scene.opened(1, 1);
    let first = restart(&mut host, 43);
    let sent_ms = host.driver.now_ms() - 60_000;
    let again = failed(host.driver.order_sent(sent_ms, apply(43, sent_ms + 30_000)));
    assert_eq!((again.class, &again.code, runs(&scene)), (first.class, &first.code, 1));
    host.driver.end();
}
