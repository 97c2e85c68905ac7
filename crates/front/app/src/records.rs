//! Reads recorded rotations, plans and versions, and describes them. Nothing here drives a rotation.

pub mod acts;
pub mod adopt_command;
pub mod blockers;
pub(crate) mod blocking_pods;
mod bystanders;
mod canary;
pub mod cause;
pub mod downtimes;
mod files_here;
pub(crate) mod given_out;
pub(crate) mod host_epoch;
pub(crate) mod hosts_away;
pub(crate) mod hosts_left;
pub mod index;
pub(crate) mod log_keeper;
mod missing_proof;
pub mod next_words;
pub mod old_key;
pub mod open_rotation_guard;
pub mod past;
pub(crate) mod pid_files;
pub mod plan_names;
pub(crate) mod processes_outside;
pub mod reasons;
pub mod recorded;
pub(crate) mod remembered_names;
pub mod resolve_rotation;
pub mod resolve_target;
#[cfg(test)]
mod rollback_shown;
pub mod rotation_ids;
pub mod saved_plan;
pub(crate) mod seen_from;
pub(crate) mod state_file;
pub mod store_freshness;
mod store_process;
pub(crate) mod unseen;
pub mod versions;
pub mod waiting;
#[cfg(test)]
mod waiting_page;
#[cfg(test)]
mod waits_shown;
pub mod waived;
pub mod waivers;
#[cfg(test)]
#[path = "../../../core/rotation/tests/walk/mod.rs"]
pub(crate) mod walk;
pub(crate) mod ways;
