//! Files that a container would never see change.

use keyroll_port::Failure;

use super::Local;
use crate::Write;

impl Local {
    /// Refuses a container that reads its file again and has this very file mounted, where the file is replaced by
    /// rename: the mount goes on showing the file of before. One that is restarted gets its mounts anew.
    ///
    /// # Errors
    /// `K0316`; or the engine does not tell.
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
