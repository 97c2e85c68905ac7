//! A real container engine and a real docker compose: the verbs that apply a value, and those that only seem to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyroll_manager::{
    Applied, CommandLine, Compose, Container, ContainerVerb, Docker, Drift, Workload, apply, end_leftover,
    instances,
};
use keyroll_observe::{ProcessId, Variable, environment_has};
use keyroll_port::{Class, Failure, FailureKind};
use keyroll_secret::SecretBytes;
use keyroll_testkit::{Engine, TempDir, alphanumeric, write_program};

const IMAGE: &str = "keyroll-test:1";

/// How long anything that must come may take.
const TIME_MAX: Duration = Duration::from_secs(100);

struct Place {
    engine: Engine,
    home: TempDir,
}

/// A project of three services: one with two containers that is rotated, one with a mounted file, and another one.
const PROJECT: &str = r#"
x-base: &base
  image: keyroll-test:1
  network_mode: none
  stop_signal: SIGKILL
  volumes: ["/usr:/usr:ro"]
services:
  web:
    <<: *base
    env_file: [web.env]
    environment: { PRICE: "5$$", MODE: quiet }
    command: ["/bin/sh", "-c", "sleep 100000"]
    deploy: { replicas: 2 }
  mounted:
    <<: *base
    command: ["/bin/sleep", "100000"]
    secrets: [key]
  beside:
    <<: *base
    command: ["/bin/sleep", "100000"]
secrets:
  key: { file: ./key.txt }
"#;

impl Place {
    fn raise(what: &str, project: &str) -> Option<Self> {
        let engine = Engine::start_or_skip(what)?;
        engine.image(IMAGE, "own").expect("an image");
        let home = TempDir::new().expect("a folder");
        let place = Self { engine, home };
        place.write("compose.yaml", project);
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Replaces a file by rename, as keyroll does.
    fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).expect("written");
        fs::rename(&new, self.path(name)).expect("renamed");
    }

    fn docker(&self, words: &[&str]) -> String {
        let output = self.engine.docker(words).current_dir(self.home.path()).output().expect("docker runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn up(&self) {
        self.docker(&["compose", "up", "--detach", "--quiet-pull"]);
    }

    fn engine(&self) -> Docker {
        Docker { host: self.engine.host(), ..Docker::default() }
    }

    fn service(&self, service: &str) -> Compose {
        let settle = Duration::from_millis(500);
        Compose { docker: self.engine(), settle, ..Compose::new(self.home.path(), service) }
    }

    fn apply(&self, service: &str) -> Result<Applied, Failure> {
        applied(&self.service(service))
    }

    fn containers(&self, service: &str) -> Vec<String> {
        let filter = format!("label=com.docker.compose.service={service}");
        let ids = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        ids.lines().map(str::to_owned).collect()
    }

    fn processes(&self, service: &str) -> Vec<ProcessId> {
        let found = instances(&self.service(service)).expect("found");
        found.into_iter().filter(|one| one.main).map(|one| one.process).collect()
    }

    /// The container that compose creates first as a replacement, with compose's name for it; it is never started.
    fn replacement(&self, id: &str) {
        let replace = format!("com.docker.compose.replace={id}");
        // The name that compose gives it.
        let of_old = self.docker(&["inspect", "--format", "{{.Name}}", id]);
        let name = format!("{}_{}", &id[..12], of_old.trim_start_matches('/'));
        let label = |key: &str| format!("com.docker.compose.{key}");
        let of = |key: &str| {
            let format = format!("{{{{index .Config.Labels \"{}\"}}}}", label(key));
            format!("{}={}", label(key), self.docker(&["inspect", "--format", &format, id]))
        };
        let keys = ["config-hash", "container-number", "oneoff", "project", "project.config_files"];
        let mut labels: Vec<String> = keys.iter().map(|key| of(key)).collect();
        labels.extend([of("project.working_dir"), of("service"), of("version"), replace]);
        let mut words = vec!["create", "--name", &name];
        words.extend(labels.iter().flat_map(|label| ["--label", label]));
        words.extend([IMAGE, "/bin/sleep", "1"]);
        self.docker(&words);
    }

    /// Compose builds variables of a service from the managed file: they hold the value, and are no edits.
    fn is_filled_in(&self, old: &str, new: &str) {
        let all =
            PROJECT.replace("MODE: quiet", "MODE: '${TOKEN}', URL: 'a:${TOKEN}@${PLACE}', OFF: '$${TOKEN}'");
        self.write("compose.yaml", &all);
        self.write(".env", &format!("TOKEN={old}\nPLACE=here\n"));
        self.up();
        self.write(".env", &format!("TOKEN={new}\nPLACE=here\n"));
        let file = self.path(".env");
        let drift = self.service("web").pending_changes(&["KEY"], &[(&file, "TOKEN")]).expect("told");
        assert_eq!(names(&drift), [""; 0], "the value alone was delivered");
        assert!(drift.not_visible[0].contains("of URL of the service web"), "{:?}", drift.not_visible);
        // A file that the project is not filled in from explains nothing.
        let other = self.path("web.env");
        let drift = self.service("web").pending_changes(&["KEY"], &[(&other, "TOKEN")]).expect("told");
        assert_eq!(names(&drift), ["environment:MODE", "environment:URL"]);
        let all = all.replace("OFF: '$${TOKEN}'", "OFF: 'on'");
        self.write("compose.yaml", &all);
        let drift = self.service("web").pending_changes(&["KEY"], &[(&file, "TOKEN")]).expect("told");
        assert_eq!(names(&drift), ["environment:OFF"]);
    }

    fn drift(&self, own: &[&str]) -> Drift {
        self.service("web").pending_changes(own, &[]).expect("told")
    }
}

