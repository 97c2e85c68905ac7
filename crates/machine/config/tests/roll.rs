//! `[secrets.NAME.roll]` and `wave`: how the consumers are moved one after the other.

use std::time::Duration;

use keyroll_config::{Canary, Config, Roll};

use crate::refuses::{expect, with_secret};

fn roll(keys: &str) -> Roll {
    let text = with_secret(&format!("[secrets.acme.roll]\n{keys}"));
    Config::parse(&text, "keyroll.toml").unwrap().secret("acme").unwrap().roll
}

/// A secret with these consumers, each with its further lines.
fn consumers(all: &[(&str, &str)]) -> String {
    let one = |(name, lines): &(&str, &str)| {
        format!(
            "[[secrets.acme.consumers]]\nname = \"{name}\"\nruns = {{ at_rest = true }}\n\
             reads = {{ file = \"./{name}.key\" }}\n{lines}"
        )
    };
    with_secret(&all.iter().map(one).collect::<String>())
}

#[test]
fn without_the_table_the_first_consumer_is_the_canary_and_nothing_waits() {
    let (bake, pause_between) = (Duration::ZERO, Duration::ZERO);
    let plain = Roll { canary: Canary::Consumer, bake, ask: false, pause_between, hosts_at_once: 1 };
    let text = consumers(&[("api", "")]);
    let config = Config::parse(&text, "keyroll.toml").unwrap();
    let secret = config.secret("acme").unwrap();
    assert_eq!((secret.roll, secret.consumers[0].wave), (plain, 0));
    assert_eq!(roll(""), plain, "an empty table is the same as none");
    assert_eq!(roll("canary = \"consumer\"\n"), plain);
}

#[test]
fn every_key_is_read() {
    let all = roll("canary = \"instance\"\nbake = \"10m\"\nask = true\npause_between = \"30s\"\n");
    let (bake, pause_between) = (Duration::from_secs(600), Duration::from_secs(30));
    assert_eq!(all, Roll { canary: Canary::Instance, bake, ask: true, pause_between, hosts_at_once: 1 });
    let day = Duration::from_secs(86_400);
    let longest = roll("canary = \"host\"\nbake = \"24h\"\npause_between = \"1d\"\n");
    let (bake, pause_between) = (day, day);
    assert_eq!(longest, Roll { canary: Canary::Host, bake, ask: false, pause_between, hosts_at_once: 1 });
    assert_eq!(roll("canary = \"instance\"\nask = true\n").canary, Canary::Instance);
    assert_eq!(roll("canary = \"instance\"\nbake = \"1s\"\n").canary, Canary::Instance);
}

#[test]
fn a_table_that_cannot_be_meant_is_refused() {
    let refused = |keys: &str, line: usize, words: &str| {
        expect(&with_secret(&format!("[secrets.acme.roll]\n{keys}")), "K0004", line, words);
    };
    refused("canary = \"instance\"\n", 5, "changes nothing without `bake` and `ask`");
    refused("canary = \"instance\"\nbake = \"0s\"\nask = false\n", 5, "changes nothing without");
    refused("canary = \"hosts\"\n", 5, "did you mean `host`?");
    refused("canary = \"first\"\n", 5, "`instance`, `consumer`, `host`");
    refused("bake = \"25h\"\n", 5, "`roll.bake` must be 0s to 1d");
    refused("pause_between = \"86401s\"\n", 5, "`roll.pause_between` must be 0s to 1d");
    refused("bake = \"10\"\n", 5, "`roll.bake` is not a length of time");
    refused("ask = \"yes\"\n", 5, "a boolean");
    refused("pause = \"1s\"\n", 5, "unknown key `pause`");
    for key in ["canary", "bake", "ask", "pause_between", "hosts_at_once"] {
        let belongs = format!("`{key}` belongs to the table [secrets.NAME.roll]");
        expect(&with_secret(&format!("{key} = \"1s\"\n")), "K0004", 4, &belongs);
    }
}

#[test]
fn as_many_hosts_move_at_once_as_consumers_may() {
    let with = |above: &str, keys: &str| with_secret(&format!("{above}[secrets.acme.roll]\n{keys}"));
    let hosts = |text: &str| Config::parse(text, "keyroll.toml").map(|it| it.secret("acme").unwrap().roll);
    let read = hosts(&with("max_parallel = 4\n", "hosts_at_once = 4\n")).unwrap();
    assert_eq!(read.hosts_at_once, 4);
    let defaults = format!("{}[defaults]\nmax_parallel = 64\n", with("", "hosts_at_once = 64\n"));
    assert_eq!(hosts(&defaults).unwrap().hosts_at_once, 64);
    assert_eq!(roll("hosts_at_once = 1\n").hosts_at_once, 1);
    let many = "`roll.hosts_at_once` is 3, but `max_parallel` lets only 2 consumers move";
    expect(&with("max_parallel = 2\n", "hosts_at_once = 3\n"), "K0004", 6, many);
    // Without the key, one consumer moves at once.
    expect(&with("", "hosts_at_once = 2\n"), "K0004", 5, "write `max_parallel = 2` in [secrets.NAME]");
    for wrong in ["0", "65", "65537"] {
        let text = with("max_parallel = 64\n", &format!("hosts_at_once = {wrong}\n"));
        expect(&text, "K0004", 6, "`roll.hosts_at_once` must be 1 to 64");
    }
    expect(&with("", "hosts_at_once = -1\n"), "K0004", 5, "a whole number of 0 or more must stand here");
}

#[test]
fn a_wave_is_a_number_of_a_consumer() {
    let text = consumers(&[("api", "wave = 99\n"), ("web", ""), ("job", "wave = 7\n")]);
    let config = Config::parse(&text, "keyroll.toml").unwrap();
    let waves: Vec<u8> = config.secret("acme").unwrap().consumers.iter().map(|one| one.wave).collect();
    assert_eq!(waves, [99, 0, 7], "the order of the file stays");
    for wrong in ["100", "256", "4294967295"] {
        expect(&consumers(&[("api", &format!("wave = {wrong}\n"))]), "K0004", 8, "`wave` must be 0 to 99");
    }
    expect(&consumers(&[("api", "wave = -1\n")]), "K0004", 8, "a whole number of 0 or more must stand here");
}

#[test]
fn what_takes_the_value_from_the_store_is_in_no_earlier_wave_than_what_is_given_it() {
    let fetch = "fetch = [\"./get\"]\n";
    let early = consumers(&[("web", fetch), ("api", "wave = 1\n")]);
    expect(&early, "K0004", 5, "the consumer `web` takes the value from the store and is in wave 0");
    expect(&early, "K0004", 5, "before the consumer `api` in wave 1");
    expect(&early, "K0004", 5, "write `wave = 1` or more for `web`");
    let named = consumers(&[("api", "wave = 2\n"), ("web", &format!("{fetch}wave = 1\n"))]);
    expect(&named, "K0004", 14, "is in wave 1, before the consumer `api` in wave 2");
    for late in ["wave = 1\n", "wave = 2\n"] {
        let text = consumers(&[("web", &format!("{fetch}{late}")), ("api", "wave = 1\n")]);
        assert!(Config::parse(&text, "keyroll.toml").is_ok());
    }
}
