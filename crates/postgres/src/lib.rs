//! PostgreSQL as an issuer: two login roles under one owner role.
//!
//! Invariants, by what is absent: no password is ever in a statement (only a SCRAM verifier, made here), no role is
//! ever dropped, no effect happens outside one transaction, and nothing leaves this machine unencrypted: to any host but
//! a loopback address or a Unix socket there is only TLS with the certificate and the name verified.

mod catalogue;
mod codes;
mod hba;
mod issuer;
mod link;
mod log_line;
mod mint;
mod options;
mod pooler;
mod preflight;
mod probe;
mod quote;
mod refusals;
mod server;
mod sessions;
mod settings;
mod switch;
mod tls;
mod verifier;
mod work;

pub use issuer::Postgres;
pub use options::{Admin, Options, REQUEST_MS_MAX_DEFAULT};
pub use pooler::Pooler;
