//! A file with a value, and the adapter for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keyroll_port::{Failure, Truth};
use keyroll_secret::Credential;
use keyroll_testkit::{TempDir, tag};
use keyroll_truth::{FileSecret, file};

use crate::sample::{credential, value};

/// A form of a file: the end of its name, the place of the value, and its text. `@` stands for the value, `%` for what
/// stands beside it.
pub(crate) type Form = (&'static str, Option<&'static str>, &'static str);

pub(crate) const ENV: Form = (".env", Some("KEY"), "# for %\nOTHER='%'\nexport KEY=\"@\" # a note\nLAST=1");

pub(crate) const FORMS: [Form; 9] = [
    ENV,
    (".key", None, "@"),
    (".key", None, "@\n"),
    (".json", Some("/a/KEY"), "{ \"other\": \"%\",\n\t\"a\" : {\"KEY\" : \"@\"}, \"n\": 1.50 }\n"),
    (".yaml", Some("/a/KEY"), "other: '%'\na:\n  KEY: \"@\" # a note\n"),
    (".yml", Some("KEY"), "other: '%'\nKEY: \"@\"\n"),
    (".toml", Some("/a/KEY"), "other = '%'\n[a]\nKEY = \"@\"\n"),
    (".ini", Some("/a/KEY"), "[b]\nother = %\n[a]\nKEY = @\n"),
    (".conf", Some("/a/KEY"), "[b]\nother = %\n[a]\nKEY = @\n"),
];

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) form: Form,
    pub(crate) old: Credential,
    pub(crate) beside: String,
}

impl Scene {
    pub(crate) fn new(form: Form) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { folder, form, old: credential(), beside: tag() };
        scene.holds(&scene.old);
        scene
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(format!("agents{}", self.form.0))
    }

    /// Somebody writes the file: another file takes its place, as an editor does it.
    pub(crate) fn holds(&self, credential: &Credential) {
        let text = self.form.2.replace('%', &self.beside).replace('@', &value(credential));
        self.becomes(&text);
    }

    pub(crate) fn becomes(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&new, self.path()).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    pub(crate) fn gives(&self, credential: &Credential) -> bool {
        self.text().contains(&value(credential))
    }

    /// The files of the folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn truth(&self) -> Box<dyn Truth> {
        Box::new(try_open(&self.path(), self.form.1).unwrap())
    }
}

pub(crate) fn try_open(path: &Path, at: Option<&str>) -> Result<impl Truth + use<>, Failure> {
    let path = path.to_owned();
    let reference =
        at.map_or_else(|| format!("file:{}", path.display()), |at| format!("file:{}#{at}", path.display()));
    file(FileSecret { path, at: at.map(str::to_owned), field: "value".to_owned(), reference })
}
