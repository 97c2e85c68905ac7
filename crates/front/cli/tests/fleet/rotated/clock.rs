//! Hosts whose time of day is wrong: a rotation does not depend on it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{HOSTS, Roll};

/// How far each host's clock is off, for the library that does it.
const OFF: [&str; 2] = ["+400d", "-400d"];
/// The same, seconds.
const OFF_S: u64 = 400 * DAY_S;
/// How far the time of a look is from that, seconds, at most.
const NEAR_S: u64 = 3_600;

const DAY_S: u64 = 24 * 3_600;

/// An installed keyroll-host that sees another time of day, and the true monotonic one. It writes down that it was started.
const WRONG: &str = "#!/bin/sh\necho \"$1\" >>/srv/seen/wrong\n\
    export LD_PRELOAD=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1\n\
    export FAKETIME=OFF FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1\n\
    exec /usr/local/lib/keyroll-host \"$@\"";

/// Where it is.
const PROGRAM: &str = "/usr/local/bin/keyroll-host-wrong";

impl Roll {
    /// From now on a host's keyroll-host has a wrong clock.
    fn mistime(&self, host: &str, off: &str) {
        let real = env!("CARGO_BIN_EXE_keyroll-host");
        let install = format!(
            "install -m 755 {real} /usr/local/lib/keyroll-host; install -m 666 /dev/null /srv/seen/wrong\n\
             cat >{PROGRAM} <<'.'\n{}\n.\nchmod 755 {PROGRAM}",
            WRONG.replace("OFF", off)
        );
        self.fleet.run(host, &install);
        let declare =
            format!("sed -i '/^\\[hosts.{host}\\]$/a program = \"{PROGRAM}\"' {}/keyroll.toml", super::DESK);
        self.fleet.run("desk", &declare);
    }

    /// How often each host's keyroll-host was started to answer.
    fn served(&self) -> [usize; 2] {
        HOSTS.map(|host| self.fleet.run(host, "grep -c serve /srv/seen/wrong || true").parse().unwrap())
    }

    fn year(&self) -> String {
        self.fleet.run("desk", "date -u +%Y")
    }
}

/// How many seconds a clock is said to be off in this way.
#[track_caller]
fn off_s(text: &str, way: &str) -> u64 {
    let (before, _) = text.split_once(way).unwrap_or_else(|| panic!("no clock is {way}: {text}"));
    before.rsplit(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// The years of all times of day in a text.
fn years(text: &str) -> BTreeSet<String> {
    let times = text.split(|it: char| !(it.is_ascii_digit() || "-:T".contains(it)));
    let is_time = |word: &&str| {
        let at = |place: usize| word.as_bytes().get(place).copied();
        (at(4), at(7), at(10)) == (Some(b'-'), Some(b'-'), Some(b'T'))
    };
    times.filter(is_time).map(|word| word[..4].to_owned()).collect()
}

/// The most seconds that any field says.
fn most_s(value: &Value) -> f64 {
    let of_field = |(name, value): (&String, &Value)| match value.as_f64() {
        Some(seconds) if name.ends_with("_s") => seconds,
        Some(_) | None => most_s(value),
    };
    match value {
        Value::Object(fields) => fields.iter().map(of_field).fold(0.0, f64::max),
        Value::Array(items) => items.iter().map(most_s).fold(0.0, f64::max),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0.0,
    }
}

#[test]
fn hosts_whose_clocks_are_wrong_by_more_than_a_year_are_rotated_as_ever() {
    let Some(roll) = Roll::raise("hosts by ssh whose clocks are wrong", "") else { return };
    HOSTS.iter().zip(OFF).for_each(|(host, off)| roll.mistime(host, off));
    let first_year = roll.year();
    let checked = roll.keyroll(&["hosts", "check", "web-1", "web-2"]);
    for way in [" s ahead", " s behind"] {
        let seconds = off_s(&checked.text, way);
        assert!(seconds.abs_diff(OFF_S) < NEAR_S, "{seconds}{way}: {}", checked.text);
    }
    let before = roll.served();

    let planned = roll.keyroll(&["plan", "orders"]);
    let id = planned.exits(0).plan();
    let applied = roll.apply(&id);
    applied.exits(0).ended("done");
    assert_eq!(applied.summary()["dead_confirmed"], true, "{}", applied.text);
    roll.settled(&roll.new_key_of("web-1"));
    assert_eq!(roll.starts(), [2, 2], "each service was started by the test and restarted once");
    let after = roll.served();
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "{before:?}, {after:?}");

    let status = roll.keyroll(&["status", &id]);
    let history = roll.keyroll(&["history", &id]);
    let known = BTreeSet::from([first_year, roll.year()]);
    for ran in [&planned, &applied, &status, &history] {
        let shown = years(&ran.text);
        assert!(!shown.is_empty() && shown.is_subset(&known), "{shown:?}: {}", ran.text);
        let most = ran.events.iter().map(most_s).fold(0.0, f64::max);
        assert!(most < 86_400.0, "{most} s of a rotation of minutes: {}", ran.text);
    }
}
