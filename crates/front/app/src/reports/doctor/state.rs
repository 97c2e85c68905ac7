//! The folders, files and sealing key of an installation.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::Config;
use keyroll_journal::check_whole;
use keyroll_port::{Failure, Label, Store as _};
use keyroll_store::{SealedStore, names_unvouched};

use super::report::{Report, check_private_file};
use crate::operator::Finding;
use crate::places::{self, Places};
use crate::problem::Problem;
use crate::records::store_freshness::agree;
use crate::records::versions::{kept, label};
use crate::weak_values::Strength;
use crate::wiring::validate_value::next_step;
use crate::wiring::{open, sealing};

pub(super) fn check_folders(report: &mut Report, places: &Places) {
    for (name, folder) in [("state", &places.state), ("keys", &places.keys)] {
        match folder.exists() {
            false => report.note(
                name,
                format!("{} does not exist yet; keyroll creates it on first use", folder.display()),
            ),
            true => match places::check(folder) {
                Ok(()) => report.good(name, format!("{}, accessible only to this user", folder.display())),
                Err(problem) => report.problem(name, &problem),
            },
        }
    }
    for (path, mode) in places.wide() {
        // The folder itself is closed, so this is a note: the next command corrects the mode.
        let detail = format!(
            "other users can access {} (mode {mode:04o}); the next command closes it",
            path.display()
        );
        report.note("state", detail);
    }
    let files = [
        ("journal", places.journal()),
        ("sealed values", places.sealed()),
        ("sealing key", places.sealing_key()),
        ("epoch witness", places.witness()),
    ];
    for (name, file) in files {
        // A missing key of existing values is reported by `check_sealing`.
        if file != places.sealing_key() || file.exists() || !places.sealed().exists() {
            check_private_file(report, name, &file, false);
        }
    }
    let device = |folder: &Path| folder.metadata().map(|meta| meta.dev()).ok();
    if let (Some(state), Some(keys)) = (device(&places.state), device(&places.keys)) {
        let help = format!(
            "back up {} and {} separately: whoever has both can open every sealed value, and without the \
             key a backup of the state is useless",
            places.state.display(),
            places.keys.display()
        );
        let detail = match state == keys {
            true => {
                "state and keys are on one file system: not visible whether they are backed up separately"
            }
            false => {
                "state and keys are on two file systems: not visible whether they are backed up separately"
            }
        };
        report.add(Finding::Note, "backup", detail.to_owned(), Some(help));
    }
}

/// Reports the wrapping of the sealing key, and whether the key opens the sealed values. Returns whether it does.
pub(super) fn check_sealing(report: &mut Report, places: &Places) -> bool {
    if !places.sealing_key().exists() && !places.sealed().exists() {
        return false;
    }
    let before = report.bad_count();
    let name = "sealing key's wrapping";
    let key = match sealing::sealing_key(places).and_then(|key| Ok((sealing::wrapping_of(places)?, key))) {
        Ok((with, key)) if with == "file" => {
            let help = "keyroll secret rewrap --to SOURCE: docs/guides/keep-the-sealing-key.md";
            let detail = "none: whoever reads the file has the key".to_owned();
            report.add(Finding::Note, name, detail, Some(help.to_owned()));
            Some(key)
        }
        Ok((with, key)) => {
            report.good(name, format!("{with}, which opens it"));
            Some(key)
        }
        Err(problem) => {
            report.problem("sealing key", &problem);
            None
        }
    };
    // No other key helps where the disk refuses it.
    let mut by_disk = false;
    if let Some(key) = key.filter(|_| places.sealed().exists()) {
        match SealedStore::open(&places.state, key.duplicate()) {
            Ok(_) => report.good("sealed values", "the sealing key opens them".to_owned()),
            Err(failure) => {
                by_disk = failure.code == Code::StateUnusable;
                report.problem("sealed values", &Problem::from(failure));
            }
        }
    }
    let opened = report.bad_count() == before;
    if !opened && !by_disk && places.sealed().exists() {
        report_unreadable(report, places);
    }
    let mut left = places.sealing_key().into_os_string();
    left.push(".new");
    if Path::new(&left).exists() {
        let detail = format!("{} is left over from an interrupted rewrap", Path::new(&left).display());
        report.bad(name, detail, "run keyroll secret rewrap again, which removes it");
    }
    opened
}

