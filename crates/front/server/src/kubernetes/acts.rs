//! What an object asks for is done as an operator's request is: by a process of its own, after it was recorded.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use keyroll_app::places::Asker;
use keyroll_app::records::acts::Act;
use keyroll_controller::{Asked, SecretRotation, asks};
use serde::Deserialize;

use super::decide::{Ask, Memory, Wish, decide, refuse};
use super::facts::Facts;
use super::followed::{Begun, Followed};
use crate::api::child::said_within;
use crate::api::start::{Beside, beside};
use crate::drives::{Errand, Operate, Step};
use crate::seen::Told;
use crate::server::Server;

/// How long a plan may take.
const PLAN_MAX: Duration = Duration::from_secs(180);
/// When the same step is begun again that did not bring the rotation any further; twice as long after each attempt.
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_MAX: Duration = Duration::from_secs(3_600);

/// How a step went.
enum Went {
    /// It is being done.
    On,
    /// It was done a moment ago, and brought nothing.
    Nothing(Option<String>),
    /// Why it is not done now.
    Refused(String),
}

/// What was asked for by now, and the plan that is to be applied once the object's status has it. Steps of an open rotation
/// are begun at once.
pub(super) async fn answer(
    server: &Arc<Server>,
    followed: &Followed,
    object: &SecretRotation,
    facts: &Facts,
) -> (Asked, Option<String>) {
    withdraw_consent(server, object).await;
    forget_gone(followed, object);
    let (mut asked, wish) = decide(object, facts, &memory(server, followed, object, None));
    match wish {
        None => {}
        Some(Wish::Apply(plan)) => return (asked, Some(plan)),
        Some(Wish::Plan(text)) => {
            let secret = object.secret();
            let by = format!("{} {text}", object.uid);
            let work = || plan(server.clone(), secret.clone(), asker(object));
            let planned = followed.jobs.ask(&format!("plan {secret}"), &by, None, work);
            if planned.is_some() {
                let (asked, wish) = decide(object, facts, &memory(server, followed, object, planned));
                let apply = wish.and_then(|wish| match wish {
                    Wish::Apply(plan) => Some(plan),
                    Wish::Plan(_) | Wish::Step(..) => None,
                });
                return (asked, apply);
            }
        }
        Some(Wish::Step(operate, ask)) => {
            let went = begin(server, followed, object, &operate, &ask.shown()).await;
            done(&mut asked, &ask, went, facts);
        }
    }
    (asked, None)
}

/// A consent holds while it stands there: without it, nothing that waits for its turn ends the old key.
async fn withdraw_consent(server: &Server, object: &SecretRotation) {
    let secret = object.secret();
    let _one = server.deciding.lock().await;
    let Some(drive) = server.drives.any(&secret) else { return };
    let gone = match drive.operate().map(|operate| &operate.step) {
        Some(Step::Confirm(text)) => object.asks(asks::CONFIRM) != Some(text.as_str()),
        _ => false,
    };
    if gone && !drive.seen.borrow().runs {
        server.log(&format!("{secret}: the consent was taken away before its turn: the old key is kept"));
        server.drives.withdraw(&secret);
    }
}

/// What is asked for anew is done at once, and not only after the pause of the attempt before.
fn forget_gone(followed: &Followed, object: &SecretRotation) {
    let all = [asks::CONFIRM, asks::ABORT, asks::RESUME];
    let stand: Vec<String> =
        all.into_iter().filter_map(|annotation| Ask::of(object, annotation)).map(|ask| ask.shown()).collect();
    let mut begun = followed.begun.lock().unwrap_or_else(PoisonError::into_inner);
    let secret = object.secret();
    // A plan that was applied is remembered: it is never applied twice.
    let applies = |begun: &Begun| matches!(begun.operate.step, Step::Apply(_));
    begun.retain(|of, begun| *of != secret || applies(begun) || stand.contains(&begun.ask));
}

/// Writes down what came of a step.
fn done(asked: &mut Asked, ask: &Ask, went: Went, facts: &Facts) {
    match went {
        Went::On => {}
        Went::Nothing(why) => refuse(asked, why.map(|why| (ask, why)), facts),
        // It is asked for until it can be done.
        Went::Refused(why) => return refuse(asked, Some((ask, why)), facts),
    }
    let text = Some(ask.text.clone());
    match ask.annotation {
        asks::ABORT => asked.abort = text,
        asks::CONFIRM => asked.confirm = text,
        asks::RESUME => asked.resume = text,
        _ => {}
    }
}

/// What this server remembers.
fn memory(
    server: &Server,
    followed: &Followed,
    object: &SecretRotation,
    plan: Option<super::jobs::Result>,
) -> Memory {
    let secret = object.secret();
    let (driven, busy) = (server.drives.any(&secret).is_some(), server.drives.count() > 0);
    let applied = object.status.asked.plan.as_ref().filter(|plan| {
        let begun = followed.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get(&secret).is_some_and(|begun| begun.operate == applying(plan))
    });
    let applied = applied.map(|plan| match server.drives.refusals.of(plan) {
        Some(refused) => Err(with_help(&refused.told)),
        None => Ok(()),
    });
    Memory { plan, driven, busy, applied }
}

