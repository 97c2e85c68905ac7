//! Whether the commands and files of a secret's consumers may be used on the machine that this code runs on: no other
//! user can change them, their programs exist, and nothing in an agent's own files contradicts a rotation.
//!
//! Everything here looks at this machine only. Whether a consumer runs here is for the caller to say.

mod causes;
mod commands;
mod files;
mod objections;
mod programs;
mod reached;

pub use files::{
    is_foreign, refuse_untrusted, trusted_commands, trusted_files, trusted_program, unseen_words,
};
pub use objections::refuse_objections;
pub use programs::{Missing, dumps_in_sight, missing, pid_files_missing, refuse_missing, refuse_missing_of};
