//! What an object asks for: branch by branch, and in drawn histories of a world that fails at any moment.

use std::collections::BTreeMap;

use keyroll_controller::{
    Asked, Command, Ended, Id, Open, RotationStatus, SecretRotation, Status, Value, Waits, Way, asks,
};
use serde_json::Map;

use super::decide::{Ask, Memory, Wish, decide, refuse};
use super::facts::{Facts, Planned};
use crate::consent_text::consent_text;
use crate::drives::{Operate, Step};

/// The open rotation, and one that ended.
const ID: &str = "01a2";
const ENDED: &str = "0f00";
/// A plan.
const PLAN: &str = "0b3c";

/// An object with these annotations and this status.
pub(super) fn object(annotations: &[(&str, &str)], asked: Asked) -> SecretRotation {
    let text = |(annotation, text): &(&str, &str)| ((*annotation).to_owned(), (*text).to_owned());
    SecretRotation {
        id: Id { host: "shop".to_owned(), name: "acme".to_owned() },
        namespace: "shop".to_owned(),
        uid: "7c0d".to_owned(),
        resource_version: "1".to_owned(),
        generation: 1,
        made_s: 0,
        annotations: annotations.iter().map(text).collect(),
        spec: Map::new(),
        status: Status { asked, ..Status::default() },
    }
}

/// A status that says this.
fn shown(asked: &Asked) -> Status {
    Status { asked: asked.clone(), ..Status::default() }
}

pub(super) fn value() -> Value {
    Value { version: 1, since: None, due: None, overdue: None }
}

/// Nothing is open, and there is a value.
pub(super) fn at_rest() -> Facts {
    Facts {
        consumers: Vec::new(),
        value: Some(value()),
        open: None,
        last: None,
        lost: None,
        planned: Planned::Gone,
        approvals: 1,
    }
}

/// A rotation that waits for a person, and can be rolled back if `back`.
pub(super) fn open(id: &str, back: bool) -> Open {
    let back = back.then(|| Way { first: None, then: vec![Command::Abort] });
    Open {
        shown: RotationStatus {
            id: id.to_owned(),
            driven: true,
            waits: Some(Waits { what: "a person".to_owned(), person: true, ..Waits::default() }),
            ..RotationStatus::default()
        },
        forward: Vec::new(),
        back: back.into_iter().collect(),
        rolls_back: false,
        consent: false,
        confirm: id.to_owned(),
        held: None,
        stuck: false,
        blockers: Vec::new(),
        stages: BTreeMap::new(),
    }
}

fn during(open: Open) -> Facts {
    Facts { open: Some(open), planned: Planned::Begun, ..at_rest() }
}

pub(super) fn ended(id: &str) -> Option<Ended> {
    Some(Ended { id: id.to_owned(), ..Ended::default() })
}

/// The text of `rotate` was taken up, with this plan.
fn taken(text: &str, plan: Option<&str>) -> Asked {
    Asked { rotate: Some(text.to_owned()), plan: plan.map(str::to_owned), ..Asked::default() }
}

/// This annotation was refused.
fn refused(asked: &Asked) -> Option<&str> {
    assert_eq!(asked.refused_ask.is_some(), asked.refused.is_some(), "what was refused, and why");
    asked.refused_ask.as_deref()
}

fn why(asked: &Asked) -> &str {
    asked.refused.as_deref().unwrap_or_default()
}

/// What was asked for by the next look: nothing else has changed.
fn again(annotation: &'static str, says: &str, asked: &Asked, facts: &Facts) -> Asked {
    decide(&object(&[(annotation, says)], asked.clone()), facts, &Memory::default()).0
}

/// A step of the open rotation.
fn step(step: Step, annotation: &'static str, text: &str) -> Option<Wish> {
    let ask = Ask { annotation, text: text.to_owned() };
    Some(Wish::Step(Operate { rotation: ID.to_owned(), step }, ask))
}

