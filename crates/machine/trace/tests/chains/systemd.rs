//! Units of a real systemd on a host of their own: this program itself looks, inside the host.

use std::path::{Path, PathBuf};

use keyroll_secret::FingerprintKey;
use keyroll_testkit::SystemdHost;
use keyroll_trace::{Options, survey};

use crate::chains::scene::{NamedChain, Scene, TIME_MAX, told, until};

/// The folder of the scene, in the environment of the program that looks.
const FOLDER: &str = "KEYROLL_TEST_SCENE";

/// Written before the result of the look.
const SAW: &str = "saw: ";

/// Not a test of its own: the program is run once more inside the host.
#[test]
fn looks_inside() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let options = Options { roots: vec![folder.clone()], wait: TIME_MAX };
    let survey = survey(&options, FingerprintKey::new(&[7; 32])).unwrap();
    for one in told(&survey, &Scene::again(&folder), &folder) {
        println!("\n{SAW}{}", serde_json::to_string(&one).unwrap());
    }
}

struct Host {
    host: SystemdHost,
    scene: Scene,
}

impl Host {
    fn raise(what: &str) -> Option<Self> {
        let scene = Scene::new();
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let host = SystemdHost::start_or_skip(what, &[&scene.dir(), Path::new(&deps)])?;
        scene.write("versions", &serde_json::to_string(scene.versions()).unwrap());
        Some(Self { host, scene })
    }

