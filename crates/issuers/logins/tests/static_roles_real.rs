//! Two static roles of the real Vault as an issuer, over a real PostgreSQL server: what the tests with the fake take for
//! granted.

pub(crate) mod conformance;
pub(crate) mod life;
pub(crate) mod stage;
