//! Ends a leaked key: after everybody was moved to another one, or at once.

use keyroll_codes::Code;
use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Label};
use keyroll_rotation::Emergency;

use super::file::{Files, Incident, Subject, Whose, leaked};
use super::foreign::{Foreign, Said};
use super::open::may_begin_now;
use super::standing::{Standing, chosen};
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Confirmation, Operator, Phase, StatusShown};
use crate::places::Places;
use crate::plans::left_out::Without;
use crate::problem::Problem;
use crate::records::old_key::clock;
use crate::session::emergency::{Wanted, replace};
use crate::session::manual_mint::Given;

/// How a leaked key is ended.
pub struct ContainRequest<'a> {
    /// The incident; none = the only open one.
    pub id: Option<&'a str>,
    /// What comes first.
    pub mode: Emergency,
    /// The consent to end the key: the name of the secret; of a key that keyroll does not manage, the id of the incident.
    pub confirm: Option<String>,
    /// Where the new key is, if a person made it.
    pub given: Option<Given>,
    /// A person revoked the key at the issuer's console.
    pub revoked_by_hand: bool,
    /// An alert asks for it, and no person: whether it may is looked at again.
    pub by_alert: bool,
    /// The hosts that a new rotation leaves out because they are away.
    pub without: Without,
}

impl Default for ContainRequest<'_> {
    fn default() -> Self {
        Self {
            id: None,
            mode: Emergency::RollFirst,
            confirm: None,
            given: None,
            revoked_by_hand: false,
            by_alert: false,
            without: Without::default(),
        }
    }
}

/// What every way works on.
struct Work<'a> {
    incident: Incident,
    files: &'a Files,
    places: &'a Places,
    installation: &'a Installation,
}

impl Work<'_> {
    /// Notes that somebody began, if nobody did before.
    fn begin(&self) -> Result<(), Problem> {
        let now = SystemClock::new().unix_ms();
        let begin = |incident: &mut Incident| {
            incident.contain_unix_ms.get_or_insert(now);
        };
        self.files.change(&self.incident.id, begin).map(drop)
    }
}

fn problem(incident: &Incident) -> Problem {
    Problem::new(Code::IncidentNotContained, format!("contain the incident {}", incident.id))
}

/// Ends the leaked key of an incident. Returns when it is dead, or waits for a person.
///
/// # Errors
/// `K0952`: it cannot be contained in this way; nothing was done. Else as an emergency.
pub fn contain(
    request: ContainRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let places = installation.places()?;
    let files = Files::of(&places);
    let incident = chosen(request.id, installation)?;
    if incident.closed.is_some() {
        return Err(problem(&incident)
            .because("it is closed: nothing was done")
            .help(format!("keyroll incident reopen {}", incident.id)));
    }
    if request.by_alert {
        if let Err(why) = may_begin_now(&incident, installation)? {
            operator.note(format!("nothing was begun: {why}"));
            files.change(&incident.id, |incident| incident.why = Some(why))?;
            return Ok(Exit::NeedsPerson);
        }
        files.change(&incident.id, |incident| incident.attempts += 1)?;
    }
    let work = Work { incident, files: &files, places: &places, installation };
    match &work.incident.subject {
        Subject::Stored { secret, number } => of_stored(&work, secret, *number, request, operator),
        Subject::Foreign { issuer, .. } => of_foreign(&work, issuer.as_ref(), request, operator),
        Subject::Unseen { .. } => Err(problem(&work.incident)
            .because("its alert has no value, so keyroll does not know which key leaked: nothing was done")
            .help(
                "look at the place of the alert, and open an incident with the value: keyroll incident open \
                 --value-stdin",
            )),
    }
}

fn of_stored(
    work: &Work<'_>,
    name: &str,
    number: u32,
    request: ContainRequest<'_>,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let Work { incident, places, installation, .. } = work;
    let config = installation.config()?;
    crate::configured::secret(&config, name)?;
    crate::configured::consent(request.confirm.as_deref(), name)?;
    let standing = Standing::of(name, number, Some(&config), places)?;
    if let Some(dead) = standing.dead_unix_ms() {
        operator.note(format!("{name} v{number} is dead since {}: nothing is left to contain", clock(dead)));
        return Ok(Exit::Done);
    }
    let label = standing.version.as_ref().map(|version| version.label);
    let ending = standing.ending.as_ref().filter(|ending| !ending.row.ended);
    if request.revoked_by_hand {
        return Err(problem(incident)
            .because("keyroll manages this key: moving its consumers comes first; nothing was done")
            .help(format!("keyroll incident contain {} --roll-first", incident.id)));
    }
    if let Some(id) = &standing.taken_back {
        operator
            .note(format!("rotation {id} took {name} v{number} back, and its issuer accepted the end of it"));
        return Ok(Exit::Done);
    }
    let new_leaked = standing.moves_to.is_some() && ending.is_none();
    if let Some(row) = standing.moves_to.as_ref().filter(|_| new_leaked) {
        goes_forward(incident, row, request.mode)?;
    }
    if let Some(ending) = standing.ending.as_ref().filter(|ending| ending.row.owes) {
        let next = ending.row.next.clone().unwrap_or_else(|| "keyroll status".to_owned());
        return Err(problem(incident)
            .because("its consumers were moved, and the end of the leaked key was not seen: nothing was done")
            .help(next)
            .exits(Exit::NeedsPerson));
    }
    if ending.is_none() && !new_leaked && label != Some(Label::Current) {
        return Err(problem(incident)
            .because(format!(
                "{name} v{number} is not the current version, and no rotation ends it: nothing was done"
            ))
            .help(format!("keyroll verify {name} says which versions are alive")));
    }
    if request.mode == Emergency::RevokeNow {
        outage(incident, name, request.confirm.as_deref(), operator)?;
    }
    // The name was typed.
    let confirm = request.confirm.or((request.mode == Emergency::RevokeNow).then(|| name.to_owned()));
    work.begin()?;
    let wanted = Wanted {
        given: request.given,
        confirm,
        alerted_unix_ms: Some(incident.opened_unix_ms),
        rotation: None,
        without: request.without,
        mode: request.mode,
        new_leaked,
    };
    let ended = replace(name, wanted, installation, operator);
    let why = ended.as_ref().err().map(Problem::sentence);
    work.files.change(&incident.id, |incident| incident.why = why)?;
    ended
}

