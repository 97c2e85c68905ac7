//! Configured files that have several names.

use keyroll_port::Failure;

use super::Local;
use crate::replace::one_name;
use crate::{Write, read};

impl Local {
    /// Messages about files with several names (hard links), before anything is made.
    ///
    /// # Errors
    /// `K0316`: a file that would be replaced has another name, which would keep the old value.
    pub(super) fn linked_files(&self) -> Result<Vec<String>, Failure> {
        let mut notes = Vec::new();
        for file in &self.setup.files {
            let resolved = self.resolved(file)?;
            let nlink = read(&resolved)?.nlink;
            if nlink <= 1 {
                continue;
            }
            let place = resolved.real.display();
            match (file.generated, file.write) {
                (true, _) => notes.push(format!(
                    "{place} has {nlink} names (hard links): a fetch that replaces it leaves the others on the old value"
                )),
                (false, Write::InPlace) => {
                    notes.push(format!("{place} has {nlink} names (hard links): it is changed under all of them"));
                }
                (false, Write::Rename) => one_name(nlink, &resolved.real)?,
            }
        }
        Ok(notes)
    }
}
