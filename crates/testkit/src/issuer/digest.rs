//! What is kept of a value: digests, and bytes in which no search finds it.

use std::collections::hash_map::{DefaultHasher, RandomState};
use std::hash::{BuildHasher as _, Hasher as _};

use aws_lc_rs::digest::{SHA256, digest};

/// The digests of one issuer: nobody else can make them.
#[derive(Clone, Default)]
pub(super) struct Digests(RandomState);

impl Digests {
    /// Byte by byte, as it is read.
    pub(super) fn of(&self, value: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        value.iter().for_each(|byte| hasher.write(&[*byte]));
        hasher.finish()
    }

    pub(super) fn hasher(&self) -> DefaultHasher {
        self.0.build_hasher()
    }
}

/// So that a search of this process finds no value; masked twice it is itself.
pub(super) fn masked(value: &[u8]) -> Vec<u8> {
    value.iter().map(|byte| byte ^ 0x5a).collect()
}

/// The SHA-256 of a value in hexadecimal digits: a service sends it in place of a value of several lines, which no header
/// can carry.
pub fn sha256_hex(value: &[u8]) -> String {
    digest(&SHA256, value).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
