//! One machine: safe file replacement, searches by value, evidence, checks.
//!
//! Of file replacement: no path is followed twice, no file is opened before it is known to be a regular one,
//! nothing is renamed before it is durable, no copy of an old file is kept, no error holds a byte of a file.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod attributes;
mod clock;
mod digest;
mod fault;
mod local;
mod meta;
mod read;
mod replace;
mod resolve;
mod resolved;
mod temp;
mod trial;

pub use clock::SystemClock;
pub use digest::Digest;
pub use local::{
    BystanderSetup, CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, GateSetup, LOCAL,
    LiteLlmSetup, Local, LogSetup, Prints, SearchLimits, ServedSetup, Setup, SlotSetup, copy_carries,
    copy_carries_all, copy_edited, copy_holds, copy_text, incarnation, keep_whole, place_digest, prints_of,
    process_of, remove_left_copies, remove_own_copies, tidy, wrong_copy,
};
pub use meta::{Inode, Modified};
pub use read::{Content, TARGET_BYTES_MAX, read};
pub use replace::{Replaced, Replacement, Write, replace, settle};
pub use resolve::resolve;
pub use resolved::Resolved;
pub use temp::{TempName, remove_temp};
pub use trial::trial;