fn applied(run: &dyn Workload) -> Result<Applied, Failure> {
    apply(run, None, Instant::now() + TIME_MAX, &mut |_| {})
}

fn why(result: Result<Applied, Failure>) -> (Class, &'static str, String) {
    match result {
        Ok(applied) => panic!("it should have failed: {}", applied.done),
        Err(failure) => {
            let source = failure.source.map_or_else(String::new, |why| why.to_string());
            (failure.class, failure.code.as_str(), format!("{}: {source}", failure.attempted))
        }
    }
}

fn has(process: &ProcessId, value: &str) -> bool {
    let value = SecretBytes::new(value.as_bytes().to_vec());
    environment_has(process, &[("KEY", &value)]).expect("seen")[0] == Variable::Same
}

fn inside(process: &ProcessId, path: &str) -> String {
    fs::read_to_string(format!("/proc/{}/root{path}", process.pid)).expect("read")
}

fn names(drift: &Drift) -> Vec<String> {
    drift.edits.iter().map(|edit| format!("{}:{}", edit.kind, edit.name)).collect()
}

#[test]
fn only_a_container_that_was_made_anew_has_the_new_value() {
    let Some(place) = Place::raise("containers of compose", PROJECT) else { return };
    let (old, new) = (alphanumeric(24), alphanumeric(24));
    place.write("web.env", &format!("KEY={old}\n"));
    place.write("key.txt", &old);
    place.up();
    let before = place.processes("web");
    assert!(before.len() == 2 && before.iter().all(|one| has(one, &old)), "both replicas are instances");
    let (beside, mounted) = (place.containers("beside"), place.containers("mounted"));

    // `restart` reports success and applies nothing.
    place.write("web.env", &format!("KEY={new}\n"));
    place.docker(&["compose", "restart", "web"]);
    let restarted = place.processes("web");
    assert!(restarted.iter().all(|one| !before.contains(one)), "they are new processes");
    assert!(restarted.iter().all(|one| has(one, &old) && !has(one, &new)), "with the old value");

    let mut started = 0;
    let run = place.service("web");
    apply(&run, None, Instant::now() + TIME_MAX, &mut |_| started += 1).expect("applied");
    assert_eq!(started, 1, "what was started is told once, to be recorded");
    let after = place.processes("web");
    assert!(after.len() == 2 && after.iter().all(|one| has(one, &new) && !has(one, &old)));
    assert_eq!(place.containers("beside"), beside, "a neighbour is left alone");
    assert_eq!(place.containers("mounted"), mounted, "a neighbour is left alone");

    // The content of a mounted secret: `up` does not notice it, and the mount shows the old file.
    let main = place.processes("mounted")[0];
    place.write("key.txt", &new);
    place.docker(&["compose", "up", "--detach", "mounted"]);
    assert_eq!(place.containers("mounted"), mounted, "`up` alone does nothing");
    assert_eq!(inside(&main, "/run/secrets/key"), old, "a renamed file is not seen through its mount");
    place.apply("mounted").expect("applied");
    assert_eq!(inside(&place.processes("mounted")[0], "/run/secrets/key"), new);
}

