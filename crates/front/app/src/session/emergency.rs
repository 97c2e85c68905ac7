//! Replaces a compromised key at once: with a key that somebody brings, or with one that the issuer makes.
//!
//! A brought key is shown to the issuer before anything is begun, and sealed as soon as the rotation is open. A rotation
//! that is open already becomes the emergency.

use std::time::Duration;

use keyroll_codes::Code;
use keyroll_config::{IssuerRef, Secret};
use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Failure, Journal as _, Recorded, Staging, Store};
use keyroll_rotation::{Emergency, Fact, Hold, MintedBy, Next, Phase, Reason, State, way};
use keyroll_secret::{Credential, Fields, SecretBytes};

use super::manual_mint::{
    Given, Judge, ValueRejection, already_exists, is_sealed, keep, pending, read_value, same_value,
    stored_as, takes_key, warn_of_weakness,
};
use super::options::{ApplyOptions, alerted_flag};
use super::prompt_for_key::go_on;
use super::rotate::{apply, resume, resumed};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::plans::inspect::current;
use crate::plans::left_out::Without;
use crate::plans::make::{Purpose, plan_for};
use crate::problem::Problem;
use crate::records::open_rotation_guard::open_own;
use crate::records::recorded::{Opened, opened, rotations_unread, state_of};
use crate::records::saved_plan::Saved;
use crate::records::versions::kept as versions_of;
use crate::weak_values::Strength;
use crate::wiring::issuer::{Described, described};
use crate::wiring::open::{journal, runtime, store};

/// How long a key that the issuer refuses is shown to it again, milliseconds: a key that was just made may not be known
/// everywhere yet.
const BIRTH_MS_MAX: u64 = 15_000;

/// What is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Where the new key is; none = the issuer makes one.
    pub given: Option<Given>,
    /// The consent to revoke the old key, beyond that of the configuration: the secret's name.
    pub confirm: Option<String>,
    /// The time of the alert, milliseconds since the Unix epoch; none = now.
    pub alerted_unix_ms: Option<u64>,
    /// Go on with this open rotation, and begin no other.
    pub rotation: Option<String>,
    /// The hosts that a new rotation leaves out because they are away.
    pub without: Without,
    /// What comes first: moving everybody, or the end of the old key.
    pub mode: Emergency,
    /// The key that an open rotation moves to leaked: it is given up, and another one is made.
    pub new_leaked: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        let (given, confirm, alerted_unix_ms, rotation) = (None, None, None, None);
        let (without, mode) = (Without::default(), Emergency::RollFirst);
        Self { given, confirm, alerted_unix_ms, rotation, without, mode, new_leaked: false }
    }
}

impl Wanted {
    /// The command that asks for the same again; none if no command of this name does, as for an incident.
    fn again(&self, name: &str) -> Option<String> {
        let same = self.mode == Emergency::RollFirst && !self.new_leaked;
        same.then(|| self.command(name, self.given.as_ref()))
    }

    /// The same with this key, and without the consent: that is given anew.
    fn command(&self, name: &str, given: Option<&Given>) -> String {
        let given = given.map(Given::flag).unwrap_or_default();
        let rotation = self.rotation.as_ref().map(|id| format!(" --rotation {id}")).unwrap_or_default();
        let (alerted, without) = (alerted_flag(self.alerted_unix_ms), self.without.flags());
        format!("keyroll emergency {name}{given}{rotation}{alerted}{without}")
    }
}

/// Moves every consumer of the secret to a new key: after one canary all at once. Returns when the rotation has ended, or
/// waits for an operator.
///
/// # Errors
/// `K0112`: the issuer refuses the key, or it is known already; nothing was begun. Else as a plan, and as its rotation.
pub fn replace(
    name: &str,
    wanted: Wanted,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let again = wanted.again(name).unwrap_or_else(|| format!("keyroll emergency {name}"));
    replaced(name, wanted, installation, operator).map_err(|problem| problem.then(&again))
}

