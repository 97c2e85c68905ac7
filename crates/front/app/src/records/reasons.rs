//! Why a rotation is paused or stuck, and the command that continues it.

use keyroll_rotation::{
    Event, Fact, Hold, Incarnation, InstanceIdentity, Person, Phase, Reason, SearchLimit, State, Want,
    may_be_given_out, step, wants,
};

use super::adopt_command::{adopt_copy, adopt_process, adopt_process_on_host};
use super::blockers::setting;
use super::blocking_pods::undeclared_moved;
use super::canary;
use super::plan_names::Called;
use super::store_process::accepted;
use super::waivers::LAST_USE;
/// What a rotation waits for at Decide.
pub const CONSENT: &str = "revoking the old key needs your consent";

const LAST_USE_NOT_SHOWN: &str = "everything has left the old key, but the issuer does not show when the key was last used: what \
                                  keyroll cannot see may still use it";

const NEVER_LISTED: &str = "the issuer gives no complete list of its keys: look at its console, and delete a key of this rotation \
                            if there is one";

const CHANGED_ELSEWHERE: &str = "another party changed the source of truth: it gives out, or is about to give out, a value that keyroll did \
                                 not write or had replaced, and keyroll does not overwrite it: keyroll secret drift shows it";

const UNKNOWN_LABEL: &str = "the issuer has a key with a label that this journal does not know: another keyroll made it, or the \
                             journal was restored from a backup";

const NEW_KEY_REFUSED: &str =
    "the issuer refuses the new key, which it accepted before (K0718); the old key is kept";

/// What the rotation waits for from the operator, if nothing else blocks it, and the next command. Derived from the
/// state alone, so it is the same after a restart.
pub fn awaited(state: &State, id: &str, secret: &str) -> Option<(String, String)> {
    let consent = || (CONSENT.to_owned(), format!("keyroll resume {id} --confirm={secret}"));
    if state.hold() == Some(Hold::Paused(Reason::Consent)) {
        return Some(consent());
    }
    wants(state).into_iter().find_map(|want| match want {
        Want::Person(Person::Consent(_)) => Some(consent()),
        Want::Person(_) | Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => {
            at_the_console(&want, id)
        }
    })
}

/// The operator's step at the issuer's console, and the next command.
fn at_the_console(want: &Want, id: &str) -> Option<(String, String)> {
    match want {
        Want::Person(Person::MintByHand) => Some((
            "waiting for you to make the new key at the issuer's console".to_owned(),
            format!("keyroll resume {id}, at a terminal, or with --value-file FILE or --value-stdin"),
        )),
        Want::Person(Person::RevokeByHand) => Some((
            "waiting for you to revoke the old key at the issuer's console".to_owned(),
            format!("keyroll resume {id} --revoked-by-hand"),
        )),
        Want::Person(Person::Consent(_)) | Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => {
            None
        }
    }
}

/// The step at the console that a paused rotation will need; nothing is needed while it is paused.
fn behind_the_pause(state: &State, id: &str) -> Option<(String, String)> {
    let resumed = Event { at: state.now(), fact: Fact::Resumed };
    let (next, _) = step(state, &resumed).ok()?;
    wants(&next).iter().find_map(|want| at_the_console(want, id))
}

/// The command that continues the rotation, with the necessary options.
pub fn command(state: &State, hold: Hold, id: &str, secret: &str) -> String {
    match hold {
        Hold::Paused(Reason::NewKeyRefused) => {
            let again = format!("keyroll resume {id} once the issuer accepts the new key again");
            match state.emergency().is_some() {
                true => format!("keyroll emergency {secret}, which takes another key; or {again}"),
                false => format!("keyroll abort {id}, which rolls back; or {again}"),
            }
        }
        Hold::Paused(Reason::Unaccepted(_)) => {
            let accept = |one: &keyroll_rotation::Difference| format!(" --accept {}", quoted(&one.name));
            let accepted: String = state.refused().iter().map(accept).collect();
            format!("keyroll resume {id}{accepted}")
        }
        Hold::Paused(Reason::Asked) => match behind_the_pause(state, id) {
            Some((what, command)) => format!("{command} ({what})"),
            None => format!("keyroll resume {id}"),
        },
        Hold::Paused(Reason::Canary(_)) => format!(
            "keyroll resume {id}, which moves the others too; or keyroll abort {id}, which rolls back"
        ),
        Hold::Paused(_) => format!("keyroll resume {id}"),
        Hold::Stuck(Reason::ChangedElsewhere) => {
            let again = format!(
                "keyroll retry {id} once the store gives out the old or the new version again, and nothing else is pending there"
            );
            again + &back_from_there(state, id, secret)
        }
        Hold::Stuck(_) => format!("keyroll retry {id}"),
    }
}

