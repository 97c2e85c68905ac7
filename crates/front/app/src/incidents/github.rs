//! The values of GitHub's alerts, which its webhook does not send.

use std::time::{Duration, Instant};

use keyroll_config::Alerts;
use keyroll_issuer::GithubAlerts;

use super::alert::Alert;
use super::sources::is_credential;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::issuer::admin_file;
use crate::wiring::open::runtime;

/// How long all of it may take: GitHub waits 10 s for the answer to its own message.
const TIME_MAX: Duration = Duration::from_secs(3);
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
    let (mut token, runtime, began) = (None, runtime(places)?, Instant::now());
    let api = GithubAlerts::at(&table.github_api);
    for (alert, number) in alerts.iter_mut().filter(wanted).zip(0..) {
        let (Some((repository, id)), Some(api)) = (&alert.github, &api) else { continue };
        if number >= VALUES_MAX || began.elapsed() > TIME_MAX {
            alert.missing = Some("GitHub was asked for other values first, and took too long".to_owned());
            continue;
        }
        operator.progress("reading the value from GitHub …");
        let read = match &token {
            Some(token) => Ok(token),
            None => admin_file(path).map(|read| &*token.insert(read)),
        };
        // GitHub does not send an alert again by itself, so it is kept in any case.
        match read.map(|token| runtime.block_on(api.value(repository, *id, token))) {
            Ok(Ok(value)) => alert.value = value.filter(|value| is_credential(value.len())),
            Ok(Err(why)) => alert.missing = Some(why),
            Err(problem) => alert.missing = Some(problem.sentence()),
        }
        operator.settle();
    }
    Ok(())
}