fn replaced(
    name: &str,
    mut wanted: Wanted,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    operator.pause_on_stop();
    let (config, places) = (installation.config()?, installation.places()?);
    let secret = crate::configured::secret(&config, name)?;
    let described = described(secret)?;
    crate::configured::consent(wanted.confirm.as_deref(), name)?;
    // The configuration consents to the end of a key that nobody needs any more, and not to an outage.
    let consents = secret.emergency_revoke && wanted.mode == Emergency::RollFirst;
    let confirm = wanted.confirm.take().or_else(|| consents.then(|| name.to_owned()));
    let store = store(&places)?;
    let (_, old) = runtime(&places)?.block_on(current(store.as_ref(), secret))?;
    let brought = match &wanted.given {
        Some(_) if described.spec.is_none() => return Err(chooses(secret, &wanted.command(name, None))),
        Some(given) => Some(read_value(secret, &old, Some(given), operator)?),
        None => None,
    };
    let asked = ApplyOptions {
        confirm,
        emergency: Some(wanted.mode),
        prompts: brought.is_none(),
        alerted_unix_ms: wanted.alerted_unix_ms,
        again: wanted.again(name),
        ..ApplyOptions::default()
    };
    let open = open_rotation(name, &places)?;
    if let Some(only) = &wanted.rotation
        && open.as_ref().is_none_or(|open| open.id.0 != *only)
    {
        return Err(ended_since(only, name));
    }
    if let Some(open) = open {
        if let Some(host) = wanted.without.hosts.first() {
            return Err(goes_on(host, &open));
        }
        let brought = brought.map(|brought| (brought, old));
        // A driver of a server only goes on.
        let anew = gives_up(&open.state, wanted.mode) && brought.is_none() && wanted.rotation.is_none();
        let asked = Asked { asked, new_leaked: wanted.new_leaked || anew };
        return escalate(&open, brought, (secret, &described), asked, installation, operator);
    }
    if let Some(brought) = &brought {
        accepted(brought, old, (secret, &described), &places, operator)?;
    }
    let revokes_first = wanted.mode == Emergency::RevokeNow;
    let purpose = Purpose::Emergency { brought: brought.is_some(), revokes_first };
    let id = plan_for(purpose, &wanted.without, (secret, &config), installation, operator)?;
    let mut asked = ApplyOptions { sealed: brought.is_some(), brought, ..asked };
    let exit = match apply(&Saved::meant(&places, &id)?, &asked, installation, operator) {
        Ok(exit) => exit,
        // Somebody opened a rotation of the secret while this one was planned: that one becomes the emergency.
        Err(problem) => match open_rotation(name, &places)? {
            Some(open) if open.id.0 != id => {
                let (_, old) = runtime(&places)?.block_on(current(store.as_ref(), secret))?;
                let brought = asked.brought.take().map(|brought| (brought, old));
                let asked = Asked { asked, new_leaked: false };
                return escalate(&open, brought, (secret, &described), asked, installation, operator);
            }
            Some(_) | None => return Err(problem),
        },
    };
    go_on(Some(&id), exit, &asked, installation, operator)
}

/// The rotation that a driver was to go on with has ended.
fn ended_since(only: &str, name: &str) -> Problem {
    Problem::new(Code::NotPossibleNow, format!("go on with rotation {only} of {name}"))
        .because("it is not open any more: nothing was begun")
        .help(format!("keyroll history {name}"))
        .exits(Exit::Held)
}

/// A host is left out of a plan; of an open rotation it is waived.
fn goes_on(host: &str, open: &Opened) -> Problem {
    Problem::new(Code::NotPossibleNow, format!("begin an emergency without {host}"))
        .because(format!("rotation {} is open, and this would go on with it: nothing was begun", open.id))
        .help(format!("keyroll hosts waive {host} --reason WHY, then the same command without --without"))
        .exits(Exit::Held)
}

fn open_rotation(name: &str, places: &Places) -> Result<Option<Opened>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let open = runtime.block_on(open_own(&journal, name)).map_err(rotations_unread)?;
    open.map(|id| runtime.block_on(opened(&journal, Some(&id.0)))).transpose()
}

/// Whether an operator's emergency asks for another key in place of the one that the rotation moves to: the issuer refuses that, or the
/// hold names the command for it.
fn gives_up(state: &State, mode: Emergency) -> bool {
    let refused = state.hold() == Some(Hold::Paused(Reason::NewKeyRefused));
    refused || (mode == Emergency::RollFirst && names_another_key(state))
}