/// What waits for its turn, or is about to begin; a sentence.
pub(super) fn queued(
    server: &Server,
    followed: &Followed,
    object: &SecretRotation,
    facts: &Facts,
) -> Option<String> {
    let secret = object.secret();
    if let Some(drive) = server.drives.any(&secret) {
        let what = match drive.operate().map(|operate| &operate.step) {
            Some(Step::Apply(_)) => "the rotation that was asked for",
            Some(Step::Consent | Step::Confirm(_)) => "the end of the old key, which was consented to,",
            Some(Step::Abort) => "the rollback that was asked for",
            Some(Step::Resume(_) | Step::Retry) => "the rotation, which was asked to go on,",
            None => "the rotation that is due or an emergency",
        };
        let runs = drive.seen.borrow().runs;
        return match &facts.open {
            _ if !runs => Some(format!("{what} waits for its turn: one rotation is driven at a time")),
            None => Some(format!("{what} is about to begin")),
            Some(open) if open.needs_person() => Some(format!("{what} goes on")),
            Some(_) => None,
        };
    }
    let wanted =
        object.asks(asks::ROTATE).filter(|text| object.status.asked.rotate.as_deref() != Some(*text));
    let waits = facts.open.is_none() && facts.lost.is_none() && facts.value.is_some() && wanted.is_some();
    waits.then(|| match server.drives.count() > 0 && !followed.jobs.runs(&format!("plan {secret}")) {
        true => {
            "a rotation is asked for, and waits for its turn: one rotation is driven at a time".to_owned()
        }
        false => "a rotation is asked for, and its plan is made".to_owned(),
    })
}

/// An object that asks, as the journal records it.
fn asker(object: &SecretRotation) -> Asker {
    Asker {
        by: format!("secretrotation {}/{}", object.namespace, object.id.name),
        id: Some(object.uid.clone()),
    }
}

/// What was told, with what to do.
pub(super) fn with_help(told: &Told) -> String {
    match &told.help {
        Some(help) => format!("{}; {help}", told.sentence()),
        None => told.sentence(),
    }
}

/// Why a step was not done. How an open rotation goes on is said by the object's status.
fn why(step: &Step, told: &Told) -> String {
    if matches!(step, Step::Apply(_)) { with_help(told) } else { told.sentence() }
}

fn applying(plan: &str) -> Operate {
    Operate { rotation: plan.to_owned(), step: Step::Apply(Vec::new()) }
}

/// Begins the step, unless it is being done, or was done a moment ago and brought nothing.
async fn begin(
    server: &Arc<Server>,
    followed: &Followed,
    object: &SecretRotation,
    operate: &Operate,
    ask: &str,
) -> Went {
    let secret = object.secret();
    let times = {
        let begun = followed.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let before = begun.get(&secret).filter(|begun| begun.operate == *operate && begun.ask == ask);
        let pause = |times: u32| AGAIN.saturating_mul(1 << times.saturating_sub(1).min(6)).min(AGAIN_MAX);
        if before.is_some_and(|begun| begun.at.elapsed() < pause(begun.times)) {
            let over = server.drives.any(&secret).is_none();
            let refused = server.drives.refusals.of(&operate.rotation).filter(|_| over);
            return if over {
                Went::Nothing(refused.map(|refused| why(&operate.step, &refused.told)))
            } else {
                Went::On
            };
        }
        before.map_or(0, |begun| begun.times)
    };
    let _one = server.deciding.lock().await;
    if let Some(drive) = server.drives.any(&secret) {
        match beside(&drive, &secret, operate) {
            Beside::Same => return Went::On,
            Beside::Instead => {}
            Beside::InTheWay(refusal) => return Went::Refused(refusal.error),
        }
    }
    let asker = asker(object);
    if times == 0 {
        server.log(&format!(
            "{secret}: {} {}, asked for by {}",
            operate.step.word(),
            operate.rotation,
            asker.by
        ));
        let act = Act {
            secret: Some(secret.clone()),
            about: Some(operate.rotation.clone()),
            detail: operate.step.consents().map(str::to_owned),
            ..asker.clone().asks(operate.step.word())
        };
        if let Err(problem) = server.record(act).await {
            return Went::Refused(problem.sentence());
        }
    }
    if let Err(error) = server.drives.begin(&secret, Errand::Operate(operate.clone()), asker) {
        return Went::Refused(format!("what is begun could not be written down: {error}"));
    }
    let mut begun = followed.begun.lock().unwrap_or_else(PoisonError::into_inner);
    let (operate, ask) = (operate.clone(), ask.to_owned());
    begun.insert(secret, Begun { operate, ask, at: Instant::now(), times: times + 1 });
    Went::On
}

/// Applies a plan that the object's status has. Returns why it is not done now.
pub(super) async fn apply(
    server: &Arc<Server>,
    followed: &Followed,
    object: &SecretRotation,
    plan: &str,
) -> Option<String> {
    match begin(server, followed, object, &applying(plan), "").await {
        Went::On | Went::Nothing(_) => None,
        Went::Refused(why) => Some(why),
    }
}

/// What the process that plans says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Plan {
        id: String,
    },
    Error(Told),
    #[serde(other)]
    Other,
}

async fn plan(server: Arc<Server>, secret: String, asker: Asker) -> super::jobs::Result {
    // One plan at a time, also of those that callers ask for.
    let place = server.planning.clone().lock_owned().await;
    server.log(&format!("{secret}: a plan is made, asked for by {}", asker.by));
    let (said, status) =
        said_within::<Line, _>(&server, "the plan", &["plan", &secret], PLAN_MAX, place).await?;
    let mut plan = Err(format!("keyroll plan ended with {status}"));
    for line in said {
        match line {
            Line::Error(told) => return Err(with_help(&told)),
            Line::Plan { id } => plan = Ok(id),
            Line::Other => {}
        }
    }
    plan
}
