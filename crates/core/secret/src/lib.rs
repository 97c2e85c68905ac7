//! What a value is: bytes that cannot be printed, keyed fingerprints, sealing.
//!
//! Invariants, by what is absent: [`SecretBytes`] has no `Debug`, `Display`, `Serialize` or `Clone`; reading one
//! is a named call; comparison takes the same time whatever the bytes are; the memory is overwritten on drop, and until
//! then it is neither swapped nor dumped, as far as the system permits that.

mod bytes;
mod credential;
mod fields_form;
mod file_mode;
mod fingerprint;
mod key_file;
mod locked_memory;
mod panic_place;
mod seal;
mod wrap;

pub use bytes::SecretBytes;
pub use credential::{Credential, CredentialId, Field, Fields};
pub use fields_form::FieldsError;
pub use file_mode::is_private;
pub use fingerprint::{Fingerprint, FingerprintKey};
pub use key_file::{KeyFile, KeyFileError, Staged};
pub use locked_memory::LockedMemory;
pub use panic_place::panic_place;
pub use seal::{Binding, Kid, SEALED_PLAINTEXT_BYTES_MAX, SealError, SealingKey};
pub use wrap::{WRAPPING_KEY_BYTES_MIN, WrapError, Wrapped, Wrapping};