#[test]
fn what_cannot_be_recreated_is_left_alone() {
    let Some(place) = Place::raise("containers that cannot be used", PROJECT) else { return };
    place.write("web.env", "KEY=x\n");
    place.write("key.txt", "x");
    assert_eq!(why(place.apply("web")).1, "K0420", "nothing was ever created");
    place.up();
    assert_eq!(why(place.apply("wbe")).1, "K0420", "there is no such service");
    place.docker(&["compose", "stop", "web"]);
    let (class, code, text) = why(place.apply("web"));
    assert!(class == Class::Permanent && code == "K0420" && text.contains("it is stopped"), "{text}");
    assert!(place.processes("web").is_empty(), "nobody's stopped service is started");
    // An image that neither exists nor can be pulled: nothing is pulled, and the old containers keep running.
    let before = place.containers("mounted");
    place.write("compose.yaml", &PROJECT.replace("image: keyroll-test:1", "image: keyroll-test:none"));
    let (class, code, _) = why(place.apply("mounted"));
    assert_eq!((class, code), (Class::Unknown, "K0420"));
    assert_eq!(place.containers("mounted"), before);
    // The same folder, started under two names.
    place.write("compose.yaml", PROJECT);
    place.docker(&["compose", "--project-name", "second", "up", "--detach", "mounted"]);
    let (_, code, text) = why(place.apply("mounted"));
    assert!(code == "K0420" && text.contains("two projects"), "{text}");
}

#[test]
fn a_recreation_that_was_ended_in_the_middle_is_carried_out_again() {
    let Some(place) = Place::raise("a killed docker compose", PROJECT) else { return };
    let (old, new) = (alphanumeric(24), alphanumeric(24));
    place.write("web.env", &format!("KEY={old}\n"));
    place.write("key.txt", "x");
    place.up();
    let before = place.containers("web");
    place.write("web.env", &format!("KEY={new}\n"));
    let run = place.service("web");
    // The replacements are created, and nothing more was done with them.
    before.iter().for_each(|id| place.replacement(id));
    assert_eq!(place.containers("web").len(), 4);
    place.apply("web").expect("what was left is cleared away");
    assert_eq!(place.containers("web").len(), 2);

    let before = place.containers("web");
    let (told, tell) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(apply(&run, None, Instant::now() + TIME_MAX, &mut |one| told.send(one).unwrap_or(())))
        });
        let command = tell.recv().expect("a command is started");
        let end = Instant::now() + TIME_MAX;
        while place.containers("web").iter().all(|one| before.contains(one)) && Instant::now() < end {}
        end_leftover(&command, Instant::now()).expect("ended");
    });
    place.apply("web").expect("applied");
    let after = place.processes("web");
    assert!(after.len() == 2 && after.iter().all(|one| has(one, &new)), "both, and nothing is left over");
    assert_eq!(place.containers("web").len(), 2);
}

