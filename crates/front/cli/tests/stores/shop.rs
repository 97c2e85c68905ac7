//! The compose project of a scene: the instances of the service are containers of one image, which have the value in their
//! environment.

use std::path::PathBuf;
use std::process::{Command, Output};

use keyroll_testkit::Engine;
use keyroll_testkit::command::wait;

/// The image of the services.
const IMAGE: &str = "keyroll-test:1";

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
        let all = [&["compose"], words].concat();
        let output = self.engine.docker(&all).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The id of a service's container; empty while there is none of its name.
    pub fn container(&self, service: &str) -> String {
        id_of(&mut self.inspect(service))
    }

    /// Waits until the container of a service is being replaced: the old one is gone, and the command that makes the new one
    /// may still run.
    pub fn replaced(&self, service: &str) -> impl FnOnce() + Send + use<> {
        let mut inspect = self.inspect(service);
        let before = id_of(&mut inspect);
        move || wait("a container is being replaced", || id_of(&mut inspect) != before)
    }

    fn inspect(&self, service: &str) -> Command {
        self.engine.docker(&["inspect", "--format", "{{.Id}}", &format!("shop-{service}-1")])
    }
}

fn id_of(inspect: &mut Command) -> String {
    String::from_utf8(inspect.output().unwrap().stdout).unwrap().trim().to_owned()
}
