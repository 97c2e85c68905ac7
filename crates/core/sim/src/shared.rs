//! The file and the consumer that two rotations have in common.

use keyroll_rotation::{ConsumerId, FileId};

/// What one rotation did to the shared file or consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Wrote,
    Restarted(u8),
}

/// The file and the consumer that two rotations share, as one of them sees them.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) file: FileId,
    pub(crate) consumer: ConsumerId,
    /// When this rotation last read the file in order to write it.
    pub(crate) read_at: u64,
    /// When the other rotation last wrote it.
    pub(crate) written_at: u64,
    /// What the other rotation must still be told.
    pub(crate) done: Vec<Touch>,
}

impl Shared {
    pub(crate) fn new(file: FileId, consumer: ConsumerId) -> Self {
        Self { file, consumer, read_at: 0, written_at: 0, done: Vec::new() }
    }

    /// Whether the file still has the content that was read; only then may it be written.
    pub(crate) fn may_write(&mut self, file: FileId) -> bool {
        if file != self.file {
            return true;
        }
        let same = self.written_at < self.read_at;
        if same {
            self.done.push(Touch::Wrote);
        }
        same
    }

    pub(crate) fn restarted(&mut self, consumer: ConsumerId, slot: u8) {
        if consumer == self.consumer {
            self.done.push(Touch::Restarted(slot));
        }
    }
}