/// What a rollback needs where another party changed the source of truth: its value is left there only if the new one was
/// never given out.
fn back_from_there(state: &State, id: &str, secret: &str) -> String {
    let asked = Event { at: state.now(), fact: Fact::AbortAsked };
    let possible = step(state, &asked).is_ok();
    match (state.phase() == Phase::RollingBack, possible, may_be_given_out(state)) {
        (true, ..) => {
            format!(
                ", which ends the rollback; keyroll secret import {secret} takes another value over after that"
            )
        }
        (false, false, _) => String::new(),
        (false, true, true) => {
            format!("; keyroll abort {id} needs the same: consumers may have the new value")
        }
        (false, true, false) => format!(
            "; or keyroll abort {id}, which leaves the store as it is, then keyroll secret import {secret} for the other value"
        ),
    }
}

/// A name quoted for a shell.
pub fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.:@-".contains(&byte);
    if name.bytes().all(plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

/// The step before `resume`, if resuming alone would pause again.
pub fn way_out(called: &Called, state: &State, reason: Reason) -> Option<String> {
    let back = state.phase() == Phase::RollingBack;
    match reason {
        Reason::Holder(who @ Incarnation { life: InstanceIdentity::Process { pid, .. }, .. }) => {
            let out = match called.elsewhere(who) {
                Some(it) => {
                    let moved = match back {
                        true => "end it there".to_owned(),
                        false => adopt_process_on_host(&it, called.attributes_there(&it)),
                    };
                    format!("{moved}, or keyroll consumer waive {it} --reason WHY")
                }
                None => process_out(called, pid, back),
            };
            Some(format!("{out}; then "))
        }
        Reason::Holder(who @ Incarnation { life: InstanceIdentity::Container { .. }, .. }) => {
            let waive =
                called.elsewhere(who).map(|it| format!(", or keyroll consumer waive {it} --reason WHY"));
            let moved = called.addressed(&undeclared_moved(called.host(who.host).as_deref(), back));
            Some(format!("{moved}{}; then ", waive.unwrap_or_default()))
        }
        Reason::Stranger(digest) => {
            let path = called.undeclared_path(digest).map_or_else(|| "PATH".to_owned(), quoted);
            let moved = if back { "delete the copy".to_owned() } else { adopt_copy(&path) };
            Some(format!("{moved}, or keyroll consumer waive {path} --reason WHY; then "))
        }
        Reason::Unsearched(who @ Incarnation { life: InstanceIdentity::Process { pid, .. }, .. }) => {
            let setting = setting(limit(state, who));
            let it = called.elsewhere(who).unwrap_or_else(|| pid.to_string());
            Some(format!(
                "raise `{setting}` in keyroll.toml, or keyroll consumer waive {it} --reason WHY; then "
            ))
        }
        Reason::LastUseNotShown => Some(format!("keyroll consumer waive {LAST_USE} --reason WHY; then ")),
        Reason::Asked
        | Reason::Holder(_)
        | Reason::Unsearched(_)
        | Reason::Foreign(_)
        | Reason::Unreadable(_)
        | Reason::RefusedUse
        | Reason::NewKeyRefused
        | Reason::ChangedElsewhere
        | Reason::Consent
        | Reason::Unit(_)
        | Reason::Canary(_)
        | Reason::Unaccepted(_)
        | Reason::Failed(_)
        | Reason::Overdue(_)
        | Reason::Drifting
        | Reason::UnknownLabel(_)
        | Reason::Unclear(_) => None,
    }
}

/// The step for an undeclared process before `resume`.
fn process_out(called: &Called, pid: u32, back: bool) -> String {
    let moved = match (called.store_of(pid), back) {
        (Some(place), _) => return accepted(pid, place),
        (None, true) => format!("end process {pid}"),
        (None, false) => adopt_process(pid, called.attributes()),
    };
    format!("{moved}, or keyroll consumer waive {pid} --reason WHY")
}

/// What the search of a process ran into.
fn limit(state: &State, who: Incarnation) -> SearchLimit {
    let seen = state.look().and_then(|look| look.seen.unsearched.iter().find(|it| it.who == who));
    seen.map_or(SearchLimit::Size, |it| it.limit)
}

/// The key that is revoked: the old one, or the new one during a rollback.
fn leaving(state: &State) -> &'static str {
    if state.phase() == Phase::RollingBack { "new" } else { "old" }
}