/// A killed `up` has requested containers from the engine, and the engine creates them while the next `up` runs.
#[test]
fn what_the_engine_still_makes_for_a_killed_one_does_not_fail_the_next() {
    let Some(place) = Place::raise("an engine that goes on", PROJECT) else { return };
    let (old, new) = (alphanumeric(24), alphanumeric(24));
    place.write("web.env", &format!("KEY={old}\n"));
    place.write("key.txt", "x");
    place.up();
    place.write("web.env", &format!("KEY={new}\n"));
    // It does not fail every time.
    for _ in 0..3 {
        let before = place.containers("web");
        let mut started = 0;
        // It begins at that message; its containers were looked up before.
        apply(&place.service("web"), None, Instant::now() + TIME_MAX, &mut |_| {
            started += 1;
            if started == 1 {
                before.iter().for_each(|id| place.replacement(id));
            }
        })
        .expect("applied");
        let after = place.processes("web");
        assert!(after.len() == 2 && after.iter().all(|one| has(one, &new)), "both, and nothing is left over");
        let now = place.containers("web");
        assert!(now.len() == 2 && now.iter().all(|one| !before.contains(one)));
    }
}

/// Dies, or is unhealthy, only when its file says so. One failed check is not enough: a check that runs while the container
/// dies fails, and with `retries: 1` the engine would call it unhealthy just before it says that it died.
const FRAIL: &str = r#"
services:
  web:
    image: keyroll-test:1
    network_mode: none
    stop_signal: SIGKILL
    volumes: ["/usr:/usr:ro"]
    env_file: [web.env]
    restart: "@RESTART@"
    command: ["/bin/sh", "-c", "[ $$MODE = die ] && sleep 1 && exit 3; [ $$MODE = once ] && [ ! -e /tmp/was ] && touch /tmp/was && sleep 1 && exit 3; [ $$MODE = sick ] && sleep 2 && touch /tmp/sick; sleep 100000"]
    healthcheck:
      test: ["CMD", "/bin/sh", "-c", "test ! -e /tmp/sick"]
      interval: 300ms
      retries: 3
"#;

#[test]
fn a_container_that_does_not_stay_well_is_no_success() {
    let Some(place) = Place::raise("containers that fail", &FRAIL.replace("@RESTART@", "no")) else { return };
    // Long enough for the event that must happen meanwhile.
    let service = || Compose { settle: Duration::from_secs(40), ..place.service("web") };
    place.write("web.env", "MODE=well\n");
    place.up();
    place.apply("web").expect("it is well");
    for (mode, restart, reason) in [
        ("die", "no", "is exited (exit 3)"),
        ("sick", "no", "is unhealthy"),
        ("once", "always", "again by the engine"),
    ] {
        place.write("compose.yaml", &FRAIL.replace("@RESTART@", restart));
        place.write("web.env", &format!("MODE={mode}\n"));
        let (class, code, text) = why(applied(&service()));
        assert_eq!((class, code), (Class::Unknown, "K0420"), "{mode}: {text}");
        let between = mode == "once" && text.contains("is restarting");
        assert!(text.contains(reason) || between, "{mode}: {text}");
    }
}

