//! Each call of a host over a link: what is sent for it, and what is known of its effect without an answer.

use keyroll_fleet::Remote;
use keyroll_link::{Order, PlannedForm, Reply, Sealed};
use keyroll_port::{
    AllowedChanges, Asked, Class, Failure, Host as _, Prepared, Proving, Sessions, Surveying, Surveyor as _,
    Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, Holds, Which};
use keyroll_secret::{Fields, SecretBytes};

use crate::host_end::{Does, Ends, HostEnd, remote};
use crate::scripted::session;

/// Every order whose call can fail.
const WORDS: [&str; 16] = [
    "survey",
    "trial",
    "carries",
    "deliver",
    "delivered",
    "remove_superseded",
    "before_given_out",
    "fetch",
    "apply",
    "await_end",
    "enumerate",
    "prepare",
    "go",
    "watch_refusals",
    "refusals",
    "sweep",
];

/// Both versions, and the one that a rotation would make.
struct Versions {
    texts: [String; 3],
    fields: [Fields; 3],
}

impl Versions {
    fn new() -> Self {
        let texts = [(); 3].map(|()| keyroll_testkit::alphanumeric(32));
        let fields = texts.clone().map(|text| Fields::single(SecretBytes::from(text)));
        Self { texts, fields }
    }

    fn values(&self) -> Values<'_> {
        Values { old: &self.fields[0], new: Some(&self.fields[1]), old_ended: true }
    }
}

/// Makes the call of an order; its failure, if it fails.
async fn call(remote: &Remote, word: &str, versions: &Versions) -> Option<Failure> {
    let (values, which) = (versions.values(), Which::New);
    let (consumer, file) = (ConsumerId(1), FileId(2));
    let asked = Asked { intent: 41, until_ms: 5_000 };
    let sessions = Sessions { old: Some(vec![session("192.0.2.1:4000")]), new: None };
    let of = Proving { consumer, slot: None, which, values, watched: false };
    match word {
        "survey" => {
            let (next, sessions) = (Some(&versions.fields[2]), &sessions);
            let (begins_on, restarts, rehearses) = (Holds::Old, true, true);
            remote.survey(Surveying { values, next, sessions, begins_on, restarts, rehearses }).await.err()
        }
        "trial" => remote.trial(values).await.err(),
        "carries" => remote.carries(values.old).await.err(),
        "deliver" => remote.deliver(file, which, values, asked).await.err(),
        "delivered" => remote.delivered(file, which, values, 42).await.err(),
        "remove_superseded" => remote.remove_superseded(values, asked).await.err(),
        "before_given_out" => remote.before_given_out(which, values, &sessions).await.err(),
        "fetch" => remote.fetch(consumer, which, values, asked).await.err(),
        "apply" => remote.apply(consumer, 0, asked, AllowedChanges::Anything).await.err(),
        "await_end" => remote.await_end(Touched::All, 43).await.err(),
        "enumerate" => remote.enumerate(values, &sessions, which).await.err(),
        "prepare" => remote.prepare(of, &sessions).await.err(),
        "go" => match remote.prepare(of, &sessions).await {
            Ok(prepared) => remote.go(prepared, of, &sessions).await.evidence.err(),
            Err(failure) => Some(failure),
        },
        "watch_refusals" => remote.watch_refusals(Some("4711")).await.err(),
        "refusals" => remote.refusals().await.err(),
        "sweep" => remote.sweep(values).await.err(),
        other => panic!("{other}"),
    }
}

/// A machine that ends with the first order of this word.
fn ends_at(word: &'static str) -> HostEnd {
    HostEnd::that(move |order| match order {
        Order::Prepare { .. } if word == "go" => {
            Does::Replies(Reply::Prepared { number: 9, reads_again: false })
        }
        _ => Does::Ends,
    })
}

/// What an order brings, sealed.
fn sealed(order: &Order) -> Vec<&Sealed> {
    match order {
        Order::Survey(survey) => [Some(&survey.values), survey.next.as_ref()].into_iter().flatten().collect(),
        Order::Copies { values }
        | Order::Trial { values }
        | Order::Carries { values }
        | Order::Deliver { values, .. }
        | Order::Delivered { values, .. }
        | Order::RemoveSuperseded { values, .. }
        | Order::BeforeGivenOut { values, .. }
        | Order::Fetch { values, .. }
        | Order::Enumerate { values, .. }
        | Order::Sweep { values } => vec![values],
        Order::Prepare { of, .. } | Order::Go { of, .. } => vec![&of.values],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn without_an_answer_the_effect_of_a_changing_order_is_unknown_and_a_look_can_be_made_again() {
    for word in WORDS {
        let ends = Ends::new([ends_at(word)]);
        let failure = call(&remote(&ends, PlannedForm::Unknown), word, &Versions::new()).await.unwrap();
        let order = ends.orders().pop().unwrap();
        assert_eq!(order.kind(), word);
        // Nothing else would finish a removal, and it is harmless to do it again.
        let is_unknown = order.changes() && word != "remove_superseded";
        let class = if is_unknown { Class::Unknown } else { Class::Retryable };
        assert_eq!((failure.class, failure.code.as_str()), (class, "K0960"), "{word}");
        assert!(failure.attempted.ends_with(" on web-2"), "{}", failure.attempted);
    }
}

#[tokio::test]
async fn nothing_was_done_on_a_machine_that_is_not_reached_or_does_not_open_the_rotation() {
    for word in WORDS {
        let failure =
            call(&remote(&Ends::new([]), PlannedForm::Unknown), word, &Versions::new()).await.unwrap();
        assert_eq!((failure.class, failure.attempted.as_str()), (Class::Retryable, "reach web-2"), "{word}");
        let ends = Ends::new([HostEnd::that_also_opens(|_| Does::Ends)]);
        let failure = call(&remote(&ends, PlannedForm::Unknown), word, &Versions::new()).await.unwrap();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "K0960"), "{word}");
        assert_eq!(ends.words(), [(0, "open")], "{word}");
    }
}

