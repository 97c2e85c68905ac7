//! Pending changes that the restart of a unit would activate: in its own files, and in what each start reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keyroll_manager::Unit;
use keyroll_observe::{Image, ProcessId, Variable, credential_has, unit_folders};
use keyroll_port::PendingChanges;

use super::Local;
use super::file_fingerprint::file_fingerprint;
use super::live::Subject;

impl Local {
    /// Compares the unit file, its drop-ins, and the files of variables that it names.
    pub(super) fn unit(
        &self,
        subject: &Subject<'_>,
        unit: &Unit,
        image: &Image,
        report: &mut PendingChanges,
    ) -> Vec<PathBuf> {
        let instance = subject.slot.instance.as_deref();
        let asked = unit.files(instance).and_then(|files| Ok((files, unit.state(instance)?)));
        let (files, state) = match asked {
            Ok(asked) => asked,
            Err(failure) => {
                let name = &subject.consumer.name;
                report.not_visible.push(format!("the unit of '{name}': could not {}", failure.attempted));
                return Vec::new();
            }
        };
        let before = report.live.len();
        let known: BTreeSet<PathBuf> = files.of_unit.iter().cloned().chain(drop_ins(&files.unit)).collect();
        for path in &known {
            self.changed(subject, "unit", path, path, image, report);
        }
        if state.needs_reload && report.live.len() == before {
            let what = format!("the files of {} say something else than systemd has read", files.unit);
            let found = files.of_unit.first().and_then(|path| file_fingerprint(path).ok());
            self.push(subject, "unit", Path::new(&files.unit), what, found.as_ref(), report);
        }
        files.environment
    }

    /// Compares the files of the unit's credentials, except its own copies: systemd reads them at each start.
    pub(super) fn credentials(
        &self,
        subject: &Subject<'_>,
        unit: &Unit,
        process: &ProcessId,
        report: &mut PendingChanges,
    ) {
        let name = &subject.consumer.name;
        let given = match unit.credentials(subject.slot.instance.as_deref()) {
            Ok(given) => given,
            Err(failure) => {
                report
                    .not_visible
                    .push(format!("the credentials of '{name}': could not {}", failure.attempted));
                return;
            }
        };
        let own = |path: &Path| {
            let files = subject.consumer.files.iter().filter_map(|id| self.setup.file(*id));
            files.map(|file| &file.path).any(|file| same_file(file, path))
        };
        for (credential, path) in given.iter().filter(|(_, path)| !own(path)) {
            let not_compared = |why: String| format!("the credential {credential} of '{name}': {why}");
            let found = match file_fingerprint(path) {
                Ok(found) => found,
                Err(why) => {
                    report.not_visible.push(not_compared(format!("{}: {why}", path.display())));
                    continue;
                }
            };
            let Some(content) = &found.content else { continue };
            match credential_has(process, credential, content) {
                Ok(Variable::Same) => {}
                Ok(Variable::Other | Variable::Absent) => {
                    let what = format!(
                        "the credential {credential}: {} differs from what the running process was given",
                        path.display()
                    );
                    self.push(subject, "credential", path, what, Some(&found), report);
                }
                Err(reason) => report.not_visible.push(not_compared(reason.to_string())),
            }
        }
    }
}

/// Drop-ins of a unit that systemd may not have read yet. Source: systemd.unit(5).
fn drop_ins(unit: &str) -> Vec<PathBuf> {
    let folders = unit_folders(&[]).into_iter().map(|folder| folder.join(format!("{unit}.d")));
    let inside = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    inside.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "conf")).collect()
}

fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