#[test]
fn edits_that_a_recreation_would_make_live_are_named_and_never_shown() {
    let Some(place) = Place::raise("edits of a compose project", PROJECT) else { return };
    let (old, new, other) = (alphanumeric(24), alphanumeric(24), alphanumeric(24));
    let env = |key: &str, more: &str| {
        place.write("web.env", &format!("KEY='{key}'\nOTHER={other}\nGONE=1\n{more}"))
    };
    env(&old, "");
    place.write("key.txt", "x");
    place.up();
    let nothing = |when: &str| {
        let drift = place.drift(&["KEY"]);
        assert_eq!(names(&drift), [""; 0], "{when}");
        assert_eq!(drift.not_visible, [""; 0], "{when}");
    };
    nothing("nothing was edited");
    env(&new, "");
    nothing("the value alone was delivered");
    assert_eq!(names(&place.drift(&[])), ["environment:KEY"]);
    // Another service, and a comment: neither concerns this service.
    place.write(
        "compose.yaml",
        &format!(
            "# a remark\n{}",
            PROJECT.replace("[\"/bin/sleep\", \"100000\"]", "[\"/bin/sleep\", \"99999\"]")
        ),
    );
    nothing("another service was edited");

    place.write("compose.yaml", &PROJECT.replace("MODE: quiet", "MODE: loud"));
    env(&new, "OTHER=edited\n");
    let edited = place.drift(&["KEY"]);
    assert_eq!(names(&edited), ["environment:MODE", "environment:OTHER"]);
    let told: String = edited.edits.iter().map(|edit| edit.what.as_str()).collect();
    assert!(!told.contains(&other) && !told.contains("loud") && told.contains("MODE"), "{told}");

    place.write("compose.yaml", PROJECT);
    place.write("web.env", &format!("KEY={new}\nOTHER={other}\nADDED=1\n"));
    let edited = place.drift(&["KEY"]);
    assert_eq!(names(&edited), ["environment:ADDED", "environment:GONE"]);
    assert!(edited.not_visible.iter().any(|line| line.contains("new variable")), "{:?}", edited.not_visible);

    // Any other setting of the service; its mark differs from the next edit's, and is the same with either value in the
    // file.
    env(&old, "");
    place.write("compose.yaml", &PROJECT.replace("sleep 100000\"", "sleep 100001\""));
    let first = place.drift(&["KEY"]);
    assert_eq!(names(&first), ["service:web"]);
    env(&new, "");
    assert!(place.drift(&["KEY"]).edits[0].mark == first.edits[0].mark);
    place.write("compose.yaml", &PROJECT.replace("sleep 100000\"", "sleep 100002\""));
    assert!(place.drift(&["KEY"]).edits[0].mark != first.edits[0].mark);

    place.write("compose.yaml", &PROJECT.replace("keyroll-test:1", "keyroll-test:none"));
    assert_eq!(names(&place.drift(&["KEY"])), ["image:keyroll-test:none"], "it is not there");
    place.write("compose.yaml", "services: [");
    assert_eq!(names(&place.drift(&["KEY"])), ["project:web"], "neither `up` nor a way back would work");
    place.write("compose.yaml", PROJECT);
    nothing("it was taken back");
    place.engine.image(IMAGE, "another").expect("somebody builds the image again");
    let edited = place.drift(&["KEY"]);
    assert_eq!(names(&edited), ["image:keyroll-test:1"]);
    assert!(edited.not_visible[0].contains("image is another one"), "{:?}", edited.not_visible);
    place.is_filled_in(&old, &new);
}

