//! `init` on machines with real services: its output can be planned and applied, it leaves the operator's text
//! unchanged, and it never writes a value.

pub(crate) mod agents;
pub(crate) mod kept;
pub(crate) mod logins;
pub(crate) mod merged;