#[test]
fn a_new_text_of_rotate_is_planned_and_its_plan_is_in_the_status_before_it_is_applied() {
    let asks = [(asks::ROTATE, " leaked 1 ")];
    for before in [Asked::default(), taken("leaked 0", Some("0a00")), taken("leaked 0", None)] {
        let object = object(&asks, before.clone());
        let with = |plan| decide(&object, &at_rest(), &Memory { plan, ..Memory::default() });
        let first = with(None);
        assert_eq!(first, (before, Some(Wish::Plan("leaked 1".to_owned()))), "nothing is taken up yet");
        let (asked, wish) = with(Some(Ok(PLAN.to_owned())));
        assert_eq!((asked, wish), (taken("leaked 1", Some(PLAN)), Some(Wish::Apply(PLAN.to_owned()))));
        let (asked, wish) = with(Some(Err("the issuer is away".to_owned())));
        assert_eq!(
            (wish, refused(&asked), why(&asked)),
            (None, Some("rotate=leaked 1"), "the issuer is away")
        );
        assert_eq!((asked.rotate.as_deref(), asked.plan), (Some("leaked 1"), None), "it is not asked again");
    }
}

#[test]
fn what_was_refused_before_is_over_once_a_new_text_has_its_plan() {
    let mut asked = taken("old", None);
    let ask = Ask { annotation: asks::ROTATE, text: "old".to_owned() };
    refuse(&mut asked, Some((&ask, "no".to_owned())), &at_rest());
    let memory = Memory { plan: Some(Ok(PLAN.to_owned())), ..Memory::default() };
    let (asked, _) = decide(&object(&[(asks::ROTATE, "new")], asked), &at_rest(), &memory);
    assert_eq!(asked, taken("new", Some(PLAN)));
}

#[test]
fn rotate_asks_for_nothing_without_a_new_text_or_without_a_value() {
    let none = || Facts { value: None, ..at_rest() };
    type Case<'a> = (&'a [(&'a str, &'a str)], Asked, Facts);
    let all: [Case<'_>; 6] = [
        (&[], Asked::default(), at_rest()),
        (&[], taken("now", Some(PLAN)), Facts { planned: Planned::Waits, ..at_rest() }),
        (&[(asks::ROTATE, " \n")], Asked::default(), at_rest()),
        (&[(asks::ROTATE, "now")], taken("now", None), at_rest()),
        (&[(asks::ROTATE, "now")], Asked::default(), none()),
        (&[(asks::ROTATE, "now")], taken("before", Some(PLAN)), none()),
    ];
    for (annotations, asked, facts) in all {
        let memory = Memory { plan: Some(Ok("0c00".to_owned())), ..Memory::default() };
        assert_eq!(decide(&object(annotations, asked.clone()), &facts, &memory), (asked, None));
    }
}

#[test]
fn a_plan_of_the_status_is_applied_once_unless_the_server_ended_in_between() {
    let said = || Some(Err("the issuer is away".to_owned()));
    let apply = || Some(Wish::Apply(PLAN.to_owned()));
    for (planned, applied, driven, wish, refusal) in [
        (Planned::Waits, None, false, apply(), ""),
        (Planned::Waits, None, true, None, ""),
        (Planned::Waits, Some(Ok(())), true, None, ""),
        (Planned::Waits, Some(Ok(())), false, None, "did not say why"),
        (Planned::Waits, said(), false, None, "the issuer is away"),
        (Planned::Begun, None, false, None, ""),
        (Planned::Begun, Some(Ok(())), false, None, ""),
        (Planned::Begun, said(), false, None, ""),
        (Planned::Foreign, None, false, None, ""),
        (Planned::Foreign, said(), false, None, ""),
        (Planned::Gone, None, false, None, "its plan is gone"),
        (Planned::Gone, None, true, None, ""),
    ] {
        let of = format!("{planned:?} {applied:?} {driven}");
        let facts = Facts { planned, ..at_rest() };
        let memory = Memory { plan: None, driven, busy: false, applied };
        let object = object(&[(asks::ROTATE, "now")], taken("now", Some(PLAN)));
        let (asked, now) = decide(&object, &facts, &memory);
        assert_eq!(now, wish, "{of}");
        assert_eq!(refused(&asked), (!refusal.is_empty()).then_some("rotate=now"), "{of}");
        assert!(why(&asked).contains(refusal), "{of}: {}", why(&asked));
        assert_eq!(asked.plan.as_deref(), Some(PLAN));
        if !refusal.is_empty() {
            let object = SecretRotation { status: shown(&asked), ..object };
            let next = decide(&object, &facts, &Memory::default());
            assert_eq!(next, (asked, None), "{of}: by the next server, too");
        }
    }
}

