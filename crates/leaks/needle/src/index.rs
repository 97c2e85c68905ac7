//! The search index over all encoded forms: a sampled window for each form, a filter and a table for each tier of
//! lengths.

pub(crate) mod arena;
pub(crate) mod prefixes;
pub(crate) mod sample;
pub(crate) mod sample_windows;
pub(crate) mod tier;
