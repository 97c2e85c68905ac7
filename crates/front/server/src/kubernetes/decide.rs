//! What an object asks for by its annotations, decided from what is known at one moment.
//!
//! A consent and an abort name their rotation, and hold for as long as they stand there: after a crash they are done again.
//! `rotate` and `resume` are any new text: the object's status remembers the last one. A plan is written into the status
//! before it is applied, so that a server that ends in between applies the same plan, and never makes a second one.

use keyroll_controller::{Asked, Open, SecretRotation, asks};

use super::facts::{Facts, Planned};
use super::jobs;
use super::ways::approve;
use crate::drives::{Operate, Step};

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// A plan is made for this text of `rotate`.
    Plan(String),
    /// A plan is applied, once the object's status has it.
    Apply(String),
    /// A step of the open rotation, for this annotation with this text.
    Step(Operate, Ask),
}

/// An annotation and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) annotation: &'static str,
    pub(super) text: String,
}

impl Ask {
    pub(super) fn of(object: &SecretRotation, annotation: &'static str) -> Option<Self> {
        let text = object.asks(annotation)?.to_owned();
        Some(Self { annotation, text })
    }

    /// As a status has it: `rotate=TEXT`.
    pub(super) fn shown(&self) -> String {
        let word = self.annotation.rsplit('/').next().unwrap_or_default();
        format!("{word}={}", self.text)
    }
}

/// What this server remembers of the object's secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// What came of the plan for the present text of `rotate`.
    pub(super) plan: Option<jobs::Result>,
    /// A driver of the secret is there.
    pub(super) driven: bool,
    /// A driver is there, of any secret: a plan that is made now would be old when its turn comes.
    pub(super) busy: bool,
    /// What came of the plan that the status names, if this server tried to apply it.
    pub(super) applied: Option<Result<(), String>>,
}

/// What was asked for by now, and what is done next.
pub(super) fn decide(object: &SecretRotation, facts: &Facts, memory: &Memory) -> (Asked, Option<Wish>) {
    let mut asked = object.status.asked.clone();
    forget_refusal(object, facts, &mut asked);
    if let Some(lost) = facts.lost.as_deref().filter(|lost| object.asks(asks::FORGET) == Some(lost)) {
        asked.forget = Some(lost.to_owned());
    }
    let is_lost = facts.lost.is_some() && asked.forget != facts.lost;
    let before = asked.refused_ask.clone();
    let wish = match &facts.open {
        Some(open) => with_open(object, (open, facts), &mut asked),
        // What was lost may be between two keys: first a person looks.
        None if is_lost => None,
        None => without_open(object, facts, memory, &mut asked),
    };
    refuse_late(object, facts, &mut asked);
    // What was refused just now is shown first.
    if asked.refused_ask == before {
        refuse_unknown(object, facts, &mut asked);
    }
    (asked, wish)
}

/// A `resume` is for what is held now, and not for a later pause.
fn refuse_late(object: &SecretRotation, facts: &Facts, asked: &mut Asked) {
    let held = facts.open.as_ref().is_some_and(|open| open.held.is_some());
    let Some(ask) =
        Ask::of(object, asks::RESUME).filter(|ask| !held && asked.resume.as_ref() != Some(&ask.text))
    else {
        return;
    };
    asked.resume = Some(ask.text.clone());
    if asked.refused_ask.is_none() {
        refuse(asked, Some((&ask, "nothing is paused or stuck".to_owned())), facts);
    }
}

/// A refusal counts for its annotation, and for its rotation.
fn forget_refusal(object: &SecretRotation, facts: &Facts, asked: &mut Asked) {
    let Some(of) = asked.refused_ask.as_deref() else { return };
    let all = [asks::ROTATE, asks::CONFIRM, asks::ABORT, asks::RESUME];
    let its =
        all.into_iter().filter_map(|annotation| Ask::of(object, annotation)).find(|ask| ask.shown() == of);
    let counts = match its {
        None => false,
        // Another rotation is open by now, or this one has ended: that is another answer.
        Some(_) if facts.point() != asked.refused_after => false,
        // It is rolled back by now.
        Some(ask) if ask.annotation == asks::ABORT => {
            facts.open.as_ref().is_none_or(|open| !open.rolls_back || open.shown.id != ask.text)
        }
        // Its plan may have begun after its driver was seen last.
        Some(ask) => ask.annotation != asks::ROTATE || facts.planned != Planned::Begun,
    };
    if !counts {
        refuse(asked, None, facts);
    }
}

/// What was not done, and why; none: nothing was refused.
pub(super) fn refuse(asked: &mut Asked, why: Option<(&Ask, String)>, facts: &Facts) {
    (asked.refused_ask, asked.refused, asked.refused_after) = match why {
        None => (None, None, None),
        Some((ask, why)) => (Some(ask.shown()), Some(why), facts.point()),
    };
}

