//! The append-only list of events on SQLite, its persisted forms, and the witness beside it.
//!
//! Invariants, by what is absent: no entry is ever changed or removed (triggers refuse it), no write is answered before
//! its commit returned, no write of an older driver is accepted, and no journal that is older than its witness is
//! opened for writing. Values of secrets are never here.

mod acts;
mod chain;
mod checked;
mod copied;
mod error;
mod glance;
mod lock;
mod machine;
mod migrations;
mod read;
mod reader;
mod remembered;
mod sqlite;
mod tail;
mod verify;
mod wire;
mod witness;
mod write;
mod writer;

pub use acts::{Act, Noted, RecordedAct};
pub use checked::FileStamp;
pub use error::{LockHolder, OpenError};
pub use glance::{Glimpse, glance};
pub use lock::{LockError, StateLock, Work, try_lock};
pub use machine::Machine;
pub use sqlite::{Accepted, SqliteJournal, check_whole, move_here, reset_witness};
pub use wire::WireError;
pub use wire::v1::{decode_event, decode_opening, encode_event, encode_opening};