/// A leaked key that an open rotation moves to is given up and replaced as long as no consumer has it.
fn goes_forward(incident: &Incident, row: &StatusShown, mode: Emergency) -> Result<(), Problem> {
    let before = [Phase::Preflight, Phase::Mint, Phase::Stage, Phase::Probe];
    let (id, incident_id) = (&row.id, &incident.id);
    if row.phase.is_some_and(|phase| before.contains(&phase)) {
        return match mode {
            Emergency::RollFirst => Ok(()),
            // The key that would be revoked first is the old one, which is not the leaked one.
            Emergency::RevokeNow => Err(problem(incident)
                .because("no consumer has the leaked key yet, so nothing must stop: nothing was done")
                .help(format!(
                    "keyroll incident contain {incident_id} --roll-first gives it up, and makes another"
                ))),
        };
    }
    let goes_on = format!(
        "keyroll resume {id} --confirm={} ends it; then: keyroll incident contain {incident_id} --roll-first",
        row.secret
    );
    let refused = problem(incident).because(format!(
        "the open rotation {id} has begun to move consumers to the leaked key: nothing was done"
    ));
    // An emergency never goes back to its old key, which leaked too.
    Err(match row.decided || row.emergency.is_some() {
        false => refused.help(format!(
            "keyroll abort {id} gives every consumer the old key again, and revokes the leaked one"
        )),
        true => refused.help(goes_on),
    }
    .exits(Exit::Held))
}

/// Asks for the consent to an outage.
fn outage(
    incident: &Incident,
    name: &str,
    confirm: Option<&str>,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if confirm.is_some() {
        return Ok(());
    }
    let question = format!("REVOKE the leaked key now? What uses it stops. IRREVERSIBLE. ({name})");
    match operator.ask_name(&question, name) {
        Confirmation::Yes => Ok(()),
        answer @ (Confirmation::No | Confirmation::Nobody | Confirmation::Stopped) => Err(problem(incident)
            .because(format!("{}: nothing was done", answer.refusal()))
            .help(format!("keyroll incident contain {} --revoke-now --confirm={name}", incident.id))
            .exits(answer.exit())),
    }
}

/// The issuer accepts the key: it is not dead, or not any more.
pub(super) fn seen_alive(incident: &mut Incident) {
    incident.seen_alive = true;
    incident.dead_unix_ms = None;
}

fn of_foreign(
    work: &Work<'_>,
    issuer: Option<&Whose>,
    request: ContainRequest<'_>,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let Work { incident, files, places, installation } = work;
    let id = &incident.id;
    let unknown = || {
        problem(incident).because("keyroll does not know its issuer: nothing was done").help(format!(
            "revoke it at its issuer's console, then: keyroll incident close {id} --because REASON"
        ))
    };
    let foreign = Foreign::of(issuer, installation)?.ok_or_else(unknown)?;
    if request.mode == Emergency::RollFirst && !request.revoked_by_hand {
        return Err(problem(incident)
            .because("keyroll does not manage this key, so it has no consumers to move: nothing was done")
            .help(format!("keyroll incident contain {id} --revoke-now --confirm={id}")));
    }
    crate::configured::consent(request.confirm.as_deref(), id)?;
    let Some(value) = leaked(incident, places)? else {
        return Err(problem(incident)
            .because("its value is not stored any more: nothing was done")
            .help("open an incident with the value: keyroll incident open --value-stdin"));
    };
    let before = foreign.ask(value.duplicate(), incident.seen_alive)?;
    operator.note(format!("the leaked key: {}", before.text()));
    let was_alive = incident.seen_alive || matches!(before, Said::Alive(_));
    work.begin()?;
    if matches!(before, Said::Alive(_)) {
        files.change(id, seen_alive)?;
    }
    if !matches!(before, Said::Dead(_)) && !request.revoked_by_hand {
        outage(incident, id, request.confirm.as_deref(), operator)?;
        if let Err(why) = foreign.revoke(&value)? {
            return Err(problem(incident)
                .because(format!("keyroll cannot revoke it: {why}"))
                .help(format!("{}\nthen: keyroll incident contain {id} --revoked-by-hand", foreign.steps()))
                .exits(Exit::NeedsPerson));
        }
        operator.note("its issuer accepted the revocation");
    }
    let seen = match before {
        Said::Dead(at) => Said::Dead(at),
        Said::Alive(_) | Said::NotVisible(_) => foreign.see_dead(&value, was_alive, operator)?,
    };
    match seen {
        Said::Dead(at) => {
            let now = SystemClock::new().unix_ms();
            files.change(id, |incident| incident.dead_unix_ms = Some(now))?;
            operator.note(format!("{at} refuses the leaked key: it is dead"));
            Ok(Exit::Done)
        }
        said @ (Said::Alive(_) | Said::NotVisible(_)) => {
            Err(Problem::new(Code::OldKeyStillAlive, "see the leaked key dead")
                .because(said.text())
                .help(format!("{}\nthen: keyroll incident contain {id} --revoked-by-hand", foreign.steps()))
                .exits(Exit::NeedsPerson))
        }
    }
}
