//! What a person ends at the issuer's console is seen dead.

use std::time::{Duration, Instant};

use keyroll_config::Secret;
use keyroll_port::{Issuer, Probe, Store as _};
use keyroll_rotation::Phase;
use keyroll_secret::Credential;

use super::by_hand::pause;
use super::steps::Steps;
use crate::exit::Exit;
use crate::interrupt;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::Opened;
use crate::ui::Ui;
use crate::wiring::issuer::Described;
use crate::wiring::open::{runtime, store};

/// A person says that they ended the old key: it is asked until every endpoint refuses it, for as long as a death may
/// take here. Their word alone changes nothing.
pub(super) fn see_dead(
    open: &Opened,
    (secret, described): (&Secret, &Described),
    places: &Places,
    ui: &mut Ui,
) -> Result<(), Problem> {
    if open.state.phase() != Phase::Revoke || open.state.hold().is_some() {
        return Ok(());
    }
    let (runtime, store, issuer) = (runtime()?, store(places)?, described.issuer(secret, None)?);
    let old = runtime.block_on(store.read(secret.name.as_str(), open.saved.from_version))?;
    let Some(old) = old else { return Ok(()) };
    let able = issuer.capabilities();
    let limit_ms = able.death_ms_max.saturating_add(able.request_ms_max);
    let why = runtime.block_on(until_dead(issuer.as_ref(), &old, limit_ms, ui));
    why.map_or(Ok(()), |why| {
        Err(Problem::new("K0872", "see the old key dead")
            .because(why)
            .because("nothing was recorded: the rotation still waits for its end")
            .help(format!(
                "{}\nthen: keyroll resume {} --revoked-by-hand",
                Steps::of(described.spec.as_ref()).revoke,
                open.id
            ))
            .exits(Exit::NeedsPerson))
    })
}

/// Why it is not seen dead, once the time is over.
async fn until_dead(issuer: &dyn Issuer, old: &Credential, limit_ms: u64, ui: &mut Ui) -> Option<String> {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    let mut shown = false;
    loop {
        let mut why = None;
        for endpoint in issuer.endpoints() {
            why = match issuer.probe(&endpoint, old).await {
                Probe::Dead => continue,
                Probe::Alive | Probe::Denied => Some(format!("{endpoint} still accepts it")),
                Probe::Unknown(unknown) => {
                    Some(format!("whether {endpoint} refuses it is not visible: {unknown}"))
                }
            };
            break;
        }
        let why = why?;
        if Instant::now() >= end || interrupt::is_asked() {
            return Some(why);
        }
        if !shown {
            ui.note(format!(
                "{why}; an end may take a while here, it is asked again for {} s",
                limit_ms / 1_000
            ));
            shown = true;
        }
        pause().await;
    }
}
