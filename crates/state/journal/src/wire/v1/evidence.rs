use keyroll_rotation::{self as own, FileId, PATHS_MAX};
use serde::{Deserialize, Serialize};

use super::form::{Form, forms, is_zero};
use super::words::{FoundBy, Holds, SearchLimit, Visibility, Which};
use crate::wire::WireError;

forms! {
    enum InstanceIdentity {
        Process {
            boot: u64,
            pid: u32,
            start_ticks: u64,
            /// Absent where it is not visible, and in entries of protocol 4 and before.
            #[serde(default, skip_serializing_if = "is_zero")]
            program: u64,
        },
        AtRest(consumer: u16),
        Container {
            /// In no entry of protocol 11 and before.
            pod: u64,
            run: u64,
        },
    }

    struct Incarnation {
        host: u16,
        life: InstanceIdentity,
    }

    struct ObservedInstance {
        who: Incarnation,
        consumer: Option<u16>,
        slot: u8,
        old: Visibility,
        new: Visibility,
        by: FoundBy,
    }

    struct SessionSeen {
        who: Option<Incarnation>,
        busy: bool,
    }

    struct Unsearched {
        who: Incarnation,
        limit: SearchLimit,
    }

    struct BystanderSeen {
        who: Incarnation,
        id: u64,
    }

    struct Enumeration {
        complete: bool,
        /// Absent in looks of protocol 3 and before.
        #[serde(default, skip_serializing_if = "is_zero")]
        took_ms: u64,
        instances: Vec<ObservedInstance>,
        files: Vec<FileSeen>,
        sessions: Option<Vec<SessionSeen>>,
        /// Absent where every host answered, and in looks of protocol 10 and before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        absent: Vec<u16>,
        strangers: Vec<u64>,
        /// Absent where everything was searched, and in looks of protocol 4 and before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unsearched: Vec<Unsearched>,
        /// Absent where no process is one, and in looks of protocol 13 and before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bystanders: Vec<BystanderSeen>,
    }

    struct Proof {
        who: Incarnation,
        slot: u8,
        version: Which,
        /// The bits of each path's kinds; told (64) is in no entry of protocol 5 and before.
        paths: [u8; PATHS_MAX],
        other_session: Visibility,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSeen {
    file: u16,
    holds: Holds,
}

impl Form<(FileId, own::Holds)> for FileSeen {
    fn of((file, holds): &(FileId, own::Holds)) -> Self {
        Self { file: file.0, holds: Holds::of(holds) }
    }

    fn own(self) -> Result<(FileId, own::Holds), WireError> {
        Ok((FileId(self.file), self.holds.own()?))
    }
}