#[test]
fn rotate_while_a_rotation_is_open_is_refused_and_does_not_begin_after_it() {
    for (before, planned, is_refused) in [
        (Asked::default(), Planned::Gone, true),
        (taken("before", Some(ID)), Planned::Begun, true),
        // Of a text before.
        (taken("before", Some(PLAN)), Planned::Waits, true),
        // Its plan was made, and another rotation was first.
        (taken("now", Some(PLAN)), Planned::Waits, true),
        (taken("now", Some(PLAN)), Planned::Gone, true),
        // The open rotation is its own.
        (taken("now", Some(ID)), Planned::Begun, false),
        (taken("now", None), Planned::Gone, false),
    ] {
        let of = format!("{before:?} {planned:?}");
        let facts = Facts { planned, ..during(open(ID, true)) };
        let (asked, wish) =
            decide(&object(&[(asks::ROTATE, "now")], before.clone()), &facts, &Memory::default());
        assert_eq!(wish, None, "{of}");
        if !is_refused {
            assert_eq!(asked, before, "{of}");
            continue;
        }
        assert_eq!(refused(&asked), Some("rotate=now"), "{of}");
        assert!(why(&asked).contains("rotation 01a2 is open"), "{of}");
        assert_eq!(asked.plan, None, "{of}: the status has no plan of another text");
        let after = Facts { last: ended(ID), ..at_rest() };
        let (asked, wish) = decide(&object(&[(asks::ROTATE, "now")], asked), &after, &Memory::default());
        assert_eq!((asked, wish), (taken("now", None), None), "{of}");
    }
}

#[test]
fn confirm_counts_for_its_rotation_with_its_waivers_where_the_consent_is_wanted() {
    let waived = ["pod.agent-1".to_owned()];
    let with = consent_text(ID, &waived);
    let other = consent_text(ID, &["pod.agent-2".to_owned()]);
    let (with, other) = (with.as_str(), other.as_str());
    assert!(with.starts_with("01a2/") && with != other);
    let says_with = format!("there are waivers by now: the consent must say {with}");
    let others_with = format!("the waivers are others by now: the consent must say {with}");
    let others = "the waivers are others by now: the consent must say 01a2";
    let wrong = "it names another rotation than the open one, 01a2";
    for (says, wants, consent, approvals, is_begun, refusal) in [
        (ID, ID, true, 1, true, ""),
        (ID, ID, true, 0, true, ""),
        (with, with, true, 1, true, ""),
        (ID, with, true, 1, false, says_with.as_str()),
        (with, ID, true, 1, false, others),
        (other, with, true, 1, false, others_with.as_str()),
        (ENDED, ID, true, 1, false, wrong),
        ("01a", ID, true, 1, false, wrong),
        ("shop.acme", ID, true, 1, false, wrong),
        (ENDED, ID, false, 1, false, wrong),
        // It waits until it is wanted.
        (ID, ID, false, 1, false, ""),
        (ID, with, false, 1, false, ""),
        (with, ID, false, 1, false, ""),
        (ID, ID, true, 2, false, "resume 01a2 --confirm=shop.acme"),
        (ENDED, ID, true, 2, false, wrong),
        (ID, ID, false, 2, false, ""),
    ] {
        let its = Open { consent, confirm: wants.to_owned(), ..open(ID, true) };
        let facts = Facts { approvals, ..during(its) };
        let (asked, wish) =
            decide(&object(&[(asks::CONFIRM, says)], Asked::default()), &facts, &Memory::default());
        let begun = || step(Step::Confirm(wants.to_owned()), asks::CONFIRM, says);
        assert_eq!(wish, is_begun.then(begun).flatten(), "{says} {wants} {consent} {approvals}");
        let is_refused = (!refusal.is_empty()).then(|| format!("confirm={says}"));
        assert_eq!(refused(&asked), is_refused.as_deref(), "{says} {wants} {consent} {approvals}");
        assert!(why(&asked).contains(refusal), "{says}: {}", why(&asked));
        assert_eq!(asked.confirm.as_deref(), (refusal == wrong).then_some(says), "dealt with");
        assert_eq!(again(asks::CONFIRM, says, &asked, &facts), asked, "{says}: the same facts again");
    }
}