fn names_another_key(state: &State) -> bool {
    way(state).is_some_and(|way| way.forward.iter().any(|step| step.then == [Next::AnotherKey]))
}

/// How an open rotation goes on.
struct Asked {
    asked: ApplyOptions,
    /// The key that it moves to leaked.
    new_leaked: bool,
}

/// An open rotation becomes the emergency. Another key than the one that it moves to is refused.
fn escalate(
    open: &Opened,
    brought: Option<(Credential, Credential)>,
    (secret, described): (&Secret, &Described),
    Asked { asked, new_leaked }: Asked,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let (id, places) = (open.id.to_string(), installation.places()?);
    let name = &open.saved.secret;
    let with_key = brought.is_some();
    let mut fresh = None;
    if let Some((brought, old)) = brought
        && !is_new(open, &brought, &places)?
    {
        if !takes_key(&open.state) {
            return Err(moved_on(open));
        }
        accepted(&brought, old, (secret, described), &places, operator)?;
        // The issuer may have taken long, and an operator may have brought another key meanwhile.
        let journal = journal(&places)?;
        let now = runtime(&places)?.block_on(opened(&journal, Some(&open.id.0)))?;
        if !takes_key(&now.state) {
            return Err(moved_on(&now));
        }
        fresh = Some(brought);
    }
    operator.event(Event::Rotation { id: id.clone(), secret: name.clone() });
    if let Some(fresh) = fresh {
        keep(&open.id, &fresh, (secret, described), &places)?;
    }
    if with_key {
        operator.event(Event::Sealed { id: id.clone() });
    }
    let urgent = open.state.emergency().is_some();
    let mode = asked.emergency.unwrap_or(Emergency::RollFirst);
    let goes_on = urgent && mode == Emergency::RollFirst && !new_leaked;
    let first = |state: &State| match goes_on {
        true => resumed(state),
        false => vec![Fact::Escalated { mode, pending_compromised: new_leaked }],
    };
    let sealed = takes_key(&open.state) && is_sealed(open, &places)?;
    let asked = ApplyOptions { sealed, ..asked };
    let exit = resume(Some(&id), &asked, first, installation, operator)?;
    go_on(Some(&id), exit, &asked, installation, operator)
}

fn moved_on(open: &Opened) -> Problem {
    let (id, name) = (&open.id, &open.saved.secret);
    let refused = open.state.hold() == Some(Hold::Paused(Reason::NewKeyRefused));
    let help = match refused {
        true => format!(
            "the issuer refuses that key: keyroll emergency {name} gives it up, and then takes this one"
        ),
        false if names_another_key(&open.state) => format!(
            "keyroll status {id} says what it waits for; keyroll emergency {name} gives that key up, and then takes this one"
        ),
        false => format!(
            "keyroll status {id} says what it waits for; to speed it up, leave the key out: keyroll emergency {name}"
        ),
    };
    Problem::new(Code::NotPossibleNow, format!("replace the key of {name} by this one"))
        .because(format!("its rotation {id} is open, and moves to another key"))
        .help(help)
        .exits(Exit::Held)
}

/// Whether the open rotation moves to this key.
fn is_new(open: &Opened, brought: &Credential, places: &Places) -> Result<bool, Problem> {
    let store = store(places)?;
    let name = open.saved.secret.as_str();
    let runtime = runtime(places)?;
    let recorded = runtime.block_on(journal(places)?.load(&open.id)).map_err(rotations_unread)?;
    let moves_to = moves_to(store.as_ref(), (name, &recorded), &open.state, brought);
    Ok(runtime.block_on(moves_to)?)
}

