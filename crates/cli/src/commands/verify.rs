use keyroll_config::IssuerRef;
use keyroll_journal::{LockError, StateLock, try_lock};
use keyroll_port::{Issuer, Journal as _, Label, Listing, Probe, Store as _};
use keyroll_rotation::{OldKey, Phase};
use keyroll_secret::{Credential, CredentialId};
use tokio::runtime::Runtime;

use crate::args::VerifyArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::begun::open_of;
use crate::records::recorded;
use crate::records::{old_key, versions};
use crate::redact;
use crate::ui::{Event, Finding};
use crate::wiring::open;

/// Versions without a value that are told: the newest are what somebody asks about.
const GONE_SHOWN_MAX: usize = 3;

/// Asks the issuer whether each version of a secret is alive. A wrong credential is asked about first: a call that
/// accepts it can show nothing. What is not as it should be ends it with 3.
///
/// A version that an open rotation may have switched off is never presented: the refusal would count as a use of it.
/// Of that the issuer's list is all that is said.
pub(super) fn run(args: &VerifyArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.secret)?;
    let places = context.places()?;
    let name = secret.name.as_str();
    let issuer = crate::wiring::issuer(secret)?;
    let login = matches!(secret.issuer, IssuerRef::Postgres | IssuerRef::Server(_));
    let runtime = open::runtime()?;
    let store = open::store(&places)?;
    let mut current = None;
    let (mut versions, mut gone) = (Vec::new(), Vec::new());
    for info in runtime.block_on(versions::kept(store.as_ref(), name))? {
        if let Some(credential) = runtime.block_on(store.read(name, info.number))? {
            redact::remember_fields(&credential.fields);
            if info.label == Label::Current {
                current = Some(credential.duplicate());
            }
            versions.push((info, credential));
        } else {
            gone.push(info);
        }
    }
    let current = current.ok_or_else(|| nothing(name, gone.is_empty()))?;
    let mut bad = false;
    let mut listed = None;
    for endpoint in issuer.endpoints() {
        let control = runtime.block_on(issuer.probe(&endpoint, &issuer.decoy(&current)));
        bad |= show(context, format!("{name} control at {endpoint}"), &control, false);
        for (info, credential) in &versions {
            let label = versions::label(info.label);
            // Held for this one call: meanwhile nobody switches anything off.
            let quiet = quiet(&runtime, &places, name, info.number)?;
            let (answer, needed) = match &quiet {
                Quiet::Not(_lock, needed) => (runtime.block_on(issuer.probe(&endpoint, credential)), *needed),
                Quiet::Because(why) => {
                    let listing = match &listed {
                        Some(known) => known,
                        None => listed.insert(runtime.block_on(list(issuer.as_ref(), &current))),
                    };
                    let detail = format!(
                        "not presented ({why}); {}",
                        standing(listing, credential.id.as_ref(), login)
                    );
                    let name = format!("{name} v{} {label}", info.number);
                    context.ui.event(Event::Check { name, finding: Finding::Note, detail, help: None });
                    continue;
                }
            };
            let what = format!("{name} v{} {label} at {endpoint}", info.number);
            bad |= show(context, what, &answer, needed || info.label == Label::Current);
        }
    }
    for info in gone.iter().rev().take(GONE_SHOWN_MAX) {
        let listing = listed.get_or_insert_with(|| runtime.block_on(list(issuer.as_ref(), &current)));
        let ended = ended_by(&runtime, &places, name, info.number)?;
        let detail = format!(
            "{ended}its value is not kept any more; {}",
            standing(listing, info.credential.as_ref(), login)
        );
        let name = format!("{name} v{} {}", info.number, versions::label(info.label));
        context.ui.event(Event::Check { name, finding: Finding::Note, detail, help: None });
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}

/// There is no current value to ask about.
fn nothing(name: &str, never: bool) -> Problem {
    let problem = Problem::new("K0816", format!("verify {name}"));
    match never {
        true => problem.because("its value was never taken in").help(format!("keyroll secret add {name}")),
        false => problem
            .because("its last key was ended, and none took its place: its consumers have keys of their own")
            .help(format!("keyroll history {name}")),
    }
}

/// Which rotation saw a version dead, from its journal: its value is gone since, and cannot be presented.
fn ended_by(runtime: &Runtime, places: &Places, secret: &str, version: u32) -> Result<String, Problem> {
    if !places.journal().exists() {
        return Ok(String::new());
    }
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let journal = open::journal(places)?;
    for one in runtime.block_on(journal.list()).map_err(reading)?.iter().filter(|one| one.secret == secret) {
        let recorded = runtime.block_on(journal.load(&one.id)).map_err(reading)?;
        let state = recorded::state_of(&recorded)?;
        let old = version == recorded.opening.from_version;
        if old && state.phase() == Phase::Done && state.debt().is_none() {
            let at = recorded.unix_ms.last().copied().map(old_key::clock).unwrap_or_default();
            return Ok(format!("ended, and seen dead by rotation {} ({at}); ", one.id));
        }
    }
    Ok(String::new())
}

