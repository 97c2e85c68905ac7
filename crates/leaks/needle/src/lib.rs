//! The exact matcher: finds thousands of values in every encoding at memory speed.
//!
//! One engine for process memory, discovery, leaks, redaction and keyroll's own output. [`Needles`] finds every
//! occurrence of every encoding of every value in a slice; [`ChunkedSearch`] does so in a stream; [`Needles::redact`]
//! and [`Redactor`] replace them. [`FingerprintSet`] finds values by keyed fingerprints where the values must not be
//! known.
//!
//! How: every needle has a window of bytes that contains exactly one of the 8-byte samples taken every `stride`
//! bytes, wherever the needle is. A sample is looked up in a bitmap that fits the cache; the few that pass are looked
//! up exactly, and the needle is compared byte by byte. The cost of a byte falls with the length of the shortest
//! needle, and hardly grows with their number.
//!
//! Invariants: every occurrence is reported exactly once, however the input is cut; no copy of a value outlives its
//! [`Needles`]; a [`FingerprintSet`] has none; nothing here prints one.

mod builder;
mod chunked;
mod encoding;
mod fingerprints;
mod hit;
mod index;
mod line_wraps;
mod needles;
mod redaction;
mod whole_word;

pub use crate::fingerprints::{
    FINGERPRINT_ENTROPY_BITS_MIN, FINGERPRINT_FILE_BYTES_MAX, FINGERPRINT_NAME_BYTES_MAX,
    FINGERPRINT_VALUE_BYTES_MIN, FINGERPRINTS_MAX, FingerprintFileError, FingerprintHit, FingerprintLabel,
    FingerprintSet, FingerprintSetBuilder, FingerprintState, NoRandomKey, NotFingerprinted,
};
pub use crate::redaction::redactor::{HEAD_BYTES_MAX, Piece, Redactor, half_letter};
pub use crate::redaction::wiped_buffer::append_wiped;
pub use builder::{BuildError, NeedlesBuilder};
pub use chunked::ChunkedSearch;
pub use encoding::Encoding;
pub use hit::{Hit, NeedleId};
pub use needles::{Needles, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
