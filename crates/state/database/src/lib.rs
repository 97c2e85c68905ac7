//! SQLite files: the settings that durability rests on, where the files may be, their schema, the meaning of their
//! errors, and how a database of another program is read.
//!
//! Invariants, by what is absent: this room knows no table and no row. It makes no file that others may read, and opens
//! none through a link or on a file system whose locks and fsyncs cannot be trusted. It never runs a released migration
//! in two parts. It runs, writes and locks nothing of another program's database.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod error;
mod folder;
mod foreign;
mod migrate;
mod open;
mod wal;

pub use error::{DatabaseError, cause_of, is_damage, is_io, is_passing, is_unwritable, said};
pub use folder::{local, make};
pub use foreign::Foreign;
pub use migrate::migrate;
pub use open::{at_once, check, move_log, open, open_copy, settle};
// The rooms that use it speak SQL through this re-export, all with one version.
pub use rusqlite;
