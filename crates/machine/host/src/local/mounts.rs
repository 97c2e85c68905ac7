//! Mounted files whose replacement a container would never see.

use keyroll_port::Failure;

use super::Local;
use crate::Write;

impl Local {
    /// Refuses a container that re-reads its file and has exactly this file mounted, if the file is replaced by rename:
    /// the mount would go on showing the old file. A container that is restarted gets new mounts.
    ///
    /// # Errors `K0316`; or the engine does not answer.
    pub(super) fn refuse_unseen_mounts(&self) -> Result<(), Failure> {
        for consumer in &self.setup.consumers {
            let replaced = || {
                let files = consumer.files.iter().filter_map(|id| self.setup.file(*id));
                files.filter(|file| file.write == Write::Rename)
            };
            for slot in &consumer.slots {
                for file in replaced() {
                    if let Some(failure) = slot.run.misses_rename_of(&file.path)? {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(())
    }
}
