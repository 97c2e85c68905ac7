use std::path::Path;

use keyroll_agents::{Bound, KeySource, Takes};
use keyroll_codes::Code;
use keyroll_leak::mask_words;
use keyroll_observe::shown;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use super::OpenClaw;
use crate::find::list;
use crate::{AgentRow, AgentRows};

impl OpenClaw {
    /// The rows from which this gateway takes keys, of any provider.
    pub(super) fn key_rows(&self) -> AgentRows {
        let home = self.home();
        let own = self.bound_now().ok().map(|bound| bound.source);
        let rows = home.key_rows().ok().map(|rows| {
            let one = |row: keyroll_agents::KeyRow| AgentRow {
                name: self.named(&row.source),
                whole_name: self.named_by(&row.source, str::to_owned),
                own: own.as_ref() == Some(&row.source),
                value: row.value,
            };
            rows.into_iter().map(one).collect()
        });
        AgentRows { databases: home.databases(), rows }
    }

    /// OpenClaw's own command overwrites any content of the row, even the key of another account that a person put
    /// there. This check refuses that.
    pub(super) fn refuse_row_of_another(&self, file: &Path, versions: &[SecretBytes]) -> Result<(), Failure> {
        if self.value_file() != Some(file) {
            return Ok(());
        }
        let gateway = self.gateway(&list()?)?;
        let bound = self.bound(gateway.as_ref())?;
        let is_known = |row: &SecretBytes| versions.iter().any(|version| trimmed(version) == *row);
        self.refuse_row(&bound, "the current key", &is_known)
    }

    /// The same check right before the row is overwritten: a user may have logged in with another account since the
    /// delivery.
    pub(super) fn refuse_replaced(
        &self,
        bound: &Bound,
        may_replace: &dyn Fn(&SecretBytes) -> bool,
    ) -> Result<(), Failure> {
        let delivered = trimmed(&self.value()?);
        // The record of the delivery may be gone, and with it the fingerprint of the current key.
        self.refuse_row(bound, "the new key", &|row| *row == delivered || may_replace(row))
    }

    /// `wanted`: what the operator may put there by hand. `is_known`: called with the row's content without surrounding
    /// white space.
    fn refuse_row(
        &self,
        bound: &Bound,
        wanted: &str,
        is_known: &dyn Fn(&SecretBytes) -> bool,
    ) -> Result<(), Failure> {
        if !matches!(bound.takes, Takes::Store(_) | Takes::Profile(_)) {
            return Ok(());
        }
        let by_hand = self.by_hand(&bound.takes).map(|command| format!("`{command}`, which asks for it"));
        let by_hand = by_hand.unwrap_or_else(|| "with its own command, that asks for it".to_owned());
        let refused = |class, why: String| {
            let what = format!("replace the key in {}", self.named(&bound.source));
            Err(Failure::new(class, Code::OpenClawNotUpdated, what).because(why).help(format!(
                "put {wanted} there ({by_hand}), or name the right row in the settings ({})",
                shown(&self.home().settings_file())
            )))
        };
        let rows = match self.home().key_rows() {
            Ok(rows) => rows,
            Err(why) => return refused(Class::Retryable, why.to_owned()),
        };
        let mut same = rows.iter().filter(|row| row.source == bound.source).peekable();
        if same.peek().is_none() {
            return refused(Class::Permanent, "no key stands there".to_owned());
        }
        match same.all(|row| is_known(&trimmed(&row.value))) {
            true => Ok(()),
            false => refused(Class::Permanent, "another key is there, and it was not changed".to_owned()),
        }
    }

    /// The command with which an operator puts a key into a row. The gateway's user chose the names in it, and root may
    /// copy it: there is no command for a name that a shell or OpenClaw itself would read in another way.
    fn by_hand(&self, takes: &Takes) -> Option<String> {
        let plain = |name: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b":_.@-".contains(&byte);
            let name_alone = !name.is_empty() && name.bytes().all(letter) && mask_words(name) == name;
            name_alone && !name.starts_with('-')
        };
        match takes {
            Takes::Store(name) if plain(name) => {
                Some(format!("openclaw secrets store set {name} --kind secret"))
            }
            Takes::Profile(id) if plain(id) && plain(&self.provider) => Some(format!(
                "openclaw models auth paste-api-key --provider {} --profile-id {id}",
                self.provider
            )),
            Takes::Store(_) | Takes::Profile(_) => None,
            Takes::Itself | Takes::InPlace | Takes::Reload | Takes::Restart => None,
        }
    }

    /// A row for display: a profile's name may itself be a key.
    fn named(&self, source: &KeySource) -> String {
        self.named_by(source, mask_words)
    }

    fn named_by(&self, source: &KeySource, name: impl Fn(&str) -> String) -> String {
        let row = match source {
            KeySource::Profile(id) => format!("profile {}", name(id)),
            KeySource::Store(entry) => format!("entry {} of the store", name(entry)),
            KeySource::Literal | KeySource::Variable(_) | KeySource::File | KeySource::Program => {
                "a row".to_owned()
            }
        };
        shown(Path::new(&format!("{row} in {}", self.home().database().display())))
    }
}

/// OpenClaw removes the line break at the end of its input.
fn trimmed(value: &SecretBytes) -> SecretBytes {
    SecretBytes::new(value.expose().trim_ascii().to_vec())
}
