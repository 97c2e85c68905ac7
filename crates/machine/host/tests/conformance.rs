//! The port's own suite, on real files.

use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use keyroll_copy::{Format, Slot};
use keyroll_host::{CopySetup, CopySource, FileSetup, Local, Setup, Write};
use keyroll_port::Host;
use keyroll_port::conformance::host::{self, HostHarness};
use keyroll_secret::{Fields, FingerprintKey, SecretBytes};

use crate::local::{at_rest, value};

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