#[test]
fn a_plain_container_takes_a_mounted_file_by_a_restart_and_an_environment_by_its_command() {
    let Some(place) = Place::raise("a plain container", "services: {}\n") else { return };
    let (old, new) = (alphanumeric(24), alphanumeric(24));
    place.write("key.txt", &old);
    place.write("web.env", &format!("KEY={old}\n"));
    let file = place.path("key.txt");
    let make = format!(
        "docker --host {} run --detach --name plain --network none --stop-signal SIGKILL --volume /usr:/usr:ro \
         --volume {}:/own/key:ro --env-file {} {IMAGE} /bin/sleep 100000",
        place.engine.host(),
        file.display(),
        place.path("web.env").display()
    );
    assert!(std::process::Command::new("sh").args(["-c", &make]).output().expect("made").status.success());
    let container = |verb| {
        let settle = Duration::from_millis(500);
        Container { docker: place.engine(), settle, ..Container::new("plain", verb) }
    };
    let main = |run: &dyn Workload| {
        instances(run).expect("found").into_iter().find(|one| one.main).expect("it runs").process
    };
    let restart = container(ContainerVerb::Restart);
    let run = restart.clone();
    let before = main(&run);
    assert!(restart.mounts_alone(&file).expect("told"), "the file itself is mounted");
    assert!(!restart.mounts_alone(&place.path("web.env")).expect("told"));

    place.write("key.txt", &new);
    place.write("web.env", &format!("KEY={new}\n"));
    assert_eq!(inside(&before, "/own/key"), old, "the mount still shows the file of before");
    applied(&run).expect("restarted");
    let restarted = main(&run);
    assert!(restarted != before && inside(&restarted, "/own/key") == new);
    assert!(has(&restarted, &old) && !has(&restarted, &new), "its environment is that of its making");

    let again = format!("docker --host {} rm --force plain >/dev/null; {make}", place.engine.host());
    let run = container(ContainerVerb::Recreate(CommandLine::shell(again)));
    applied(&run).expect("made anew");
    assert!(has(&main(&run), &new));

    place.docker(&["stop", "--time", "0", "plain"]);
    let (class, code, text) = why(applied(&container(ContainerVerb::Restart)));
    assert!(class == Class::Permanent && code == "K0420" && text.contains("stopped"), "{text}");
    place.docker(&["rm", "plain"]);
    assert_eq!(why(applied(&container(ContainerVerb::Restart))).1, "K0420");
}

/// A `docker` that prints this and fails, with a plain file as its socket.
fn saying(folder: &Path, text: &str) -> Docker {
    let program = folder.join("docker");
    write_program(&program, format!("#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\nexit 1\n"));
    let socket = folder.join("docker.sock");
    fs::write(&socket, "").expect("a file");
    Docker { program, host: format!("unix://{}", socket.display()) }
}

#[test]
fn an_engine_that_cannot_be_talked_to_is_named() {
    let folder = TempDir::new().expect("a folder");
    let ask = |docker: Docker| {
        let of = Compose { docker, ..Compose::new(folder.path(), "web") };
        let failure = instances(&of).expect_err("it cannot be told who runs");
        assert_eq!((why(applied(&of)).1, failure.code.as_str()), ("K0420", "K0420"));
        (failure.kind, failure.class)
    };
    // The messages of docker 28.2 and 20.10.
    let denied = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: \
                  Get \"http://%2Fvar%2Frun%2Fdocker.sock/v1.50/containers/json\": dial unix /var/run/docker.sock: \
                  connect: permission denied";
    for (said, kind, class) in [
        (denied, FailureKind::Other, Class::Permanent),
        (
            "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
            FailureKind::ManagerAbsent,
            Class::Retryable,
        ),
        (
            "docker: 'compose' is not a docker command.\nSee 'docker --help'",
            FailureKind::ManagerUnsupported,
            Class::Permanent,
        ),
        ("docker: unknown command: docker compose", FailureKind::ManagerUnsupported, Class::Permanent),
        (
            "Error response from daemon: client version 1.50 is too new. Maximum supported API version is 1.41",
            FailureKind::ManagerUnsupported,
            Class::Permanent,
        ),
        ("something that nobody has seen yet", FailureKind::ServiceUnusable, Class::Permanent),
    ] {
        assert_eq!(ask(saying(folder.path(), said)), (kind, class), "{said}");
    }
    let nowhere = format!("unix://{}", folder.path().join("none.sock").display());
    let there = saying(folder.path(), "");
    assert_eq!(ask(Docker { host: nowhere, ..there.clone() }).0, FailureKind::ManagerAbsent);
    let none = Docker { program: folder.path().join("none"), ..there.clone() };
    assert_eq!(ask(none).0, FailureKind::ManagerAbsent);
    for elsewhere in ["tcp://127.0.0.1:2375", "ssh://root@elsewhere", ""] {
        let elsewhere = Docker { host: elsewhere.into(), ..there.clone() };
        assert_eq!(ask(elsewhere), (FailureKind::Other, Class::Permanent));
    }
}
