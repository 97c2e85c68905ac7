//! A program that restarts inside of its process: what may have begun before its file was written gives no evidence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use keyroll_host::{ConsumerSetup, Local, SlotSetup};
use keyroll_manager::{Applied, AppliedBy, Attempt, CommandLine, Generation, InstanceProcess, Workload};
use keyroll_observe::{Listing, ProcessId, process};
use keyroll_port::{Failure, Host, Proving, Sessions, Values};
use keyroll_rotation::{ConsumerId, FileId, Kinds, Which};

use crate::local::{Place, fields, file, variable};
use crate::{prove, step};

/// A program of which a change of its file changes the sockets only.
#[derive(Debug)]
struct InPlace {
    process: ProcessId,
    file: PathBuf,
    sockets: Mutex<Vec<u64>>,
}

impl Workload for InPlace {
    fn apply(&self, _attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        Ok(Applied { done: "nothing".to_owned(), output: None })
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Nothing("it restarts itself in its process")
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        Ok(vec![InstanceProcess { process: self.process, instance: None, main: true }])
    }

    fn starts_new_process(&self) -> bool {
        false
    }

    fn generations(&self, file: &Path) -> Result<Option<Vec<Generation>>, Failure> {
        let sockets = self.sockets.lock().unwrap().clone();
        Ok((file == self.file).then(|| vec![Generation { process: self.process, sockets }]))
    }
}

struct Scene {
    place: Place,
    file: PathBuf,
    run: Arc<InPlace>,
    program: Child,
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        let file = place.write("app.env", &format!("KEY={}\n", place.old));
        let program = Command::new("sleep").arg("600").spawn().unwrap();
        let process = process(program.id()).unwrap().id;
        let run = Arc::new(InPlace { process, file: file.clone(), sockets: Mutex::new(vec![10]) });
        Self { place, file, run, program }
    }

    /// A driver that begins anew: it knows only what is on the disk.
    fn host(&self, fetch: Option<CommandLine>) -> Local {
        let slot =
            SlotSetup { instance: None, run: self.run.clone(), checks: vec![None], log: None, ready: None };
        let consumer = ConsumerSetup {
            succeeded: false,
            name: "app".into(),
            files: vec![FileId(0)],
            fetch,
            slots: vec![slot],
            follows: false,
            served: None,
        };
        self.place.host(vec![file(&self.file, vec![variable("KEY")])], vec![consumer])
    }

    async fn deliver(&self, which: Which) {
        let (old, new) = (fields(&self.place.old), fields(&self.place.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        self.host(None).deliver(FileId(0), which, values, step(3)).await.unwrap();
    }

    /// Whether the program gives evidence of the version; the file holds it.
    async fn proves(&self, which: Which) -> bool {
        let (old, new) = (fields(&self.place.old), fields(&self.place.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        let of = Proving { consumer: ConsumerId(0), slot: Some(0), which, values, watched: false };
        let proved = prove(&self.host(None), of, Sessions::default).await;
        let told = !proved.remarks.is_empty();
        let proofs = proved.evidence.unwrap().proofs;
        let has = proofs[0].paths[0].has(Kinds::DELIVERED);
        assert_eq!(told, !has, "a process that gives no evidence is named");
        has
    }

    fn begins_anew(&self, sockets: &[u64]) {
        *self.run.sockets.lock().unwrap() = sockets.to_vec();
    }

    /// A command that copies `next` over the file.
    async fn fetch(&self, next: &str) {
        let next = self.place.write("next", next);
        let words = [next, self.file.clone()].map(|path| path.display().to_string());
        let host = self.host(Some(CommandLine::program("cp", words)));
        let (old, new) = (fields(&self.place.old), fields(&self.place.new));
        let values = Values { old: &old, new: Some(&new), old_ended: false };
        host.fetch(ConsumerId(0), Which::New, values, step(5)).await.unwrap();
    }

    fn new_text(&self) -> String {
        format!("KEY={}\n", self.place.new)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gives_evidence_of_what_was_written_only_once_it_has_begun_anew() {
    let scene = Scene::new();
    assert!(scene.proves(Which::Old).await, "nothing was written");
    scene.deliver(Which::New).await;
    assert!(!scene.proves(Which::New).await);
    scene.begins_anew(&[]);
    assert!(!scene.proves(Which::New).await, "it is not there yet");
    // A delivery that is repeated changes nothing.
    scene.deliver(Which::New).await;
    scene.begins_anew(&[11]);
    assert!(scene.proves(Which::New).await);
    scene.deliver(Which::New).await;
    assert!(scene.proves(Which::New).await);
    scene.deliver(Which::Old).await;
    assert!(!scene.proves(Which::Old).await);
    scene.begins_anew(&[12]);
    assert!(scene.proves(Which::Old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_stayed_as_it_was_has_what_is_put_back() {
    let scene = Scene::new();
    scene.deliver(Which::New).await;
    scene.deliver(Which::Old).await;
    assert!(scene.proves(Which::Old).await);
}

/// The consumer's own command writes the file: keyroll does not know which version that is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_writes_counts_as_a_write() {
    let scene = Scene::new();
    scene.fetch(&scene.new_text()).await;
    assert!(!scene.proves(Which::New).await);
    scene.begins_anew(&[11]);
    assert!(scene.proves(Which::New).await);
    scene.fetch(&scene.new_text()).await;
    assert!(scene.proves(Which::New).await, "the command wrote what was there");
}

/// What is not known is no evidence, and ends with the program's next restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_another_writer_or_a_damaged_record_needs_one_more_restart() {
    let scene = Scene::new();
    fs::write(&scene.file, scene.new_text()).unwrap();
    assert!(!scene.proves(Which::New).await && !scene.proves(Which::New).await);
    scene.begins_anew(&[11]);
    assert!(scene.proves(Which::New).await);
    fs::write(scene.place.path("state/work/r1-generations-0"), "new 1").unwrap();
    assert!(!scene.proves(Which::New).await);
    scene.begins_anew(&[12]);
    assert!(scene.proves(Which::New).await);
}
