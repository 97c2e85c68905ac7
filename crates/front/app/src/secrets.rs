//! Takes values in: added by the operator, or imported from the configured copies.

pub mod accept_key;
pub mod add;
mod edit_config;
pub mod fields;
pub mod import;
mod import_from_store;
pub mod rewrap;
