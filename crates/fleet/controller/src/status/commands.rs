//! The commands that a status names: the annotation that asks for the same, else keyroll's own command.

use crate::object::{SecretRotation, asks};
use crate::standing::Standing;

/// The longest command that is shown. A longer one is not cut, which could change what it does: another one names it.
const COMMAND_BYTES_MAX: usize = 512;

/// A text that no earlier annotation had; the shell makes it.
const NEW_TEXT: &str = "\"$(date +%s)\"";

/// The commands for one object.
pub(super) struct Commands<'a> {
    object: &'a SecretRotation,
    /// What keyroll's own commands begin with.
    prefix: &'a str,
    /// What a consent must say, if it is more than the id of the rotation.
    consent: Option<&'a str>,
}

impl<'a> Commands<'a> {
    pub(super) fn new(object: &'a SecretRotation, standing: &'a Standing) -> Self {
        let consent = standing.open.as_ref().map(|open| open.confirm.as_str());
        Self { object, prefix: &standing.prefix, consent }
    }

    /// Consents to the end of the old key.
    pub(super) fn confirm(&self, id: &str) -> String {
        self.annotate(asks::CONFIRM, &shell_word(self.consent.unwrap_or(id)))
    }

    /// Rolls a rotation back.
    pub(super) fn abort(&self, id: &str) -> String {
        self.annotate(asks::ABORT, &shell_word(id))
    }

    /// Goes on with what is paused or stuck.
    pub(super) fn resume(&self) -> String {
        self.annotate(asks::RESUME, NEW_TEXT)
    }

    /// Makes a plan, and applies it.
    pub(super) fn rotate(&self) -> String {
        self.annotate(asks::ROTATE, NEW_TEXT)
    }

    /// Says that a rotation that no journal has is over.
    pub(super) fn forget(&self, id: &str) -> String {
        self.annotate(asks::FORGET, &shell_word(id))
    }

    /// Changes the object.
    pub(super) fn edit(&self) -> String {
        format!("kubectl -n {} edit secretrotation {}", self.object.namespace, self.object.id.name)
    }

    /// Shows a rotation, with every command that it needs.
    pub(super) fn show(&self, id: &str) -> String {
        format!("{}keyroll status {}", self.prefix, shell_word(id))
    }

    /// What keyroll says to do about a rotation, as a person of the cluster does it. Only whole commands are known; any other
    /// text stays as it is, behind the prefix where it begins with a command.
    pub(super) fn told(&self, text: &str, id: &str) -> String {
        let said = |command: &str| text == format!("keyroll {command}");
        let known = [
            (said(&format!("resume {id} --confirm={}", self.object.secret())), self.confirm(id)),
            (said(&format!("abort {id}")), self.abort(id)),
            (said(&format!("resume {id}")) || said(&format!("retry {id}")), self.resume()),
            (text.starts_with("keyroll "), format!("{}{text}", self.prefix)),
        ];
        let found = known.into_iter().find(|(is, _)| *is).map(|(_, command)| command);
        self.within(found.unwrap_or_else(|| text.to_owned()), id, COMMAND_BYTES_MAX)
    }

    /// A command, or the one that names it if it is too long.
    pub(super) fn within(&self, command: String, id: &str, bytes_max: usize) -> String {
        if command.len() <= bytes_max { command } else { self.show(id) }
    }

    fn annotate(&self, annotation: &str, text: &str) -> String {
        let SecretRotation { namespace, id, .. } = self.object;
        format!("kubectl -n {namespace} annotate secretrotation {} {annotation}={text} --overwrite", id.name)
    }
}

/// An id as a shell takes it: the one of a rotation that the journal does not have was read from the object, where anybody
/// may have written it.
fn shell_word(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-/".contains(&byte);
    if id.bytes().all(plain) { id.to_owned() } else { format!("'{}'", id.replace('\'', r"'\''")) }
}
