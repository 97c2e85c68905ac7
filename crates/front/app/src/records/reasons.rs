//! Why a rotation is paused or stuck, in words.

use keyroll_rotation::{
    Hold, Incarnation, InstanceIdentity, OldKeyUse, Person, Phase, Reason, State, Want, old_key_use,
    waits_for_new_to_be_unused, waived_users, wants,
};

use super::canary;
use super::old_key::clock;
use super::plan_names::Called;

/// What a rotation waits for at Decide.
pub const CONSENT: &str = "revoking the old key needs your consent";

/// Why the issuer did not say when the old key was last used, where nothing remembers it.
const USE_UNREAD: &str = "its list could not be read, or has no time of last use for the key";

/// Another driver has taken over since: what the issuer showed is asked anew.
const LAST_USE_NOT_SHOWN: &str =
    "the issuer did not show in time that the key is unused; keyroll asks it again";

const NEVER_LISTED: &str = "the issuer gives no complete list of its keys: look at its console, and delete a key of this rotation \
                            if there is one";

const CHANGED_ELSEWHERE: &str = "another party changed the source of truth: it gives out, or is about to give out, a value that keyroll did \
                                 not write or had replaced, and keyroll does not overwrite it: keyroll secret drift shows it";

const UNKNOWN_LABEL: &str = "the issuer has a key with a label that this journal does not know: another keyroll made it, or the \
                             journal was restored from a backup (K0845)";

const NEW_KEY_REFUSED: &str =
    "the issuer refuses the new key, which it accepted before (K0718); the old key is kept";

const NEW_KEY_REFUSED_AFTER: &str = "the issuer refuses the new key, which it accepted before (K0718); the old key was revoked, and cannot be \
                                     seen dead without a key that works";

const NEW_KEY_UNLISTED: &str = "the issuer lists another key with the new key's value, and not the new key (K0718); the \
                                old key was revoked";

const MINT_BY_HAND: &str = "waiting for you to make the new key at the issuer's console";

const REVOKE_BY_HAND: &str = "waiting for you to revoke the old key at the issuer's console";

/// What the rotation waits for from the operator, if nothing else blocks it. Derived from the state alone, so it is the same
/// after a restart.
pub fn awaited(state: &State) -> Option<&'static str> {
    if state.hold() == Some(Hold::Paused(Reason::Consent)) {
        return Some(CONSENT);
    }
    wants(state).into_iter().find_map(|want| match want {
        Want::Person(Person::Consent(_)) => Some(CONSENT),
        Want::Person(Person::MintByHand) => Some(MINT_BY_HAND),
        Want::Person(Person::RevokeByHand) => Some(REVOKE_BY_HAND),
        Want::Do(_) | Want::Ask(_) | Want::Decide(_) | Want::Wait(_) => None,
    })
}

/// The key that is revoked: the old one, or the new one during a rollback.
pub(super) fn leaving(state: &State) -> &'static str {
    if state.phase() == Phase::RollingBack { "new" } else { "old" }
}

/// The key that stays: the new one, or the old one during a rollback.
pub(super) fn staying(state: &State) -> &'static str {
    if state.phase() == Phase::RollingBack { "old" } else { "new" }
}

/// A process by its number and, while it runs, its name: `4711 (mailer)`.
pub(super) fn process(called: &Called, who: Incarnation, pid: u32) -> String {
    if let Some(elsewhere) = called.process_elsewhere(who) {
        return elsewhere;
    }
    if let Some(unseen) = called.unseen_pid(who) {
        return unseen;
    }
    match keyroll_observe::process(pid) {
        Ok(now) => format!("{pid} ({})", now.name),
        Err(_) => pid.to_string(),
    }
}

