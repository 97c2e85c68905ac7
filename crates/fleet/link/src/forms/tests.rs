//! Whole replies, there and back.

use std::path::PathBuf;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{
    Back, Class, Downtime, Evidence, FailingCheck, Failure, FailureKind, Holder, Looked, Named,
    PendingChange, PendingChanges, Proved, Residue, Survey, Swept,
};
use keyroll_rotation::{
    BystanderId, BystanderSeen, ConsumerId, Difference, Enumeration, FileId, FoundBy, Holds, HostId,
    Incarnation, InstanceIdentity, Kinds, ObservedInstance, PATHS_MAX, Proof, SearchLimit, SessionSeen,
    Unsearched, Visibility, Which,
};

use super::*;
use crate::frame::{End, Frame, Item};
use crate::order::Reply;
use crate::wire::{decode, encode};

/// What the driver hears when a host replies this.
fn heard(reply: Reply) -> Reply {
    let items = vec![Item::Reply(Box::new(reply))];
    let bytes = encode(&Frame::Answer { id: 1, items, end: Some(End::Done) }).unwrap();
    let Frame::Answer { mut items, .. } = decode(&bytes[4..]).unwrap() else { panic!("it is another frame") };
    let Some(Item::Reply(reply)) = items.pop() else { panic!("it is another item") };
    *reply
}

fn process(pid: u32, host: u16) -> Incarnation {
    let life = InstanceIdentity::Process { boot: 1 << 63, pid, start_ticks: 88, program: 5 };
    Incarnation { host: HostId(host), life }
}

fn enumeration(host: u16) -> Enumeration {
    let rest = Incarnation { host: HostId(host), life: InstanceIdentity::AtRest(ConsumerId(1)) };
    let seen = |who, consumer, by| ObservedInstance {
        who,
        consumer,
        slot: 2,
        old: Visibility::No,
        new: Visibility::NotVisible,
        by,
    };
    Enumeration {
        complete: true,
        took_ms: 17,
        instances: vec![
            seen(process(4711, host), Some(ConsumerId(0)), FoundBy::Configured),
            seen(process(4712, host), None, FoundBy::Memory),
            seen(rest, Some(ConsumerId(1)), FoundBy::Session),
        ],
        files: vec![(FileId(0), Holds::New), (FileId(1), Holds::Unreadable)],
        sessions: Some(vec![
            SessionSeen { who: Some(process(4711, host)), busy: true },
            SessionSeen { who: None, busy: false },
        ]),
        absent: Vec::new(),
        strangers: vec![0, u64::MAX],
        unsearched: vec![Unsearched { who: process(1, host), limit: SearchLimit::Time }],
        bystanders: vec![BystanderSeen { who: process(4712, host), id: BystanderId(u64::MAX) }],
    }
}

fn looked(host: u16) -> Looked {
    Looked {
        enumeration: enumeration(host),
        names: vec![Named { digest: u64::MAX, name: "/srv/api.env.bak".to_owned() }],
        not_visible: vec!["memory of pid 1: permission denied".to_owned()],
        downtimes: vec![downtime()],
    }
}

fn downtime() -> Downtime {
    Downtime { consumer: ConsumerId(3), length: Duration::from_millis(1_250), back: Back::Ready }
}

fn failure(attempted: &str) -> Failure {
    let within = Failure::new(Class::Permanent, Code::InternalError, "open it").because("no such file");
    let failure = Failure::new(Class::Unknown, Code::NameNotFound, attempted);
    failure.kind(FailureKind::StaysAlive).help("keyroll resume").because(within)
}

fn proof(who: Incarnation) -> Proof {
    let mut paths = [Kinds::NONE; PATHS_MAX];
    paths[0] = Kinds::LOADED.and(Kinds::EXERCISED);
    paths[7] = Kinds::TOLD;
    Proof { who, slot: 1, version: Which::New, paths, other_session: Visibility::Yes }
}