#[tokio::test]
async fn values_are_on_the_wire_only_sealed_to_that_process_for_that_order() {
    for word in WORDS {
        let (ends, versions) = (Ends::new([ends_at(word)]), Versions::new());
        call(&remote(&ends, PlannedForm::Unknown), word, &versions).await.unwrap();
        let wire = ends.bytes();
        for text in &versions.texts {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            for form in [text.as_bytes(), hex.as_bytes()] {
                assert!(!wire.windows(form.len()).any(|part| part == form), "{word}");
            }
        }
        let order = ends.orders().pop().unwrap();
        let brings = sealed(&order);
        for (at, sealed) in brings.iter().enumerate() {
            let opened = ends.opens(0, &order, sealed);
            let is = |fields: &Fields, at: usize| {
                fields.get("value").unwrap().value.expose() == versions.texts[at].as_bytes()
            };
            match (word, at) {
                ("carries", _) => assert!(is(&opened.old, 0) && opened.new.is_none()),
                ("survey", 1) => assert!(is(&opened.old, 2) && opened.new.is_none()),
                _ => {
                    let new = opened.new.as_ref().unwrap();
                    assert!(is(&opened.old, 0) && is(new, 1) && opened.old_ended, "{word}");
                }
            }
        }
        let brings_none = ["apply", "await_end", "watch_refusals", "refusals"];
        assert_eq!(brings.is_empty(), brings_none.contains(&word), "{word}");
    }
}

#[tokio::test]
async fn the_reply_to_another_order_is_none() {
    for word in WORDS {
        // No order but `open` has this one.
        let wrong = || Does::Replies(Reply::Opened { files: Vec::new() });
        let end = HostEnd::that(move |order| match order {
            Order::Prepare { .. } if word == "go" => {
                Does::Replies(Reply::Prepared { number: 9, reads_again: false })
            }
            _ => wrong(),
        });
        let ends = Ends::new([end]);
        let failure = call(&remote(&ends, PlannedForm::Unknown), word, &Versions::new()).await.unwrap();
        let changes = ends.orders().pop().unwrap().changes();
        let class = match (changes, word) {
            (true, "remove_superseded") => Class::Retryable,
            (true, _) => Class::Unknown,
            (false, _) => Class::Permanent,
        };
        assert_eq!((failure.class, failure.code.as_str()), (class, "K0963"), "{word}");
    }
}

#[tokio::test]
async fn the_second_half_of_evidence_is_asked_only_where_the_first_one_was_made() {
    let versions = Versions::new();
    let of = |consumer| {
        let (consumer, values) = (ConsumerId(consumer), versions.values());
        Proving { consumer, slot: None, which: Which::New, values, watched: false }
    };
    let end = || {
        HostEnd::that(|order| match order {
            Order::Prepare { .. } => Does::Replies(Reply::Prepared { number: 9, reads_again: true }),
            _ => Does::Ends,
        })
    };
    let ends = Ends::new([end(), end()]);
    let remote = remote(&ends, PlannedForm::Unknown);
    let sessions = Sessions::default();
    let first = remote.prepare(of(0), &sessions).await.unwrap();
    assert!(first.number == 9 && first.reads_again);
    // The connection ends, and another one is made.
    assert!(remote.refusals().await.is_err());
    let of_second = remote.prepare(of(1), &sessions).await.unwrap();
    let foreign = Prepared { number: 8, ..of_second };
    for (prepared, consumer) in [(first, 0), (foreign, 1), (of_second, 2)] {
        let failure = remote.go(prepared, of(consumer), &sessions).await.evidence.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "K0828"));
    }
    assert!(!ends.words().iter().any(|(_, word)| *word == "go"), "{:?}", ends.words());
    // It ends there: the order was given.
    let failure = remote.go(of_second, of(1), &sessions).await.evidence.unwrap_err();
    assert_eq!(failure.code.as_str(), "K0960");
    assert_eq!(ends.words().last(), Some(&(1, "go")));
}
