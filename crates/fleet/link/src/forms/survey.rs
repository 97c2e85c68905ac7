use std::path::PathBuf;

use keyroll_port::Survey;
use keyroll_rotation::ConsumerId;
use serde::{Deserialize, Serialize};

use super::failure::FailureForm;
use super::limits::{FormError, all_sent, forms, list, sent, text, texts};
use super::look::LookedForm;
use super::pending::PendingForm;
use super::process::HolderForm;

/// What a survey found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyForm {
    /// Instances, holders, undeclared copies.
    pub looked: LookedForm,
    /// The undeclared processes.
    pub holders: Vec<HolderForm>,
    /// The pending changes that restarts would activate.
    pub live: PendingForm,
    /// The consumers that reach the issuer from a network of their own.
    pub other_networks: Vec<String>,
    /// Sentences on files with several names.
    pub linked: Vec<String>,
    /// Why checks prove less than they should.
    pub checks: Vec<FailureForm>,
    /// The executable of each process of a consumer, by the host's number of it.
    pub programs: Vec<(u16, String)>,
}

impl From<&Survey> for SurveyForm {
    fn from(survey: &Survey) -> Self {
        let programs = survey.programs.iter();
        let programs = programs.map(|(ConsumerId(number), path)| (*number, sent(&path.to_string_lossy())));
        Self {
            looked: (&survey.looked).into(),
            holders: forms(&survey.holders),
            live: (&survey.live).into(),
            other_networks: survey.other_networks.iter().map(|name| sent(name)).collect(),
            linked: all_sent(&survey.linked),
            checks: forms(&survey.checks),
            programs: programs.collect(),
        }
    }
}

impl SurveyForm {
    /// What was found.
    ///
    /// # Errors
    /// A list or a text is too long.
    pub fn into_port(self) -> Result<Survey, FormError> {
        let programs =
            list(self.programs, |(number, path)| Ok((ConsumerId(number), PathBuf::from(text(path)?))))?;
        Ok(Survey {
            looked: self.looked.into_port()?,
            holders: list(self.holders, HolderForm::into_port)?,
            live: self.live.into_port()?,
            other_networks: texts(self.other_networks)?.into_iter().collect(),
            linked: texts(self.linked)?,
            checks: list(self.checks, |one| Ok(one.into_port()))?,
            programs,
        })
    }
}
