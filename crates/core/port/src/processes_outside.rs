//! The processes that no listing showed to the driver of an emergency, as the journal remembers them.

use crate::failed_step::digest_of;

/// By what the journal remembers that processes were outside of what a driver saw, in the rotation with this id.
pub fn digest_of_outside(rotation: &str) -> u64 {
    digest_of(&format!("outside\0{rotation}"))
}