/// Whether the new version of a rotation has this value.
async fn moves_to<S: Store + Staging>(
    store: &S,
    (name, recorded): (&str, &Recorded),
    state: &State,
    brought: &Credential,
) -> Result<bool, Failure> {
    let Some(new) = state.new_version() else {
        let sealed = pending(store, name, recorded, state).await?;
        return Ok(sealed.is_some_and(|(_, sealed)| same_value(brought, &sealed)));
    };
    let its = |kept: Option<Credential>| kept.is_some_and(|kept| same_value(brought, &kept));
    if its(store.kept(name, &recorded.id, new.mint).await?) {
        return Ok(true);
    }
    for version in versions_of(store, name).await? {
        let is_new = version.credential.as_ref().is_some_and(|id| id.as_str() == new.credential.as_str());
        if is_new && its(store.read(name, version.number).await?) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is known of a value that somebody brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is new.
    No,
    /// This rotation moves its secret to it, or has done so.
    Rotation(String),
    /// It is stored, and no recent rotation brought it: `ring v1`.
    Version(String),
}

/// Whether the value of the secret's only secret field is known. `within`: how long a rotation that has ended is the
/// answer to the request that began it.
///
/// # Errors
/// The journal or the store cannot be read; or the secret has several secret fields.
pub fn known(
    secret: &Secret,
    value: SecretBytes,
    within: Duration,
    places: &Places,
) -> Result<Known, Problem> {
    let name = secret.name.as_str();
    let mut fields = Fields::new();
    let mut secrets = secret.fields.iter().filter(|(_, field)| field.secret).map(|(field, _)| field);
    match (secrets.next(), secrets.next()) {
        (Some(field), None) => fields.insert(field.as_str(), value, true),
        (_, _) => return Err(several_fields(name)),
    }
    let brought = Credential { id: None, fields };
    let (runtime, store) = (runtime(places)?, &store(places)?.0);
    if let Some(id) = newest(secret, &brought, within, places)? {
        return Ok(Known::Rotation(id));
    }
    let stored = runtime.block_on(stored_as(store, &brought))?;
    Ok(stored.map_or(Known::No, Known::Version))
}

/// The rotation that moves the secret to this value; or else the last one that moved it, if somebody brought this value
/// for it, not long ago. Any other value that is stored may be the leaked one.
fn newest(
    secret: &Secret,
    brought: &Credential,
    within: Duration,
    places: &Places,
) -> Result<Option<String>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let name = secret.name.as_str();
    let (runtime, store, journal) = (runtime(places)?, &store(places)?.0, journal(places)?);
    for one in runtime.block_on(journal.list()).map_err(rotations_unread)? {
        if one.secret != name {
            continue;
        }
        let recorded = runtime.block_on(journal.load(&one.id)).map_err(rotations_unread)?;
        let state = state_of(&recorded)?;
        // One that was rolled back, or that made no key, left the one before it in use.
        if state.phase() == Phase::RolledBack || !state.plan().aim.makes_new() {
            continue;
        }
        let age_ms = SystemClock::new().unix_ms().saturating_sub(one.unix_ms);
        let human = state.plan().capabilities.minted_by == MintedBy::Human;
        if state.ended() && (!human || u128::from(age_ms) >= within.as_millis()) {
            return Ok(None);
        }
        let its = moves_to(store, (name, &recorded), &state, brought);
        return Ok(runtime.block_on(its)?.then(|| one.id.to_string()));
    }
    Ok(None)
}

fn several_fields(name: &str) -> Problem {
    Problem::new(Code::MintByHand, format!("take in a new key of {name}"))
        .because("it has several secret fields, and one value was given")
        .help(format!(
            "at a terminal: keyroll plan {name}, then keyroll apply PLAN_ID --emergency roll-first"
        ))
}

/// Nobody can bring a value here: keyroll or the issuer makes each. `without` is the command that brings none.
fn chooses(secret: &Secret, without: &str) -> Problem {
    let name = &secret.name;
    let why = match secret.issuer == IssuerRef::AwsAccessKey {
        true => "AWS makes the access keys itself, and keyroll asks it for the next one",
        false => "keyroll chooses the password of this server's logins itself",
    };
    Problem::new(Code::MintByHand, format!("take in a new key of {name}"))
        .because(why)
        .help(format!("leave the value out: {without}"))
        .exits(Exit::Usage)
}

