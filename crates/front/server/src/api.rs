//! The pages under `/v1`: what the commands of the terminal do, for callers with a token.
//!
//! The same holds as for the emergency endpoint: nothing is driven here, and no page takes or shows a value.

pub(crate) mod approvals;
mod body;
pub(crate) mod child;
pub(crate) mod commands;
pub(crate) mod events;
pub(crate) mod ledger;
pub(crate) mod openapi;
pub(crate) mod plans;
mod query;
pub(crate) mod reads;
pub(crate) mod rotations;
mod shown;
pub(crate) mod start;
