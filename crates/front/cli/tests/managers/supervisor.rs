//! A program of supervisord, with the value in its `environment=`.

use std::fs;

use crate::managers::service::Service;

const START: &str = r#"
cat >supervisord.conf <<END
[supervisord]
logfile=@DIR@/run/s.log
pidfile=@DIR@/run/supervisord
[unix_http_server]
file=@DIR@/run/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://@DIR@/run/s.sock
[program:bot]
command=@PROGRAM@ hostile::part --exact --nocapture
environment=KEY="$value",KEYROLL_TEST_PART="@PART@"
startsecs=1
stdout_logfile=NONE
stderr_logfile=NONE
[program:other]
command=/bin/sleep 1000
startsecs=0
END
supervisord -c supervisord.conf
# Until it has been up for `startsecs` supervisord tells no process of it.
until supervisorctl -c supervisord.conf status bot | grep -q RUNNING; do sleep 0.05; done
"#;

const STOP: &str = "supervisorctl -c supervisord.conf shutdown >/dev/null; \
                    while [ -e run/supervisord ]; do sleep 0.05; done";

fn start() -> Option<Service> {
    let reads = r#"{ file = "./supervisord.conf", template = 'KEY="{value}"' }"#;
    let runs = r#"{ supervisor = "bot", config = "./supervisord.conf" }"#;
    Service::start("a program of supervisord", runs, reads, START, STOP)
}

#[test]
fn a_program_of_supervisord_is_moved_and_comes_back() {
    let Some(service) = start() else { return };
    service.comes_back();
    let log = service.scene.path("run/s.log");
    let spawned =
        |name: &str| fs::read_to_string(&log).unwrap().matches(&format!("spawned: '{name}'")).count();
    let before = spawned("bot");
    service.is_moved_through_a_kill(|| spawned("bot") > before);
    assert_eq!(spawned("other"), 1, "another program was restarted");
}

/// Somebody edited the program since it was started: `update` would make that live too.
#[test]
fn an_edit_of_a_program_of_supervisord_is_shown_and_stops() {
    let Some(service) = start() else { return };
    service.sh("sed -i 's/startsecs=1/startsecs=2/' supervisord.conf");
    let ran = service.run(&["plan", "ring"]);
    let live = ran.exits(0).of("live");
    assert_eq!(live.len(), 1, "{}", ran.text);
    assert_eq!(live[0]["name"], "bot/supervisor:supervisord.conf", "{}", ran.text);
    let plan = ran.plan();
    let apply = ["apply", &plan, "--confirm", "ring"];
    service.run(&apply).refused(6, "K0851", &["bot/supervisor:supervisord.conf"]);
    let accept = [&apply[..], &["--accept", "bot/supervisor:supervisord.conf"]].concat();
    service.run(&accept).exits(0).ended("done");
    service.rotated();
}
