//! First halves of evidence, kept until the second half is asked for.

use keyroll_observe::Sockets;
use keyroll_port::Failure;
use keyroll_rotation::{Incarnation, Kinds, Proof, Which};

use super::running::Running;

/// The first half of the evidence for a version.
pub(super) struct Half {
    pub(super) number: u64,
    pub(super) which: Which,
    /// What was seen, or why nothing was: the second half reports it, with the remarks.
    pub(super) seen: Result<Begun, Failure>,
}

/// What was seen of a consumer's processes before the sessions that count.
#[derive(Default)]
pub(super) struct Begun {
    /// It is a service, and runs.
    pub(super) serves: bool,
    /// The evidence of a job at rest.
    pub(super) at_rest: Option<Proof>,
    /// All processes in the slots that were asked for.
    pub(super) mine: Vec<Running>,
    /// What each process showed, without those that the word of another one covers.
    pub(super) processes: Vec<BegunProcess>,
    /// The sessions must be read again.
    pub(super) reads_again: bool,
    /// The connections as they were with the first sessions. An address may have another owner later.
    pub(super) sockets: Sockets,
}

/// What one process showed before the sessions that count.
pub(super) struct BegunProcess {
    pub(super) one: Running,
    pub(super) who: Incarnation,
    /// No earlier look saw this life: the sessions that were read before may be of the program that ran before.
    pub(super) is_new: bool,
    /// The version was seen in it.
    pub(super) loaded: bool,
    /// What each path has shown so far; empty if it gives no evidence now.
    pub(super) paths: Vec<Kinds>,
    /// How many of its calls with the version the issuer had accepted before the request.
    pub(super) calls: u64,
    /// The path whose check sent a request: a call since shows that it was used.
    pub(super) asked: Option<u8>,
}
