//! A program that stands for a store, in a folder of its own.

use std::fs;

use keyroll_manager::CommandLine;
use keyroll_port::Truth;
use keyroll_secret::{Credential, Fields, SecretBytes};
use keyroll_testkit::{TempDir, tag, write_program};
use keyroll_truth::{ExecSecret, exec};

use crate::sample::value;

/// A whole program. Tests plant a mistake into it.
pub(crate) const GOOD: &str = include_str!("exec/store.py");

/// What the program is asked for.
pub(crate) const ITEM: &str = "item";

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) old: Credential,
}

impl Scene {
    pub(crate) fn with(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // An item that nobody uses: the check of programs writes over no other.
        let scratch = SecretBytes::from(format!("keyroll-test-{}", tag()));
        let scene = Self { folder, old: Credential { id: None, fields: Fields::single(scratch) } };
        scene.becomes(script);
        scene.holds(7, &value(&scene.old));
        scene
    }

    pub(crate) fn good() -> Self {
        Self::with(GOOD)
    }

    /// The good program with a part of its text replaced.
    #[track_caller]
    pub(crate) fn planted(part: &str, by: &str) -> Self {
        assert_eq!(GOOD.matches(part).count(), 1, "{part}");
        Self::with(&GOOD.replace(part, by))
    }

    /// A program that reads the request and runs this line of shell.
    pub(crate) fn shell(line: &str) -> Self {
        Self::with(&format!("#!/bin/sh\nread -r request\n{line}\n"))
    }

    /// Gives the program this text.
    pub(crate) fn becomes(&self, script: &str) {
        write_program(&self.folder.path().join("program"), script);
    }

    pub(crate) fn holds(&self, version: u32, text: &str) {
        fs::write(self.folder.path().join("store"), format!("[{version}, \"{text}\"]")).unwrap();
    }

    /// The content of the store.
    pub(crate) fn text(&self) -> String {
        self.read("store")
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn gives(&self, credential: &Credential) -> bool {
        self.text().ends_with(&format!(" \"{}\"]", value(credential)))
    }

    pub(crate) fn truth(&self) -> Box<dyn Truth> {
        let secret = ExecSecret {
            program: self.folder.path().join("program"),
            item: ITEM.to_owned(),
            folder: self.folder.path().to_owned(),
            field: "value".to_owned(),
            reference: format!("exec:./program#{ITEM}"),
        };
        Box::new(exec(secret).unwrap())
    }

    pub(crate) fn command(&self) -> CommandLine {
        let none: [&str; 0] = [];
        CommandLine::program(self.folder.path().join("program").display().to_string(), none)
    }
}
