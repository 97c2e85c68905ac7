//! Units of a real systemd, with a PostgreSQL login in their EnvironmentFile, replaced under load by the binary that
//! runs beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_testkit::load::{Callers, Front};
use keyroll_testkit::{Deadline, Postgres, SystemdHost, TempDir, free_port, until};
use serde_json::Value;

use crate::postgres::{no_failure, part};

const KEYROLL: &str = env!("CARGO_BIN_EXE_keyroll");
/// Requests a second through the front.
const RATE: u32 = 100;
/// How long units may take to start, seconds.
const START_S_MAX: u64 = 60;
/// How long one command may take.
const COMMAND_MAX: Duration = Duration::from_secs(300);

struct Scene {
    host: SystemdHost,
    server: Postgres,
    home: TempDir,
    ports: [u16; 2],
}

impl Scene {
    fn dir(&self) -> PathBuf {
        self.home.path().join("scene")
    }

    /// A command inside the host, to its end: what it wrote to standard output.
    async fn inside(&self, words: &[&str]) -> (Option<i32>, String) {
        let dir = self.dir().display().to_string();
        let mut all = vec!["env", "-C", &dir];
        all.extend(words);
        let mut command = self.host.command(&all);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = tokio::time::timeout(COMMAND_MAX, run).await.expect("the command ends in time").unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    }

    async fn play(&self, words: &str) {
        let program = std::env::current_exe().unwrap().display().to_string();
        let part = format!("{}={words}", part::PART);
        let (code, text) =
            self.inside(&["env", &part, &program, "postgres::part", "--exact", "--nocapture"]).await;
        assert_eq!(code, Some(0), "{text}");
    }

    async fn answer(&self, env: &Path) -> String {
        let answer = self.home.path().join("answer");
        self.play(&format!("try env={} answer={}", env.display(), answer.display())).await;
        fs::read_to_string(answer).unwrap()
    }

    async fn keyroll(&self, words: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let mut all = vec![KEYROLL, "--state", "state", "--no-input", "--json"];
        all.extend(words);
        let (code, text) = self.inside(&all).await;
        (code, text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), text)
    }

    async fn main_pid(&self, unit: &str) -> String {
        let (_, text) = self.inside(&["systemctl", "show", "-P", "MainPID", unit]).await;
        format!("pid {}", text.trim())
    }

    fn write(&self) {
        for folder in
            ["scene/app", "scene/billing", "scene/job", "scene/run", "scene/log", "scene/units", "kept"]
        {
            fs::create_dir_all(self.home.path().join(folder)).unwrap();
        }
        let dir = self.dir();
        let admin = dir.join("admin.key");
        fs::write(&admin, format!("{}:{}\n", self.server.superuser(), self.server.password())).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&admin, fs::Permissions::from_mode(0o600)).unwrap();
        let config = include_str!("systemd/keyroll.toml")
            .replace("@PORT@", &self.server.port().to_string())
            .replace("@ORDERS_1@", &self.ports[0].to_string())
            .replace("@ORDERS_2@", &self.ports[1].to_string());
        fs::write(dir.join("keyroll.toml"), config).unwrap();
        for (instance, port) in ["1", "2"].iter().zip(self.ports) {
            let unit = include_str!("systemd/orders.service")
                .replace("@INSTANCE@", instance)
                .replace("@PORT@", &port.to_string())
                .replace("@DIR@", &dir.display().to_string())
                .replace("@PROGRAM@", &std::env::current_exe().unwrap().display().to_string());
            fs::write(dir.join(format!("units/orders-{instance}.service")), unit).unwrap();
        }
    }

    async fn raise(what: &str) -> Option<Self> {
        let home = TempDir::new().unwrap();
        let programs = Path::new(KEYROLL).parent().unwrap();
        let host = SystemdHost::start_or_skip(what, &[home.path(), programs])?;
        let server = Postgres::start_or_skip(what)?;
        let scene = Self { host, server, home, ports: [(); 2].map(|()| free_port().unwrap()) };
        scene.write();
        let (dir, kept) = (scene.dir(), scene.home.path().join("kept/first"));
        let port = scene.server.port();
        let words = format!(
            "seed unit=1 dir={} kept={} keyroll={KEYROLL} port={port}",
            dir.display(),
            kept.display()
        );
        scene.play(&words).await;
        let start = "cp units/*.service /etc/systemd/system/ && systemctl daemon-reload && \
                     systemctl start orders-1 orders-2";
        let (code, text) = scene.inside(&["sh", "-c", start]).await;
        assert_eq!(code, Some(0), "{text}");
        Some(scene)
    }
}

