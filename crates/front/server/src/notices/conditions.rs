//! What somebody must know: derived at each look from what stands, never from what the server remembers. So it holds also
//! for what an operator did at a terminal, and for what happened while no server ran.

use keyroll_app::operator::{DueShown, Outcome, StatusShown};
use keyroll_app::records::old_key::{clock_s, unix_s};
use keyroll_app::reports::upkeep::{EndedShown, SecretUpkeep, Upkeep};
use keyroll_config::NoticeKind;

use super::notice::{Notice, host, rfc3339};

/// How long a wait stands before it is told, seconds: an operator at a terminal answers by then.
const WAITS_S: u64 = 60;
/// How long a rotation has no driver before it is told, seconds.
const UNDRIVEN_S: u64 = 600;

/// One thing that somebody must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) kind: NoticeKind,
    /// How far it is: if that changes, it is told that it changed.
    pub(super) stage: String,
    /// It happened, and does not stand: it is told once, and is never over.
    pub(super) happened: bool,
    /// What is sent of it; its id is the same for as long as it is the same thing.
    pub(super) notice: Notice,
}

impl Condition {
    fn new(id: String, kind: NoticeKind, text: String) -> Self {
        let (message, at) = (String::new(), String::new());
        let (since, secret, owner, rotation, incident, next) = (None, None, None, None, None, None);
        let (state, host) = ("new".to_owned(), host());
        let word = kind.word().to_owned();
        let notice = Notice {
            id,
            message,
            kind: word,
            state,
            at,
            since,
            secret,
            owner,
            rotation,
            incident,
            text,
            next,
            host,
        };
        Self { kind, stage: String::new(), happened: false, notice }
    }

    /// keyroll cannot read what it would tell of.
    pub(super) fn blind(why: &str) -> Self {
        let text = format!("keyroll cannot see how its rotations are: {why}");
        let mut blind = Self::new("server/blind".to_owned(), NoticeKind::Server, text);
        blind.notice.next = Some("keyroll doctor".to_owned());
        blind
    }
}

/// All that stands, and what happened lately. `driven`: a process of this server drives the secret, or will in its turn; a
/// pause of it is none that somebody must end.
pub(super) fn conditions(seen: &Upkeep, driven: impl Fn(&str) -> bool) -> Vec<Condition> {
    let own = |row: &&StatusShown| row.owes || !driven(&row.secret);
    let rotations = seen.rotations.iter().filter(own).flat_map(|row| rotation(row, seen));
    let ended = seen.ended.iter().map(ended);
    let due = seen.secrets.iter().flat_map(|secret| due(secret, seen));
    let incidents = seen.incidents.iter().map(|incident| {
        let why = incident.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let places = match incident.places.as_slice() {
            [] => String::new(),
            [first] => format!(", seen in {first}"),
            [first, more @ ..] => format!(", seen in {first} and {} other places", more.len()),
        };
        let text =
            format!("a key leaked: {}{places}. The incident is {}{why}", incident.what, incident.state);
        let mut condition = Condition::new(format!("incident/{}", incident.id), NoticeKind::Incident, text);
        condition.stage = incident.state.to_owned();
        condition.notice = Notice {
            since: Some(rfc3339(&incident.opened)),
            secret: incident.secret.clone(),
            rotation: incident.rotation.clone(),
            incident: Some(incident.id.clone()),
            next: incident.next.clone().or_else(|| Some(format!("keyroll incident assess {}", incident.id))),
            ..condition.notice
        };
        condition
    });
    let mut all: Vec<Condition> = rotations.chain(ended).chain(due).chain(incidents).collect();
    for Condition { notice, .. } in &mut all {
        let its = |one: &&SecretUpkeep| notice.secret.as_ref() == Some(&one.secret);
        notice.owner = seen.secrets.iter().find(its).and_then(|one| one.owner.clone());
    }
    all
}

