//! PostgreSQL as an issuer, against a real server.

pub(crate) mod conformance;
pub(crate) mod lifecycle;
pub(crate) mod load;
pub(crate) mod pooler;
pub(crate) mod refusals;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod traps;
