//! What a person does at the issuer's console, in words.

use keyroll_issuer::{ByHand, Spec};
use keyroll_port::Recorded;
use keyroll_rotation::{Fact, Phase, State};

use crate::places::Places;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::wiring::issuer::Described;
use crate::wiring::open::{runtime, store};
use crate::wiring::sealing::present_key;

/// The steps at the console, for a person.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps {
    pub(crate) mint: String,
    pub(crate) revoke: String,
    /// How the new key is ended on the way back, where only a person can.
    pub(crate) back: Option<String>,
    /// The key is asked for at a terminal as soon as it is waited for.
    pub(crate) prompted: bool,
}

impl Steps {
    pub(crate) fn of(spec: Option<&Spec>) -> Self {
        let Some(ByHand { url, steps, revoke_url, revoke_steps }) = spec.and_then(Spec::by_hand) else {
            let at = |what: &str| format!("{what} at the issuer's console");
            return Self { mint: at("make the new key"), revoke: at("end the old key"), ..Self::default() };
        };
        Self {
            mint: numbered(&format!("make the new key at {url}"), steps),
            revoke: numbered(&format!("end the old key at {revoke_url}"), revoke_steps),
            ..Self::default()
        }
    }
}

fn numbered(what: &str, steps: &[String]) -> String {
    let lines = (1..).zip(steps).map(|(at, step): (u32, &String)| format!("\n  {at}. {step}"));
    format!("{what}{}", lines.collect::<String>())
}

/// How a person ends the new key that they made, so that the old one stays alone: which it is, where, and step by step.
/// None where the issuer's API ends it, or where there is none.
pub(crate) fn way_back(
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
        // Whoever looks without the sealing key is told the rest of it.
        Err(_) => " (its fingerprint is sealed)".to_owned(),
    };
    let what = format!(
        "end the NEW key, the one that you gave at {at}{print}, at {revoke_url} (its steps for an old key)"
    );
    Some(format!("{}\nthe old one stays", numbered(&what, revoke_steps)))
}

/// The same while a rotation goes back; for whoever looks at it later.
pub(crate) fn awaited_back(recorded: &Recorded, state: &State, places: &Places) -> Option<String> {
    if state.phase() != Phase::RollingBack || state.hold().is_none() {
        return None;
    }
    let saved = crate::records::saved::Saved::of(recorded).ok()?;
    let file = saved.config_file.display().to_string();
    let config = keyroll_config::Config::parse(&saved.config_text, &file).ok()?;
    let described = crate::wiring::issuer::described(config.secret(&saved.secret).ok()?).ok()?;
    way_back(recorded, state, &described, places)
}

fn fingerprint(secret: &str, id: &str, places: &Places) -> Result<Option<String>, Problem> {
    present_key(places)?;
    let all = runtime()?.block_on(keyroll_port::Store::versions(store(places)?.as_ref(), secret))?;
    let its = all.iter().find(|version| version.credential.as_ref().is_some_and(|one| one.as_str() == id));
    Ok(its.and_then(|version| version.fingerprints.first()).map(|(_, print)| print.to_string()))
}