#[test]
fn a_consent_that_was_taken_up_holds_for_as_long_as_it_stands_there() {
    let before = Asked { confirm: Some(ID.to_owned()), ..Asked::default() };
    let facts = during(Open { consent: true, ..open(ID, true) });
    let (_, wish) = decide(&object(&[(asks::CONFIRM, ID)], before), &facts, &Memory::default());
    assert_eq!(wish, step(Step::Confirm(ID.to_owned()), asks::CONFIRM, ID));
}

#[test]
fn abort_is_for_the_rotation_that_it_names_and_only_where_it_can_be_rolled_back() {
    let wrong = "it names another rotation than the open one, 01a2";
    for (says, back, rolls_back, is_begun, refusal) in [
        (ID, true, false, true, ""),
        (ID, false, false, false, "it cannot be rolled back any more"),
        (ID, true, true, false, ""),
        (ID, false, true, false, ""),
        (ENDED, true, false, false, wrong),
        (ENDED, false, false, false, wrong),
        (ENDED, false, true, false, wrong),
        ("01a", true, false, false, wrong),
        ("01a2/00", true, false, false, wrong),
    ] {
        let facts = during(Open { rolls_back, ..open(ID, back) });
        let (asked, wish) =
            decide(&object(&[(asks::ABORT, says)], Asked::default()), &facts, &Memory::default());
        let begun = || step(Step::Abort, asks::ABORT, says);
        assert_eq!(wish, is_begun.then(begun).flatten(), "{says} {back} {rolls_back}");
        let is_refused = (!refusal.is_empty()).then(|| format!("abort={says}"));
        assert_eq!(refused(&asked), is_refused.as_deref(), "{says} {back} {rolls_back}");
        assert_eq!(why(&asked), refusal, "{says} {back} {rolls_back}");
        assert_eq!(asked.abort.as_deref(), (refusal == wrong).then_some(says), "dealt with");
        assert_eq!(again(asks::ABORT, says, &asked, &facts), asked, "{says}: the same facts again");
    }
    let nothing = Open { shown: RotationStatus { waits: None, ..open(ID, false).shown }, ..open(ID, false) };
    let object = object(&[(asks::ABORT, ID)], Asked::default());
    let (asked, wish) = decide(&object, &during(nothing), &Memory::default());
    assert_eq!((wish, refused(&asked)), (None, Some("abort=01a2")), "nothing says that it can");
    let (asked, wish) = decide(&object, &at_rest(), &Memory::default());
    assert_eq!((wish, refused(&asked), why(&asked)), (None, Some("abort=01a2"), "no rotation is open"));
    assert_eq!(asked.abort.as_deref(), Some(ID));
}

#[test]
fn an_id_that_a_rotation_has_or_had_or_will_have_is_not_refused() {
    let coming = taken("now", Some(ID));
    let lost = || Facts { lost: Some(ID.to_owned()), ..at_rest() };
    let over = || Facts { last: ended(ID), ..at_rest() };
    for annotation in [asks::ABORT, asks::CONFIRM] {
        for (before, facts) in [
            (coming.clone(), Facts { planned: Planned::Waits, ..at_rest() }),
            (Asked::default(), lost()),
            (Asked::default(), over()),
            (Asked::default(), Facts { last: ended(ID), ..during(open("02", true)) }),
        ] {
            let object = object(&[(annotation, ID)], before);
            let (asked, wish) = decide(&object, &facts, &Memory::default());
            assert_eq!((wish, refused(&asked)), (None, None), "{annotation}");
        }
        // It stands there for ever.
        let (asked, _) = decide(&object(&[(annotation, ID)], Asked::default()), &over(), &Memory::default());
        let later = Facts { last: ended("02"), ..at_rest() };
        assert_eq!(again(annotation, ID, &asked, &later), asked, "{annotation}: after the next one, too");
    }
}