fn rotation(row: &StatusShown, seen: &Upkeep) -> Option<Condition> {
    let since = row.waiting.as_ref().map_or(&row.began, |waiting| &waiting.since);
    // A time in the future comes from a clock that was set back.
    let age = seen.at_s.saturating_sub(unix_s(since).unwrap_or(seen.at_s));
    let why = || {
        let waiting = row.waiting.as_ref().map(|waiting| waiting.what.clone());
        row.why.clone().or(waiting).unwrap_or_else(|| "its journal says no more".to_owned())
    };
    let (id, kind, text) = if row.owes {
        let text = format!("the old key of {} was not seen dead: {}", row.secret, why());
        (format!("owes/{}", row.id), NoticeKind::Failed, text)
    } else if row.waits_for_person() || (row.why.is_some() && row.driver.is_none()) {
        if age < WAITS_S {
            return None;
        }
        let text = format!("the rotation of {} waits for a person: {}", row.secret, why());
        // Another wait of the same rotation is told again.
        (format!("waiting/{}", row.id), NoticeKind::Waiting, text)
    } else if row.driver.is_none() && seen.at_s.saturating_sub(row.last_s) >= UNDRIVEN_S {
        let text = format!("the rotation of {} is open, and no process drives it", row.secret);
        (format!("undriven/{}", row.id), NoticeKind::Failed, text)
    } else {
        return None;
    };
    // Where there is a choice, or something to do before it, the status has it.
    let next = only(row).or_else(|| Some(format!("keyroll status {}", row.id)));
    let mut condition = Condition::new(id, kind, text);
    condition.stage.clone_from(since);
    condition.notice = Notice {
        since: Some(rfc3339(since)),
        secret: Some(row.secret.clone()),
        rotation: Some(row.id.clone()),
        next,
        ..condition.notice
    };
    Some(condition)
}

/// The command that continues a rotation, if it is the only way and can be run as it is. Where nobody has to act, the first way
/// is enough: the others are for what does not end by itself.
fn only(row: &StatusShown) -> Option<String> {
    let waiting = row.waiting.as_ref()?;
    let (step, others) = waiting.forward_steps.split_first()?;
    if waiting.person && !others.is_empty() {
        return None;
    }
    match (&step.first, step.commands.as_slice()) {
        (None, [command]) if command.complete => Some(command.command.clone()),
        (_, _) => None,
    }
}

fn ended(one: &EndedShown) -> Condition {
    let EndedShown { rotation, secret, .. } = one;
    let what = if one.emergency { "emergency rotation" } else { "rotation" };
    let (kind, text) = match one.outcome {
        Outcome::RolledBack => {
            let cause = one.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
            let text =
                format!("the {what} of {secret} was rolled back: every consumer is on the old key{cause}");
            (NoticeKind::Failed, text)
        }
        Outcome::Done | Outcome::Stuck | Outcome::Paused | Outcome::Debt => {
            let text = format!("the {what} of {secret} has ended, {} s after it began", one.took_s);
            (NoticeKind::Ended, text)
        }
    };
    let mut condition = Condition::new(format!("ended/{rotation}"), kind, text);
    condition.happened = true;
    condition.notice = Notice {
        since: Some(rfc3339(&clock_s(one.ended_s))),
        secret: Some(secret.clone()),
        rotation: Some(rotation.clone()),
        next: Some(format!("keyroll history {rotation}")),
        ..condition.notice
    };
    condition
}

/// What is due, and what of that needs a person.
fn due(secret: &SecretUpkeep, seen: &Upkeep) -> Vec<Condition> {
    let Some(row) = &secret.due else { return Vec::new() };
    let (Some(due_s), Some(since_s)) = (row.due_s(), row.since_s) else { return Vec::new() };
    let (name, at) = (&secret.secret, clock_s(due_s));
    // Another version is due at another time.
    let condition = |stage: &str, kind: NoticeKind, text: String, next: String| {
        let mut condition = Condition::new(format!("due/{name}/{since_s}/{}", kind.word()), kind, text);
        condition.stage = stage.to_owned();
        let (since, secret, next) = (Some(rfc3339(&at)), Some(name.clone()), Some(next));
        condition.notice = Notice { since, secret, next, ..condition.notice };
        condition
    };
    let mut all = Vec::new();
    if let Some(failed) = row.failed.as_ref().filter(|_| row.open.is_none()) {
        let text = format!(
            "{name} is due since {at}, and its rotation could not begin: {}. The next attempt is at {}",
            failed.why, failed.again
        );
        let next = failed.next.clone().unwrap_or_else(|| format!("keyroll due {name}"));
        all.push(condition("failed", NoticeKind::Failed, text, next));
    }
    // Its rotation says what it waits for.
    if row.open.is_some() {
        return all;
    }
    let (plan, show) = (format!("keyroll plan {name}"), format!("keyroll due {name}"));
    if row.overdue {
        let why = if secret.unattended { shut(row) } else { "; it has no standing consent".to_owned() };
        let text = format!("{name} is overdue: it was due at {at}{why}");
        let next = if secret.unattended { show } else { plan };
        all.push(condition("overdue", NoticeKind::Due, text, next));
    } else if secret.unattended {
        // Without an operator it begins by itself.
    } else if row.due() {
        let text = format!("{name} is due since {at}, and needs a person: it has no standing consent");
        all.push(condition("due", NoticeKind::Due, text, plan));
    } else if due_s.saturating_sub(seen.at_s) <= seen.warn_before.as_secs() {
        let mut soon = condition("soon", NoticeKind::Due, format!("{name} will be due at {at}"), plan);
        // It has not begun yet.
        soon.notice.since = None;
        all.push(soon);
    }
    all
}

