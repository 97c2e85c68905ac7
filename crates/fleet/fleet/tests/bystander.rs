//! A machine without a consumer of the secret: what is sent there, and what is known without an answer.

use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_fleet::{Bystander, Machine};
use keyroll_link::{
    FailureForm, HolderForm, LookedForm, Order, PlannedForm, Reply, SearchFor, SurveyForm, SweptForm,
    WhichForm,
};
use keyroll_port::{
    AllowedChanges, Asked, Class, Failure, FailureKind, Holder, Looked, PendingChanges, Sessions, Survey,
    Surveying, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, Enumeration, FileId, Holds, HostId, Which};
use keyroll_secret::{Fields, SecretBytes};

use crate::host_end::{Does, Ends, HostEnd, remote};

fn nothing() -> Looked {
    Looked {
        enumeration: Enumeration {
            complete: true,
            took_ms: 0,
            instances: Vec::new(),
            files: Vec::new(),
            sessions: None,
            absent: Vec::new(),
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders: Vec::new(),
        },
        names: Vec::new(),
        not_visible: vec!["memory of process 5: permission denied".to_owned()],
        downtimes: Vec::new(),
    }
}

fn survey() -> Survey {
    Survey {
        looked: nothing(),
        holders: Vec::new(),
        live: PendingChanges::default(),
        other_networks: std::collections::BTreeSet::new(),
        linked: Vec::new(),
        checks: Vec::new(),
        programs: Vec::new(),
    }
}

/// A machine that answers each search, and ends with every other order.
fn searching() -> HostEnd {
    HostEnd::that(|order| match order {
        Order::Search(of) => Does::Replies(match of.wants {
            SearchFor::Plan => Reply::Surveyed(Box::new(SurveyForm::from(&survey()))),
            SearchFor::Look(_) => Reply::Looked(Box::new(LookedForm::from(&nothing()))),
            SearchFor::Sweep => Reply::Swept(SweptForm::from(&Swept {
                residues: Vec::new(),
                not_visible: Vec::new(),
                downtimes: Vec::new(),
            })),
        }),
        _ => Does::Ends,
    })
}

fn bystander(ends: &Arc<Ends>) -> Box<dyn Machine> {
    Box::new(Bystander::new(Arc::new(remote(ends, PlannedForm::Unknown))))
}

fn fields(value: &str) -> Fields {
    Fields::single(SecretBytes::from(value.to_owned()))
}

fn surveying<'a>(values: Values<'a>, next: &'a Fields, sessions: &'a Sessions) -> Surveying<'a> {
    Surveying { values, next: Some(next), sessions, begins_on: Holds::Old, restarts: true, rehearses: true }
}

#[tokio::test]
async fn no_call_sends_a_value_there_and_only_searches_are_sent() {
    let texts = [(); 3].map(|()| keyroll_testkit::alphanumeric(60));
    let [old, new, next] = texts.clone().map(|text| fields(&text));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let (asked, sessions) = (Asked { intent: 1, until_ms: 5_000 }, Sessions::default());
    let ends = Ends::new([searching()]);
    let machine = bystander(&ends);
    assert!(machine.trial(values).await.unwrap().is_empty());
    machine.carries(&new).await.unwrap();
    machine.remove_superseded(values, asked).await.unwrap();
    machine.before_given_out(Which::New, values, &sessions).await.unwrap();
    assert!(!machine.await_end(Touched::All, 1).await.unwrap());
    machine.watch_refusals(Some("4711")).await.unwrap();
    assert_eq!(machine.refusals().await.unwrap().count, 0);
    assert!(machine.copies(values).await.is_empty() && machine.live().await.live.is_empty());
    // What needs a consumer fails here.
    assert!(machine.deliver(FileId(0), Which::New, values, asked).await.is_err());
    assert!(machine.delivered(FileId(0), Which::New, values, 1).await.is_err());
    assert!(machine.fetch(ConsumerId(0), Which::New, values, asked).await.is_err());
    assert!(machine.apply(ConsumerId(0), 0, asked, AllowedChanges::Anything).await.is_err());
    assert_eq!(ends.dialled(), 0, "nothing was asked of it so far");

    machine.survey(surveying(values, &next, &sessions)).await.unwrap();
    machine.enumerate(values, &sessions, Which::Old).await.unwrap();
    machine.sweep(values).await.unwrap();
    assert_eq!(ends.words(), [(0, "open"), (0, "search"), (0, "search"), (0, "search")]);
    let searches: Vec<_> = ends
        .orders()
        .into_iter()
        .filter_map(|order| if let Order::Search(of) = order { Some(*of) } else { None })
        .collect();
    let wants = [SearchFor::Plan, SearchFor::Look(WhichForm::Old), SearchFor::Sweep];
    assert_eq!(searches.iter().map(|of| of.wants).collect::<Vec<_>>(), wants);
    for of in &searches {
        assert!(of.prints.contains(" 0 current old\n") && of.prints.contains(" 1 pending new\n"));
    }
    // Each has a key of its own.
    assert!(searches[0].prints != searches[1].prints && searches[1].prints != searches[2].prints);
    let wire = ends.bytes();
    let is_in = |form: &[u8]| wire.windows(form.len()).any(|part| part == form);
    assert!(is_in(b"\"prints\"") && !is_in(b"\"enc\""));
    for text in &texts {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!is_in(text.as_bytes()) && !is_in(hex.as_bytes()));
    }
}

