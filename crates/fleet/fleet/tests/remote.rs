use std::path::PathBuf;
use std::sync::Arc;

use keyroll_fleet::Remote;
use keyroll_link::{FailureForm, FileNow, HoldsForm, Order, PlannedForm, ReconciledForm, Reply};
use keyroll_port::{Asked, Class, Failure, Host as _, Surveyor as _, Values};
use keyroll_rotation::{FileId, Holds, Reconciled, Which};
use keyroll_secret::{Fields, SecretBytes};
use tokio::sync::Notify;

use crate::host_end::{Does, Ends, HostEnd, remote};

fn fields() -> Fields {
    Fields::single(SecretBytes::from(keyroll_testkit::alphanumeric(32)))
}

async fn deliver(remote: &Remote, until_ms: u64) -> Result<(), Failure> {
    let (old, new) = (fields(), fields());
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    remote.deliver(FileId(2), Which::New, values, Asked { intent: 41, until_ms }).await
}

async fn delivered(remote: &Remote) -> Result<Reconciled, Failure> {
    let old = fields();
    let values = Values { old: &old, new: None, old_ended: false };
    remote.delivered(FileId(2), Which::New, values, 41).await
}

fn file_now() -> FileNow {
    FileNow { path: "/srv/a.env".to_owned(), real: "/etc/a.env".to_owned(), digest: "0f".to_owned() }
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew_with_the_next_turn_and_the_files_of_the_plan() {
    let end = || {
        HostEnd::that_also_opens(|order| match order {
            Order::Open(open) => {
                let files = if open.planned == PlannedForm::Now { vec![file_now()] } else { Vec::new() };
                Does::Replies(Reply::Opened { files })
            }
            Order::Delivered { .. } => Does::Replies(Reply::Delivered(ReconciledForm::Absent)),
            _ => Does::Ends,
        })
    };
    let ends = Ends::new([end(), end()]);
    let remote = remote(&ends, PlannedForm::Now);
    assert_eq!(remote.files_now().await.unwrap(), [file_now()]);
    assert_eq!(deliver(&remote, 5_000).await.unwrap_err().class, Class::Unknown);
    assert_eq!(ends.ended(), 1, "what keeps a broken connection ends with it");
    assert_eq!(delivered(&remote).await.unwrap(), Reconciled::Absent);
    assert_eq!(ends.words(), [(0, "open"), (0, "deliver"), (1, "open"), (1, "delivered")]);
    let opened = ends.opened();
    assert_eq!((opened[0].turn, opened[1].turn), (5, 6));
    let known = PlannedForm::Known(vec![("/srv/a.env".to_owned(), "/etc/a.env".to_owned())]);
    assert_eq!((&opened[0].planned, &opened[1].planned), (&PlannedForm::Now, &known));
    assert_eq!(remote.files_now().await.unwrap(), [file_now()]);
    assert_eq!(ends.dialled(), 2);
}

#[tokio::test]
async fn a_turn_is_not_used_again_after_a_rotation_that_was_not_opened() {
    let ends = Ends::new([
        HostEnd::that_also_opens(|_| Does::Ends),
        HostEnd::that(|_| Does::Replies(Reply::Delivered(ReconciledForm::Absent))),
    ]);
    let remote = remote(&ends, PlannedForm::Unknown);
    assert!(delivered(&remote).await.is_err());
    delivered(&remote).await.unwrap();
    let turns: Vec<u64> = ends.opened().iter().map(|open| open.turn).collect();
    assert_eq!(turns, [5, 6]);
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_link_between_two_answers() {
    let gate = Arc::new(Notify::new());
    let waits = Arc::clone(&gate);
    let ends = Ends::new([HostEnd::that(move |order| match order {
        Order::Deliver { .. } => Does::Waits(Arc::clone(&waits), Reply::Done),
        _ => Does::Replies(Reply::Delivered(ReconciledForm::Executed)),
    })]);
    let remote = Arc::new(remote(&ends, PlannedForm::Unknown));
    let given_up = {
        let remote = Arc::clone(&remote);
        tokio::spawn(async move { deliver(&remote, 5_000).await })
    };
    while ends.words().last() != Some(&(0, "deliver")) {
        ends.order_comes().await;
    }
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    gate.notify_one();
    assert_eq!(delivered(&remote).await.unwrap(), Reconciled::Executed(None));
    assert_eq!((ends.dialled(), ends.ended()), (1, 0));
}

#[tokio::test]
async fn another_machine_under_the_same_name_is_ordered_nothing() {
    let answers = || HostEnd::that(|_| Does::Replies(Reply::Delivered(ReconciledForm::Absent)));
    let ends = Ends::new([HostEnd::that(|_| Does::Ends), answers().of("0aa0"), answers()]);
    let remote = remote(&ends, PlannedForm::Unknown);
    assert!(delivered(&remote).await.is_err());
    let failure = delivered(&remote).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0962"));
    assert_eq!(ends.words(), [(0, "open"), (0, "delivered")]);
    // The right one is back.
    assert_eq!(delivered(&remote).await.unwrap(), Reconciled::Absent);
}

#[tokio::test]
async fn what_fails_there_keeps_its_class_and_the_connection() {
    let failure = Failure::new(Class::Permanent, keyroll_codes::Code::CopyDiffers, "write /srv/a.env")
        .because("it holds something else")
        .help("look at it");
    let form = FailureForm::from(&failure);
    let ends = Ends::new([HostEnd::that(move |_| Does::Replies(Reply::Failed(form.clone())))]);
    let remote = remote(&ends, PlannedForm::Unknown);
    for _ in 0..2 {
        let heard = deliver(&remote, 5_000).await.unwrap_err();
        assert_eq!(
            (heard.class, heard.code, &heard.attempted),
            (failure.class, failure.code, &failure.attempted)
        );
        // It is for a shell there.
        assert_eq!(heard.help.as_deref(), Some("on web-2: look at it"));
    }
    assert_eq!(ends.dialled(), 1);
}

#[tokio::test]
async fn an_order_has_its_time_limit_and_the_time_at_which_it_was_sent_by_the_drivers_clock() {
    let ends = Ends::new([HostEnd::that(|_| Does::Replies(Reply::Done))]);
    let remote = remote(&ends, PlannedForm::Unknown);
    for until_ms in [5_000, 1_000, 0, u64::MAX] {
        deliver(&remote, until_ms).await.unwrap();
    }
    let limits: Vec<u64> =
        ends.orders().iter().filter_map(Order::asked).map(|asked| asked.until_ms).collect();
    assert_eq!(limits, [5_000, 1_000, 0, u64::MAX]);
    // The order that opens the rotation, and each delivery.
    assert_eq!(ends.sent_ms(), [1_000; 5]);
}

#[tokio::test]
async fn a_machine_that_is_not_there_for_a_moment_is_tried_again_as_long_as_the_effect_may_begin() {
    let ends = || Ends::after(3, [HostEnd::that(|_| Does::Replies(Reply::Done))]);
    let patient = ends();
    deliver(&remote(&patient, PlannedForm::Unknown), 120_000).await.unwrap();
    assert_eq!((patient.dialled(), patient.words().len()), (4, 2));
    // No attempt begins that would not end in time: without an answer the outcome would count as unknown.
    let short = ends();
    let failure = deliver(&remote(&short, PlannedForm::Unknown), 31_000).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str(), short.dialled()), (Class::Retryable, "K0960", 1));
    // A look is asked for again by whoever needs it.
    let looked = ends();
    assert!(delivered(&remote(&looked, PlannedForm::Unknown)).await.is_err());
    assert_eq!(looked.dialled(), 1);
}

