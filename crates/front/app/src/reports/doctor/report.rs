//! The findings of `doctor`, collected.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_config::FILL_IN;
use keyroll_setup::trust::is_foreign;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::operator::{CheckShown, Finding};
use crate::problem::Problem;

/// The findings so far.
#[derive(Default)]
pub(super) struct Report(pub(super) Vec<CheckShown>);

impl Report {
    pub(super) fn add(&mut self, finding: Finding, name: &str, detail: String, help: Option<String>) {
        let (detail, help) = match placeholder(&detail) {
            Some(open) if finding == Finding::Bad => (
                format!("{open} must still be filled in"),
                Some("replace it in keyroll.toml, or create that file".to_owned()),
            ),
            Some(_) | None => (detail, help),
        };
        self.0.push(CheckShown { name: name.to_owned(), finding, detail, help });
    }

    pub(super) fn good(&mut self, name: &str, detail: String) {
        self.add(Finding::Good, name, detail, None);
    }

    pub(super) fn note(&mut self, name: &str, detail: String) {
        self.add(Finding::Note, name, detail, None);
    }

    pub(super) fn bad(&mut self, name: &str, detail: String, help: &str) {
        self.add(Finding::Bad, name, detail, Some(help.to_owned()));
    }

    pub(super) fn bad_count(&self) -> usize {
        self.0.iter().filter(|check| check.finding == Finding::Bad).count()
    }

    pub(super) fn problem(&mut self, name: &str, problem: &Problem) {
        let detail = problem.causes.join(": ");
        self.add(Finding::Bad, name, format!("{detail} ({})", problem.code), problem.help.clone());
        for one in &problem.further {
            self.add(Finding::Bad, name, one.cause.clone(), one.help.clone());
        }
    }
}

/// The placeholder of `init` in `detail` that the operator has not replaced yet.
fn placeholder(detail: &str) -> Option<&str> {
    let mut words = detail.split([' ', ':', ',']);
    words.find(|word| word.rsplit('/').next().is_some_and(|name| name.starts_with(FILL_IN)))
}

/// Reports whether a file exists and only its owner can use it; returns true unless a finding is bad.
pub(super) fn check_private_file(report: &mut Report, name: &str, file: &Path, must_exist: bool) -> bool {
    let shown = file.display();
    let before = report.bad_count();
    match file.metadata() {
        Ok(meta) if !meta.is_file() => {
            report.bad(name, format!("{shown} is not a regular file"), "create a regular file")
        }
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let help = format!("chmod 600 {shown}, and consider who may have read it");
            report.bad(
                name,
                format!("{shown}: other users can access it (mode {:04o})", meta.mode() & 0o7777),
                &help,
            );
        }
        Ok(meta) if is_foreign(meta.uid()) => {
            let owner = meta.uid();
            report.bad(
                name,
                format!("{shown} belongs to user {owner}, who can read and replace it"),
                "write it into a new file of your own",
            );
        }
        Ok(_) => match accessat(CWD, file, Access::READ_OK, AtFlags::EACCESS) {
            Ok(()) => report.good(name, format!("{shown}")),
            Err(error) => {
                report.bad(name, format!("{shown}: {error}"), "run keyroll as a user who can read it");
            }
        },
        Err(error) if !must_exist && error.kind() == ErrorKind::NotFound => {
            report.note(name, format!("{shown} does not exist yet"))
        }
        Err(error) => report.bad(name, format!("{shown}: {error}"), "create it, or correct the path"),
    }
    report.bad_count() == before
}
