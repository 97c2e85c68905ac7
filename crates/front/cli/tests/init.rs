//! `init` on machines with real services: what it writes can be planned and carried out, what a person wrote stays as it is,
//! and no value is in any of it.

pub(crate) mod agents;
pub(crate) mod kept;
pub(crate) mod merged;
