//! The port's own suite, on real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_copy::{Format, Slot};
use keyroll_host::{ConsumerSetup, CopySetup, CopySource, FileSetup, Local, Setup, SlotSetup, Write};
use keyroll_manager::{CommandLine, Find, Process, Verb};
use keyroll_port::Host;
use keyroll_port::conformance::host::{self, HostHarness, ProcessHarness, SweepHarness};
use keyroll_rotation::{FileId, Which};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};
use keyroll_testkit::Service;

use crate::local::{Place, at_rest, fields, file, value, variable};

/// A file of variables that is written by this way.
struct OneFile {
    write: Write,
    folder: tempfile::TempDir,
    versions: (Fields, Fields),
    host: Local,
}

impl OneFile {
    fn new(write: Write) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = |tag| Fields::single(SecretBytes::from(value(tag)));
        let host = local(&folder, write);
        Self { write, folder, versions: (made("old"), made("new")), host }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.env")
    }
}

fn local(folder: &tempfile::TempDir, write: Write) -> Local {
    let path = folder.path().join("app.env");
    let slot = Slot::Variable("KEY".into());
    let source = CopySource::Field("value".into());
    let copies = vec![CopySetup::Value { format: Format::Dotenv, slot, source }];
    let files =
        vec![FileSetup { path, planned: None, write, copies, generated: false, own: None, generator: None }];
    let setup = Setup {
        host: keyroll_host::LOCAL,
        rotation: "r1".into(),
        files,
        consumers: vec![at_rest(vec![keyroll_rotation::FileId(0)], None)],
        roots: Vec::new(),
        search: keyroll_host::SearchLimits::default(),
        bystanders: Vec::new(),
        own_folders: vec![folder.path().join("state")],
        instance_time_max: std::time::Duration::from_secs(120),
        work: folder.path().join("state/work"),
        value_format: (b"abcdef0123456789".to_vec(), 64),
        servers: Vec::new(),
        gate: None,
        issuer_at: Vec::new(),
    };
    Local::new(setup, FingerprintKey::new(&[7; 32]))
}

#[async_trait]
impl HostHarness for OneFile {
    async fn fresh(&mut self) {
        let old = self.versions.0.get("value").unwrap().value.expose().to_vec();
        fs::write(self.path(), [b"A=1\nKEY=", &*old, b"\n"].concat()).unwrap();
        drop(fs::remove_dir_all(self.folder.path().join("state")));
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        self.host = local(&self.folder, self.write);
    }

    fn host(&self) -> &dyn Host {
        &self.host
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions.0, &self.versions.1)
    }

    async fn overwrite(&mut self) {
        fs::write(self.path(), "A=1\nKEY=theirs\n").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_keeps_the_ports_promises() {
    host::run(&mut OneFile::new(Write::Rename)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place_keeps_the_ports_promises() {
    host::run(&mut OneFile::new(Write::InPlace)).await.unwrap();
}

/// A program that a script restarts, and a job whose own command fetches its file.
struct Serving {
    place: Place,
    service: Service,
    versions: (Fields, Fields),
    host: Local,
}

impl Serving {
    fn new() -> Self {
        let place = Place::new();
        let service = Service::new(place.path("app"));
        let versions = (fields(&place.old), fields(&place.new));
        let host = serving(&place, &service);
        Self { place, service, versions, host }
    }

    fn value(&self, which: Which) -> &str {
        match which {
            Which::Old => &self.place.old,
            Which::New => &self.place.new,
        }
    }
}

fn serving(place: &Place, service: &Service) -> Local {
    let command = |path: &Path| CommandLine::program(path.display().to_string(), Vec::<String>::new());
    let find = Find::PidFile { path: service.pid_file(), exe: None };
    let verb = Verb::Restart(command(&service.restart()));
    let run = Arc::new(Process { instances: Vec::new(), find, verb });
    let api = ConsumerSetup {
        name: "api".into(),
        files: vec![FileId(0)],
        fetch: None,
        slots: vec![SlotSetup { instance: None, run, checks: vec![None], log: None, ready: None }],
        follows: false,
        served: None,
        succeeded: false,
    };
    let fetch = Some(command(&service.fetch()));
    let job = ConsumerSetup { fetch, ..at_rest(vec![FileId(1)], None) };
    let own = file(&service.file(), vec![variable("KEY")]);
    let pulled = FileSetup { generated: true, ..file(&service.pulled(), vec![variable("KEY")]) };
    place.host(vec![own, pulled], vec![api, job])
}

#[async_trait]
impl HostHarness for Serving {
    async fn fresh(&mut self) {
        self.service.fresh(&self.place.old);
        drop(fs::remove_dir_all(self.place.path("state")));
        self.reopen().await;
    }

    async fn reopen(&mut self) {
        self.host = serving(&self.place, &self.service);
    }

    fn host(&self) -> &dyn Host {
        &self.host
    }

    fn versions(&self) -> (&Fields, &Fields) {
        (&self.versions.0, &self.versions.1)
    }

    async fn overwrite(&mut self) {
        fs::write(self.service.file(), "A=1\nKEY=theirs\n").unwrap();
    }
}

#[async_trait]
impl ProcessHarness for Serving {
    async fn start(&mut self) {
        self.service.start();
    }

    async fn gives_out(&mut self, which: Which) {
        self.service.gives_out(self.value(which));
    }
}

#[async_trait]
impl SweepHarness for Serving {
    async fn copied(&mut self) -> String {
        self.service.copied(&self.place.old)
    }

    async fn left(&self) -> Vec<String> {
        self.service.left(&self.place.path("state"), &[&self.place.old, &self.place.new])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_restarted_keeps_the_ports_promises() {
    host::serving(&mut Serving::new()).await.unwrap();
}