fn of_type<'a>(events: &'a [Value], of: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["type"] == of)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_are_moved_under_load() {
    let Some(scene) = Scene::raise("units of a real systemd").await else { return };
    let front_port = free_port().unwrap();
    let front = Front::start(front_port, &scene.ports).await.unwrap();
    let all = || async { scene.ports.iter().all(|port| front.uses(*port)).then_some(()) };
    until(Deadline::seconds(START_S_MAX), all).await.unwrap();
    let callers = Callers::start(front_port, RATE);
    // Somebody edited the units' variables and one unit since they were started.
    let edit = "echo MODE=by-somebody >> app/api.env && mkdir -p /etc/systemd/system/orders-1.service.d && \
                printf '[Service]\\nNice=1\\n' > /etc/systemd/system/orders-1.service.d/50-nice.conf && \
                systemctl daemon-reload";
    let (code, text) = scene.inside(&["sh", "-c", edit]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, events, text) = scene.keyroll(&["plan", "orders-db"]).await;
    assert_eq!(code, Some(0), "{text}");
    let live: Vec<&str> = of_type(&events, "live").filter_map(|event| event["name"].as_str()).collect();
    assert_eq!(live, ["orders-1/unit:50-nice.conf", "orders-1/api.env:MODE", "orders-2/api.env:MODE"]);
    let id = of_type(&events, "plan").next().unwrap()["id"].as_str().unwrap().to_owned();
    let mut apply = vec!["apply", &id, "--confirm", "orders-db"];
    let (code, _, text) = scene.keyroll(&apply).await;
    assert!(code == Some(6) && text.contains("K0851"), "{text}");
    apply.extend(live.iter().flat_map(|name| ["--accept", name]));
    let (code, events, text) = scene.keyroll(&apply).await;
    assert_eq!(code, Some(0), "{text}");
    let summary = of_type(&events, "summary").last().unwrap();
    println!("units rotated: {summary}");
    assert_eq!(summary["outcome"], "done");
    assert_eq!(summary["dead_confirmed"], true);
    assert!(summary["downtime_s"].is_number(), "{summary}");
    // The service manager's memory may keep what it read for the units; that is reported and does not block.
    let residues = summary["residues"].as_array().unwrap();
    assert!(residues.iter().all(|residue| residue["place"] == "process 1 (systemd)"), "{summary}");
    for grade in ["loaded", "exercised"] {
        let shown = of_type(&events, "evidence").filter(|event| event["grade"] == grade);
        let shown: BTreeSet<&str> = shown.filter_map(|event| event["instance"].as_str()).collect();
        for unit in ["orders-1", "orders-2"] {
            let pid = scene.main_pid(unit).await;
            assert!(shown.contains(pid.as_str()), "{unit} {grade}: {pid} of {shown:?}");
        }
    }
    let answer = scene.answer(&scene.home.path().join("kept/first")).await;
    assert!(["28000", "28P01"].contains(&answer.as_str()), "{answer}");
    assert_eq!(scene.answer(&scene.dir().join("app/api.env")).await, "accepted");
    let tally = callers.stop().await;
    no_failure(&tally);
    assert_eq!(tally.answers.keys().collect::<Vec<_>>(), ["orders orders", "orders_a orders"]);
}
