//! Measures what the chains of a machine cost: 300 processes more, a third of which a shell has started with a value that
//! stands in a file too, and 20 services of compose in five projects; prints one line of JSON.
#![allow(missing_docs)]
#![allow(clippy::expect_used)]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_manager::Docker;
use keyroll_secret::FingerprintKey;
use keyroll_testkit::Engine;
use keyroll_trace::{Managers, Options, survey_with};

const PROCESSES: usize = 300;
const SECRETS: usize = 100;
const PROJECTS: usize = 5;
const SERVICES: usize = 4;

struct Ended(Vec<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
        self.0.iter_mut().for_each(|child| drop(child.wait()));
    }
}

fn value() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn projects(engine: &Engine, folder: &Path) {
    engine.image("keyroll-cost:1", "own").expect("an image");
    for project in 0..PROJECTS {
        let folder = folder.join(format!("project{project}"));
        std::fs::create_dir(&folder).expect("a folder");
        let mut text = "services:\n".to_owned();
        for service in 0..SERVICES {
            std::fs::write(
                folder.join(format!("{service}.env")),
                format!("S{service}_API_KEY={}\n", value()),
            )
            .expect("a file");
            text.push_str(&format!(
                "  s{service}:\n    image: keyroll-cost:1\n    network_mode: none\n    stop_signal: SIGKILL\n    \
                 volumes: ['/usr:/usr:ro']\n    command: ['/bin/sleep', '1000']\n    env_file: [{service}.env]\n    \
                 environment: {{ BOTH_API_KEY: '{}' }}\n",
                value()
            ));
        }
        std::fs::write(folder.join("compose.yaml"), text).expect("a file");
        let up = engine.docker(&["compose", "up", "--detach", "--quiet-pull"]).current_dir(&folder).output();
        assert!(up.expect("docker runs").status.success());
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::start().expect("a container engine");
    projects(&engine, folder.path());
    let mut children = Ended(Vec::new());
    for index in 0..PROCESSES {
        let work = folder.path().join(index.to_string());
        std::fs::create_dir(&work).expect("a folder");
        let mut command = Command::new("sh");
        // Every second one is a shell with a program below it.
        command.args(["-c", if index % 2 == 0 { "sleep 200; :" } else { "exec sleep 600" }]);
        command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null()).current_dir(&work);
        command.envs((0..40).map(|number| (format!("SETTING_{number}"), format!("{index} of {number}"))));
        if index < SECRETS {
            let value = value();
            std::fs::write(work.join(".env"), format!("SERVICE_{index}_API_KEY={value}\n")).expect("a file");
            command.env(format!("SERVICE_{index}_API_KEY"), value);
        }
        children.0.push(command.spawn().expect("a process"));
    }
    std::thread::sleep(Duration::from_millis(500));
    let options = Options { roots: vec![folder.path().to_owned()], wait: Duration::from_secs(60) };
    let managers = Managers { docker: Docker { host: engine.host(), ..Docker::default() } };
    let mut took = Vec::new();
    let (mut processes, mut services, mut chains) = (0, 0, 0);
    for _ in 0..3 {
        let begun = Instant::now();
        let seen =
            survey_with(&options, &managers, FingerprintKey::new(&[7; 32]), Vec::new()).expect("a survey");
        took.push(format!("{:.2}", begun.elapsed().as_secs_f64()));
        (processes, services) = (seen.instances.len(), seen.services.len());
        chains = seen.services.iter().map(|one| one.chains.len()).sum::<usize>();
    }
    println!(
        r#"{{"processes":{processes},"services":{services},"chains":{chains},"survey_s":[{}]}}"#,
        took.join(",")
    );
    drop(children);
}
