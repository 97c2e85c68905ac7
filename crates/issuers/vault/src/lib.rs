//! Vault and OpenBao: the connection, the login and the failures of every room that speaks to them, and the static roles of
//! their database engine.
//!
//! Invariants, by what is absent: no attempt is repeated, and no redirect is followed; nothing is sent unencrypted to
//! another machine; no error holds a byte of a token, of a password or of an answer. What of an answer is a password is
//! copied once, into memory that is overwritten.

mod app_role;
mod attempt;
mod client;
mod failure;
mod json_text;
mod private_file;
mod server;
mod settings;
mod static_roles;

pub use attempt::{Attempt, Codes, Nature};
pub use client::{Call, Client};
pub use failure::{Needs, foreign, refused, says};
pub use settings::{VaultLogin, VaultSettings, VaultToken};
pub use static_roles::{ROTATE, RoleCredential, RoleState, Roles, STATE, StaticRole, Turns, is_later};
