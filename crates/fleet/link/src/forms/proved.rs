use keyroll_port::{Evidence, FailingCheck, Proved};
use keyroll_rotation::{Kinds, PATHS_MAX, Proof};
use serde::{Deserialize, Serialize};

use super::failure::FailureForm;
use super::limits::{FormError, forms, list, sent, text};
use super::look::{DowntimeForm, downtimes};
use super::numbers::{VisibilityForm, WhichForm};
use super::process::IncarnationForm;

/// What was seen of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofForm {
    /// Which life.
    pub who: IncarnationForm,
    /// Which slot of its consumer.
    pub slot: u8,
    /// The version that this is evidence for.
    pub version: WhichForm,
    /// The kinds of evidence per path, as bits.
    pub paths: [u8; PATHS_MAX],
    /// It has a session on the other version.
    pub other_session: VisibilityForm,
}

/// The evidence, or why the host could not take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceForm {
    /// The evidence.
    Seen {
        /// What each instance has shown.
        proofs: Vec<ProofForm>,
        /// Something is evidence against the version.
        against: bool,
    },
    /// The host could not take it.
    Failed(FailureForm),
}

/// The result of a call for evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvedForm {
    /// The evidence.
    pub evidence: EvidenceForm,
    /// Why the evidence does not prove more.
    pub remarks: Vec<FailureForm>,
    /// The checks that fail now: the number of the path, and how the check ended.
    pub failing_checks: Vec<(u8, String)>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<DowntimeForm>,
}

impl From<&Proof> for ProofForm {
    fn from(proof: &Proof) -> Self {
        let Proof { who, slot, version, paths, other_session } = *proof;
        Self {
            who: IncarnationForm::of(who),
            slot,
            version: version.into(),
            paths: paths.map(Kinds::bits),
            other_session: other_session.into(),
        }
    }
}

impl ProofForm {
    /// What was seen, on the host 0.
    ///
    /// # Errors
    /// It has a kind of evidence that this version does not know.
    pub fn into_port(self) -> Result<Proof, FormError> {
        let mut paths = [Kinds::NONE; PATHS_MAX];
        for (path, bits) in paths.iter_mut().zip(self.paths) {
            *path = Kinds::from_bits(bits).ok_or(FormError::UnknownNumber)?;
        }
        let Self { who, slot, version, paths: _, other_session } = self;
        let (version, other_session) = (version.into(), other_session.into());
        Ok(Proof { who: who.into_port(), slot, version, paths, other_session })
    }
}

impl From<&Proved> for ProvedForm {
    fn from(proved: &Proved) -> Self {
        let evidence = match &proved.evidence {
            Ok(Evidence { proofs, against }) => {
                EvidenceForm::Seen { proofs: forms(proofs), against: *against }
            }
            Err(failure) => EvidenceForm::Failed(failure.into()),
        };
        let failing = proved.failing_checks.iter().map(|check| (check.path, sent(&check.what)));
        Self {
            evidence,
            remarks: forms(&proved.remarks),
            failing_checks: failing.collect(),
            downtimes: forms(&proved.downtimes),
        }
    }
}

impl ProvedForm {
    /// The result.
    ///
    /// # Errors
    /// A list or a text is too long, or a proof has a kind of evidence that this version does not know.
    pub fn into_port(self) -> Result<Proved, FormError> {
        let evidence = match self.evidence {
            EvidenceForm::Seen { proofs, against } => {
                Ok(Evidence { proofs: list(proofs, ProofForm::into_port)?, against })
            }
            EvidenceForm::Failed(failure) => Err(failure.into_port()),
        };
        let failing_checks =
            list(self.failing_checks, |(path, what)| Ok(FailingCheck { path, what: text(what)? }))?;
        Ok(Proved {
            evidence,
            remarks: list(self.remarks, |one| Ok(one.into_port()))?,
            failing_checks,
            downtimes: downtimes(self.downtimes)?,
        })
    }
}
