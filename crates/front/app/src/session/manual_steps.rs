//! The steps that the operator does at the issuer's console.

use keyroll_issuer::{ByHand, Spec};
use keyroll_port::Recorded;
use keyroll_rotation::{Fact, Phase, State};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::wiring::issuer::Described;
use crate::wiring::open::{runtime, store};
use crate::wiring::sealing::present_key;

/// The steps at the console.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    /// How the new key is made.
    pub mint: String,
    /// How the old key is revoked.
    pub revoke: String,
    /// How the new key is revoked during a rollback, if only the operator can.
    pub back: Option<String>,
    /// The operator is asked for the key as soon as the rotation needs it.
    pub prompted: bool,
}

impl Steps {
    /// The steps of an issuer's spec.
    pub fn of(spec: Option<&Spec>) -> Self {
        let Some(ByHand { url, steps, revoke_url, revoke_steps }) = spec.and_then(Spec::by_hand) else {
            let at = |what: &str| format!("{what} at the issuer's console");
            return Self {
                mint: at("make the new key"),
                revoke: at("revoke the old key"),
                ..Self::default()
            };
        };
        Self {
            mint: numbered(&format!("make the new key at {url}"), steps),
            revoke: numbered(&format!("revoke the old key at {revoke_url}"), revoke_steps),
            ..Self::default()
        }
    }
}

fn numbered(what: &str, steps: &[String]) -> String {
    let lines = (1..).zip(steps).map(|(at, step): (u32, &String)| format!("\n  {at}. {step}"));
    format!("{what}{}", lines.collect::<String>())
}

/// How the operator revokes the new key during a rollback: its id, the console, and the steps. None if the issuer's
/// API revokes it, or there is no new key.
pub fn way_back(
    recorded: &Recorded,
    state: &State,
    described: &Described,
    places: &Places,
) -> Option<String> {
    let spec = described.spec.as_ref().filter(|spec| !spec.revokes())?;
    let ByHand { revoke_url, revoke_steps, .. } = spec.by_hand()?;
    let new = &state.new_version()?.credential;
    let given = recorded.events.iter().zip(&recorded.unix_ms).rev();
    let mut given = given.filter(|(event, _)| matches!(&event.fact, Fact::HandMinted(id) if id == new));
    let at = given.next().map(|(_, unix_ms)| clock(*unix_ms))?;
    let print = match fingerprint(&recorded.opening.secret, new.as_str(), places) {
        Ok(print) => print.map(|print| format!(" (fingerprint {print})")).unwrap_or_default(),
        // Without the sealing key the id is left out.
        Err(_) => " (its fingerprint is sealed)".to_owned(),
    };
    let what = format!(
        "revoke the NEW key, the one that you entered at {at}{print}, at {revoke_url} (with the steps for \
         an old key)"
    );
    Some(format!("{}\nthe old key stays", numbered(&what, revoke_steps)))
}

/// The same for a rotation that rolls back, for later reports.
pub fn awaited_back(recorded: &Recorded, state: &State, places: &Places) -> Option<String> {
    if state.phase() != Phase::RollingBack || state.hold().is_none() {
        return None;
    }
    let saved = crate::records::saved_plan::Saved::of(recorded).ok()?;
    let config = saved.config().ok()?;
    let described = crate::wiring::issuer::described(config.secret(&saved.secret).ok()?).ok()?;
    way_back(recorded, state, &described, places)
}

fn fingerprint(secret: &str, id: &str, places: &Places) -> Result<Option<String>, Problem> {
    present_key(places)?;
    let all = runtime(places)?.block_on(keyroll_port::Store::versions(store(places)?.as_ref(), secret))?;
    let its = all.iter().find(|version| version.credential.as_ref().is_some_and(|one| one.as_str() == id));
    Ok(its.and_then(|version| version.fingerprints.first()).map(|(_, print)| print.to_string()))
}