#[test]
fn a_look_is_heard_as_it_was_seen_and_only_of_the_host_that_speaks() {
    for sessions in [None, Some(Vec::new()), enumeration(0).sessions] {
        let mut seen = looked(0);
        seen.enumeration.sessions = sessions;
        let Reply::Looked(form) = heard(Reply::Looked(Box::new((&seen).into()))) else {
            panic!("another reply")
        };
        let back = form.into_port().unwrap();
        assert_eq!(back.enumeration, seen.enumeration);
        assert_eq!((back.names, back.not_visible), (seen.names, seen.not_visible));
        assert_eq!(back.downtimes, seen.downtimes);
    }
    // Whatever number the host has for itself, it speaks of nothing else.
    let back = LookedForm::from(&looked(7)).into_port().unwrap();
    assert_eq!(back.enumeration, enumeration(0));
}

#[test]
fn evidence_is_heard_as_it_was_seen() {
    let rest = Incarnation { host: HostId(0), life: InstanceIdentity::AtRest(ConsumerId(1)) };
    let proofs = vec![proof(process(4711, 0)), proof(rest)];
    let seen = Proved {
        evidence: Ok(Evidence { proofs: proofs.clone(), against: true }),
        remarks: vec![failure("read the log of api")],
        failing_checks: vec![FailingCheck { path: 7, what: "exit status 1: 401".to_owned() }],
        downtimes: vec![downtime()],
    };
    let form = ProvedForm::from(&seen);
    let Reply::Proved(again) = heard(Reply::Proved(Box::new(form.clone()))) else { panic!("another reply") };
    assert_eq!(*again, form);
    let back = again.into_port().unwrap();
    let evidence = back.evidence.as_ref().unwrap();
    assert_eq!((&evidence.proofs, evidence.against), (&proofs, true));
    assert_eq!(back.failing_checks, seen.failing_checks);
    assert_eq!(back.downtimes, seen.downtimes);
    assert_eq!(ProvedForm::from(&back), form);
    let failed = Proved { evidence: Err(failure("look at api")), ..back };
    let form = ProvedForm::from(&failed);
    let back = form.clone().into_port().unwrap();
    assert_eq!(back.evidence.as_ref().unwrap_err().class, Class::Unknown);
    assert_eq!(ProvedForm::from(&back), form);
}

#[test]
fn a_survey_is_heard_as_it_was_made() {
    let holder = Holder {
        host: HostId(0),
        pid: Some(4712),
        name: "python3".to_owned(),
        found_by: "its memory holds v1".to_owned(),
        how_to_move: "restart it".to_owned(),
    };
    let change = PendingChange {
        difference: Difference { name: "api:LOG_LEVEL".into(), digest: 9 },
        what: "LOG_LEVEL in /srv/api.env differs from what is running".to_owned(),
        since_unix_ms: None,
    };
    let programs = vec![(ConsumerId(0), PathBuf::from("/usr/bin/python3")), (ConsumerId(1), PathBuf::new())];
    let made = Survey {
        looked: looked(0),
        holders: vec![holder.clone()],
        live: PendingChanges { live: vec![change.clone()], not_visible: vec!["unit: masked".to_owned()] },
        other_networks: ["api".to_owned(), "worker".to_owned()].into(),
        linked: vec!["/srv/a.env has 2 names".to_owned()],
        checks: vec![failure("rehearse the check of api")],
        programs: programs.clone(),
    };
    let form = SurveyForm::from(&made);
    let Reply::Surveyed(again) = heard(Reply::Surveyed(Box::new(form.clone()))) else {
        panic!("another reply")
    };
    assert_eq!(*again, form);
    let back = again.into_port().unwrap();
    assert_eq!((&back.holders[..], &back.live.live[..]), (&[holder][..], &[change][..]));
    assert_eq!((&back.other_networks, &back.linked), (&made.other_networks, &made.linked));
    assert_eq!(back.programs, programs);
    assert_eq!(back.looked.enumeration, made.looked.enumeration);
    assert_eq!(SurveyForm::from(&back), form);
}

