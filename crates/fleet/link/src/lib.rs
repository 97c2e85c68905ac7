//! What keyroll and keyroll-host say to each other: frames of JSON, one call at a time.
//!
//! Invariants, by what is absent: no form of a frame has a place for a value of a secret, every text that a host says
//! passes through its cleaner first, and no text that a driver hears has control characters; nothing is allocated for a frame before its length is checked; nothing is waited for
//! without a limit; nothing here opens a connection, or starts a program.

mod cleaned;
mod digits;
mod driver;
mod frame;
mod leak_call;
mod leaks;
mod one_line;
mod outbox;
mod reports;
mod serve;
mod wire;

pub use digits::{bytes_of, digits_of, machine_digest};
pub use driver::{Link, LinkError};
pub use frame::{Call, End, Fact, Frame, Hello, HostHello, Item, ManagedHere, Note, VersionHere, WhyItem};
pub use leak_call::{LeakItem, LeaksCall, LeaksEnd, Picks};
pub use leaks::{HostLeaks, host_leaks, leak_items};
pub use outbox::Outbox;
pub use reports::{missed, scan_items, scan_report, trace_items, trace_report, why_items, why_reports};
pub use serve::{Answers, serve};
pub use wire::{FRAME_BYTES_MAX, FrameError, VERSION, decode, encode, read_frame};
