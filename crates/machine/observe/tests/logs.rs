//! Logs that are not files, at their real places: the journal of a real systemd, the output of a real container.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use keyroll_observe::{DockerPosition, JournalUnit, LogCounts, LogFollower, LogPlace, LogSource};
use keyroll_testkit::SystemdHost;

/// The role of this program, if it was started as a part.
const PART: &str = "KEYROLL_LOG_PART";
/// How long a line may take to arrive, seconds.
const ARRIVAL_S_MAX: u64 = 60;

/// Not a test of its own: it runs on the machine with the logs.
#[test]
fn part() {
    match std::env::var(PART).as_deref() {
        Ok("journal") => journal(),
        Ok("of a user") => of_a_user(),
        Ok("alias") => by_its_alias(),
        Ok("hidden") => hidden(),
        Ok("docker") => docker(),
        Ok(_) | Err(_) => {}
    }
}

fn played(output: &Output) {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Looks until so many lines were accepted and refused since the follower began; returns the sum of all looks.
#[track_caller]
fn until(log: &mut LogFollower, accepted: u64, refused: u64) -> LogCounts {
    let end = Instant::now() + Duration::from_secs(ARRIVAL_S_MAX);
    let mut sum = LogCounts::default();
    loop {
        let counts = log.look().unwrap();
        sum.successes += counts.successes;
        sum.failures += counts.failures;
        sum.gap |= counts.gap;
        if sum.successes >= accepted && sum.failures >= refused {
            assert_eq!((sum.successes, sum.failures), (accepted, refused));
            return sum;
        }
        assert!(Instant::now() < end, "{sum:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_journal_of_a_unit_is_followed_from_a_cursor() {
    let program = std::env::current_exe().unwrap();
    let mounts = [program.parent().unwrap()];
    let Some(host) = SystemdHost::start_or_skip("the journal of a unit", &mounts) else { return };
    let program = program.to_str().unwrap();
    let play = |user: &[&str], part: &str| {
        let part = format!("{PART}={part}");
        let words = [user, &["env", &part, program, "logs::part", "--exact", "--nocapture"]].concat();
        played(&host.command(&words).output().unwrap());
    };
    play(&[], "journal");
    play(&[], "of a user");
    play(&[], "alias");
    play(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "hidden");
}

/// A run of the unit that writes these lines.
fn says(script: &str, properties: &[&str]) {
    let start = ["systemd-run", "--quiet", "--wait", "--collect", "--unit=app"];
    run(&[&start[..], properties, &["sh", "-c", script]].concat());
}

fn app(user: Option<u32>) -> LogSource {
    LogSource::Journal(JournalUnit { unit: "app.service".to_owned(), user })
}

fn journal() {
    let source = app(None);
    let follow = || LogFollower::at_end(&source, "login ok", "refused").unwrap();
    says("echo refused before", &[]);
    run(&["journalctl", "--sync"]);
    let mut log = follow();
    let mark = log.place();
    assert!(matches!(&mark, LogPlace::Journal(Some(_))), "{mark:?}");
    assert_eq!(log.look().unwrap(), LogCounts { lines: 0, ..LogCounts::default() });
    // Another unit's lines are not this one's.
    run(&[
        "systemd-run",
        "--quiet",
        "--wait",
        "--collect",
        "--unit=other",
        "sh",
        "-c",
        "echo refused by other",
    ]);
    says(
        "echo login ok; echo refused once; head -c 9000 /dev/zero | tr '\\0' x; echo refused in a long line",
        &[],
    );
    assert!(!until(&mut log, 1, 2).gap);
    // A line that is not printable comes as bytes.
    says("printf 'refused \\001\\n'", &[]);
    assert!(!until(&mut log, 0, 1).gap);
    // Another driver counts from the mark.
    let at = |place: &LogPlace| LogFollower::at(&source, "login ok", "refused", place).unwrap().unwrap();
    assert!(!until(&mut at(&mark), 1, 3).gap);
    let place = log.place();
    says("echo refused again", &[]);
    assert!(!until(&mut at(&place), 0, 1).gap);
    // One line of a running service, without a line of its manager before it.
    let waits = "until [ -e /run/go ]; do sleep 0.05; done; echo refused alone; sleep 1000";
    run(&["systemd-run", "--quiet", "--collect", "--unit=app", "sh", "-c", waits]);
    run(&["logger", "a line of another"]);
    run(&["journalctl", "--sync"]);
    let mut steady = follow();
    run(&["touch", "/run/go"]);
    assert!(!until(&mut steady, 0, 1).gap);
    run(&["systemctl", "stop", "app"]);
    // Lines that the journal dropped because they came too fast are missing for good, and it reports that.
    let limits = ["-p", "LogRateLimitIntervalSec=1s", "-p", "LogRateLimitBurst=4"];
    says("for i in $(seq 400); do echo line $i; done; sleep 2; echo login ok", &limits);
    assert!(until(&mut log, 1, 2).gap, "dropped lines were taken for silence");
    // So are lines that were deleted together with the stored position.
    let mut kept = follow();
    assert!(!kept.look().unwrap().gap);
    run(&["journalctl", "--sync", "--rotate"]);
    says("echo login ok", &[]);
    run(&["journalctl", "--sync", "--rotate", "--vacuum-time=1us"]);
    assert!(kept.look().unwrap().gap, "a cursor that is gone was taken for the end");
    assert!(LogFollower::at(&LogSource::Docker("a".to_owned()), "a", "b", &mark).unwrap().is_none());
}

/// A unit's lines are marked with its first name, whichever alias is used; or they are in a journal that is not
/// followed.
fn by_its_alias() {
    let unit = "[Service]\nExecStart=/bin/sh -c 'echo refused by an alias; exec sleep 1000'\n[Install]\nAlias=shop.service\n";
    std::fs::write("/etc/systemd/system/real.service", unit).unwrap();
    run(&["systemctl", "enable", "--quiet", "real.service"]);
    let shop = LogSource::Journal(JournalUnit { unit: "shop".to_owned(), user: None });
    let follow = || LogFollower::at_end(&shop, "login ok", "refused");
    let mut log = follow().unwrap();
    run(&["systemctl", "start", "shop"]);
    assert!(!until(&mut log, 0, 1).gap);
    let apart = unit.replace("[Install]", "LogNamespace=shop\n[Install]");
    std::fs::write("/etc/systemd/system/real.service", apart).unwrap();
    run(&["systemctl", "daemon-reload"]);
    assert_eq!(follow().err().unwrap().code, "K0502");
    run(&["systemctl", "stop", "real"]);
}

/// Two managers may each have a unit with the same name.
fn of_a_user() {
    // Dropped lines are counted for all units of the user together.
    let limits = "[Service]\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=60\n";
    let folder = std::path::Path::new("/etc/systemd/system/user@.service.d");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("limits.conf"), limits).unwrap();
    run(&["sh", "-euc", "systemctl daemon-reload; loginctl enable-linger deploy"]);
    let uid: u32 = run(&["id", "-u", "deploy"]).trim().parse().unwrap();
    run(&["sh", "-euc", &format!("until [ -S /run/user/{uid}/bus ]; do sleep 0.05; done")]);
    let runtime = format!("XDG_RUNTIME_DIR=/run/user/{uid}");
    let own = |script: &str| {
        let as_user = ["runuser", "-u", "deploy", "--", "env", runtime.as_str()];
        let start = ["systemd-run", "--user", "--quiet", "--wait", "--collect", "--unit=app"];
        // The journal asks the process itself to which unit of a user it belongs: a process that has ended belongs to
        // none.
        let script = format!("{script}; sleep 3");
        run(&[&as_user[..], &start, &["sh", "-c", &script]].concat());
    };
    own("echo refused before");
    run(&["journalctl", "--sync"]);
    let follow = |user| LogFollower::at_end(&app(user), "login ok", "refused").unwrap();
    let (mut users, mut systems, mut others) = (follow(Some(uid)), follow(None), follow(Some(uid + 1)));
    own("echo login ok; echo refused once");
    says("echo refused by the system; echo refused by the system", &[]);
    assert!(!until(&mut users, 1, 1).gap);
    assert!(!until(&mut systems, 0, 2).gap);
    assert_eq!(others.look().unwrap(), LogCounts::default(), "the lines of another user");
    own("for i in $(seq 400); do echo line $i; done; sleep 2; echo login ok");
    assert!(until(&mut users, 1, 0).gap, "dropped lines were taken for silence");
}

/// A user who cannot see the lines of services must not be shown silence either.
fn hidden() {
    let source = app(None);
    let seen = LogFollower::at_end(&source, "ok", "refused").and_then(|mut log| log.look());
    assert_eq!(seen.unwrap_err().code, "K0502");
}

#[test]
fn the_output_of_a_container_is_followed_by_its_times() {
    let Some(host) = SystemdHost::start_or_skip("the output of a container", &[]) else { return };
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["logs::part", "--exact", "--nocapture"]).env(PART, "docker");
    played(&command.env("DOCKER_HOST", host.socket()).output().unwrap());
}

fn docker() {
    let image = run(&["docker", "images", "-q"]);
    let start = || {
        run(&["docker", "run", "-d", "--name", "app", "--network", "none", &image, "sleep", "infinity"]);
    };
    let says = |script: &str| run(&["docker", "exec", "app", "sh", "-c", script]);
    start();
    let source = LogSource::Docker("app".to_owned());
    says("echo refused before >/proc/1/fd/1; echo login ok >/proc/1/fd/2");
    let mut settled = LogFollower::at(
        &source,
        "login ok",
        "refused",
        &LogPlace::Docker(DockerPosition {
            id: run(&["docker", "inspect", "--format", "{{.Id}}", "app"]),
            from_ns: 0,
            accepted: 0,
            refused: 0,
        }),
    )
    .unwrap()
    .unwrap();
    until(&mut settled, 1, 1);
    let mut log = LogFollower::at_end(&source, "login ok", "refused").unwrap();
    let mark = log.place();
    assert_eq!((log.look().unwrap().successes, log.look().unwrap().failures), (0, 0));
    says(
        "echo login ok >/proc/1/fd/1; echo refused >/proc/1/fd/2; echo refused >/proc/1/fd/1; echo >/proc/1/fd/1",
    );
    assert!(!until(&mut log, 1, 2).gap);
    assert_eq!((log.look().unwrap().successes, log.look().unwrap().failures), (0, 0), "counted twice");
    let place = log.place();
    says("echo refused >/proc/1/fd/2");
    assert!(!until(&mut log, 0, 1).gap);
    let at = |place: &LogPlace| LogFollower::at(&source, "login ok", "refused", place).unwrap().unwrap();
    assert!(!until(&mut at(&place), 0, 1).gap);
    assert!(!until(&mut at(&mark), 1, 3).gap);
    // A new container has another log: the last lines of the old one are lost with it.
    run(&["docker", "rm", "-f", "app"]);
    assert_eq!(log.look().unwrap_err().code, "K0502", "a container that is gone is not silent");
    start();
    says("echo login ok >/proc/1/fd/1");
    assert!(until(&mut log, 1, 0).gap);
    // Lines that the engine deleted to make room are missing for good, too.
    run(&["docker", "rm", "-f", "app"]);
    let small = ["--log-driver", "json-file", "--log-opt", "max-size=4k", "--log-opt", "max-file=1"];
    let rest = ["--network", "none", image.as_str(), "sleep", "infinity"];
    run(&[&["docker", "run", "-d", "--name", "app"], &small[..], &rest].concat());
    let begin = DockerPosition {
        id: run(&["docker", "inspect", "--format", "{{.Id}}", "app"]),
        from_ns: 0,
        accepted: 0,
        refused: 0,
    };
    says("echo login ok >/proc/1/fd/1");
    let mut log = at(&LogPlace::Docker(begin));
    assert!(!until(&mut log, 1, 0).gap);
    assert!(!log.look().unwrap().gap, "everything is there still");
    says("{ echo refused; for i in $(seq 400); do echo line $i; done; echo login ok; } >/proc/1/fd/1");
    assert!(until(&mut log, 1, 0).gap, "lines that were thrown away were taken for silence");
}