/// A container by its name.
pub(super) fn pod(called: &Called, who: Incarnation) -> String {
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

/// What the issuer shows about uses of the key that ends, where that alone holds the rotation up.
fn about_use(called: &Called, state: &State) -> Option<String> {
    Some(match old_key_use(state)? {
        OldKeyUse::Shown(at) => in_use(called, state, at),
        OldKeyUse::Unanswered => format!(
            "the issuer did not say when the {} key was last used: {}; nothing else holds this up",
            leaving(state),
            called.failure(state.phase()).unwrap_or(USE_UNREAD)
        ),
    })
}

/// The issuer shows that the key is used, by its own clock. It does not say by whom: what was waived may be it.
fn in_use(called: &Called, state: &State, unix_ms: u64) -> String {
    let waived: Vec<String> = waived_users(state).map(|who| waived_user(called, who)).collect();
    if waived.is_empty() {
        return format!(
            "everything that keyroll sees has left the {} key, but the issuer still shows uses of it, the last at {}: something \
             that keyroll does not see has it, on another machine or in a container (the issuer's own log may name its address)",
            leaving(state),
            clock(unix_ms)
        );
    }
    format!(
        "the issuer still shows uses of the {} key, the last at {}: {} still had it at the last look, by a waiver (the issuer's own \
         log may name the address of anything else)",
        leaving(state),
        clock(unix_ms),
        waived.join(" and ")
    )
}

fn waived_user(called: &Called, who: Incarnation) -> String {
    match who.life {
        InstanceIdentity::Process { pid, .. } => format!("process {}", process(called, who, pid)),
        InstanceIdentity::AtRest(_) => "a job".to_owned(),
        InstanceIdentity::Container { .. } => pod(called, who),
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
        Reason::Unreadable(file) if called.can_read(file) => {
            format!("{} could not be read, and can be read now", called.file(file))
        }
        Reason::Unreadable(file) => {
            let why = called.unread(file).map(|fault| format!(": {}", fault.why)).unwrap_or_default();
            format!("{} cannot be read{why}", called.file(file))
        }
        // The journal has one entry for both causes: calls fail without the old key.
        Reason::RefusedUse if called.has_gate() => {
            "while the old key was disabled, the error rate of the gate rose or the key was used: keyroll \
             enabled it again"
                .to_owned()
        }
        Reason::RefusedUse => {
            "the old key was used while it was disabled: keyroll enabled it again".to_owned()
        }
        Reason::NewKeyRefused if state.phase() == Phase::ConfirmDead => NEW_KEY_REFUSED_AFTER.to_owned(),
        // By then only a list shows that.
        Reason::NewKeyRefused if state.phase() == Phase::Sweep => NEW_KEY_UNLISTED.to_owned(),
        Reason::NewKeyRefused => NEW_KEY_REFUSED.to_owned(),
        Reason::ChangedElsewhere => CHANGED_ELSEWHERE.to_owned(),
        Reason::Consent => CONSENT.to_owned(),
        Reason::Unit(consumer) if !state.plan().aim.makes_new() => {
            format!("{} does not use its own key, or did not prove it", called.consumer(consumer))
        }
        // It may have loaded the key: the issuer may refuse its calls, or its error rate may have risen.
        Reason::Unit(consumer) => {
            format!("{} did not prove the {} key", called.consumer(consumer), staying(state))
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
        Reason::Failed(phase) => {
            let why = called.failure(phase).map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} failed{why}", word(phase))
        }
        Reason::Overdue(Phase::RollingBack) if state.new_version().is_none() => NEVER_LISTED.to_owned(),
        Reason::Overdue(phase) => {
            let unused = || waits_for_new_to_be_unused(state).then(|| LAST_USE_NOT_SHOWN.to_owned());
            let said = about_use(called, state).or_else(unused);
            said.unwrap_or_else(|| format!("{} did not finish in time", word(phase)))
        }
        Reason::LastUseNotShown => about_use(called, state).unwrap_or_else(|| LAST_USE_NOT_SHOWN.to_owned()),
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
mod tests {
    use keyroll_codes::Code;
    use keyroll_port::{Class, Failure, Named};

    use super::super::walk::Walk;
    use super::*;

    #[test]
    fn a_phase_that_failed_names_the_cause_that_the_journal_remembers() {
        let state = Walk::to(Phase::Revoke).state;
        let mut called = Called::default();
        let failed = |called: &Called| reason_text(called, &state, Reason::Failed(Phase::Revoke));
        assert_eq!(failed(&called), "revoke failed");
        let failure =
            Failure::new(Class::Permanent, Code::RequestFailed, "revoke id-1").because("status 503");
        called.learn([Named::of_failure("", Phase::Revoke, &failure)]);
        assert_eq!(failed(&called), "revoke failed: could not revoke id-1 (K0105): status 503");
    }
}
