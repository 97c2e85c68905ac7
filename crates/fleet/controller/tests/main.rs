//! What is shipped is what the code says: the definition, and the Roles of the manifests.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod generated;
mod manifests;