#[tokio::test]
async fn copies_have_the_paths_that_the_operator_reads_and_without_an_answer_nothing_is_known_of_them() {
    let copies = vec![(HoldsForm::Old, None), (HoldsForm::Other, Some("it has two".to_owned()))];
    let ends = Ends::new([HostEnd::that(move |order| match order {
        Order::Copies { .. } => Does::Replies(Reply::Copies(copies.clone())),
        _ => Does::Ends,
    })]);
    let paths = ["/srv/a.env", "/srv/b.env"].map(PathBuf::from);
    let remote = remote(&ends, PlannedForm::Unknown).with_paths(paths.to_vec());
    let (old, new) = (fields(), fields());
    let values = Values { old: &old, new: Some(&new), old_ended: false };
    let seen = remote.copies(values).await;
    assert_eq!((&seen[0].path, seen[0].holds), (&paths[0], Holds::Old));
    assert_eq!((&seen[1].path, seen[1].unclear.as_deref()), (&paths[1], Some("it has two")));
    // The connection ends, and no further one can be made.
    let live = remote.live().await;
    assert_eq!(live.not_visible.len(), 1);
    let seen = remote.copies(values).await;
    assert!(seen.len() == 2 && seen.iter().all(|one| one.holds == Holds::Unreadable), "{seen:?}");
    assert_eq!(seen[1].unclear.as_deref(), Some("could not reach web-2"));
}
