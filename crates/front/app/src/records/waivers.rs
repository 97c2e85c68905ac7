//! Waivers with their reasons. A waiver of a copy from before a rotation opened is recorded in that rotation when it
//! opens, and counts for the version that was current then; the next rotation asks about the copy again.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_host::place_digest;
use keyroll_rotation::{HostId, InstanceIdentity, Waived};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::state_file;

/// The longest reason, in bytes: it is stored for good.
const REASON_BYTES_MAX: usize = 1_024;

/// The word by which the operator waives the last use of the old key, where the issuer does not show it.
pub(crate) const LAST_USE: &str = "last-use";

/// The word by which the operator waives sessions that are at work on the key that goes.
pub(crate) const BUSY_SESSIONS: &str = "busy-sessions";

/// What the last use waives, for the operator.
pub(crate) const UNSEEN_USER: &str = "a user of the key, which the issuer does not show";

/// All waivers of this machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waivers {
    waivers: Vec<Waiver>,
}

/// What may keep the old value.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    pub(crate) secret: String,
    /// The path or the process, for the operator.
    pub(crate) place: String,
    /// The digest of the path, or of the rotation and what was waived in it.
    pub(crate) digest: u64,
    /// The version that the next rotation may leave there; 0 if the waiver was recorded in an open rotation, or by a
    /// version of keyroll that did not store this.
    #[serde(default)]
    pub(crate) version: u32,
    pub(crate) reason: String,
}

impl Waivers {
    /// Reads the file; an absent one has none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(places: &Places) -> Result<Self, Problem> {
        state_file::load(&places.state.join("waivers.json"))
    }

    pub(crate) fn has_copy(&self, secret: &str, version: u32, digest: u64) -> bool {
        self.about(secret, version).any(|waiver| waiver.digest == digest)
    }

    /// The path of a waived digest.
    pub fn place(&self, digest: u64) -> Option<&str> {
        self.waivers.iter().find(|waiver| waiver.digest == digest).map(|waiver| waiver.place.as_str())
    }

    /// The waivers of one version of a secret, as the protocol knows them.
    pub fn of(&self, secret: &str, version: u32) -> Vec<Waived> {
        // 0 is no version: a waiver that an open rotation has recorded does not apply to the next.
        let about = self.about(secret, version).filter(|_| version > 0);
        about.map(|waiver| Waived::Copy(waiver.digest)).collect()
    }

    /// The newest entry for something that was waived in a rotation of a secret.
    pub(crate) fn recorded(&self, rotation: &str, secret: &str, waived: Waived) -> Option<&Waiver> {
        let digest = digest(rotation, waived);
        self.waivers.iter().rev().find(|waiver| waiver.secret == secret && waiver.digest == digest)
    }

    /// The waivers that the next rotation of this version of a secret takes over.
    pub(crate) fn standing(&self, secret: &str, version: u32) -> Vec<&Waiver> {
        self.about(secret, version).filter(|_| version > 0).collect()
    }

    /// Removes the waivers of this version that no rotation has taken over, and writes the others.
    pub(crate) fn withdraw(
        mut self,
        places: &Places,
        secret: &str,
        version: u32,
        is: impl Fn(&Waiver) -> bool,
    ) -> Result<(), Problem> {
        let its = |waiver: &Waiver| waiver.secret == secret && waiver.version == version && version > 0;
        self.waivers.retain(|waiver| !(its(waiver) && is(waiver)));
        self.write(places)
    }

    fn about(&self, secret: &str, version: u32) -> impl Iterator<Item = &Waiver> {
        self.waivers.iter().filter(move |waiver| waiver.secret == secret && waiver.version == version)
    }

    /// Adds a waiver and writes all of them.
    pub(crate) fn add(mut self, places: &Places, waiver: Waiver) -> Result<(), Problem> {
        let same = |other: &Waiver| {
            (&other.secret, other.digest, other.version) == (&waiver.secret, waiver.digest, waiver.version)
        };
        self.waivers.retain(|other| !same(other));
        self.waivers.push(waiver);
        self.write(places)
    }

    fn write(&self, places: &Places) -> Result<(), Problem> {
        state_file::replace(&places.state.join("waivers.json"), self)
    }
}

/// The reason for a waiver, without space around it.
///
/// # Errors
/// It is empty, too long, or not one line.
pub(crate) fn reason_given(reason: &str) -> Result<String, Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err(Problem::new(Code::ConsumerNotAdopted, "waive what holds the key")
            .because(format!("--reason is 1 to {REASON_BYTES_MAX} bytes on one line"))
            .help("say why it may lose access: the reason is recorded with the waiver")
            .exits(Exit::Usage));
    }
    Ok(reason.to_owned())
}

/// The waiver of a host in a rotation.
pub(crate) fn host_waiver(
    secret: &str,
    rotation: &str,
    (name, host): (&str, HostId),
    reason: &str,
) -> Waiver {
    Waiver {
        secret: secret.to_owned(),
        place: format!("the host {name}"),
        digest: digest(rotation, Waived::Host(host)),
        version: 0,
        reason: reason.to_owned(),
    }
}

/// What identifies a waiver of a rotation: the path of a copy; otherwise the rotation with the process or consumer.
pub(crate) fn digest(rotation: &str, waived: Waived) -> u64 {
    let named = |what: String| place_digest(Path::new(&format!("{rotation}/{what}")));
    match waived {
        Waived::Copy(digest) => digest,
        Waived::Holder(who) => match who.life {
            InstanceIdentity::Process { pid, start_ticks, program: 0, .. } => {
                named(format!("process/{pid}/{start_ticks}"))
            }
            InstanceIdentity::Process { pid, start_ticks, program, .. } => {
                named(format!("process/{pid}/{start_ticks}/{program}"))
            }
            InstanceIdentity::AtRest(_) => named("at rest".to_owned()),
            InstanceIdentity::Container { pod, run } => named(format!("container/{pod}/{run}")),
        },
        Waived::NotVisible(consumer) => named(format!("consumer/{}", consumer.0)),
        Waived::BusySessions => named("busy sessions".to_owned()),
        Waived::LastUse => named("last use".to_owned()),
        Waived::Host(host) => named(format!("host/{}", host.0)),
        Waived::Gone(consumer) => named(format!("gone/{}", consumer.0)),
        Waived::File(file) => named(format!("file/{}", file.0)),
    }
}