/// Names the values that cannot be read, says that nothing was revoked, and gives the next step.
fn report_unreadable(report: &mut Report, places: &Places) {
    let names = match names_unvouched(&places.state) {
        Ok(names) if names.is_empty() => return,
        Ok(names) => names.join(", "),
        Err(_) => "all of them; their names are unreadable too".to_owned(),
    };
    let detail = format!(
        "unreadable until this is fixed: {names}. Their keys still work, at their issuers and in their \
         consumers' files; nothing was revoked"
    );
    let help = format!(
        "restore this state's sealing.key into {} from its backup; if there is none: \
         docs/guides/keep-the-sealing-key.md, \"When it is lost\"",
        places.keys.display()
    );
    let problem = Problem::new(Code::SealingKeyUnusable, "read the sealed values").because(detail).help(help);
    report.problem("sealed values", &problem);
}

/// Reads the whole journal and compares it with its witness. `key`: the sealing key can be opened.
pub(super) fn check_journal(report: &mut Report, places: &Places, key: bool) {
    if !places.journal().exists() {
        return;
    }
    if !key {
        let detail =
            "not visible: the sealing key is needed to tell whether the state belongs to this machine"
                .to_owned();
        return report.note("journal's chain", detail);
    }
    let whole = check_whole(&places.state, &places.witness()).map_err(|error| open::not_opened(&error));
    match whole.and_then(|()| open::journal(places)) {
        Ok(_) => report.good("journal's chain", "whole, and as new as its witness".to_owned()),
        Err(problem) => report.problem("journal's chain", &problem),
    }
}

/// Reports a store that is older than the journal, such as one that was restored alone.
pub(super) fn check_freshness(report: &mut Report, config: &Config, places: &Places) {
    if !places.journal().exists() || !places.sealed().exists() {
        return;
    }
    // What cannot be opened was reported already.
    let (Ok(journal), Ok(store), Ok(runtime)) =
        (open::journal(places), open::store(places), open::runtime(places))
    else {
        return;
    };
    for secret in config.secrets.values() {
        let name = secret.name.as_str();
        let compared = || runtime.block_on(agree(journal.as_ref(), store.as_ref(), store.as_ref(), name));
        // A driver may have written between the two reads.
        if let Err(problem) = compared().or_else(|_| compared()) {
            report.problem(&format!("{name}: sealed values"), &problem);
        }
    }
}

/// Names the stored values that can be guessed, each with what redaction does with it.
pub(super) fn check_strength(report: &mut Report, config: &Config, places: &Places) {
    if !places.sealed().exists() {
        return;
    }
    // What cannot be opened or read was reported already.
    let (Ok(store), Ok(runtime)) = (open::store(places), open::runtime(places)) else { return };
    for secret in config.secrets.values() {
        let name = secret.name.as_str();
        let values = runtime.block_on(async {
            let mut values = Vec::new();
            for version in kept(store.as_ref(), name).await? {
                let read = store.read(name, version.number).await?;
                values.extend(read.map(|credential| (version.number, version.label, credential)));
            }
            Ok::<_, Failure>(values)
        });
        for (number, its, credential) in values.unwrap_or_default() {
            let Strength { unusable, weak } = Strength::of(secret, &credential.fields);
            let mut add = |why: &str, help: Option<String>| {
                let detail = format!("v{number} ({}): {why}", label(its));
                report.add(Finding::Note, &format!("{name}: value"), detail, help);
            };
            unusable.iter().for_each(|why| add(why, None));
            for weak in weak {
                add(&weak.why, (its == Label::Current).then(|| next_step(&weak, secret)));
            }
        }
    }
}