#[test]
fn the_last_search_is_heard_as_it_ended() {
    let residue = Residue { place: "/srv/old.env".to_owned(), reason: "read-only".to_owned() };
    let swept = Swept {
        residues: vec![residue.clone()],
        not_visible: vec!["x: y".to_owned()],
        downtimes: vec![downtime()],
    };
    let Reply::Swept(form) = heard(Reply::Swept((&swept).into())) else { panic!("another reply") };
    let back = form.into_port().unwrap();
    assert_eq!((back.residues, back.not_visible), (vec![residue], swept.not_visible));
    assert_eq!(back.downtimes, swept.downtimes);
}

#[test]
fn a_reply_with_more_than_a_host_can_have_is_refused() {
    let whole = LookedForm::from(&looked(0));
    let refused = |change: &dyn Fn(&mut LookedForm)| {
        let mut form = whole.clone();
        change(&mut form);
        form.into_port().err()
    };
    let many = LIST_MAX + 1;
    let seen = &whole.enumeration;
    assert_eq!(refused(&|form| form.names = vec![whole.names[0].clone(); LIST_MAX]), None);
    let too_many: [&dyn Fn(&mut LookedForm); 8] = [
        &|form| form.names = vec![whole.names[0].clone(); many],
        &|form| form.not_visible = vec![String::new(); many],
        &|form| form.downtimes = vec![whole.downtimes[0]; many],
        &|form| form.enumeration.instances = vec![seen.instances[0]; many],
        &|form| form.enumeration.strangers = vec![0; many],
        &|form| form.enumeration.unsearched = vec![seen.unsearched[0]; many],
        &|form| form.enumeration.bystanders = vec![seen.bystanders[0]; many],
        &|form| form.enumeration.sessions = Some(vec![SessionSeenForm { who: None, busy: true }; many]),
    ];
    for (number, change) in too_many.into_iter().enumerate() {
        assert_eq!(refused(change), Some(FormError::TooMany), "{number}");
    }
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert_eq!(refused(&|form| form.names[0].name = long.clone()), Some(FormError::TooLong));
    let proof = ProofForm::from(&proof(process(1, 0)));
    let proved = |proofs| ProvedForm {
        evidence: EvidenceForm::Seen { proofs, against: false },
        remarks: Vec::new(),
        failing_checks: Vec::new(),
        downtimes: Vec::new(),
    };
    assert_eq!(proved(vec![proof; many]).into_port().err(), Some(FormError::TooMany));
    let later = ProofForm { paths: [0, 0, 0, 0, 0, 0, 0, 1 << 7], ..proof };
    assert_eq!(proved(vec![later]).into_port().err(), Some(FormError::UnknownNumber));
}

#[test]
fn a_frame_with_garbage_in_a_form_is_an_error_that_does_not_repeat_it() {
    let said = "hunter2-hunter2";
    let reply =
        |text: &str| format!("{{\"answer\":{{\"id\":1,\"items\":[{{\"reply\":{text}}}],\"end\":null}}}}");
    let order = |text: &str| {
        format!("{{\"call\":{{\"id\":1,\"call\":{{\"order\":{{\"sent_ms\":1,\"order\":{text}}}}}}}}}")
    };
    assert!(decode(reply("\"done\"").as_bytes()).is_ok() && decode(order("\"live\"").as_bytes()).is_ok());
    let all = [
        reply(&format!("\"{said}\"")),
        reply(&format!("{{\"delivered\":\"{said}\"}}")),
        reply("{\"delivered\":4}"),
        reply(&format!("{{\"copies\":[[9,\"{said}\"]]}}")),
        reply(&format!("{{\"applied\":{{\"done\":\"{said}\",\"changes\":[]}}}}")),
        order(&format!("\"{said}\"")),
        order(&format!("{{\"await_end\":{{\"intent\":\"{said}\"}}}}")),
        order("{\"await_end\":{\"intent\":-1}}"),
        order(&format!("{{\"caller\":{{\"client\":\"{said}\"}}}}")),
        order(&format!("{{\"describe\":{{\"who\":{{\"{said}\":{{\"consumer\":1}}}}}}}}")),
    ];
    for body in all {
        let error = decode(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("no frame") && !error.contains(said), "{body}: {error}");
    }
}
