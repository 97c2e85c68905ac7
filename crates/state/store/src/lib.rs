//! Sources of truth for values: keyroll's own sealed store.
//!
//! Invariants, by what is absent: no value is ever written unsealed, no row is trusted that the sealing key did not
//! vouch for (swapped, altered or older rows are refused), and no write is answered before its commit returned.

mod accept;
mod book;
mod database;
mod fail;
mod ledger;
mod payload;
mod sealed;
mod steps;

pub use database::names_unvouched;
pub use sealed::SealedStore;
