//! The configuration as it is written from the base file and the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::PoisonError;

use keyroll_app::atomic_file;
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::reports::emergency::open_secrets;
use keyroll_codes::Code;
use keyroll_config::{COMPOSED, CONFIG_BYTES_MAX};
use keyroll_controller::{Accepted, BadBase, Base, Id, SecretRotation, Stays};

use super::followed::Followed;
use super::writing::Writing;

/// A base file that cannot be used.
pub(super) fn unusable(base: &Path) -> Problem {
    going_by(base, Code::ServerNotStarted)
}

fn going_by(base: &Path, code: Code) -> Problem {
    Problem::new(code, format!("go by {} and the SecretRotation objects", base.display()))
}

fn bad(path: &Path, error: BadBase) -> Problem {
    let problem = going_by(path, error.code).because(error.sentence);
    match error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

pub(super) fn base_of(path: &Path) -> Result<Base, Problem> {
    Base::read(path).map_err(|error| bad(path, error))
}

/// What became of each object, as the file that is there now has it.
pub(super) struct Written {
    pub(super) objects: Vec<SecretRotation>,
    pub(super) each: BTreeMap<Id, Accepted>,
    /// Why the base file does not count as it is now, if it does not.
    pub(super) stale: Option<String>,
}

/// Writes the configuration anew if it has to say something else. It may wait for the journal.
///
/// # Errors
/// The file is not one that keyroll writes, or cannot be written, or the journal cannot be read.
pub(super) fn write(followed: &Followed, installation: &Installation) -> Result<Written, Problem> {
    let mut writing = followed.writing.lock().unwrap_or_else(PoisonError::into_inner);
    let Writing { bases, composer } = &mut *writing;
    let stale = bases.look(&followed.base);
    let before = read(&followed.file)?;
    let former = composer.former(bases.last(), before.as_deref());
    let former = former.map_err(|error| bad(&followed.file, error))?;
    let names: Vec<String> = former.names().map(str::to_owned).collect();
    let places = installation.places()?;
    let open = open_secrets(&names, &places)?;
    let objects = followed.known.all();
    let seen: BTreeSet<String> = objects.iter().map(SecretRotation::secret).collect();
    // What is not seen now is not deleted: what counted of it counts on.
    let may_exist = |secret: &str| {
        let Some((namespace, name)) = secret.split_once('.') else { return false };
        let mut its = followed.clusters.iter().filter(|(_, cluster)| cluster.namespace == namespace);
        its.any(|(host, _)| followed.known.may_exist(host, name))
    };
    let unseen =
        names.iter().filter(|secret| !seen.contains(*secret) && may_exist(secret)).cloned().collect();
    let stays = Stays { open, unseen };
    let composed = composer.compose(bases.last(), &objects, &former, stays);
    if before.as_deref() != Some(composed.text.as_str()) {
        put(&followed.file, &composed.text)?;
    }
    let each = composed.each.clone();
    Ok(Written { objects, each, stale })
}

fn unwritten(file: &Path) -> Problem {
    Problem::new(Code::ConfigNotWritten, format!("write {}", file.display()))
}

/// The text that keyroll wrote there last; none if there is no such file.
fn read(file: &Path) -> Result<Option<String>, Problem> {
    match file.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unwritten(file).because_of(&error)),
        Ok(meta) if meta.len() > CONFIG_BYTES_MAX => return Err(unwritten(file).because("it is too large")),
        Ok(_) => {}
    }
    let text = std::fs::read_to_string(file).map_err(|error| unwritten(file).because_of(&error))?;
    match text.starts_with(COMPOSED) {
        true => Ok(Some(text)),
        false => Err(unwritten(file)
            .because("there is a file that keyroll did not write")
            .help("with --kubernetes, keyroll writes the file that --config names: name another one")),
    }
}

fn put(file: &Path, text: &str) -> Result<(), Problem> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), |folder| DirBuilder::new().recursive(true).mode(0o700).create(folder));
    made.and_then(|()| atomic_file::replace_private(file, text.as_bytes()))
        .map_err(|error| unwritten(file).because_of(&error))
}