/// A process by its number and, while it runs, its name: `4711 (mailer)`.
fn process(called: &Called, who: Incarnation, pid: u32) -> String {
    if let Some(elsewhere) = called.process_elsewhere(who) {
        return elsewhere;
    }
    match keyroll_observe::process(pid) {
        Ok(now) => format!("{pid} ({})", now.name),
        Err(_) => pid.to_string(),
    }
}

/// A container by its name.
fn pod(called: &Called, who: Incarnation) -> String {
    called.container(who, None).unwrap_or_default()
}

/// What still uses the key that is revoked.
fn holder_text(called: &Called, state: &State, who: Incarnation) -> String {
    match who.life {
        InstanceIdentity::Process { pid, .. } => {
            let process = process(called, who, pid);
            format!("undeclared process {process} still uses the {} key", leaving(state))
        }
        InstanceIdentity::AtRest(_) => {
            format!("an undeclared job still uses the {} key", leaving(state))
        }
        InstanceIdentity::Container { .. } => format!(
            "{} is not a declared consumer and still uses the {} key",
            pod(called, who),
            leaving(state)
        ),
    }
}

/// Where the key that is revoked may be.
fn unsearched_text(called: &Called, state: &State, who: Incarnation) -> String {
    match who.life {
        InstanceIdentity::Process { pid, .. } => format!(
            "the memory of process {} was not searched completely: the {} key may be there",
            process(called, who, pid),
            leaving(state)
        ),
        InstanceIdentity::AtRest(_) => "the memory of a job was not searched completely".to_owned(),
        InstanceIdentity::Container { .. } => format!(
            "{} was not searched completely: the {} key may be there",
            pod(called, who),
            leaving(state)
        ),
    }
}

/// Why a rotation is paused or stuck, for the operator.
pub fn reason_text(called: &Called, state: &State, reason: Reason) -> String {
    match reason {
        Reason::Asked => {
            "keyroll was asked to pause (Ctrl-C, a signal, --until, or another command)".to_owned()
        }
        Reason::Holder(who) => holder_text(called, state, who),
        Reason::Stranger(_) => {
            let why = format!("an undeclared copy holds the {} key", leaving(state));
            called.apart().map_or_else(|| why.clone(), |moved| format!("{why}; {moved}"))
        }
        Reason::Unsearched(who) => unsearched_text(called, state, who),
        Reason::Foreign(file) => {
            format!("{} holds content that neither keyroll nor the plan wrote", called.file(file))
        }
        Reason::Unreadable(file) => format!("{} cannot be read", called.file(file)),
        // The journal has one entry for both causes: calls fail without the old key.
        Reason::RefusedUse if called.has_gate() => {
            "while the old key was disabled, the error rate of the gate rose or the key was used: keyroll \
             enabled it again"
                .to_owned()
        }
        Reason::RefusedUse => {
            "the old key was used while it was disabled: keyroll enabled it again".to_owned()
        }
        Reason::NewKeyRefused => NEW_KEY_REFUSED.to_owned(),
        Reason::ChangedElsewhere => CHANGED_ELSEWHERE.to_owned(),
        Reason::Consent => CONSENT.to_owned(),
        Reason::Unit(consumer) if !state.plan().aim.makes_new() => {
            format!("{} does not use its own key, or did not prove it", called.consumer(consumer))
        }
        // It may have loaded the key: the issuer may refuse its calls, or its error rate may have risen.
        Reason::Unit(consumer) => {
            let key = if state.phase() == Phase::RollingBack { "old" } else { "new" };
            format!("{} did not prove the {key} key", called.consumer(consumer))
        }
        Reason::Canary(first) => canary::worked(called, state, first),
        Reason::Unaccepted(consumer) => {
            let names: Vec<&str> = state.refused().iter().map(|one| one.name.as_ref()).collect();
            format!(
                "a restart of {} would make pending changes live, so keyroll did not restart it: {}",
                called.consumer(consumer),
                names.join(", ")
            )
        }
        Reason::Failed(phase) => format!("{} failed", word(phase)),
        Reason::Overdue(Phase::RollingBack) if state.new_version().is_none() => NEVER_LISTED.to_owned(),
        Reason::Overdue(phase) => format!("{} did not finish in time", word(phase)),
        Reason::LastUseNotShown => LAST_USE_NOT_SHOWN.to_owned(),
        Reason::Drifting => "copies or instances return to the old value again and again".to_owned(),
        Reason::UnknownLabel(_) => UNKNOWN_LABEL.to_owned(),
        Reason::Unclear(intent) => format!("the outcome of step {intent} is unknown"),
    }
}