fn shut(row: &DueShown) -> String {
    row.shut.as_ref().map(|shut| format!("; {shut}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use keyroll_app::operator::{CommandShown, DueFailed, OldKeyShown, StepShown, WaitKind, WaitingShown};

    use super::*;

    const DAY_S: u64 = 86_400;
    const NOW_S: u64 = 1_800_000_000;

    fn open(person: bool, driver: Option<u32>, waited_s: u64) -> StatusShown {
        let since = clock_s(NOW_S - waited_s);
        StatusShown {
            id: "0198".to_owned(),
            secret: "openai".to_owned(),
            began: since.clone(),
            phase: None,
            ended: false,
            owes: false,
            unlisted: false,
            last_s: NOW_S,
            decided: false,
            emergency: None,
            moved: 0,
            units: Vec::new(),
            old_key: OldKeyShown { state: "on", since: None },
            driver,
            outcome: None,
            why: person.then(|| "consent to revoking the old key".to_owned()),
            cause: None,
            person,
            waiting: Some(WaitingShown {
                what: "you".to_owned(),
                kind: WaitKind::Consent,
                since,
                until: None,
                person,
                forward: None,
                back: None,
                forward_steps: Vec::new(),
                back_steps: Vec::new(),
            }),
            blocked_by: Vec::new(),
            waived: Vec::new(),
            hosts_back: Vec::new(),
            hosts_not_searched: Vec::new(),
            not_visible: Vec::new(),
            first: None,
            next: Some("keyroll resume 0198 --confirm=openai".to_owned()),
        }
    }

    fn of_rotation(row: StatusShown, quiet_s: u64) -> Vec<(String, NoticeKind)> {
        let row = StatusShown { last_s: NOW_S - quiet_s, ..row };
        let seen = Upkeep { at_s: NOW_S, rotations: vec![row], ..Upkeep::default() };
        conditions(&seen, |_| false).into_iter().map(|one| (one.notice.id, one.kind)).collect()
    }

    #[test]
    fn a_wait_for_a_person_is_told_after_a_minute_and_a_dead_driver_after_ten() {
        assert_eq!(of_rotation(open(true, None, 59), 59), []);
        let told = of_rotation(open(true, None, 60), 60);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0], ("waiting/0198".to_owned(), NoticeKind::Waiting));
        // Another wait of the same rotation is told again.
        let stage = |waited_s| {
            let seen =
                Upkeep { at_s: NOW_S, rotations: vec![open(true, None, waited_s)], ..Upkeep::default() };
            conditions(&seen, |_| false).remove(0).stage
        };
        assert_ne!(stage(60), stage(61));
        // The same thing is the same at the next look: nothing is written for it.
        let at = |at_s| {
            conditions(&Upkeep { at_s, rotations: vec![open(true, None, 60)], ..Upkeep::default() }, |_| {
                false
            })
        };
        assert_eq!(at(NOW_S), at(NOW_S + 5));
        // What the server itself goes on with waits for nobody.
        let seen = Upkeep { at_s: NOW_S, rotations: vec![open(true, None, 60)], ..Upkeep::default() };
        assert_eq!(conditions(&seen, |secret| secret == "openai"), []);
        assert_eq!(of_rotation(open(false, Some(7), 100 * DAY_S), DAY_S), [], "it is driven");
        assert_eq!(of_rotation(open(false, None, DAY_S), 599), []);
        assert_eq!(
            of_rotation(open(false, None, 600), 600),
            [("undriven/0198".to_owned(), NoticeKind::Failed)]
        );
        let owes = StatusShown { ended: true, owes: true, ..open(false, None, 0) };
        assert_eq!(of_rotation(owes, 0), [("owes/0198".to_owned(), NoticeKind::Failed)]);
    }

    fn step(first: Option<&str>, commands: &[(&str, bool)]) -> StepShown {
        let command = |(command, complete): &(&str, bool)| CommandShown {
            kind: "resume",
            command: (*command).to_owned(),
            complete: *complete,
        };
        StepShown { first: first.map(str::to_owned), commands: commands.iter().map(command).collect() }
    }

    #[test]
    fn a_notice_has_the_command_if_it_is_the_only_one_and_else_the_status_that_has_them() {
        let resume = || step(None, &[("keyroll resume 0198", true)]);
        let waive = || step(None, &[("keyroll consumer waive api --reason WHY", false)]);
        let next = |person, forward_steps| {
            let row = open(person, None, 60);
            let waiting = row.waiting.clone().map(|waiting| WaitingShown { forward_steps, ..waiting });
            let row = StatusShown { waiting, last_s: NOW_S - UNDRIVEN_S, ..row };
            let seen = Upkeep { at_s: NOW_S, rotations: vec![row], ..Upkeep::default() };
            conditions(&seen, |_| false).remove(0).notice.next.unwrap()
        };
        let status = "keyroll status 0198";
        assert_eq!(next(true, vec![resume()]), "keyroll resume 0198");
        assert_eq!(next(true, vec![resume(), waive()]), status);
        assert_eq!(next(false, vec![resume(), waive()]), "keyroll resume 0198", "nobody has to act");
        assert_eq!(next(true, vec![waive()]), status, "only the operator knows why");
        assert_eq!(next(true, vec![step(Some("end it"), &[("keyroll resume 0198", true)])]), status);
        let both = [("keyroll abort 0198", true), ("keyroll plan acme", true)];
        assert_eq!(next(true, vec![step(None, &both)]), status);
        assert_eq!(next(true, Vec::new()), status);
    }

    fn of_due(age_days: u64, change: impl FnOnce(&mut DueShown)) -> Vec<(String, NoticeKind)> {
        let since_s = NOW_S - age_days * DAY_S;
        let mut row = DueShown {
            secret: "openai".to_owned(),
            age_s: Some(age_days * DAY_S),
            rotate_every_s: 90 * DAY_S,
            owner: None,
            overdue: age_days >= 93,
            unattended: false,
            shut: None,
            since_s: Some(since_s),
            failed: None,
            open: None,
            stands_still: None,
        };
        change(&mut row);
        let (name, unattended) = ("openai".to_owned(), row.unattended);
        let secret = SecretUpkeep { secret: name, owner: None, unattended, due: Some(row) };
        let warn_before = Duration::from_secs(7 * DAY_S);
        let seen = Upkeep { at_s: NOW_S, warn_before, secrets: vec![secret], ..Upkeep::default() };
        let told = conditions(&seen, |_| false).into_iter();
        told.map(|one| (one.stage, one.kind)).collect()
    }

    #[test]
    fn who_must_rotate_is_told_before_it_is_due_when_it_is_and_when_it_is_overdue() {
        let due = |stage: &str| vec![(stage.to_owned(), NoticeKind::Due)];
        assert_eq!(of_due(82, |_| {}), []);
        assert_eq!(of_due(83, |_| {}), due("soon"));
        assert_eq!(of_due(90, |_| {}), due("due"));
        assert_eq!(of_due(93, |_| {}), due("overdue"));
        // What begins by itself is told of only once it did not.
        for age in [83, 90] {
            assert_eq!(of_due(age, |row| row.unattended = true), []);
        }
        assert_eq!(of_due(93, |row| row.unattended = true), due("overdue"));
        let failed = |row: &mut DueShown| {
            let (why, at, again) = ("no admin key".to_owned(), String::new(), String::new());
            (row.unattended, row.failed) = (true, Some(DueFailed { why, at, again, again_s: 0, next: None }));
        };
        assert_eq!(of_due(91, failed), [("failed".to_owned(), NoticeKind::Failed)]);
        assert_eq!(
            of_due(95, |row| row.open = Some("0198".to_owned())),
            [],
            "its rotation says what it waits for"
        );
    }
}
