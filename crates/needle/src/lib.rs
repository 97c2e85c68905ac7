//! The exact matcher: thousands of values in every encoding at memory speed.
//!
//! One engine for memory evidence, discovery, leaks, redaction and keyroll's own output. [`Needles`] finds every
//! occurrence of every encoding of every value in a slice; [`Chunked`] does the same over pieces of a stream;
//! [`Needles::redact`] and [`Redactor`] replace what was found. [`Prints`] finds values where they must not be
//! known: by keyed fingerprints.
//!
//! How: every needle has a window of bytes in which, wherever the needle stands, exactly one 8-byte sample falls
//! when one sample is taken every `stride` bytes. A sample is looked up in a bitmap that fits a cache; the few that
//! pass are looked up exactly, and the needle is compared byte by byte. The cost per byte falls with the length of
//! the shortest needle, and hardly grows with their number.
//!
//! Invariants: no occurrence is missed and none is reported twice, however the input is cut; no copy of a value
//! outlives its [`Needles`]; a [`Prints`] has none; nothing here prints one.

mod across;
mod arena;
mod breaks;
mod builder;
mod chunked;
mod encoding;
mod escape;
mod needles;
mod pem;
mod prefixes;
mod prints;
mod radix;
mod redact;
mod redactor;
mod regions;
mod shell;
mod tier;
mod variants;
mod windows;

pub use builder::{BuildError, NeedlesBuilder, VALUE_BYTES_MAX, VALUE_BYTES_MIN};
pub use chunked::Chunked;
pub use encoding::Encoding;
pub use needles::{Hit, NeedleId, Needles};
pub use prints::{
    NoKey, NotPrinted, PRINT_ENTROPY_BITS_MIN, PRINT_NAME_BYTES_MAX, PRINT_VALUE_BYTES_MIN,
    PRINTS_FILE_BYTES_MAX, PRINTS_MAX, PrintHit, PrintLabel, PrintState, Prints, PrintsBuilder, PrintsError,
};
pub use redactor::{HEAD_BYTES_MAX, Piece, Redactor, half_letter};
