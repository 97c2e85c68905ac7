//! The answers of managers' tools alone are not believed: tools that lie, or that talk about another machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::{
    CommandLine, Compose, Container, ContainerVerb, Docker, Supervisor, Workload, apply, instances,
};
use keyroll_port::{Class, Failure};
use keyroll_testkit::{TempDir, write_program};

struct Tool {
    folder: TempDir,
}

impl Tool {
    /// A program that answers as this script says, and records its calls in a file beside it.
    fn new(script: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let text = format!("#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/asked\"\n{script}\n");
        let tool = Self { folder };
        write_program(&tool.path("tool"), text);
        fs::write(tool.path("socket"), "").expect("written");
        tool
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.path("asked")).unwrap_or_default()
    }

    fn docker(&self) -> Docker {
        Docker { program: self.path("tool"), host: format!("unix://{}", self.path("socket").display()) }
    }
}

fn applied(run: &dyn Workload) -> Result<String, Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    apply(run, None, deadline, &mut |_| {}).map(|applied| applied.done)
}

fn failed<T>(result: Result<T, Failure>) -> (Class, &'static str, String) {
    let failure = result.err().expect("it was believed");
    let why = failure.source.as_ref().map_or_else(String::new, |why| why.to_string());
    (failure.class, failure.code.as_str(), why)
}

/// A container as `docker inspect` shows it, with these settings.
fn state(id: &str, pid: u32, started: &str, of: &str) -> String {
    format!(
        r#"{{"id":"{id}","name":"/{id}","image":"i","status":"running","pid":{pid},"exit":0,"oom":false,"started":"{started}","restarts":0,"health":null,{of},"variables":null,"compose":null,"replaces":null,"mounts":[]}}"#
    )
}

const PLAIN: &str = r#""project":null,"files":null,"folder":null"#;

#[test]
fn a_container_that_runs_on_as_before_was_not_restarted_whatever_the_command_says() {
    let before = state("app", std::process::id(), "2026-01-01T00:00:00Z", PLAIN);
    let tool = Tool::new(&format!("case \"$*\" in *inspect*) echo '{before}';; esac"));
    let recreate = CommandLine::program("true", [""; 0]);
    for verb in [ContainerVerb::Restart, ContainerVerb::Recreate(recreate)] {
        let container = Container {
            docker: tool.docker(),
            settle: Duration::from_millis(10),
            ..Container::new("app", verb.clone())
        };
        let (class, code, why) = failed(applied(&container));
        assert_eq!((class, code), (Class::Unknown, "K0420"), "{verb:?}: {why}");
        assert!(why.contains("as it did before"), "{why}");
    }
    // A container that really was started again counts.
    let after = state("app", std::process::id(), "2026-01-02T00:00:00Z", PLAIN);
    let tool = Tool::new(&format!(
        "here=$(dirname \"$0\"); case \"$*\" in *' restart -- '*) touch \"$here/up\";; \
         *inspect*) if [ -e \"$here/up\" ]; then echo '{after}'; else echo '{before}'; fi;; esac"
    ));
    let settle = Duration::from_millis(10);
    let container =
        Container { docker: tool.docker(), settle, ..Container::new("app", ContainerVerb::Restart) };
    assert_eq!(applied(&container).expect("restarted"), "restarted the container app");
}

#[test]
fn a_container_whose_process_is_not_visible_is_not_none() {
    // No process has this number: it is above the kernel's limit.
    let hidden = state("app", 4_194_305, "2026-01-01T00:00:00Z", PLAIN);
    let tool = Tool::new(&format!("echo '{hidden}'"));
    let container = Container { docker: tool.docker(), ..Container::new("app", ContainerVerb::Restart) };
    let (class, code, _) = failed(instances(&container));
    assert_eq!((class, code), (Class::Retryable, "K0411"));
}

/// No file of the project records containers that an operator requested with `--scale`.
#[test]
fn a_service_has_as_many_containers_after_up_as_before_it() {
    let tool = Tool::new("");
    let of = format!(
        r#""project":"shop","files":"{0}/compose.yaml","folder":"{0}""#,
        tool.folder.path().display()
    );
    let line = |id: &str| state(id, std::process::id(), "2026-01-01T00:00:00Z", &of);
    let (before, after) = (["a1", "a2", "a3"].map(line).join("\n"), ["b1", "b2", "b3"].map(line).join("\n"));
    fs::write(tool.path("before"), format!("{before}\n")).expect("written");
    fs::write(tool.path("after"), format!("{after}\n")).expect("written");
    let script = fs::read_to_string(tool.path("tool")).expect("read")
        + "here=$(dirname \"$0\"); case \"$*\" in *\" ps \"*) echo x;; *\" up \"*) touch \"$here/up\";; \
           *inspect*) if [ -e \"$here/up\" ]; then cat \"$here/after\"; else cat \"$here/before\"; fi;; esac\n";
    write_program(&tool.path("tool"), script);
    let settle = Duration::from_millis(10);
    let compose = Compose { docker: tool.docker(), settle, ..Compose::new(tool.folder.path(), "web") };
    applied(&compose).expect("recreated");
    let asked = tool.asked();
    assert!(asked.contains("--scale web=3 -- web"), "{asked}");
}

struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A supervisord behind a network address, or in a container, numbers the processes of its own machine.
#[test]
fn processes_that_no_supervisord_of_this_machine_started_are_not_its_programs() {
    let sleeper = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("a process");
    let sleeper = Sleeper(sleeper);
    let pid = sleeper.0.id();
    let tool = Tool::new(&format!(
        "case \"$*\" in *status*) echo 'app   RUNNING   pid {pid}, uptime 0:00:01';; *pid*) echo {pid};; esac"
    ));
    let mut supervisor = Supervisor::new("app", tool.path("supervisord.conf"));
    supervisor.supervisorctl = tool.path("tool");
    let run = supervisor;
    let (class, code, why) = failed(instances(&run));
    assert_eq!((class, code), (Class::Retryable, "K0407"), "{why}");
    assert_eq!(
        run.supervisor_pid(),
        None,
        "what holds the value in another process's memory would be passed over"
    );
}
