//! The values of GitHub's alerts, which its webhook does not send.

use keyroll_config::Alerts;
use keyroll_issuer::GithubAlerts;

use super::alert::Alert;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::issuer::admin_file;
use crate::wiring::open::runtime;

/// The most values that are read for one document.
const VALUES_MAX: usize = 10;

/// Reads the values that are missing, with the token that the configuration names. What could not be read is said in the
/// alert.
pub(super) fn complete(
    alerts: &mut [Alert],
    table: &Alerts,
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let Some(path) = &table.github_token else { return Ok(()) };
    let wanted = |alert: &&mut Alert| alert.value.is_none() && alert.github.is_some();
    let (mut token, runtime) = (None, runtime(places)?);
    let api = GithubAlerts::at(&table.github_api);
    for (alert, number) in alerts.iter_mut().filter(wanted).zip(0..) {
        let (Some((repository, id)), Some(api)) = (&alert.github, &api) else { continue };
        if number >= VALUES_MAX {
            alert.missing = Some(format!("GitHub is asked for at most {VALUES_MAX} values at once"));
            continue;
        }
        operator.progress("reading the value from GitHub …");
        let read = match &token {
            Some(token) => Ok(token),
            None => admin_file(path).map(|read| &*token.insert(read)),
        };
        // GitHub does not send an alert again by itself, so it is kept in any case.
        match read.map(|token| runtime.block_on(api.value(repository, *id, token))) {
            Ok(Ok(value)) => alert.value = value,
            Ok(Err(why)) => alert.missing = Some(why),
            Err(problem) => alert.missing = Some(problem.sentence()),
        }
        operator.settle();
    }
    Ok(())
}
