//! The compose project of a scene: the instances of the service are containers of one image, which have the value in their
//! environment.

use std::path::PathBuf;
use std::process::{Command, Output};

use keyroll_testkit::Engine;
use keyroll_testkit::command::wait;

/// The image of the services.
pub const IMAGE: &str = "keyroll-test:1";

/// The format in which `inspect` tells the id of a container.
const ID: &str = "{{.Id}}";

/// Dropping it ends its containers, with their engine.
pub struct Shop {
    engine: Engine,
    folder: PathBuf,
}

impl Shop {
    /// A project in this folder.
    pub fn new(engine: Engine, folder: PathBuf) -> Self {
        let program = std::env::current_exe().unwrap();
        let target = program.parent().unwrap().strip_prefix("/").unwrap().to_str().unwrap();
        engine.image(IMAGE, target).unwrap();
        Self { engine, folder }
    }

    /// Where its engine listens.
    pub fn host(&self) -> String {
        self.engine.host()
    }

    /// As a person does it: a service whose env file has changed gets a new container.
    pub fn up(&self) {
        self.compose(&["up", "--detach"]);
    }

    /// Everything that its containers wrote.
    pub fn logs(&self) -> Vec<u8> {
        self.compose(&["logs", "--no-color"]).stdout
    }

    fn compose(&self, words: &[&str]) -> Output {
        self.docker(&[&["compose"], words].concat())
    }

    /// A command of docker in the project's folder.
    pub fn docker(&self, words: &[&str]) -> Output {
        let output = self.engine.docker(words).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The id of a service's container; empty while there is none of its name.
    pub fn container(&self, service: &str) -> String {
        told(&mut self.inspect(service, ID))
    }

    /// The process of a service's container.
    pub fn pid(&self, service: &str) -> String {
        told(&mut self.inspect(service, "{{.State.Pid}}"))
    }

    /// Waits until the container of a service is being replaced: the old one is gone, and the command that makes the new one
    /// may still run.
    pub fn replaced(&self, service: &str) -> impl FnOnce() + Send + use<> {
        let mut inspect = self.inspect(service, ID);
        let before = told(&mut inspect);
        move || wait("a container is being replaced", || told(&mut inspect) != before)
    }

    fn inspect(&self, service: &str, format: &str) -> Command {
        self.engine.docker(&["inspect", "--format", format, &format!("shop-{service}-1")])
    }
}

fn told(inspect: &mut Command) -> String {
    String::from_utf8(inspect.output().unwrap().stdout).unwrap().trim().to_owned()
}
