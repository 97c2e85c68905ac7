//! Ends a leaked key: after everybody was moved to another one, or at once.

use keyroll_codes::Code;
use keyroll_host::SystemClock;
use keyroll_port::{Clock as _, Label};
use keyroll_rotation::Emergency;

use super::file::{Files, Incident, Subject, leaked};
use super::foreign::{Foreign, Said};
use super::standing::Standing;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::{Confirmation, Operator, Phase, StatusShown};
use crate::places::Places;
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
}

impl Default for ContainRequest<'_> {
    fn default() -> Self {
        Self { id: None, mode: Emergency::RollFirst, confirm: None, given: None, revoked_by_hand: false }
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
    let incident = files.find(request.id)?;
    if incident.closed.is_some() {
        return Err(problem(&incident)
            .because("it is closed: nothing was done")
            .help(format!("keyroll incident reopen {}", incident.id)));
    }
    let work = Work { incident, files: &files, places: &places, installation };
    match &work.incident.subject {
        Subject::Stored { secret, number } => of_stored(&work, secret, *number, request, operator),
        Subject::Foreign { issuer, .. } => of_foreign(&work, issuer.as_deref(), request, operator),
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
    if let Some(id) = &standing.taken_back {
        operator.note(format!(
            "rotation {id} was rolled back, and its issuer accepted the end of {name} v{number}"
        ));
        return Ok(Exit::Done);
    }
    let new_leaked = standing.moves_to.is_some() && ending.is_none();
    if let Some(row) = standing.moves_to.as_ref().filter(|_| new_leaked) {
        goes_forward(incident, row)?;
    }
    if let Some(ending) = standing.ending.as_ref().filter(|ending| ending.row.owes) {
        let next = ending.row.next.clone().unwrap_or_default();
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
            .help(format!(
                "keyroll verify {name} says whether it is alive; keyroll revoke {name} --version previous ends it"
            )));
    }
    if request.mode == Emergency::RevokeNow {
        outage(incident, name, request.confirm.as_deref(), operator)?;
    }
    let confirm = request.confirm.or_else(|| {
        // The name was typed.
        (request.mode == Emergency::RevokeNow).then(|| name.to_owned())
    });
    work.begin()?;
    let wanted = Wanted {
        given: request.given,
        confirm,
        alerted_unix_ms: Some(incident.opened_unix_ms),
        rotation: None,
        mode: request.mode,
        new_leaked,
    };
    replace(name, wanted, installation, operator)
}

/// A leaked key that an open rotation moves to is given up and replaced as long as no consumer has it.
fn goes_forward(incident: &Incident, row: &StatusShown) -> Result<(), Problem> {
    let before = [Phase::Preflight, Phase::Mint, Phase::Stage, Phase::Probe];
    let (id, incident_id) = (&row.id, &incident.id);
    if row.phase.is_some_and(|phase| before.contains(&phase)) {
        return Ok(());
    }
    let refused = problem(incident).because(format!(
        "the open rotation {id} has begun to move consumers to the leaked key: nothing was done"
    ));
    Err(match row.decided {
        false => refused.help(format!(
            "keyroll abort {id} gives every consumer the old key again, and revokes the leaked one"
        )),
        true => refused.help(format!(
            "keyroll resume {id} ends it; then: keyroll incident contain {incident_id} --roll-first"
        )),
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

fn of_foreign(
    work: &Work<'_>,
    issuer: Option<&str>,
    request: ContainRequest<'_>,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let Work { incident, files, places, installation } = work;
    let id = &incident.id;
    let by_hand = "revoke it at its issuer's console, then: keyroll incident close ID --because REASON";
    let unknown = || {
        problem(incident)
            .because("keyroll does not know its issuer: nothing was done")
            .help(by_hand.replace("ID", id))
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
    let before = foreign.ask(value.duplicate(), false)?;
    operator.note(format!("the leaked key: {}", before.text()));
    let was_alive = matches!(before, Said::Alive(_));
    work.begin()?;
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
    match foreign.see_dead(&value, was_alive, operator)? {
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
