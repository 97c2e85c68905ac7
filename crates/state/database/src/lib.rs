//! SQLite files: the settings that durability rests on, where they may be, their schema and what their errors mean; and how
//! one of another program is read.
//!
//! Invariants, by what is absent: no table and no row is known here; no file is made that others may read, none is
//! opened through a link or on a file system whose locks and fsyncs cannot be trusted; no migration that was released
//! is run in two pieces; of another program's database nothing is run, written or locked.

mod error;
mod folder;
mod foreign;
mod migrate;
mod open;
mod wal;

pub use error::{DatabaseError, is_damage, is_io, is_passing};
pub use folder::{local, make};
pub use foreign::Foreign;
pub use migrate::migrate;
pub use open::{at_once, check, open};
// Its users speak SQL through it, and are of one version with it.
pub use rusqlite;