    fn run(&self, words: &[&str]) -> String {
        let output = self.host.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn sh(&self, line: &str) -> String {
        self.run(&["sh", "-euc", &self.scene.filled(line)])
    }

    fn look(&self) -> Vec<NamedChain> {
        let program = std::env::current_exe().unwrap();
        let folder = format!("{FOLDER}={}", self.scene.dir().display());
        let words = [
            "env",
            &folder,
            program.to_str().unwrap(),
            "--exact",
            "chains::systemd::looks_inside",
            "--nocapture",
        ];
        let said = self.run(&words);
        let lines = said.lines().filter_map(|line| line.strip_prefix(SAW));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn chain(&self, keeper: &str, service: &str, name: &str) -> NamedChain {
        let all = self.look();
        let mut found =
            all.iter().filter(|one| one.keeper == keeper && one.service == service && one.name == name);
        found.next().unwrap_or_else(|| panic!("{keeper} {service} {name}: {all:#?}")).clone()
    }

    /// The version that the unit's main process was started with.
    fn has(&self, unit: &str, name: &str) -> String {
        // It may still be executing its program: its environment is empty then.
        let line = format!(
            "environ=/proc/$(systemctl show --property MainPID --value {unit})/environ; \
             until grep -q . $environ; do sleep 0.1; done; tr '\\0' '\\n' <$environ | sed -n 's/^{name}=//p'"
        );
        self.scene.version(self.sh(&line).trim().as_bytes())
    }
}

/// A job that starts as soon as cron does, and records its environment; the table has an assignment before it and one
/// after.
const JOBS: &str = "TABLE_API_KEY = \"{second}\"\nLINE_API_KEY={second}\n\
    @reboot root LINE_API_KEY={first} @/job.sh\nTABLE_API_KEY={third}\n\
    @daily root set -a; . @/job.env; @/job.sh\n\
    @daily root set -a; . @/gone.env; @/job.sh\n\
    @daily root . @/job.env; @/job.sh\n\
    @daily root set -a; . @/job.env; sudo -E @/job.sh\n";

#[test]
fn a_job_of_cron_has_its_table_before_the_environment_of_all() {
    let Some(host) = Host::raise("chains of cron") else { return };
    host.scene.write("jobs", JOBS);
    host.scene.write("job.env", "TABLE_API_KEY={fourth}\n");
    host.scene.program("job.sh", "#!/bin/sh\nenv >@/ran.new; mv @/ran.new @/ran\n");
    host.scene.write("environment", "TABLE_API_KEY={first}\nPAM_API_KEY={first}\n");
    host.sh("cp @/environment /etc/environment; cp @/jobs /etc/cron.d/jobs; systemctl stop cron; rm -f /run/crond.reboot; systemctl start cron");
    let all = host.look();
    let of = |name: &str| {
        let found = all.iter().find(|one| one.service == "/etc/cron.d/jobs line 3" && one.name == name);
        found.unwrap_or_else(|| panic!("{name}: {all:#?}"))
    };
    let table = of("TABLE_API_KEY");
    assert_eq!(
        table.links,
        ["wins second assignments in /etc/cron.d/jobs", "shadowed first /etc/environment"]
    );
    let ran = until("the job has run", || std::fs::read_to_string(host.scene.path("ran")).ok());
    let has = |name: &str| {
        let value = ran.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        host.scene.version(value.unwrap_or_default().as_bytes())
    };
    for name in ["TABLE_API_KEY", "PAM_API_KEY", "LINE_API_KEY"] {
        assert_eq!(has(name), of(name).next, "{name}: {ran}");
    }
    assert_eq!(of("LINE_API_KEY").links[0], "wins first line 3 of /etc/cron.d/jobs");
    // A line that itself reads a file takes it from there. If the file is not there, if its variables are not exported, or
    // if something else sets them, nothing is predicted.
    for (line, next, first) in [
        (5, "fourth", "wins fourth @/job.env as line 5 reads it"),
        (6, "-", "not visible - @/gone.env as line 6 reads it"),
        (7, "-", "not visible fourth @/job.env as line 7 reads it"),
        (8, "-", "not visible - line 8 of /etc/cron.d/jobs"),
    ] {
        let service = format!("/etc/cron.d/jobs line {line}");
        let own = all.iter().find(|one| one.service == service && one.name == "TABLE_API_KEY").unwrap();
        assert_eq!((own.next.as_str(), own.links[0].as_str()), (next, first), "{own:#?}");
    }
}

const UNIT: &str = "[Service]\nType=exec\nExecStart=/bin/sleep 100000\nEnvironment=UNIT_API_KEY={first} BOTH_API_KEY={third}\n\
    Environment=GONE_API_KEY={third} EMPTY_API_KEY={third}\n\
    EnvironmentFile=-@/gone/gone.env\nEnvironmentFile=@/emptied.env\nEnvironmentFile=@/all.env\nEnvironmentFile=-@/app.env\nLoadCredential=db_password:@/db\n";

#[test]
fn a_unit_is_started_with_what_systemd_has_loaded_and_with_its_files_as_they_are() {
    let Some(host) = Host::raise("chains of systemd") else { return };
    let scene = &host.scene;
    scene.write("app.service", UNIT);
    scene.write("all.env", "FILE_API_KEY={third}\n");
    scene.write("gone/gone.env", "GONE_API_KEY={first}\n");
    scene.write("emptied.env", "EMPTY_API_KEY={first}\n");
    scene.write("app.env", "FILE_API_KEY={first}\nBOTH_API_KEY={first}\n");
    scene.write("db", "{first}\n");
    // The loaded settings are certainly older than the start.
    host.sh("cp @/app.service /etc/systemd/system/; systemctl daemon-reload; loaded=$(date +%s%3N); \
             until [ $(($(date +%s%3N) - loaded)) -gt 100 ]; do sleep 0.01; done; systemctl start app");
    let app = |name: &str| host.chain("systemd", "app.service", name);
    let both = app("BOTH_API_KEY");
    assert_eq!((both.next.as_str(), both.pids.len()), ("first", 1), "{both:#?}");
    assert_eq!(both.links[0], "wins first EnvironmentFile=@/app.env");
    assert_eq!(both.links[1], "shadowed third Environment= in /etc/systemd/system/app.service");
    assert_eq!(app("UNIT_API_KEY").links, ["wins first Environment= in /etc/systemd/system/app.service"]);
    assert_eq!(app("credential:db_password").next, "first");
    // Files are read at each start; a drop-in only after a `daemon-reload`.
    host.scene.write("app.env", "FILE_API_KEY={second}\n");
    host.scene.write("emptied.env", "\n");
    host.sh("rm @/gone/gone.env");
    host.scene.write("db", "{second}\n");
    host.scene.write("key.conf", "[Service]\nEnvironment=UNIT_API_KEY={second}\n");
    host.sh("mkdir -p /etc/systemd/system/app.service.d; cp @/key.conf /etc/systemd/system/app.service.d/; \
             systemctl set-environment OWN_API_KEY={fourth}");
    let unit = app("UNIT_API_KEY");
    assert_eq!(
        unit.links,
        [
            "not there - EnvironmentFile=@/gone/gone.env",
            "wins first what systemd has loaded of app.service",
            "not read second Environment= in /etc/systemd/system/app.service.d/key.conf",
            "not read first Environment= in /etc/systemd/system/app.service",
        ]
    );
    let foretold = |names: &[&str]| -> Vec<String> { names.iter().map(|name| app(name).next).collect() };
    let names =
        ["FILE_API_KEY", "BOTH_API_KEY", "GONE_API_KEY", "EMPTY_API_KEY", "UNIT_API_KEY", "OWN_API_KEY"];
    let next = foretold(&names);
    // Its other value may be from a file that was changed since, or from a source that wins over all files: nothing is
    // predicted.
    assert_eq!(next, ["second", "-", "-", "-", "first", "fourth"]);
    let gone = app("GONE_API_KEY");
    assert!(gone.links[0].starts_with("not visible first whatever set it when process "), "{gone:#?}");
    assert_eq!(app("credential:db_password").next, "second");
    host.sh("systemctl restart app");
    let has = |names: &[&str]| -> Vec<String> { names.iter().map(|name| host.has("app", name)).collect() };
    let now = has(&names);
    assert_eq!(now, ["second", "third", "third", "third", "first", "fourth"]);
    assert_eq!(foretold(&names), now);
    assert_eq!(
        host.scene.version(host.sh("cat /run/credentials/app.service/db_password").trim().as_bytes()),
        "second"
    );
    host.sh("systemctl daemon-reload");
    assert_eq!(
        app("UNIT_API_KEY").links[1],
        "wins second Environment= in /etc/systemd/system/app.service.d/key.conf"
    );
    host.sh("systemctl restart app");
    assert_eq!(host.has("app", "UNIT_API_KEY"), "second");
}

/// Every other setting that affects the environment of a service. `Type=exec`: `systemctl` returns only when the service
/// has its credentials and its environment, and not already when it was forked.
const ODD: &str = "[Service]\nType=exec\nExecStart=/usr/bin/env -u GONE_API_KEY WRAP_API_KEY={third} sleep 100000\n\
    Environment=WRAP_API_KEY={first} GONE_API_KEY={first} TAKEN_API_KEY={first} LEFT_API_KEY={first} SAME_API_KEY={second}\n\
    EnvironmentFile=@/conf.d/*.env\nUnsetEnvironment=TAKEN_API_KEY LEFT_API_KEY={third} SAME_API_KEY={second}\n\
    LoadCredential=stored_key\nLoadCredential=both_key:@/both\nSetCredential=both_key:{third}\n\
    LoadCredential=lost_key:@/lost\nSetCredential=lost_key:{fourth}\nSetCredential=inline_key:{first}\n";

const EMPTY: &str = "[Service]\nType=exec\nEnvironment=LOST_API_KEY={first}\nExecStart=env -i ONLY_API_KEY={second} sleep 100000\n";

const SHELL: &str = "[Service]\nType=exec\nEnvironment=SHELL_API_KEY={first}\n\
    ExecStart=/bin/sh -c 'export SHELL_API_KEY={third}; exec sleep 100000'\n";

const CHILD: &str = "[Service]\nType=exec\nEnvironment=SHELL_API_KEY={first}\n\
    ExecStart=/bin/sh -c 'SHELL_API_KEY={third} @/child.sh & wait'\n";

const MISSING: &str =
    "[Service]\nEnvironment=MISS_API_KEY={first}\nEnvironmentFile=@/missing.env\nExecStart=sleep 100000\n";

#[test]
fn what_a_unit_takes_away_and_is_given_beside_its_environment_is_told() {
    let Some(host) = Host::raise("chains of odd units") else { return };
    let names = ["odd", "empty", "missing", "shell", "child"];
    for (name, text) in names.iter().zip([ODD, EMPTY, MISSING, SHELL, CHILD]) {
        host.scene.write(&format!("{name}.service"), text);
    }
    host.scene.write("conf.d/1.env", "PATTERN_API_KEY={first}\n");
    host.scene.write("conf.d/2.env", "PATTERN_API_KEY={second}\n");
    host.scene.write("both", "{second}");
    host.scene.program("child.sh", "#!/bin/sh\necho $$ >@/child.pid\nexec sleep 100000\n");
    // Of two drop-ins with one name, the one in the system's own folder does not count.
    host.scene.write("vendor", "[Service]\nEnvironment=MASK_API_KEY={first}\n");
    host.scene.write("own", "[Service]\nEnvironment=MASK_API_KEY={second}\n");
    host.sh("for of in vendor:/usr/lib own:/etc; do d=${of#*:}/systemd/system/odd.service.d; mkdir -p $d; cp @/${of%%:*} $d/k.conf; done");
    host.scene.write("stored", "{second}\n");
    host.sh("mkdir -p /etc/credstore; cp @/stored /etc/credstore/stored_key; cp @/*.service /etc/systemd/system/; \
             systemctl daemon-reload; systemctl start odd empty; ! systemctl start missing; systemctl start shell child; \
             until [ -s @/child.pid ]; do sleep 0.1; done");
    // systemd continues before the programs between it and the last one have executed the next. While a process does
    // that, the kernel shows an empty environment.
    host.sh("for pid in $(systemctl show -p MainPID --value odd empty shell) $(cat @/child.pid); do \
             until [ \"$(cat /proc/$pid/comm)\" = sleep ] && grep -q . /proc/$pid/environ; do sleep 0.1; done; done");
    let all = host.look();
    let of = |unit: &str, name: &str| {
        let found = all.iter().find(|one| one.service == format!("{unit}.service") && one.name == name);
        found.unwrap_or_else(|| panic!("{unit} {name}: {all:#?}")).clone()
    };
    for (unit, name, next) in [
        ("odd", "WRAP_API_KEY", "third"),
        ("odd", "GONE_API_KEY", "-"),
        ("odd", "TAKEN_API_KEY", "-"),
        ("odd", "LEFT_API_KEY", "first"),
        ("odd", "SAME_API_KEY", "-"),
        ("odd", "PATTERN_API_KEY", "second"),
        ("odd", "MASK_API_KEY", "second"),
        ("empty", "ONLY_API_KEY", "second"),
        ("empty", "LOST_API_KEY", "-"),
    ] {
        let chain = of(unit, name);
        assert_eq!((chain.next.as_str(), host.has(unit, name).as_str()), (next, next), "{chain:#?}");
    }
    assert_eq!(
        of("odd", "PATTERN_API_KEY").links[0],
        "wins second @/conf.d/2.env of EnvironmentFile=@/conf.d/*.env"
    );
    let mask = of("odd", "MASK_API_KEY").links;
    assert_eq!(mask, ["wins second Environment= in /etc/systemd/system/odd.service.d/k.conf"]);
    // It does not start: there is no next value.
    let missing = of("missing", "MISS_API_KEY");
    assert_eq!((missing.next.as_str(), missing.pids.len()), ("-", 0), "{missing:#?}");
    assert_eq!(missing.links[0], "not visible - EnvironmentFile=@/missing.env");
    let given = |name: &str| {
        let line = format!("cat /run/credentials/odd.service/{name}");
        host.scene.version(host.sh(&line).trim().as_bytes())
    };
    // A line of the unit's own shell wins over what systemd has loaded; so does a variable that a program sets for its
    // children.
    for unit in ["shell", "child"] {
        let chain = of(unit, "SHELL_API_KEY");
        assert_eq!(chain.next, "-", "{chain:#?}");
        assert!(chain.links[0].starts_with("not visible third whatever set it when process "), "{chain:#?}");
    }
    assert_eq!(
        (host.has("shell", "SHELL_API_KEY").as_str(), host.has("child", "SHELL_API_KEY").as_str()),
        ("third", "first")
    );
    let credentials = ["stored_key", "both_key", "lost_key", "inline_key"];
    for name in credentials {
        let chain = of("odd", &format!("credential:{name}"));
        assert_eq!(given(name), chain.next, "{chain:#?}");
        assert_ne!(chain.next, "-", "{chain:#?}");
    }
    // An edit that systemd has not read.
    host.scene.write(
        "odd.service",
        &ODD.replace("inline_key:{first}", "inline_key:{second}").replace("@/both", "@/lost2"),
    );
    host.scene.write("lost2", "{first}");
    host.sh("cp @/odd.service /etc/systemd/system/");
    for (reload, inline, both) in
        [("true", "first", "second"), ("systemctl daemon-reload", "second", "first")]
    {
        host.sh(reload);
        let (told_inline, told_both) = (
            host.chain("systemd", "odd.service", "credential:inline_key"),
            host.chain("systemd", "odd.service", "credential:both_key"),
        );
        host.sh("systemctl restart odd");
        assert_eq!(
            (told_inline.next.as_str(), given("inline_key").as_str()),
            (inline, inline),
            "{told_inline:#?}"
        );
        assert_eq!((told_both.next.as_str(), given("both_key").as_str()), (both, both), "{told_both:#?}");
    }
}

#[test]
fn a_users_own_unit_is_told_of_by_that_users_manager() {
    let Some(host) = Host::raise("chains of a user's systemd") else { return };
    let scene = &host.scene;
    scene.write(
        "bot.service",
        "[Service]\nType=exec\nExecStart=/bin/sleep 100000\nEnvironmentFile=@/bot.env\n",
    );
    // Files that its user may not read are not read by its manager either.
    scene.write(
        "other.service",
        "[Service]\nType=exec\nExecStart=/bin/sleep 100000\nEnvironmentFile=@/bot.env\nEnvironmentFile=-@/root.env\n",
    );
    scene.write("bot.env", "FILE_API_KEY={first}\n");
    scene.write("root.env", "FILE_API_KEY={third}\n");
    host.sh("useradd --create-home bot; chmod 755 @/ @/bot.env; chmod 600 @/root.env; home=$(getent passwd bot | cut -d: -f6); \
         install -d -o bot -g bot $home/.config $home/.config/systemd $home/.config/systemd/user; \
         cp @/bot.service @/other.service $home/.config/systemd/user/; loginctl enable-linger bot; \
         until [ -S /run/user/$(id -u bot)/systemd/private ]; do sleep 0.1; done");
    let user = |line: &str| {
        let line = format!("XDG_RUNTIME_DIR=/run/user/$(id -u) {line}");
        host.run(&["su", "bot", "-s", "/bin/sh", "-c", &line])
    };
    user(
        "systemctl --user daemon-reload; XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user start bot other",
    );
    let other = host.chain("systemd of a user", "other.service of bot", "FILE_API_KEY");
    assert!(
        !other.links.is_empty() && !other.links.iter().any(|link| link.contains(" third ")),
        "{other:#?}"
    );
    scene.write("bot.env", "FILE_API_KEY={second}\n");
    let file = || host.chain("systemd of a user", "bot.service of bot", "FILE_API_KEY");
    let told = file();
    assert_eq!((told.next.as_str(), told.pids.len()), ("second", 1), "{told:#?}");
    let started_with = |pid: u32| {
        let line = format!("tr '\\0' '\\n' </proc/{pid}/environ | sed -n 's/^FILE_API_KEY=//p'");
        scene.version(host.sh(&line).trim().as_bytes())
    };
    assert_eq!(started_with(told.pids[0]), "first");
    user("systemctl --user restart bot");
    assert_eq!(started_with(file().pids[0]), told.next);
    // Files of the user's manager: it reads them when it is told to reload.
    let has = |pid: u32| {
        let line = format!("tr '\\0' '\\n' </proc/{pid}/environ | sed -n 's/^OWN_API_KEY=//p'");
        scene.version(host.sh(&line).trim().as_bytes())
    };
    let own = || host.chain("systemd of a user", "bot.service of bot", "OWN_API_KEY");
    let restarted = |told: &NamedChain| {
        user("systemctl --user restart bot");
        assert_eq!(has(own().pids[0]), told.next, "{told:#?}");
    };
    scene.write("own.conf", "OWN_API_KEY={first}\n");
    let copy =
        "d=$(getent passwd bot | cut -d: -f6)/.config/environment.d; install -d -o bot $d; cp @/own.conf $d/";
    host.sh(&format!("{copy}; chmod 644 $d/own.conf"));
    user("systemctl --user daemon-reload");
    let told = own();
    assert!(told.next == "first" && told.links[0].contains("environment.d/own.conf"), "{told:#?}");
    restarted(&told);
    scene.write("own.conf", "OWN_API_KEY={second}\n");
    host.sh(copy);
    let told = own();
    assert!(told.next == "first" && told.links[1].starts_with("not read second "), "{told:#?}");
    restarted(&told);
    user("systemctl --user daemon-reload");
    assert_eq!(own().next, "second");
    restarted(&own());
    user(&scene.filled("systemctl --user set-environment OWN_API_KEY={third}"));
    let told = own();
    assert_eq!(told.links[0], "wins third the service manager's own environment", "{told:#?}");
    restarted(&told);
}