/// A phase as it is printed when it begins.
fn word(phase: Phase) -> &'static str {
    crate::operator::Phase::of(phase).map_or("its end", crate::operator::Phase::word)
}

/// True if a paused rotation needs more than `resume`.
pub fn needs_person(hold: Hold) -> bool {
    !matches!(hold, Hold::Paused(Reason::Asked | Reason::Unit(_) | Reason::Canary(_)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the test is the store")]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::super::blockers::{process_moved, user};
    use super::super::store_process::accepts_at;
    use super::*;

    #[test]
    fn a_pod_that_uses_the_old_key_is_waived_by_its_name() {
        let called = Called::of_hosts(&["local", "prod"]);
        let holder = keyroll_port::Holder {
            host: keyroll_rotation::HostId(1),
            pid: None,
            name: "pod/agent-6d5f-x2x1z/app on prod".to_owned(),
            found_by: "it takes the key".to_owned(),
            how_to_move: String::new(),
        };
        let shown = user(&called, &holder);
        assert_eq!((shown.host.as_deref(), shown.pid), (Some("prod"), None));
        assert!(shown.how_to_move.contains("keyroll init --host prod"), "{}", shown.how_to_move);
        assert_eq!(
            shown.or_else.as_deref(),
            Some("keyroll consumer waive prod:pod/agent-6d5f-x2x1z/app --reason WHY")
        );
    }

    #[test]
    fn the_store_is_not_ended_and_not_moved_but_accepted() {
        let pid = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        // Nobody accepts connections at port 1 here.
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(accepts_at(pid, here) && !accepts_at(pid, elsewhere));
        for back in [true, false] {
            let phase = if back { Phase::RollingBack } else { Phase::Quiesce };
            let said = |place: SocketAddr| {
                let called = Called::of_store_at(&"a1".repeat(16), place);
                let holder = keyroll_port::Holder {
                    host: keyroll_host::LOCAL,
                    pid: Some(pid),
                    name: "vault".to_owned(),
                    found_by: String::new(),
                    how_to_move: String::new(),
                };
                [
                    process_out(&called, pid, back),
                    process_moved(&called, pid, phase, true),
                    user(&called, &holder).how_to_move,
                ]
            };
            for text in said(here) {
                assert!(text.starts_with(&format!("keyroll consumer waive {pid} --reason WHY")), "{text}");
                assert!(
                    text.contains(&format!("is the store, which listens at {here}: do not end it")),
                    "{text}"
                );
                assert!(!text.contains("restart") && !text.contains("adopt"), "{text}");
            }
            for text in said(elsewhere) {
                assert!(!text.contains("store"), "{text}");
            }
            // The id is named, as other rotations may be open.
            let [_, moved, _] = if back { said(elsewhere) } else { said(here) };
            assert!(moved.ends_with(&format!("keyroll resume {}", "a1".repeat(16))), "{moved}");
        }
    }
}
