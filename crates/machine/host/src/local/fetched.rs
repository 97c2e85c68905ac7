//! What a consumer's own command made of its copies, read back before the consumer loads them.

use keyroll_codes::Code;
use keyroll_copy::CopyError;
use keyroll_port::{Class, Failure, Values};
use keyroll_rotation::Which;

use super::copies::holds_version;
use super::deliver::unclear;
use super::identity::version_name;
use super::{ConsumerSetup, FileSetup, Local};
use crate::read;

impl Local {
    /// Fails if a copy does not hold the version that the consumer is moved to: it would be restarted with another one. A
    /// file that cannot be read says nothing, here as in the evidence.
    pub(super) fn refuse_not_fetched(
        &self,
        consumer: &ConsumerSetup,
        which: Which,
        values: Values<'_>,
    ) -> Result<(), Failure> {
        // A store that was put back from a backup has no new version to compare with.
        if values.of(which).is_none() {
            return Ok(());
        }
        let files = consumer.files.iter().filter_map(|id| self.setup.file(*id));
        for file in files.filter(|file| file.own.is_none()) {
            let Ok(content) = self.resolved(file).and_then(|resolved| read(&resolved)) else { continue };
            if let Some(why) = other_content(file, content.bytes.expose(), which, values) {
                return Err(not_fetched(consumer, file, which, &why));
            }
        }
        Ok(())
    }
}

/// What a file holds instead of a version. None if it holds it, or if readers disagree about what it holds.
fn other_content(file: &FileSetup, bytes: &[u8], which: Which, values: Values<'_>) -> Option<String> {
    let holds = |version| values.of(version).is_some_and(|fields| holds_version(file, bytes, fields, None));
    if holds(which) {
        return None;
    }
    match unclear(file, bytes) {
        Some(error @ CopyError::Absent { .. }) => Some(error.to_string()),
        Some(_) => None,
        None if holds(which.other()) => {
            Some(format!("after the command it still holds the {} value", version_name(which.other())))
        }
        None => {
            let wanted = version_name(which);
            Some(format!("after the command not every place that `reads` names holds the {wanted} value"))
        }
    }
}

fn not_fetched(consumer: &ConsumerSetup, file: &FileSetup, which: Which, why: &str) -> Failure {
    let (name, path, wanted) = (&consumer.name, file.path.display(), version_name(which));
    let attempted = format!("get the {wanted} value into {path} by the `fetch` of '{name}'");
    // The store may need a moment until all of it gives out the version: the command is run again.
    Failure::new(Class::Retryable, Code::CopyDiffers, attempted).because(why.to_owned()).help(format!(
        "run the script by hand and look into the file: which version or profile does it ask for? keyroll goes on with \
         '{name}' only once the file holds the {wanted} value"
    ))
}