#[test]
fn a_wrong_id_is_in_the_way_of_no_plan() {
    let asks = [(asks::ROTATE, "now"), (asks::ABORT, "eeee")];
    let facts = Facts { planned: Planned::Waits, ..at_rest() };
    let before = object(&asks, taken("now", Some(PLAN)));
    let (asked, wish) = decide(&before, &facts, &Memory::default());
    assert_eq!((wish, refused(&asked)), (Some(Wish::Apply(PLAN.to_owned())), Some("abort=eeee")));
    let (asked, wish) = decide(&object(&asks, asked), &facts, &Memory::default());
    assert_eq!((wish, refused(&asked)), (Some(Wish::Apply(PLAN.to_owned())), Some("abort=eeee")));
    // The plan is refused: that is shown, and stays.
    let failed = Memory { applied: Some(Err("the issuer is away".to_owned())), ..Memory::default() };
    let (asked, wish) = decide(&object(&asks, asked), &facts, &failed);
    assert_eq!((wish, refused(&asked)), (None, Some("rotate=now")));
    assert_eq!(decide(&object(&asks, asked.clone()), &facts, &failed), (asked, None));
}

#[test]
fn refusals_are_shown_one_after_another_and_a_plan_that_was_refused_is_not_applied_later() {
    let asks = [(asks::ROTATE, "now"), (asks::ABORT, "eeee"), (asks::CONFIRM, "dddd")];
    let facts = Facts { planned: Planned::Waits, ..at_rest() };
    let failed = Memory { applied: Some(Err("the issuer is away".to_owned())), ..Memory::default() };
    let (first, wish) = decide(&object(&asks, taken("now", Some(PLAN))), &facts, &failed);
    assert_eq!((wish, refused(&first)), (None, Some("rotate=now")));
    assert_eq!((&first.abort, &first.confirm), (&None, &None), "what is not said is not dealt with");
    let (second, wish) = decide(&object(&asks, first), &facts, &failed);
    assert_eq!((wish, refused(&second)), (None, Some("abort=eeee")));
    assert_eq!(second.plan, None);
    let gone = Facts { planned: Planned::Gone, ..at_rest() };
    let (third, wish) = decide(&object(&asks, second), &gone, &Memory::default());
    assert_eq!((wish, refused(&third)), (None, Some("confirm=dddd")));
    assert_eq!(decide(&object(&asks, third.clone()), &gone, &Memory::default()), (third, None));
}

#[test]
fn no_plan_is_made_while_anything_is_driven_and_one_that_was_made_counts() {
    let object = object(&[(asks::ROTATE, "now")], Asked::default());
    let busy = |plan| decide(&object, &at_rest(), &Memory { busy: true, plan, ..Memory::default() });
    assert_eq!(busy(None), (Asked::default(), None), "it is asked for until then");
    let applied = (taken("now", Some(PLAN)), Some(Wish::Apply(PLAN.to_owned())));
    assert_eq!(busy(Some(Ok(PLAN.to_owned()))), applied);
    let calm = decide(&object, &at_rest(), &Memory::default());
    assert_eq!(calm, (Asked::default(), Some(Wish::Plan("now".to_owned()))));
}

#[test]
fn an_abort_goes_first_and_one_that_is_not_possible_is_in_the_way_of_nothing() {
    let all = [(asks::ABORT, ID), (asks::CONFIRM, ID), (asks::RESUME, "again"), (asks::ROTATE, "now")];
    let its = |back, consent| Open { consent, held: Some("away".to_owned()), ..open(ID, back) };
    let decided = |open| decide(&object(&all, Asked::default()), &during(open), &Memory::default());
    assert_eq!(decided(its(true, true)), (Asked::default(), step(Step::Abort, asks::ABORT, ID)));
    let (asked, wish) = decided(its(false, true));
    assert_eq!(wish, step(Step::Confirm(ID.to_owned()), asks::CONFIRM, ID));
    assert_eq!(refused(&asked), Some("abort=01a2"));
    let (asked, wish) = decided(its(false, false));
    assert_eq!(wish, step(Step::Resume(Vec::new()), asks::RESUME, "again"));
    assert_eq!(refused(&asked), Some("abort=01a2"));
    let (asked, wish) = decided(Open { held: None, ..its(false, false) });
    assert_eq!((wish, refused(&asked)), (None, Some("rotate=now")), "the last refusal is shown");
    let facts = Facts { approvals: 2, ..during(its(false, true)) };
    let (asked, wish) = decide(&object(&all, Asked::default()), &facts, &Memory::default());
    assert_eq!(wish, step(Step::Resume(Vec::new()), asks::RESUME, "again"), "also without the approvals");
    assert_eq!(refused(&asked), Some("confirm=01a2"));
}

