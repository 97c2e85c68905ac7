//! keyroll ends while a host restarts a service for it. The host finishes the step in hand, no other host is touched, and
//! whoever goes on does not restart that service a second time.

use keyroll_testkit::command::wait;

use super::{HELD, RUNS_WITH, Roll, STATE};

/// What stands after keyroll was ended in a restart on web-1, and the service was started: only that host was touched, and no
/// key was lost.
#[track_caller]
fn stands_half_way(roll: &Roll) {
    roll.await_idle();
    assert_eq!(roll.starts(), [2, 1], "a step was lost, or another one begun");
    let new = roll.new_key();
    for script in [HELD, RUNS_WITH] {
        assert_eq!(roll.key("web-1", script).as_deref(), Some(new.as_str()), "{script}");
        assert_eq!(roll.key("web-2", script).as_deref(), Some(roll.old.as_str()), "{script}");
    }
    assert_eq!(roll.issuer.deletions(), [] as [String; 0]);
    roll.both_work();
}

/// The next driver ends the rotation, and restarts only the service that was not restarted yet.
#[track_caller]
fn goes_on(roll: &Roll, id: &str) {
    let resumed = roll.resume(id);
    resumed.exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2], "a service was restarted twice: {}", resumed.text);
    roll.settled(&roll.new_key_of("web-1"));
}

#[test]
fn ctrl_c_in_a_restart_on_a_host_ends_after_it_and_says_how_to_go_on() {
    let Some(roll) = Roll::raise("Ctrl-C in a rotation over hosts", "") else { return };
    let (id, driver) = roll.in_a_restart();
    driver.signal("INT");
    roll.let_go();
    let stopped = driver.ended();
    stopped.exits(130);
    let resume = format!("keyroll resume {id}");
    assert!(
        stopped.paused()["resume_with"].as_str().is_some_and(|with| with.starts_with(&resume)),
        "{}",
        stopped.text
    );
    stands_half_way(&roll);
    goes_on(&roll, &id);
}

/// A terminal sends the signal to ssh too, which then cuts the connection in the middle of the step.
#[test]
fn a_terminals_ctrl_c_in_a_restart_on_a_host_loses_no_step() {
    let Some(roll) = Roll::raise("Ctrl-C at a terminal in a rotation over hosts", "") else { return };
    let (id, driver) = roll.in_a_restart();
    driver.signal_all("INT");
    roll.let_go();
    driver.ended().exits(130).says(&[&format!("keyroll resume {id}")]);
    stands_half_way(&roll);
    goes_on(&roll, &id);
}

#[test]
fn a_driver_that_was_killed_in_a_restart_on_a_host_is_replaced_by_one_that_finds_it_done() {
    let Some(roll) = Roll::raise("a driver killed in a restart on a host", "") else { return };
    let (id, driver) = roll.in_a_restart();
    driver.signal("KILL");
    let killed = driver.ended();
    assert_eq!(killed.code, Some(137), "it was not killed: {}", killed.text);
    roll.let_go();
    stands_half_way(&roll);
    goes_on(&roll, &id);
}

#[test]
fn a_driver_that_comes_while_a_killed_ones_restart_still_lasts_waits_for_its_end() {
    let Some(roll) = Roll::raise("a driver that comes in a restart on a host", "") else { return };
    let (id, driver) = roll.in_a_restart();
    let before = roll.fences();
    driver.signal("KILL");
    drop(driver.ended());
    let next = roll.start(STATE, &["resume", &id, "--confirm", "orders"]);
    // It has the fence of web-1, and the step of the one before still lasts there.
    wait("the next driver's claim on web-1", || roll.fences()[0] != before[0]);
    assert_eq!(roll.starts(), [2, 1], "it did not wait");
    roll.let_go();
    let ended = next.ended();
    ended.exits(0).ended("done");
    assert_eq!(roll.starts(), [2, 2], "a service was restarted twice: {}", ended.text);
    roll.settled(&roll.new_key_of("web-1"));
}
