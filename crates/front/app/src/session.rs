//! An open rotation: starts, resumes, drives and shows it; records what the operator decides.

mod acquire_lock;
pub mod adopt;
pub mod append_offline;
mod container_there;
pub mod correct;
mod drive;
pub mod emergency;
mod finish;
mod follow_up;
mod holder_on_host;
mod lock_to_record;
pub mod manual_mint;
mod manual_revoke;
pub mod manual_steps;
pub mod options;
pub mod pause;
mod preconditions;
pub mod prompt_for_key;
mod refuse_running;
pub mod rotate;
pub mod rotate_due;
pub mod split;
pub mod waive;
pub mod waive_host;
mod watch;
