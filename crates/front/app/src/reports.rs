//! What an installation reports, as plain data that every front renders.

pub mod audit;
pub mod changes;
pub mod cluster_copies;
pub mod doctor;
pub mod drift;
pub mod due;
pub mod emergency;
pub mod history;
pub mod issuers;
pub mod lint;
pub mod offered;
pub mod operate;
pub mod runbook;
pub mod secrets;
pub mod status;
pub mod upkeep;
pub mod verify;
pub mod waivers;
