//! Programs of a real supervisord: it starts them with what it has loaded.

use std::process::{Command, Stdio};

use keyroll_testkit::ManagerTools;

use crate::chains::scene::{NamedChain, Scene, until};

const CONFIG: &str = "[supervisord]\nlogfile=@/s.log\npidfile=@/s.pid\nenvironment=ALL_API_KEY=\"{third}\",ACME_API_KEY=\"{third}\"\n\
    [unix_http_server]\nfile=@/s.sock\n\
    [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
    [supervisorctl]\nserverurl=unix://@/s.sock\n\
    [program:bot]\ncommand=/bin/sleep 1000\nenvironment=MODE=\"quiet\",ACME_API_KEY=\"{%}\"\nstartsecs=0\n";

struct Supervisord {
    scene: Scene,
    tools: ManagerTools,
}

impl Supervisord {
    fn config(&self, version: &str) {
        self.scene.write("s.conf", &CONFIG.replace('%', version));
    }

    fn ctl(&self, words: &[&str]) -> String {
        let mut command = Command::new(self.tools.program("supervisorctl"));
        command.arg("-c").arg(self.scene.path("s.conf")).args(words).stdin(Stdio::null());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn pid(&self) -> u32 {
        until("the program runs", || self.ctl(&["pid", "bot"]).trim().parse().ok().filter(|pid| *pid > 0))
    }

    fn chain(&self, name: &str) -> NamedChain {
        self.scene.chain("supervisord", "bot", name)
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        self.ctl(&["shutdown"]);
    }
}

#[test]
fn supervisord_starts_what_it_has_loaded_until_it_is_told_to_update() {
    let Some(tools) = ManagerTools::or_skip("chains of supervisord", env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    let of = Supervisord { scene: Scene::new(), tools };
    of.config("first");
    let mut daemon = Command::new(of.tools.program("supervisord"));
    daemon.arg("-c").arg(of.scene.path("s.conf")).env("OWN_API_KEY", of.scene.value("fourth"));
    assert!(daemon.status().unwrap().success());
    let pid = of.pid();
    let chain = of.chain("ACME_API_KEY");
    assert_eq!((chain.next.as_str(), chain.pids.as_slice()), ("first", &[pid][..]), "{chain:#?}");
    assert_eq!(chain.links[0], "wins first environment= of [program:bot] in @/s.conf");
    assert_eq!(chain.links[1], "shadowed third environment= of [supervisord] in @/s.conf");
    assert_eq!(of.chain("ALL_API_KEY").next, of.scene.started_with(pid, "ALL_API_KEY"));
    assert_eq!(of.chain("OWN_API_KEY").next, of.scene.started_with(pid, "OWN_API_KEY"));
    // An edit is not loaded, and a restart does not load it.
    of.config("second");
    for _ in 0..2 {
        let chain = of.chain("ACME_API_KEY");
        assert_eq!(chain.next, "first", "{chain:#?}");
        assert!(chain.links[0].starts_with("wins first what supervisord "), "{chain:#?}");
        assert_eq!(chain.links[1], "not read second environment= of [program:bot] in @/s.conf");
        of.ctl(&["restart", "bot"]);
        assert_eq!(of.scene.started_with(of.pid(), "ACME_API_KEY"), chain.next);
    }
    of.ctl(&["reread"]);
    of.ctl(&["update", "bot"]);
    let pid = until("the other one runs", || {
        Some(of.pid()).filter(|now| of.scene.started_with(*now, "ACME_API_KEY") == "second")
    });
    let chain = of.chain("ACME_API_KEY");
    assert_eq!((chain.next.as_str(), chain.pids.as_slice()), ("second", &[pid][..]));
    // For a program that does not run, nothing shows what is loaded.
    of.config("first");
    of.ctl(&["stop", "bot"]);
    let chain = of.chain("ACME_API_KEY");
    assert_eq!((chain.next.as_str(), chain.pids.len()), ("-", 0), "{chain:#?}");
    assert!(chain.links[0].starts_with("not visible - what supervisord "), "{chain:#?}");
}
