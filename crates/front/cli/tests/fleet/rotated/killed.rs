//! Either end of a connection is killed at each frame of a rotation over hosts, one whole rotation per kill, each from the key
//! that the one before ended with. No host is left with a dead key, and no service is restarted twice.

use std::time::{SystemTime, UNIX_EPOCH};

use keyroll_testkit::command::Ran;
use zeroize::Zeroizing;

use super::{HELD, RESUMES_MAX, Roll, SSH};

/// Which frames are chosen: `all`, or the number of one; else a night's sample.
const VARIABLE: &str = "KEYROLL_FRAMES";

/// How many rotations a night's sample has.
const SAMPLE: usize = 8;

/// What counts the frames, and kills.
const FRAMES: &str = include_str!("frames.py");

/// Where it counts.
const COUNT: &str = "/srv/frames";

/// One rotation.
struct Turn {
    /// The frames of its first driver.
    frames: usize,
    /// Whether an end was killed: a rotation may have fewer frames than the one before.
    struck: bool,
    /// Whether another key is in use than before.
    rotated: bool,
}

impl Roll {
    /// From now on frames are counted.
    fn count_frames(&self) {
        self.fleet.run("desk", &format!("cat >{SSH}/frames.py <<'.'\n{FRAMES}\n.\n"));
        self.count_from_none("");
        self.ssh(&format!("exec python3 {SSH}/frames.py {COUNT} REAL"));
    }

    /// Begins to count anew, and does this more.
    fn count_from_none(&self, more: &str) {
        self.fleet.run("desk", &format!("rm -rf {COUNT}; mkdir {COUNT}; echo 0 >{COUNT}/count\n{more}"));
    }

    /// Rotates, and kills this end at this frame, if one is named. Resumes until nothing is open.
    #[track_caller]
    fn turn(&mut self, kill: Option<(&str, usize)>) -> Turn {
        let id = self.plan();
        let before = self.starts();
        let strike = kill.map(|(who, at)| format!("echo {at} {who} >{COUNT}/strike")).unwrap_or_default();
        self.count_from_none(&strike);
        let applied = self.apply(&id);
        let frames = self.fleet.run("desk", &format!("cat {COUNT}/count")).parse().unwrap();
        let struck = self.fleet.run("desk", &format!("ls {COUNT}")).lines().any(|name| name == "struck");
        if struck {
            self.is_as_killed(kill, &applied);
        }
        self.await_idle();
        self.all_work();
        self.ends(&id, &applied);

        let keys = self.issuer.keys();
        let [key] = &keys[..] else { panic!("there is not one key: {keys:?}, {}", applied.text) };
        self.settled(&key.id);
        let rotated = key.id != self.old;
        // A rollback restarts once more what was moved.
        let most = if rotated { 1 } else { 2 };
        for (before, after) in before.into_iter().zip(self.starts()) {
            let restarts = after - before;
            assert!(restarts <= most, "{restarts} restarts of one service: {}", applied.text);
            assert!(!rotated || restarts == 1, "a service was not restarted: {}", applied.text);
        }
        self.old.clone_from(&key.id);
        self.value = Zeroizing::new(self.fleet.run("web-1", HELD));
        Turn { frames, struck, rotated }
    }

    /// Only the driver that was to be killed was.
    #[track_caller]
    fn is_as_killed(&self, kill: Option<(&str, usize)>, applied: &Ran) {
        let driver = kill.is_some_and(|(who, _)| who == "driver");
        assert_eq!(applied.code == Some(137), driver, "{:?}: {}", applied.code, applied.text);
    }

    /// Goes on until no rotation is open. One that had not begun when an end was killed is none.
    #[track_caller]
    fn ends(&self, id: &str, applied: &Ran) {
        let mut said = vec![applied.text.clone()];
        for _ in 0..RESUMES_MAX {
            let status = self.keyroll(&["status"]);
            if status.code == Some(0) {
                return;
            }
            let resumed = self.resume(id);
            if resumed.code == Some(6) {
                said.push(self.keyroll(&["retry", id]).text);
            }
            said.push(resumed.text);
            self.await_idle();
            self.all_work();
        }
        let status = self.keyroll(&["status"]);
        assert_eq!(status.code, Some(0), "{}\nbefore that: {}", status.text, said.join("\n"));
    }
}

/// The frames at which an end is killed.
fn chosen(frames: usize) -> Vec<usize> {
    let all = 1..=frames;
    match std::env::var(VARIABLE).as_deref() {
        Ok("all") => all.collect(),
        Ok(one) => vec![one.parse().expect("the number of a frame")],
        Err(_) => {
            // Another beginning in another night: together they come to each frame.
            let every = frames.div_ceil(SAMPLE).max(1);
            let minute = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
            let first = usize::try_from(minute).unwrap() % every;
            all.skip(first).step_by(every).collect()
        }
    }
}

/// Rotates once for each chosen frame, and kills this end there.
fn killed_at_frames(left_out: &str, who: &str) {
    let Some(mut roll) = Roll::raise(left_out, "") else { return };
    roll.count_frames();
    let whole = roll.turn(None);
    assert!(whole.rotated && !whole.struck && whole.frames > SAMPLE, "{} frames", whole.frames);
    let chosen = chosen(whole.frames);
    let mut struck = 0;
    for at in &chosen {
        eprintln!("the {who} is killed at frame {at} of about {}: {VARIABLE}={at}", whole.frames);
        let turn = roll.turn(Some((who, *at)));
        eprintln!("  {} frames, killed: {}, rotated: {}", turn.frames, turn.struck, turn.rotated);
        struck += usize::from(turn.struck);
    }
    assert!(struck * 2 > chosen.len(), "only {struck} of {} rotations had so many frames", chosen.len());
    // After all of them it is rotated as ever.
    assert!(roll.turn(None).rotated);
}

#[test]
fn a_connection_that_is_cut_at_any_frame_loses_no_key_and_repeats_no_restart() {
    killed_at_frames("connections to hosts that are cut at each frame", "host");
}

#[test]
fn a_driver_that_is_killed_at_any_frame_loses_no_key_and_repeats_no_restart() {
    killed_at_frames("a driver of hosts that is killed at each frame", "driver");
}
