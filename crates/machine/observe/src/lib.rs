//! Processes seen from outside: environment, memory, sockets, logs.
//!
//! Observation only: nothing here decides, and nothing here changes a process. Invariants, by what is absent: no
//! read without a limit in bytes and in time; no read by process id alone, where the id could have been given to
//! another process in the meantime; no "not found" where the truth is "not visible".

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod access_list;
mod boot_key;
mod credentials;
mod detach;
mod environment;
mod exec;
mod executable;
mod files;
mod folder;
mod holders;
mod identity;
mod image;
mod inside;
mod listing;
mod log_docker;
mod log_files;
mod log_journal;
mod log_patterns;
mod log_program;
mod log_source;
mod log_tail;
mod look;
mod machine_ids;
mod maps;
mod memory;
mod memory_read;
mod meter;
mod not_visible;
mod open_files;
mod opens;
mod outside;
mod path_steps;
mod pieces;
mod pool;
mod proc;
mod reading;
mod rights;
mod search;
mod search_files;
mod small_file;
mod socket_diag;
mod sockets;
mod streams;
mod units;
mod walk;
mod worker;

pub use access_list::writer_by_access_list;
pub use boot_key::{BootKey, boot_key};
pub use detach::detach;
pub use environment::{
    Start, Variable, credential_has, environment_has, environment_holds, environment_names, starts,
    variables_holding,
};
pub use exec::{exec_came_after, forked_without_exec, program};
pub use executable::runs_file;
pub use files::{Choice, FileHit, FileLimits, FilesReport, NotSearched, PathKind, shown};
pub use folder::{has_other_files, working_folder};
pub use holders::{Holder, HoldersReport, NotSeen, Place, own_tree, passes_on, search_holders};
pub use identity::{After, ProcessId, Program, WrittenAt, boot, started_after, ticks_per_second};
pub use image::{
    Image, InProcess, called, called_in_folder, image, is_interpreter, is_shell, runs_any_program,
    runs_shell, script, started_unix_ms,
};
pub use listing::{Arguments, Hidden, Listing, Process, descendants, parents, process, processes};
pub use log_docker::DockerPosition;
pub use log_files::LogPosition;
pub use log_journal::JournalUnit;
pub use log_patterns::LogCounts;
pub use log_source::{LogFollower, LogPlace, LogSource};
pub use log_tail::LogTail;
pub use look::Look;
pub use machine_ids::{MACHINE_ID_FILES, MachineIds, machine_ids};
pub use memory::{MemoryLimits, MemoryReport, UnreadMemory, memory_holds, resident_bytes};
pub use meter::memory_search_time;
pub use not_visible::NotVisible;
pub use open_files::{OpenAnswer, OpenFile, open_files};
pub use opens::{OpenWatch, sees_opens};
pub use outside::{Extent, STATE_WHOLE_MACHINE, WHOLE_MACHINE, extent, stated_outside, view};
pub use path_steps::{PathStep, path_steps};
pub use pieces::{Piece, Pieces};
pub use reading::{Read, read_regular};
pub use rights::Rights;
pub use search::Search;
pub use search_files::search_files;
pub use small_file::{read_below, read_small};
pub use sockets::{SocketOwners, Sockets, in_own_network};
pub use streams::{Streams, plain_ids, streams_of};
pub use units::unit_folders;
pub use walk::look_at_files;
pub use worker::within;
