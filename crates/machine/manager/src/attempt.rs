//! One attempt to apply a value, and what it did.

use std::time::Instant;

use keyroll_observe::ProcessId;
use keyroll_secret::SecretBytes;

use crate::Generation;

/// One attempt to apply a value.
pub struct Attempt<'a> {
    /// One of several instances; `None` = the consumer has a single one.
    pub instance: Option<&'a str>,
    /// When the attempt times out.
    pub deadline: Instant,
    /// Called with each process that is started, so that a later driver can end or await it.
    pub started: &'a mut dyn FnMut(ProcessId),
    /// Whether an agent may overwrite what its row holds now.
    pub may_replace: &'a dyn Fn(&SecretBytes) -> bool,
    /// Whether this generation may have begun before the value was written.
    pub is_old: &'a dyn Fn(&Generation) -> bool,
}

/// What was done.
pub struct Applied {
    /// One clause for the record: `ran ./restart.sh (exit 0)`.
    pub done: String,
    /// The first 64 KiB of the command's output, where one ran. It may hold a value: redact it before showing it.
    pub output: Option<SecretBytes>,
}

impl Applied {
    pub(crate) fn without_output(done: impl Into<String>) -> Self {
        Self { done: done.into(), output: None }
    }
}
