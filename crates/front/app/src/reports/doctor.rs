//! Checks everything that a rotation needs, and changes nothing.

mod configuration;
mod process;
mod report;
mod state;

use crate::installation::Installation;
use crate::operator::CheckShown;
use crate::problem::Problem;
use crate::quantity::quantity;

/// Checks the folders, the sealing key, the journal, this process and the configuration of an installation. A finding
/// that is bad would stop a rotation.
///
/// # Errors
/// The folders of the installation cannot be derived.
pub fn doctor(installation: &Installation) -> Result<Vec<CheckShown>, Problem> {
    let mut report = report::Report::default();
    let places = installation.places()?;
    state::check_folders(&mut report, &places);
    let key = state::check_sealing(&mut report, &places);
    state::check_journal(&mut report, &places, key);
    process::check_process(&mut report);
    match installation.config() {
        Ok(config) => {
            let path = installation.config_path();
            let secrets = quantity(config.secrets.len(), "secret");
            report.good("configuration", format!("{}: {secrets}", path.display()));
            if key {
                state::check_freshness(&mut report, &config, &places);
                state::check_strength(&mut report, &config, &places);
            }
            configuration::check_configuration(&mut report, &config, &path, &places);
        }
        Err(problem) => report.problem("configuration", &problem),
    }
    Ok(report.0)
}