#[test]
fn a_new_text_of_resume_goes_on_with_what_is_held() {
    let resume = || Step::Resume(Vec::new());
    for (known, is_held, stuck, begun) in [
        (None, true, false, Some(resume())),
        (None, true, true, Some(Step::Retry)),
        (Some("0"), true, false, Some(resume())),
        (Some("0"), true, true, Some(Step::Retry)),
        (Some("1"), true, false, None),
        (Some("1"), true, true, None),
        (None, false, false, None),
        (Some("0"), false, false, None),
    ] {
        let before = Asked { resume: known.map(str::to_owned), ..Asked::default() };
        let held = is_held.then(|| "the host is away".to_owned());
        let facts = during(Open { held, stuck, ..open(ID, true) });
        let object = object(&[(asks::RESUME, "1")], before.clone());
        let wish = begun.and_then(|its| step(its, asks::RESUME, "1"));
        let (asked, now) = decide(&object, &facts, &Memory::default());
        assert_eq!(now, wish, "{known:?} {is_held} {stuck}");
        // It is taken up once it was begun. One that nothing is held for is over: it is not for a later pause.
        let of = if is_held { before.resume } else { Some("1".to_owned()) };
        assert_eq!(asked.resume, of, "{known:?} {is_held} {stuck}");
        assert_eq!(refused(&asked), (!is_held).then_some("resume=1"), "{known:?} {is_held} {stuck}");
    }
    let object = object(&[(asks::RESUME, "1")], Asked::default());
    let (asked, wish) = decide(&object, &at_rest(), &Memory::default());
    assert_eq!(
        (asked.resume.as_deref(), refused(&asked), wish),
        (Some("1"), Some("resume=1"), None),
        "none is open"
    );
}

#[test]
fn what_was_lost_is_in_the_way_of_a_new_rotation_until_a_person_forgets_it() {
    let lost = |open| Facts { lost: Some(ENDED.to_owned()), open, ..at_rest() };
    let plan = || Some(Wish::Plan("now".to_owned()));
    for (forget, known, is_known, wish) in [
        (None, None, false, None),
        (Some(ENDED), None, true, plan()),
        (Some(" 0f00 "), None, true, plan()),
        (Some("v1"), None, false, None),
        (Some(ID), None, false, None),
        (None, Some(ENDED), true, plan()),
        (Some(ID), Some(ENDED), true, plan()),
        (None, Some(ID), false, None),
    ] {
        let mut annotations = vec![(asks::ROTATE, "now")];
        annotations.extend(forget.map(|text| (asks::FORGET, text)));
        let before = Asked { forget: known.map(str::to_owned), ..Asked::default() };
        let (asked, now) = decide(&object(&annotations, before), &lost(None), &Memory::default());
        assert_eq!(now, wish, "{forget:?} {known:?}");
        assert_eq!(asked.forget.as_deref() == Some(ENDED), is_known, "{forget:?} {known:?}");
    }
    // A plan that waits is not applied, either.
    let facts = Facts { planned: Planned::Waits, ..lost(None) };
    let before = taken("now", Some(PLAN));
    let decided = decide(&object(&[(asks::ROTATE, "now")], before.clone()), &facts, &Memory::default());
    assert_eq!(decided, (before, None));
    // The open rotation is another one.
    let facts = Facts { planned: Planned::Begun, ..lost(Some(open(ID, true))) };
    let (_, wish) = decide(&object(&[(asks::ABORT, ID)], Asked::default()), &facts, &Memory::default());
    assert_eq!(wish, step(Step::Abort, asks::ABORT, ID));
    let unlost = decide(&object(&[(asks::FORGET, ENDED)], Asked::default()), &at_rest(), &Memory::default());
    assert_eq!(unlost, (Asked::default(), None), "nothing was lost");
}

