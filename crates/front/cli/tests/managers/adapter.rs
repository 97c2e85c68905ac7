//! A service behind an external adapter, with the value in a file that its script reads.

use std::fs;

use crate::managers::service::Service;

const START: &str = concat!(
    "printf 'KEY=%s\\n' \"$value\" >bot.env\nchmod 600 bot.env\n",
    "cat >service.sh <<'END'\n#!/bin/sh\nset -a\n. ./bot.env\nKEYROLL_TEST_PART='@PART@'\n",
    "exec @PROGRAM@ hostile::part --exact --nocapture\nEND\n",
    "cat >adapter <<'END'\n",
    include_str!("adapter.py"),
    "END\nchmod 755 adapter service.sh\n./adapter start </dev/null\n",
);

fn start() -> Option<Service> {
    let reads = r#"{ env_file = "./bot.env", variable = "KEY" }"#;
    let stop = "kill -KILL $(cat run/adapter)";
    Service::start("a service behind an adapter", r#"{ exec = ["./adapter"] }"#, reads, START, stop)
}

#[test]
fn a_service_behind_an_adapter_is_moved_and_comes_back() {
    let Some(service) = start() else { return };
    let kept = service.run(&["consumer", "check-adapter", "--apply", "--", "./adapter"]);
    // Arguments after `--` belong to the adapter: `--json` there is not keyroll's flag.
    assert_eq!(kept.exits(0).text.matches(": kept").count(), 8, "{}", kept.text);
    service.comes_back();
    let pid = service.scene.path("run/adapter");
    let before = fs::read_to_string(&pid).unwrap();
    service.is_moved_through_a_kill(|| fs::read_to_string(&pid).is_ok_and(|now| now != before));
    service.sh("sed -i \"s/'applied': True/'applied': False/\" adapter");
    let broken = service.run(&["consumer", "check-adapter", "--apply", "--", "./adapter"]);
    broken.exits(3).says(&["not applied"]);
}