/// Refuses a key that is known already, has the wrong form, or that the issuer does not accept. Nothing is begun.
fn accepted(
    brought: &Credential,
    old: Credential,
    (secret, described): (&Secret, &Described),
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let name = &secret.name;
    let refused = |whys: Vec<String>| {
        let problem = Problem::new(Code::MintByHand, format!("accept the new key of {name}"));
        let problem = whys.into_iter().fold(problem, Problem::because);
        problem.because("nothing was begun: no consumer got it, and the old key is in use")
    };
    let Some(spec) = &described.spec else { return Ok(()) };
    let mut faults = spec.faults(&brought.fields);
    faults.extend(Strength::of(secret, &brought.fields).unfit());
    if !faults.is_empty() {
        let help = "send the complete key again, and nothing else";
        return Err(refused(faults).help(help));
    }
    let runtime = runtime(places)?;
    if let Some(which) = runtime.block_on(stored_as(store(places)?.as_ref(), brought))? {
        return Err(refused(vec![already_exists(&which)]).exits(Exit::Held));
    }
    let issuer = described.issuer(secret, None)?;
    let limit = BIRTH_MS_MAX.min(issuer.capabilities().birth_ms_max);
    let judge = Judge { spec, issuer, old, unbound: String::new() };
    match runtime.block_on(judge.see(brought, false, limit, operator)) {
        Ok(_) => {
            warn_of_weakness(secret, brought, operator);
            Ok(())
        }
        Err(ValueRejection::Wrong(why) | ValueRejection::NotYet(why)) => {
            Err(refused(vec![why]).help("make a key at the issuer's console, and send that one"))
        }
        Err(ValueRejection::NotVisible(why)) => {
            Err(Problem::new(Code::RequestFailed, format!("see the new key of {name} accepted"))
                .because(why)
                .because("nothing was begun: no consumer got it, and the old key is in use")
                .help("send the same key again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::walk::{Walk, plan};

    /// Red where the command that a hold names for another key keeps the key that the issuer does not know.
    #[test]
    fn an_emergency_gives_up_the_key_where_the_hold_says_that_it_takes_another() {
        let mut walk = Walk::of(plan());
        walk.until(|state| state.phase() == Phase::Probe);
        assert!(!gives_up(&walk.state, Emergency::RollFirst), "it is only sped up");
        walk.wait(walk.state.plan().policy.phase_ms_max * 2);
        assert_eq!(walk.state.hold(), Some(Hold::Paused(Reason::Overdue(Phase::Probe))));
        assert!(gives_up(&walk.state, Emergency::RollFirst));
        assert!(!gives_up(&walk.state, Emergency::RevokeNow), "that one is not named there");
        for fact in Next::AnotherKey.facts(&walk.state).unwrap() {
            walk.say(fact);
        }
        assert_eq!((walk.state.phase(), walk.state.new_version()), (Phase::Mint, None));
    }

    /// Red where whoever gives the named command again loses the time of the alert, or begins without the key that was made.
    #[test]
    fn the_command_that_is_named_again_asks_for_the_same() {
        let again = |wanted: &Wanted| wanted.again("acme");
        assert_eq!(again(&Wanted::default()).unwrap(), "keyroll emergency acme");
        let without = Without { hosts: vec!["web-2".to_owned()], reason: "its disk is dead".to_owned() };
        let whole = Wanted {
            given: Some(Given::File("./new key".into())),
            confirm: Some("acme".to_owned()),
            alerted_unix_ms: Some(1_767_225_600_000),
            without,
            ..Wanted::default()
        };
        let rest = "--alerted-at=2026-01-01T00:00:00Z --without web-2 --reason 'its disk is dead'";
        let with_key = format!("keyroll emergency acme --value-file './new key' {rest}");
        assert_eq!(again(&whole).unwrap(), with_key, "a consent is given anew");
        assert_eq!(whole.command("acme", None), format!("keyroll emergency acme {rest}"));
        let of_one =
            Wanted { given: Some(Given::Stdin), rotation: Some("0192".to_owned()), ..Wanted::default() };
        assert_eq!(again(&of_one).unwrap(), "keyroll emergency acme --value-stdin --rotation 0192");
        assert_eq!(Given::File("-k".into()).flag(), " --value-file=-k", "it is no flag");
        // Neither moves consumers to another key first.
        assert_eq!(again(&Wanted { mode: Emergency::RevokeNow, ..Wanted::default() }), None);
        assert_eq!(again(&Wanted { new_leaked: true, ..Wanted::default() }), None);
    }
}
