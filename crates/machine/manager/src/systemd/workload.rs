use std::sync::Arc;
use std::time::Duration;

use keyroll_observe::{Listing, Process};
use keyroll_port::Failure;

use crate::declaration::{Declaration, DeclarationError, Key, KeyForm, Manager};
use crate::facts::Notice::Away;
use crate::facts::{OF_PROCESS, daily, nightly};
use crate::shell_word::{shell_word, shell_words};
use crate::{Applied, AppliedBy, Attempt, InstanceProcess, ManagerFact, ServiceIdentity, Unit, Workload};

/// Source: systemd-system.conf(5), `DefaultTimeoutStopSec`.
const STOP_GRACE: Duration = Duration::from_secs(90);

/// A systemd unit.
pub(crate) static UNIT: Manager = Manager {
    keys: &[Key::new(
        "unit",
        KeyForm::Template,
        "The systemd unit that runs the consumer: `app.service`. The instances of a template unit are one consumer: `worker@{instance}.service`, with `instances`.",
    )],
    with: &["user", "instances", "ports", "ready", "drain"],
    only: "`unit` goes with `user`, `instances`, `ports`, `ready` and `drain` only: systemd knows its processes",
    example: "{ unit = \"app.service\" }",
    facts: &[
        ManagerFact {
            manager: "`unit`",
            source: "`LoadCredential=`",
            verb: "`systemctl restart`; with `user`, in that user's service manager",
            wrong: "`systemctl reload`: the service keeps its credentials until a restart",
            downtime: "until the new process is ready",
            evidence: "its loaded credentials, environment, memory and connections",
            test: "credentials_a_users_manager_and_a_timer",
            services: &[nightly("unit-credential", Away)],
        },
        ManagerFact {
            manager: "`unit`",
            source: "`EnvironmentFile=`",
            verb: "`systemctl restart`, after `daemon-reload` if the unit changed",
            wrong: "`systemctl reload`",
            downtime: "until the new process is ready",
            evidence: OF_PROCESS,
            test: "units_are_moved_under_load",
            services: &[daily("unit-environment", Away), nightly("unit-user", Away)],
        },
    ],
    survey: None,
    read: |of| {
        if of.several && !of.tells_apart(&["unit"]) {
            return Err(DeclarationError {
                help: Some("write `unit = \"worker@{instance}.service\", instances = [\"1\", \"2\"]`"),
                ..DeclarationError::combination(
                    "several instances must be units of their own: `{instance}` is missing in `unit`",
                )
            });
        }
        Ok(Arc::new(declared_unit(of, "unit", "service")?))
    },
};

/// The longest name of a unit, in bytes (systemd.unit(5)).
pub const UNIT_NAME_BYTES_MAX: usize = 255;

/// Whether a text is made as the name of a unit is, with or without its kind: letters, digits and `:-_.\@` (systemd.unit(5)).
pub fn is_unit_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(allowed)
}

/// The unit of a kind that a key names, and the user whose own manager has it.
pub(crate) fn declared_unit(
    of: &Declaration<'_>,
    key: &'static str,
    kind: &str,
) -> Result<Unit, DeclarationError> {
    let text = of.needed(key)?;
    let name = text.strip_suffix(kind).and_then(|rest| rest.strip_suffix('.')).unwrap_or_default();
    let good = !name.is_empty() && text.len() <= UNIT_NAME_BYTES_MAX && is_unit_name(text);
    if !good {
        let why = format!("`{key}` must be the full name of a {kind}: `app.{kind}`");
        return Err(DeclarationError::name(key, why));
    }
    let user = of.text("user");
    // As useradd(8) allows it.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'$');
    let is_name =
        |user: &str| (1..=32).contains(&user.len()) && !user.starts_with('-') && user.bytes().all(allowed);
    if user.is_some_and(|user| !is_name(user)) {
        return Err(DeclarationError::name("user", "`user` must be the name of a local user"));
    }
    Ok(Unit { user: user.map(str::to_owned), ..Unit::new(text) })
}

impl Unit {
    /// A command of systemctl for the unit's manager, as an operator types it.
    pub(super) fn typed(&self, words: &[&str]) -> String {
        let user = self.user.as_ref().map(|user| format!(" --user --machine={}@", shell_word(user)));
        format!("systemctl{} {}", user.unwrap_or_default(), shell_words(words))
    }

    /// The command that shows what a unit wrote.
    pub(super) fn log(&self, unit: &str) -> String {
        let unit = shell_word(unit);
        match self.user {
            // `--user-unit` would mean a unit of the user who types it.
            Some(_) => format!("journalctl _SYSTEMD_USER_UNIT={unit}"),
            None => format!("journalctl -u {unit}"),
        }
    }
}

impl Workload for Unit {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.apply(attempt.instance, attempt.deadline, attempt.started)
    }

    fn applied_by(&self) -> AppliedBy {
        let restart = self.typed(&["restart", &self.unit]);
        AppliedBy::Command(match self.unit_file_written {
            true => format!("{} && {restart}", self.typed(&["daemon-reload"])),
            false => restart,
        })
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.instances()
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }

    /// systemd keeps the text of an `EnvironmentFile=` in memory and never presents it (seen with systemd 252, whose
    /// first process does not overwrite it).
    fn is_handed_on_by(&self, process: &Process) -> bool {
        self.has_as_manager(process)
    }

    fn unit(&self) -> Option<&Unit> {
        Some(self)
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![ServiceIdentity::unit(&self.unit, self.user.as_deref())]
    }

    fn survey_name(&self) -> Option<String> {
        Some(format!("the unit {}", self.unit))
    }
}