#[test]
fn a_refusal_counts_for_its_annotation_and_its_rotation() {
    let held = |id: &str| Open { held: Some("away".to_owned()), ..open(id, true) };
    let before = || Facts { last: ended(ENDED), ..during(held(ID)) };
    let back = || Facts { last: ended(ENDED), ..during(Open { rolls_back: true, ..held(ID) }) };
    let rest = |last: &str| Facts { last: ended(last), ..at_rest() };
    let late = || Facts { last: ended(ID), ..during(held("02")) };
    for (annotation, said, says, facts, stays) in [
        // The same annotation, and the same rotation.
        (asks::CONFIRM, ID, Some(ID), before(), true),
        (asks::ABORT, "0e00", Some("0e00"), before(), true),
        (asks::ROTATE, "now", Some("now"), rest(ENDED), true),
        // It goes.
        (asks::CONFIRM, ID, None, before(), false),
        (asks::ABORT, "0e00", None, before(), false),
        (asks::RESUME, "1", None, before(), false),
        (asks::ROTATE, "now", None, rest(ENDED), false),
        // It changes.
        (asks::CONFIRM, ID, Some("01a2/00"), before(), false),
        (asks::ABORT, "0e00", Some(ENDED), before(), false),
        // It is rolled back after all.
        (asks::ABORT, ID, Some(ID), back(), false),
        // Its rotation has ended.
        (asks::CONFIRM, ID, Some(ID), rest(ID), false),
        (asks::ABORT, ID, Some(ID), rest(ID), false),
        (asks::RESUME, "1", Some("1"), rest(ID), false),
        (asks::ROTATE, "now", Some("now"), rest(ID), false),
        // Another one is open by now.
        (asks::CONFIRM, ID, Some(ID), late(), false),
        (asks::ABORT, ID, Some(ID), late(), false),
        // Its plan began after all.
        (asks::ROTATE, "now", Some("now"), Facts { planned: Planned::Begun, ..rest(ENDED) }, false),
        (asks::ROTATE, "now", Some("now"), Facts { planned: Planned::Begun, ..before() }, false),
    ] {
        let (abort, resume) = (Some("0e00".to_owned()), Some("1".to_owned()));
        let mut asked = Asked { abort, resume, ..taken("now", None) };
        let ask = Ask { annotation, text: said.to_owned() };
        let (at, after) = match annotation {
            asks::ROTATE => (rest(ENDED), ENDED),
            _ => (before(), "01a2 is open"),
        };
        refuse(&mut asked, Some((&ask, "no".to_owned())), &at);
        assert_eq!(asked.refused_after.as_deref(), Some(after));
        let mut annotations = vec![(asks::KEY_ID, "key-7")];
        annotations.extend(says.map(|text| (annotation, text)));
        let (now, wish) = decide(&object(&annotations, asked.clone()), &facts, &Memory::default());
        let of = format!("{annotation}: {said}, now {says:?}");
        assert_eq!(wish, None, "{of}");
        let kept = if stays { (asked.refused_ask, asked.refused) } else { (None, None) };
        assert_eq!((now.refused_ask, now.refused), kept, "{of}");
    }
}

#[test]
fn a_refusal_of_resume_stays_while_its_rotation_is_held() {
    let mut asked = Asked { resume: Some("1".to_owned()), ..Asked::default() };
    let facts = during(Open { held: Some("away".to_owned()), ..open(ID, true) });
    let ask = Ask { annotation: asks::RESUME, text: "1".to_owned() };
    refuse(&mut asked, Some((&ask, "it is driven".to_owned())), &facts);
    let decided =
        |text: &str| decide(&object(&[(asks::RESUME, text)], asked.clone()), &facts, &Memory::default());
    assert_eq!(decided("1"), (asked.clone(), None));
    let (now, wish) = decided("2");
    assert_eq!((wish, refused(&now)), (step(Step::Resume(Vec::new()), asks::RESUME, "2"), None));
}
