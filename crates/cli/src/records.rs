//! What is written down of rotations, plans and versions, read back and put into words. Nothing here drives.

pub(crate) mod agree;
pub(crate) mod begun;
pub(crate) mod blocked;
pub(crate) mod called;
pub(crate) mod cause;
pub(crate) mod gaps;
pub(crate) mod index;
pub(crate) mod meant;
pub(crate) mod old_key;
pub(crate) mod past;
pub(crate) mod reasons;
pub(crate) mod recorded;
pub(crate) mod saved;
pub(crate) mod versions;
pub(crate) mod waivers;