/// A consent or an abort that names no rotation which it could be about is dealt with by saying so: one at a time, as one
/// refusal is shown at a time.
fn refuse_unknown(object: &SecretRotation, facts: &Facts, asked: &mut Asked) {
    let open = facts.open.as_ref().map(|open| open.shown.id.as_str());
    for annotation in [asks::ABORT, asks::CONFIRM] {
        let Some(ask) = Ask::of(object, annotation) else { continue };
        let (is_abort, named) = (annotation == asks::ABORT, ask.text.split('/').next());
        let is_open = open.is_some() && open == named;
        if is_open && (!is_abort || open == Some(ask.text.as_str())) {
            continue;
        }
        let is_coming = !is_open && (asked.plan.as_deref() == named || facts.lost.as_deref() == named);
        let dealt = if is_abort { &mut asked.abort } else { &mut asked.confirm };
        if facts.last_id() == named {
            // It may stand there after later rotations, too.
            *dealt = Some(ask.text.clone());
        }
        if is_coming || dealt.as_deref() == Some(ask.text.as_str()) {
            continue;
        }
        *dealt = Some(ask.text.clone());
        if asked.refused_ask.as_ref().is_some_and(|of| of.starts_with("rotate=")) {
            // Nothing says any more that its plan was refused: it is not applied later.
            asked.plan = None;
        }
        let why = match open {
            Some(id) => format!("it names another rotation than the open one, {id}"),
            None => "no rotation is open".to_owned(),
        };
        return refuse(asked, Some((&ask, why)), facts);
    }
}

fn with_open(object: &SecretRotation, (open, facts): (&Open, &Facts), asked: &mut Asked) -> Option<Wish> {
    let id = open.shown.id.as_str();
    let step = |step, ask| Some(Wish::Step(Operate { rotation: id.to_owned(), step }, ask));
    let abort = Ask::of(object, asks::ABORT).filter(|ask| ask.text == id && !open.rolls_back);
    match abort {
        Some(ask) if !open.back.is_empty() => return step(Step::Abort, ask),
        Some(ask) => refuse(asked, Some((&ask, "it cannot be rolled back any more".to_owned())), facts),
        None => {}
    }
    let names = |ask: &Ask| ask.text.split('/').next() == Some(id);
    let confirm = Ask::of(object, asks::CONFIRM).filter(|ask| names(ask) && open.consent);
    match confirm {
        Some(ask) if ask.text != open.confirm => {
            let by_now = if ask.text == id { "there are waivers" } else { "the waivers are others" };
            let why = format!("{by_now} by now: the consent must say {}", open.confirm);
            refuse(asked, Some((&ask, why)), facts);
        }
        Some(ask) if facts.approvals < 2 => return step(Step::Confirm(open.confirm.clone()), ask),
        Some(ask) => {
            let why = format!(
                "the server wants the approvals of {} tokens before it ends the old key: {}",
                facts.approvals,
                approve(id, &object.secret())
            );
            refuse(asked, Some((&ask, why)), facts);
        }
        None => {}
    }
    let new = |ask: &Ask, known: &Option<String>| known.as_ref() != Some(&ask.text);
    if let Some(ask) =
        Ask::of(object, asks::RESUME).filter(|ask| new(ask, &asked.resume) && open.held.is_some())
    {
        return step(if open.stuck { Step::Retry } else { Step::Resume(Vec::new()) }, ask);
    }
    // The rotation of this very text is open, if its plan has begun. A plan that has not is not applied after another rotation.
    let is_late = asked.plan.is_some() && matches!(facts.planned, Planned::Waits | Planned::Gone);
    if let Some(ask) = Ask::of(object, asks::ROTATE).filter(|ask| is_late || new(ask, &asked.rotate)) {
        (asked.rotate, asked.plan) = (Some(ask.text.clone()), None);
        let why = format!("rotation {id} is open: ask again after it has ended");
        refuse(asked, Some((&ask, why)), facts);
    }
    None
}

fn without_open(object: &SecretRotation, facts: &Facts, memory: &Memory, asked: &mut Asked) -> Option<Wish> {
    let ask = Ask::of(object, asks::ROTATE);
    if let Some(ask) = ask.as_ref().filter(|ask| asked.rotate.as_ref() != Some(&ask.text)) {
        // Without a value there is nothing to rotate yet; it is asked for until there is one.
        facts.value.as_ref()?;
        return match &memory.plan {
            None if memory.busy => None,
            None => Some(Wish::Plan(ask.text.clone())),
            Some(Ok(id)) => {
                (asked.rotate, asked.plan) = (Some(ask.text.clone()), Some(id.clone()));
                refuse(asked, None, facts);
                Some(Wish::Apply(id.clone()))
            }
            Some(Err(why)) => {
                (asked.rotate, asked.plan) = (Some(ask.text.clone()), None);
                refuse(asked, Some((ask, why.clone())), facts);
                None
            }
        };
    }
    let (ask, plan) = (ask?, asked.plan.clone()?);
    match (facts.planned, &memory.applied) {
        _ if memory.driven || asked.refused_ask.as_ref() == Some(&ask.shown()) => None,
        (Planned::Begun | Planned::Foreign, _) => None,
        (Planned::Waits, Some(Err(why))) => {
            refuse(asked, Some((&ask, why.clone())), facts);
            None
        }
        (Planned::Waits, Some(Ok(()))) => {
            let why = "the plan was not applied, and its driver did not say why".to_owned();
            refuse(asked, Some((&ask, why)), facts);
            None
        }
        // The server before this one ended in between.
        (Planned::Waits, None) => Some(Wish::Apply(plan)),
        (Planned::Gone, _) => {
            refuse(asked, Some((&ask, "its plan is gone".to_owned())), facts);
            None
        }
    }
}
