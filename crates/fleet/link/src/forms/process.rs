use keyroll_port::Holder;
use keyroll_rotation::{ConsumerId, HostId, Incarnation, InstanceIdentity};
use serde::{Deserialize, Serialize};

use super::limits::{FormError, sent, text};

/// One life of one instance on the host that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncarnationForm {
    /// A process.
    Process {
        /// Digest of the boot id.
        boot: u64,
        /// Process id.
        pid: u32,
        /// Start time in clock ticks since boot.
        start_ticks: u64,
        /// A number that the execution of another program changes.
        program: u64,
    },
    /// A consumer with nothing running.
    AtRest {
        /// The host's number of it.
        consumer: u16,
    },
    /// A container of a pod.
    Container {
        /// Digest of the pod's uid.
        pod: u64,
        /// Digest of the container's name, start and restart count.
        run: u64,
    },
}

/// A description of an undeclared process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderForm {
    /// Process id; none for a container.
    pub pid: Option<u32>,
    /// Executable or command name.
    pub name: String,
    /// How it was found.
    pub found_by: String,
    /// How to move it.
    pub how_to_move: String,
}

impl IncarnationForm {
    /// Without the number of its host.
    pub fn of(who: Incarnation) -> Self {
        match who.life {
            InstanceIdentity::Process { boot, pid, start_ticks, program } => {
                Self::Process { boot, pid, start_ticks, program }
            }
            InstanceIdentity::AtRest(ConsumerId(consumer)) => Self::AtRest { consumer },
            InstanceIdentity::Container { pod, run } => Self::Container { pod, run },
        }
    }

    /// On the host 0.
    pub fn into_port(self) -> Incarnation {
        let life = match self {
            Self::Process { boot, pid, start_ticks, program } => {
                InstanceIdentity::Process { boot, pid, start_ticks, program }
            }
            Self::AtRest { consumer } => InstanceIdentity::AtRest(ConsumerId(consumer)),
            Self::Container { pod, run } => InstanceIdentity::Container { pod, run },
        };
        Incarnation { host: HostId(0), life }
    }
}

impl From<&Holder> for HolderForm {
    fn from(holder: &Holder) -> Self {
        let Holder { host: _, pid, name, found_by, how_to_move } = holder;
        Self { pid: *pid, name: sent(name), found_by: sent(found_by), how_to_move: sent(how_to_move) }
    }
}

impl HolderForm {
    /// The description.
    ///
    /// # Errors
    /// A text is too long.
    pub fn into_port(self) -> Result<Holder, FormError> {
        let Self { pid, name, found_by, how_to_move } = self;
        let (host, how_to_move) = (HostId(0), text(how_to_move)?);
        Ok(Holder { host, pid, name: text(name)?, found_by: text(found_by)?, how_to_move })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_the_same_on_the_other_side_and_never_on_another_host() {
        let process =
            InstanceIdentity::Process { boot: u64::MAX, pid: 4711, start_ticks: 1 << 60, program: 3 };
        let container = InstanceIdentity::Container { pod: u64::MAX, run: 7 };
        for life in [process, InstanceIdentity::AtRest(ConsumerId(9)), container] {
            let form = IncarnationForm::of(Incarnation { host: HostId(7), life });
            let written = serde_json::to_string(&form).unwrap();
            let read = serde_json::from_str::<IncarnationForm>(&written).unwrap();
            assert_eq!(read.into_port(), Incarnation { host: HostId(0), life });
        }
    }

    #[test]
    fn a_holder_is_read_as_it_was_written() {
        for pid in [Some(4711), None] {
            let holder = Holder {
                host: HostId(0),
                pid,
                name: "python3".to_owned(),
                found_by: "its memory holds v1 (3 copies)".to_owned(),
                how_to_move: "restart it".to_owned(),
            };
            assert_eq!(HolderForm::from(&holder).into_port(), Ok(holder));
        }
    }
}