/// Whether a version may be presented now.
enum Quiet {
    /// It may, for as long as the lock is kept: nobody can begin to drive. And whether an open rotation needs it alive.
    Not(Option<StateLock>, bool),
    /// It may not, and why.
    Because(String),
}

/// Looks at the rotation of the secret that is open, if there is one. While somebody drives it, it can switch the old
/// key off at any moment, and on the way back the new one: neither is presented.
fn quiet(runtime: &Runtime, places: &Places, secret: &str, version: u32) -> Result<Quiet, Problem> {
    if !places.journal().exists() {
        return Ok(Quiet::Not(None, false));
    }
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let journal = open::journal(places)?;
    let Some(id) = runtime.block_on(open_of(&journal, secret)).map_err(reading)? else {
        return Ok(Quiet::Not(None, false));
    };
    let lock = match try_lock(&places.state) {
        Ok(lock) => lock,
        Err(LockError::Held { .. }) => {
            return Ok(Quiet::Because(format!("rotation {id} is being driven")));
        }
        Err(error) => return Err(Problem::new("K0828", format!("verify {secret}")).because_of(&error)),
    };
    // Read again under the lock: from here on it stands as it is.
    let recorded = runtime.block_on(journal.load(&id)).map_err(reading)?;
    let state = recorded::state_of(&recorded)?;
    let old = version == recorded.opening.from_version;
    Ok(match (old, state.old_key()) {
        (true, OldKey::Off(_)) => Quiet::Because(format!("rotation {id} switched it off")),
        _ if old && state.must_enable() => Quiet::Because(format!("rotation {id} may have switched it off")),
        // An old key that is on is in use, and what there is to go back to.
        (true, OldKey::On) => Quiet::Not(Some(lock), true),
        (true | false, OldKey::On | OldKey::Off(_) | OldKey::Ended) => Quiet::Not(Some(lock), false),
    })
}

async fn list(issuer: &dyn Issuer, current: &Credential) -> Option<Listing> {
    match issuer.capabilities().list {
        true => issuer.list(current).await.ok(),
        false => None,
    }
}

/// What the issuer's list says of a version.
fn standing(listing: &Option<Listing>, id: Option<&CredentialId>, login: bool) -> &'static str {
    let (Some(listing), Some(id)) = (listing, id) else {
        return "whether it is on is not visible: the issuer shows no list of it";
    };
    match listing.entries.iter().find(|entry| entry.id == *id) {
        Some(entry) if entry.disabled => "the issuer lists it as switched off",
        Some(_) => "the issuer lists it as on",
        // A login is never removed: it is switched off without a password, or carries a later key.
        None if listing.complete && login => {
            "no login has this password any more; the login itself is never removed"
        }
        None if listing.complete => "the issuer does not list it any more",
        None => "the issuer's list is not whole, and does not show it",
    }
}

/// Shows one answer; whether it is another than it should be. Only the current version must be alive, and only the
/// control must be dead: others are told as they are.
fn show(context: &mut Context, name: String, answer: &Probe, must_live: bool) -> bool {
    let control = name.contains(" control at ");
    let (detail, lives) = match answer {
        Probe::Alive => ("alive".to_owned(), Some(true)),
        Probe::Denied => ("alive: authenticated, and not permitted".to_owned(), Some(true)),
        Probe::Dead if control => ("a wrong value is refused, as it must be".to_owned(), Some(false)),
        Probe::Dead => ("dead".to_owned(), Some(false)),
        Probe::Unknown(why) => (format!("unknown: {why}"), None),
    };
    let bad = match lives {
        Some(lives) => (must_live && !lives) || (control && lives),
        None => must_live || control,
    };
    let help = match (bad, control) {
        (true, true) => {
            Some("a wrong value was not seen refused: this call cannot show that a credential is dead: look at the issuer's spec".to_owned())
        }
        (true, false) => Some("ask again; keyroll plan shows how a dead value is replaced".to_owned()),
        (false, _) => None,
    };
    let finding = match (bad, must_live || control) {
        (true, _) => Finding::Bad,
        (false, true) => Finding::Good,
        (false, false) => Finding::Note,
    };
    context.ui.event(Event::Check { name, finding, detail, help });
    bad
}
