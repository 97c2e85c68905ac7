//! The load program as processes of its own: it serves, drains on SIGTERM, and fails no call meanwhile.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use keyroll_testkit::load::{Callers, Front, Worker, WorkerOptions, read_variable};
use keyroll_testkit::{Deadline, Postgres, TempDir, free_port, until};
use rustix::process::{Pid, Signal, kill_process};

fn program() -> PathBuf {
    // target/debug/deps/pgload-… → target/debug/examples/pgload
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/pgload")
}

struct Process(Child);

impl Process {
    fn start(words: &[String]) -> Self {
        Self(Command::new(program()).args(words).stdin(Stdio::null()).spawn().unwrap())
    }

    async fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let ended = || std::future::ready(self.0.try_wait().unwrap());
        let status = until(Deadline::seconds(60), ended).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_drains_on_sigterm_and_no_call_fails() {
    let Some(server) = Postgres::start_or_skip("the load program") else { return };
    let home = TempDir::new().unwrap();
    let env = home.path().join("app.env");
    let url = format!("postgres://postgres:{}@127.0.0.1:{}/postgres", server.password(), server.port());
    std::fs::write(&env, format!("OTHER=1\nDATABASE_URL=\"{url}\"\n")).unwrap();
    assert_eq!(read_variable(&env, "DATABASE_URL").unwrap(), url);
    let ports = [free_port().unwrap(), free_port().unwrap()];
    let start = |port: u16| {
        let word = |key: &str, value: String| format!("{key}={value}");
        Process::start(&[
            "worker".to_owned(),
            word("env", env.display().to_string()),
            word("variable", "DATABASE_URL".to_owned()),
            word("port", port.to_string()),
            word("log", home.path().join("worker.log").display().to_string()),
            word("pid_file", home.path().join(format!("{port}.pid")).display().to_string()),
        ])
    };
    let mut workers = ports.map(start);
    let front_port = free_port().unwrap();
    let front = Front::start(front_port, &ports).await.unwrap();
    let all = || async { ports.iter().all(|port| front.uses(*port)).then_some(()) };
    until(Deadline::seconds(60), all).await.unwrap();
    let callers = Callers::start(front_port, 100);
    for (worker, port) in workers.iter_mut().zip(ports) {
        worker.terminate().await;
        *worker = start(port);
        until(Deadline::seconds(60), all).await.unwrap();
    }
    let tally = callers.stop().await;
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert_eq!(tally.answers.keys().collect::<Vec<_>>(), ["postgres postgres"]);
    let pid = std::fs::read_to_string(home.path().join(format!("{}.pid", ports[0]))).unwrap();
    assert_eq!(pid.trim(), workers[0].0.id().to_string());
    let log = std::fs::read_to_string(home.path().join("worker.log")).unwrap();
    assert_eq!(log.lines().filter(|line| *line == "logged in as postgres").count(), 16);
}

#[tokio::test]
async fn a_wrong_password_is_a_line_of_the_log_and_no_worker() {
    let Some(server) = Postgres::start_or_skip("the load program") else { return };
    let home = TempDir::new().unwrap();
    let log = home.path().join("worker.log");
    let url = format!("postgres://postgres:wrong@127.0.0.1:{}/postgres", server.port());
    let port = free_port().unwrap();
    let options = WorkerOptions { url, port, pool: 1, warm_ms: 0, drain_ms: 0, log: Some(log.clone()) };
    assert!(Worker::start(&options).await.is_err());
    let said = std::fs::read_to_string(log).unwrap();
    let all = ["login as postgres failed", "password authentication failed"];
    assert!(all.iter().all(|part| said.contains(part)), "{said}");
}
