//! What a value is: bytes that cannot be printed, keyed fingerprints, sealing.
//!
//! Invariants, by what is absent: [`SecretBytes`] has no `Debug`, `Display`, `Serialize` or `Clone`; reading one
//! is a named call; comparison takes the same time whatever the bytes are; the memory is overwritten on drop.

mod bytes;
mod credential;
mod fingerprint;

pub use bytes::SecretBytes;
pub use credential::{Credential, CredentialId, Field, Fields};
pub use fingerprint::{Fingerprint, FingerprintKey};
