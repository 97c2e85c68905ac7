//! `[[secrets.NAME.bystanders]]`: processes that hold the value and are no consumers.

use std::path::{Path, PathBuf};

use keyroll_config::{Bystander, Config, Name, slice};

use crate::refuses::{expect, with_secret};

const HOSTS: &str = "[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv\"\n\
    [hosts.prod]\nconnect = \"kube://eks/agents\"\n";

fn bystander(lines: &str) -> String {
    format!("[[secrets.acme.bystanders]]\nname = \"gateway\"\n{lines}")
}

fn read(text: &str) -> Vec<Bystander> {
    let config = Config::parse(text, "/etc/keyroll/keyroll.toml").unwrap_or_else(|error| panic!("{error}"));
    config.secret("acme").unwrap().bystanders.clone()
}

#[test]
fn every_key_is_read_and_a_unit_gets_its_suffix() {
    let all = "unit = \"gateway\"\nuser = \"gw\"\nexecutable = \"/usr/local/bin/gateway\"\nhost = \"web-1\"\n\
        reason = \" it forwards \"\n";
    let text = with_secret(&bystander(all)) + HOSTS;
    let expected = Bystander {
        name: Name::new("gateway").unwrap(),
        host: Name::new("web-1").unwrap(),
        is_here: false,
        unit: Some("gateway.service".to_owned()),
        user: Some("gw".to_owned()),
        executable: Some(PathBuf::from("/usr/local/bin/gateway")),
        reason: "it forwards".to_owned(),
    };
    assert_eq!(read(&text), [expected]);
    let here = read(&with_secret(&bystander("unit = \"log.scope\"\nreason = \"it ships logs\"\n")));
    assert!(here[0].is_here && here[0].is_on("local") && !here[0].is_on("web-1"));
    assert_eq!((here[0].unit.as_deref(), here[0].executable.as_deref()), (Some("log.scope"), None));
}

#[test]
fn a_bystander_that_could_be_anything_or_says_no_reason_is_refused() {
    let refused = |lines: &str, line: usize, words: &str| {
        expect(&with_secret(&bystander(lines)), "K0004", line, words);
    };
    refused("reason = \"x\"\n", 5, "neither `unit` nor `executable`");
    refused("user = \"gw\"\nreason = \"x\"\n", 5, "neither `unit` nor `executable`");
    refused("unit = \"gateway\"\n", 4, "reason");
    refused("unit = \"gateway\"\nreason = \"  \"\n", 7, "`bystanders.reason`");
    refused("unit = \"gateway\"\nreason = \"a\\nb\"\n", 7, "`bystanders.reason`");
    refused("unit = \"a b\"\nreason = \"x\"\n", 6, "`bystanders.unit`");
    refused("unit = \"gateway.socket\"\nreason = \"x\"\n", 6, "a service or a scope");
    refused("executable = \"gateway\"\nreason = \"x\"\n", 6, "absolute path");
    refused("unit = \"g\"\nuser = \"-x\"\nreason = \"x\"\n", 7, "`bystanders.user`");
    let twice = bystander("unit = \"a\"\nreason = \"x\"\n").repeat(2);
    expect(&with_secret(&twice), "K0004", 9, "named twice");
    let elsewhere = bystander("unit = \"a\"\nreason = \"x\"\nhost = \"web-9\"\n");
    expect(&(with_secret(&elsewhere) + HOSTS), "K0006", 8, "not defined");
    let pod = bystander("unit = \"a\"\nreason = \"x\"\nhost = \"prod\"\n");
    expect(&(with_secret(&pod) + HOSTS), "K0004", 8, "which is a cluster");
}

/// Its process would be every program of that file. A text that was accepted before is read, so that its rotation can end.
#[test]
fn an_executable_that_runs_any_program_needs_the_unit() {
    let folder = Path::new("/etc/keyroll");
    let with = |lines: &str| with_secret(&bystander(lines));
    for name in [
        "java",
        "dotnet",
        "ruby3.1",
        "php8.2",
        "perl",
        "beam.smp",
        "mono",
        "python3.11",
        "node",
        "bun",
        "bash",
    ] {
        let alone = with(&format!("executable = \"/usr/bin/{name}\"\nreason = \"x\"\n"));
        let error = Config::parse_current(&alone, "keyroll.toml", folder).expect_err(name);
        assert!(error.message().contains("every program that its `executable` runs"), "{name}: {error}");
        assert_eq!(error.position().map(|at| at.line), Some(6), "{name}: {error}");
        assert!(error.help().is_some_and(|help| help.contains("`unit = ")), "{name}");
        assert!(Config::parse(&alone, "keyroll.toml").is_ok(), "{name}");
        let in_unit =
            with(&format!("unit = \"gateway\"\nexecutable = \"/usr/bin/{name}\"\nreason = \"x\"\n"));
        assert!(Config::parse_current(&in_unit, "keyroll.toml", folder).is_ok(), "{name}");
    }
    let own = with("executable = \"/usr/local/bin/javagate\"\nreason = \"x\"\n");
    assert!(Config::parse_current(&own, "keyroll.toml", folder).is_ok());
}

#[test]
fn the_unit_of_a_consumer_is_no_bystander() {
    let consumer = "[[secrets.acme.consumers]]\nname = \"api\"\nruns = { unit = \"api.service\" }\n\
        reads = { file = \"./k\" }\n";
    let with = |unit: &str, more: &str| {
        with_secret(consumer) + &bystander(&format!("unit = \"{unit}\"\n{more}reason = \"x\"\n"))
    };
    expect(&with("api", ""), "K0004", 10, "is the unit of the consumer `api`");
    // Another one of the same name, in a user's own manager.
    assert_eq!(read(&with("api", "user = \"gw\"\n")).len(), 1);
    assert_eq!(read(&with("gateway", "")).len(), 1);
}

#[test]
fn a_host_gets_its_own_bystanders_alone() {
    let two = bystander("unit = \"a\"\nreason = \"of here\"\n")
        + &bystander("unit = \"b\"\nreason = \"of there\"\nhost = \"web-1\"\n").replace("gateway", "shipper");
    let text = with_secret(&two) + HOSTS;
    let there = slice(&text, "/etc/keyroll/keyroll.toml", "acme", "web-1").unwrap();
    assert!(there.contains("of there") && !there.contains("of here"), "{there}");
    let config = Config::parse_in_folder(&there, Path::new("/srv")).unwrap();
    let whole = Config::parse(&text, "/etc/keyroll/keyroll.toml").unwrap();
    let on = |config: &Config, host: &str| config.secret("acme").unwrap().on(host).bystanders;
    assert_eq!(on(&config, "web-1"), on(&whole, "web-1"));
    assert_eq!((on(&whole, "local").len(), on(&whole, "web-1").len()), (1, 1));
}
