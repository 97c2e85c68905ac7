//! Two static roles of Vault's database engine as an issuer, over a real PostgreSQL server whose passwords a fake of Vault
//! changes.

pub(crate) mod conformance;
pub(crate) mod life;
pub(crate) mod lost;
pub(crate) mod refused;
pub(crate) mod stage;
