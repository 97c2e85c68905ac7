//! Confirms that a key which the operator revoked at the issuer's console is dead.

use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_config::Secret;
use keyroll_port::{Issuer, Probe, Store as _};
use keyroll_rotation::Phase;
use keyroll_secret::Credential;

use super::manual_mint::pause;
use super::manual_steps::Steps;
use crate::exit::Exit;
use crate::interrupt;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::Opened;
use crate::wiring::issuer::Described;
use crate::wiring::open::{runtime, store};

/// Probes the old key until every endpoint refuses it or the time is over. The operator's word alone changes nothing.
pub(crate) fn see_dead(
    open: &Opened,
    (secret, described): (&Secret, &Described),
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if open.state.phase() != Phase::Revoke || open.state.hold().is_some() {
        return Ok(());
    }
    let (runtime, store, issuer) = (runtime(places)?, store(places)?, described.issuer(secret, None)?);
    let old = runtime.block_on(store.read(secret.name.as_str(), open.saved.from_version))?;
    let Some(old) = old else { return Ok(()) };
    let able = issuer.capabilities();
    let limit_ms = able.death_ms_max.saturating_add(able.request_ms_max);
    let why = runtime.block_on(until_dead(issuer.as_ref(), &old, limit_ms, operator));
    why.map_or(Ok(()), |why| {
        Err(Problem::new(Code::OldKeyStillAlive, "see the old key dead")
            .because(why)
            .because("nothing was recorded: the rotation still waits for the revoke")
            .help(format!(
                "{}\nthen: keyroll resume {} --revoked-by-hand",
                Steps::of(described.spec.as_ref()).revoke,
                open.id
            ))
            .exits(Exit::NeedsPerson))
    })
}

/// Why the key was not seen dead in time.
async fn until_dead(
    issuer: &dyn Issuer,
    old: &Credential,
    limit_ms: u64,
    operator: &mut dyn Operator,
) -> Option<String> {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    let mut shown = false;
    loop {
        let mut why = None;
        for endpoint in issuer.endpoints() {
            why = match issuer.probe(&endpoint, old).await {
                Probe::Dead => continue,
                Probe::Alive | Probe::Denied => Some(format!("{endpoint} still accepts it")),
                Probe::Unknown(unknown) => {
                    Some(format!("not visible whether {endpoint} refuses it: {unknown}"))
                }
            };
            break;
        }
        let why = why?;
        if Instant::now() >= end || interrupt::is_asked() {
            return Some(why);
        }
        if !shown {
            operator.note(format!(
                "{why}; a revoke may need some time here, asking again for {} s",
                limit_ms / 1_000
            ));
            shown = true;
        }
        pause().await;
    }
}
