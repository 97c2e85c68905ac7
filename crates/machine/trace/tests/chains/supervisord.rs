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

    /// A process that supervisord has made has its own environment until the program is executed.
    fn pid(&self) -> u32 {
        let executed = |pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "sleep")
        };
        until("the program runs", || self.ctl(&["pid", "bot"]).trim().parse().ok().filter(executed))
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
    // supervisord refuses a list that refers to a name it does not know, with all other entries.
    for (name, next) in [("OWN_API_KEY", "second"), ("NO_SUCH_NAME", "-")] {
        let mode = format!("MODE=\"%(ENV_{name})s\"");
        of.scene.write("s.conf", &CONFIG.replace('%', "third").replace("MODE=\"quiet\"", &mode));
        let chain = of.chain("ACME_API_KEY");
        assert_eq!(chain.next, next, "{chain:#?}");
    }
    // For a program that does not run, nothing shows what is loaded.
    of.config("first");
    of.ctl(&["stop", "bot"]);
    let chain = of.chain("ACME_API_KEY");
    assert_eq!((chain.next.as_str(), chain.pids.len()), ("-", 0), "{chain:#?}");
    assert!(chain.links[0].starts_with("not visible - what supervisord "), "{chain:#?}");
}

/// A reference is no copy: what it refers to wins, and neither an edit beside it nor `update` moves that.
#[test]
fn what_a_value_of_supervisord_refers_to_wins_and_the_reference_is_no_copy() {
    let Some(tools) = ManagerTools::or_skip("references of supervisord", env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    let of = Supervisord { scene: Scene::new(), tools };
    let text = CONFIG.replace('%', "first").replace(
        "MODE=\"quiet\"",
        "COPY_API_KEY=\"%(ENV_OWN_API_KEY)s\",\n    PART_TOKEN=%(ENV_ALL_API_KEY)s , URL_PASSWORD=\"a%%b-%(ENV_OWN_API_KEY)s\",\n  ODD_TOKEN=\"%(program_name)s-{second}\", MORE=\"quiet\"",
    );
    of.scene.write("s.conf", &text);
    let mut daemon = Command::new(of.tools.program("supervisord"));
    daemon.arg("-c").arg(of.scene.path("s.conf")).env("OWN_API_KEY", of.scene.value("fourth"));
    assert!(daemon.status().unwrap().success());
    let pid = of.pid();
    let chain = of.chain("COPY_API_KEY");
    assert_eq!(
        (chain.next.as_str(), of.scene.started_with(pid, "COPY_API_KEY")),
        ("fourth", "fourth".into())
    );
    let [wins, copy] = [0, 1].map(|at| chain.links.get(at).map_or("", String::as_str));
    assert!(wins.starts_with("wins fourth OWN_API_KEY in the environment of supervisord "), "{chain:#?}");
    assert!(wins.ends_with(", to which environment= of [program:bot] in @/s.conf:13 refers"), "{chain:#?}");
    assert_eq!(copy, "", "{chain:#?}");
    let survey = of.scene.survey();
    let links = survey.services.iter().flat_map(|one| &one.chains).filter(|one| one.name == "COPY_API_KEY");
    let commands: Vec<_> = links.flat_map(|one| &one.links).map(|one| (&one.applies, &one.seems)).collect();
    for (applies, seems) in commands {
        assert!(
            applies
                .as_ref()
                .is_some_and(|it| it.starts_with("start supervisord again with the new OWN_API_KEY"))
        );
        assert!(seems.as_ref().is_some_and(|it| it.contains(" update bot")), "{seems:?}");
    }
    // What it refers to is in another section of the file.
    let chain = of.chain("PART_TOKEN");
    assert_eq!(
        chain.links[0],
        "wins third ALL_API_KEY of [supervisord] in @/s.conf, to which environment= of [program:bot] in @/s.conf:14 refers"
    );
    // A name that only supervisord knows: no winner is reported.
    let odd = survey.services.iter().flat_map(|one| &one.chains).find(|one| one.name == "ODD_TOKEN").unwrap();
    assert!(odd.winner().is_none() && odd.next().is_none(), "{odd:?}");
    // Built from a known value and text: the value is the one of the process.
    let built =
        survey.services.iter().flat_map(|one| &one.chains).find(|one| one.name == "URL_PASSWORD").unwrap();
    let (value, known) = (format!("a%b-{}", of.scene.value("fourth")), built.next());
    assert!(
        known.is_some() && known == survey.values.of(&keyroll_secret::SecretBytes::from(value)),
        "{built:?}"
    );
    // At rest, too, the references are no values of their own.
    let here = of.scene.path("s.conf");
    let named = |name: &str| {
        let of = |one: &&keyroll_trace::Sighting| {
            one.place.file() == Some(&here) && one.name.as_deref() == Some(name)
        };
        survey.sightings.iter().filter(of).count()
    };
    assert_eq!(["COPY_API_KEY", "PART_TOKEN", "ACME_API_KEY"].map(named), [0, 0, 1]);
}

/// supervisorctl knows a program of a `[group:NAME]` under the name of the group alone.
#[test]
fn a_program_of_a_group_is_moved_by_its_group() {
    let Some(tools) = ManagerTools::or_skip("groups of supervisord", env!("CARGO_TARGET_TMPDIR")) else {
        return;
    };
    let of = Supervisord { scene: Scene::new(), tools };
    let config = |version: &str| {
        let program = |name: &str, version: &str| {
            format!(
                "[program:{name}]\ncommand=/bin/sleep 1000\nenvironment=LONE_API_KEY=\"{{{version}}}\"\nstartsecs=0\n"
            )
        };
        let more = [program("lone", "third"), program("lone_two", "fourth"), program("bot_two", "fourth")];
        let text =
            format!("{}{}[group:g]\nprograms=bot,bot_two\n", CONFIG.replace('%', version), more.concat());
        of.scene.write("s.conf", &text);
    };
    config("first");
    let mut daemon = Command::new(of.tools.program("supervisord"));
    assert!(daemon.arg("-c").arg(of.scene.path("s.conf")).status().unwrap().success());
    let pid_of = |name: &str| {
        until("the program runs", || of.ctl(&["pid", name]).trim().parse::<u32>().ok().filter(|it| *it > 0))
    };
    let pid = || pid_of("g:bot");
    let before = pid();
    for name in ["lone", "lone_two", "g:bot_two"] {
        pid_of(name);
    }
    config("second");
    let commands = |program: &str, name: &str| {
        let survey = of.scene.survey();
        let of_program = |one: &&keyroll_trace::Service| one.name == program;
        let chain = survey.services.iter().find(of_program).unwrap().chain(name).unwrap().clone();
        let link = chain.winner().unwrap().clone();
        let end = |text: Option<String>| text.unwrap().split_once("s.conf ").unwrap().1.to_owned();
        [end(link.applies), end(link.seems)]
    };
    assert_eq!(commands("bot", "ACME_API_KEY"), ["update g", "restart 'g:*'"]);
    assert_eq!(commands("lone", "LONE_API_KEY"), ["update lone", "restart 'lone:*'"]);
    // The process of `lone_two` is none of `lone`, nor that of `bot_two` one of `bot`.
    let survey = of.scene.survey();
    for (name, names) in
        [("lone", ["lone"]), ("lone_two", ["lone_two"]), ("bot", ["g:bot"]), ("bot_two", ["g:bot_two"])]
    {
        let service = survey.services.iter().find(|one| one.name == name).unwrap();
        let pids: Vec<u32> = service.processes.iter().map(|one| one.pid).collect();
        assert_eq!(pids, names.map(pid_of), "{name}");
    }
    // A command that only starts it again names the group, too.
    let bot = survey.services.iter().find(|one| one.name == "bot").unwrap();
    let restart = bot.declaration.as_ref().and_then(|one| one.restart.clone()).unwrap();
    assert!(restart.ends_with(" restart 'g:*'"), "{restart}");
    // What supervisorctl makes of them.
    assert!(of.ctl(&["update", "bot"]).contains("no such group"));
    of.ctl(&["restart", "g:*"]);
    until("it runs again", || (of.scene.started_with(pid(), "ACME_API_KEY") == "first").then_some(()));
    of.ctl(&["update", "g"]);
    until("the other one runs", || {
        let now = pid();
        (now != before && of.scene.started_with(now, "ACME_API_KEY") == "second").then_some(())
    });
    // The file takes the program out of its group: both names are needed, and both are known then.
    of.scene.write("s.conf", &CONFIG.replace('%', "third"));
    assert_eq!(commands("bot", "ACME_API_KEY")[0], "update bot g");
}

/// `%%` in the file and `%` in the process are one value, and the file has it once.
#[test]
fn a_percent_sign_of_supervisord_makes_no_second_value() {
    let scene = Scene::new();
    let text = "[program:w]\ncommand=/bin/true\nenvironment=API_SECRET=\"{first}%%2B{second}\",\n    OTHER_TOKEN=\"{third},k;==\",COPY_SECRET=\"%(ENV_X)s\"\n";
    for name in ["supervisord.conf", "conf.d/w.conf"] {
        scene.write(name, text);
    }
    let survey = scene.survey();
    let (first, second, third) = (scene.value("first"), scene.value("second"), scene.value("third"));
    for (value, count) in [
        (format!("{first}%2B{second}"), 2),
        (format!("{third},k;=="), 2),
        (format!("{first}%%2B{second}"), 0),
        ("%(ENV_X)s".to_owned(), 0),
    ] {
        let id = survey.values.of(&keyroll_secret::SecretBytes::from(value.clone()));
        let seen = id.map_or(0, |id| {
            survey.sightings.iter().filter(|one| one.value == id && one.place.file().is_some()).count()
        });
        assert_eq!(seen, count, "{}", value.len());
    }
    assert_eq!(
        keyroll_trace::secrets(&survey, &[])
            .iter()
            .filter(|one| one
                .sightings
                .iter()
                .any(|at| at.place.file().is_some_and(|path| path.starts_with(scene.dir()))))
            .count(),
        2
    );
}
