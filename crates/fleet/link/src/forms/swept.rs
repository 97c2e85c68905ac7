use keyroll_port::{Residue, Swept};
use serde::{Deserialize, Serialize};

use super::limits::{FormError, all_sent, forms, list, sent, text, texts};
use super::look::{DowntimeForm, downtimes};

/// The result of the last search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweptForm {
    /// Places that still hold the old value, and why.
    pub residues: Vec<(String, String)>,
    /// What could not be searched, by name and reason.
    pub not_visible: Vec<String>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<DowntimeForm>,
}

impl From<&Swept> for SweptForm {
    fn from(swept: &Swept) -> Self {
        let residues = swept.residues.iter().map(|left| (sent(&left.place), sent(&left.reason)));
        Self {
            residues: residues.collect(),
            not_visible: all_sent(&swept.not_visible),
            downtimes: forms(&swept.downtimes),
        }
    }
}

impl SweptForm {
    /// The result.
    ///
    /// # Errors
    /// A list or a text is too long.
    pub fn into_port(self) -> Result<Swept, FormError> {
        let residues = list(self.residues, |(place, reason)| {
            Ok(Residue { place: text(place)?, reason: text(reason)? })
        })?;
        Ok(Swept { residues, not_visible: texts(self.not_visible)?, downtimes: downtimes(self.downtimes)? })
    }
}
