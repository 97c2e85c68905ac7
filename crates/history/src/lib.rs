//! Every object of a git repository, looked at once, with where it comes from.
//!
//! How: most objects of a pack are told as differences from others. The entries of a pack form trees, which are walked
//! depth first: each object is made once, from its base, while the base is still there. What was copied from the base
//! has been looked at there, so only what was written anew and the lines around it are looked at again
//! ([`Blob::windows`]), and the hits that stand in what was copied are moved. [`History::scan`] gives the same hits as
//! looking at every object whole.
//!
//! Invariants, by what is absent: no process is started, so no hook, filter, monitor or helper of a repository ever
//! runs, and it does not matter who owns it; no network; nothing is written; no file is mapped into memory; no object
//! is hashed. Configuration is read for the names' hash, the references' form and whether objects are left out, and
//! nothing that it includes. What is not looked at is named with its reason ([`Skips`]); memory is bounded
//! ([`Bounds`]).

mod alternates;
mod bounds;
mod buffer;
mod commit;
mod config;
mod delta;
mod delta_tree;
mod entry;
mod graph;
mod history;
mod holdings;
mod id;
mod inflate;
mod kind;
mod look;
mod loose;
mod origins;
mod pack;
mod pack_index;
mod reader;
mod references;
mod refused;
mod regular;
mod repository;
mod scan;
mod seen;
mod skipped;
mod staged;
mod store;
mod tree;
mod walk;
mod windows;

pub use bounds::{Bounds, KEPT_BYTES_MAX, OBJECT_BYTES_MAX, TOTAL_BYTES_MAX, WORKERS_MAX};
pub use history::History;
pub use id::{Format, ObjectId};
pub use kind::Kind;
pub use look::{Blob, Hit, Look, Take};
pub use origins::{Found, Moment, ORIGINS_MAX, Origin, Provenance};
pub use pack_index::PACK_OBJECTS_MAX;
pub use refused::Refused;
pub use seen::{Seen, WHOLE_MARK};
pub use skipped::{SKIPPED_MAX, Skipped, Skips, What, Why};
pub use staged::{Staged, Staging};
pub use windows::{AROUND_BYTES_MAX, HIT_BYTES_MAX, HIT_LINES_MAX};