#[tokio::test]
async fn a_value_that_could_be_guessed_is_named_beside_what_the_machine_did_not_see() {
    let (old, new) = (fields("winter-2026"), fields(&keyroll_testkit::alphanumeric(60)));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let machine = bystander(&Ends::new([searching()]));
    let looked = machine.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    let [seen, missed] = <[String; 2]>::try_from(looked.not_visible).unwrap();
    assert_eq!(seen, "memory of process 5: permission denied");
    assert!(missed.starts_with("who has the old value: it has 11 bytes"), "{missed}");
    let swept = machine_swept(values).await;
    assert!(swept.iter().any(|line| line == &missed), "{swept:?}");
}

#[tokio::test]
async fn one_whose_consumers_were_left_out_is_away_as_long_as_it_cannot_be_searched_for_the_value() {
    let (old, new) = (fields("winter-2026"), fields(&keyroll_testkit::alphanumeric(60)));
    let ends = Ends::new([searching()]);
    let remote = Arc::new(remote(&ends, PlannedForm::Unknown));
    let machine: Box<dyn Machine> = Box::new(Bystander::new(remote).that_must_be_searched());
    let look = |old, new| Values { old, new: Some(new), old_ended: false };
    let failure = machine.enumerate(look(&old, &new), &Sessions::default(), Which::New).await.unwrap_err();
    assert_eq!((failure.kind, ends.dialled()), (FailureKind::Unreached, 0), "{failure:?}");
    let long = fields(&keyroll_testkit::alphanumeric(60));
    machine.enumerate(look(&long, &new), &Sessions::default(), Which::New).await.unwrap();
}

async fn machine_swept(values: Values<'_>) -> Vec<String> {
    bystander(&Ends::new([searching()])).sweep(values).await.unwrap().not_visible
}

#[tokio::test]
async fn a_value_in_a_text_of_the_machine_is_cut_out_here() {
    let texts = [(); 2].map(|()| keyroll_testkit::alphanumeric(60));
    let [old, new] = texts.clone().map(|text| fields(&text));
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let said = format!("file /srv/{}/{}: permission denied", texts[0], texts[1]);
    let end = HostEnd::that(move |order| match order {
        Order::Search(of) if of.wants == SearchFor::Sweep => {
            let failure = Failure::new(Class::Retryable, Code::InternalError, said.as_str());
            let failure = failure.because(said.clone()).help(said.clone());
            Does::Replies(Reply::Failed(FailureForm::from(&failure)))
        }
        Order::Search(_) => {
            let looked = Looked { not_visible: vec![said.clone()], ..nothing() };
            Does::Replies(Reply::Looked(Box::new(LookedForm::from(&looked))))
        }
        Order::Caller { .. } => Does::Replies(Reply::Holder(Some(HolderForm::from(&Holder {
            host: HostId(0),
            pid: Some(5),
            name: said.clone(),
            found_by: said.clone(),
            how_to_move: said.clone(),
        })))),
        _ => Does::Ends,
    });
    let machine = bystander(&Ends::new([end]));
    let looked = machine.enumerate(values, &Sessions::default(), Which::New).await.unwrap();
    let clean = "file /srv/[redacted:value]/[redacted:value]: permission denied";
    assert_eq!(looked.not_visible, [clean]);
    let holder = machine.caller("192.0.2.7:40112".parse().unwrap()).await.unwrap();
    assert_eq!([holder.name, holder.found_by, holder.how_to_move], [clean; 3]);
    let failure = machine.sweep(values).await.unwrap_err();
    assert_eq!(
        (failure.class, failure.code, failure.attempted.as_str()),
        (Class::Retryable, Code::InternalError, clean)
    );
    let told = format!("{failure:?}");
    assert!(
        told.contains("[redacted:value]") && texts.iter().all(|text| !told.contains(text.as_str())),
        "{told}"
    );
}

#[tokio::test]
async fn one_that_does_not_answer_is_away_and_one_that_answers_another_order_is_not() {
    let (old, next) = (fields(&keyroll_testkit::alphanumeric(60)), fields("x"));
    let values = Values { old: &old, new: None, old_ended: false };
    let sessions = Sessions::default();
    let machine = bystander(&Ends::new([]));
    let failures = [
        machine.survey(surveying(values, &next, &sessions)).await.unwrap_err(),
        machine.enumerate(values, &sessions, Which::New).await.unwrap_err(),
        machine.sweep(values).await.unwrap_err(),
    ];
    assert!(failures.iter().all(|failure| failure.kind == FailureKind::Unreached), "{failures:?}");
    let other = HostEnd::that(|_| Does::Replies(Reply::Done));
    let failure = bystander(&Ends::new([other])).sweep(values).await.unwrap_err();
    assert_eq!(failure.code, "K0963");
}
