use super::*;
use crate::object::{Asked, Condition, Ended};
use crate::sample::{ID, PREFIX, at_rest, consent, held, holding, object, only, open, pods, waits};
use crate::standing::{Held, Holds, TakeOver, Value};
use crate::way::Command;

const CONDITIONS: [&str; 7] =
    ["Accepted", "ValueKnown", "Rotating", "Blocked", "PodsCurrent", "Drifted", "Ready"];

fn of(standing: &Standing) -> Status {
    status(&object(Status::default()), standing)
}

/// The standing with this rotation open.
fn with(open: Open) -> Standing {
    Standing { open: Some(open), ..at_rest() }
}

fn overdue(why: Option<&str>) -> Standing {
    let mut standing = at_rest();
    standing.value.as_mut().unwrap().overdue = Some(why.map(str::to_owned));
    standing
}

fn no_value() -> Standing {
    Standing { value: Err("its Secret is not there".to_owned()), ..at_rest() }
}

fn refused(accepted: fn(String) -> Accepted) -> Standing {
    Standing { accepted: accepted("`issuer` is missing".to_owned()), ..at_rest() }
}

fn lost() -> Standing {
    Standing { lost: Some(ID.to_owned()), ..at_rest() }
}

fn waive(what: &str) -> Way {
    let waive = Command::Keyroll(format!("keyroll consumer waive {what} --reason WHY"));
    Way { first: None, then: vec![waive, Command::Resume] }
}

fn after(first: &str) -> Way {
    Way { first: Some(first.to_owned()), then: vec![Command::Resume] }
}

fn blocking(what: &str) -> Blocking {
    Blocking {
        what: what.to_owned(),
        why: "it still uses the old key".to_owned(),
        ways: vec![only(Command::Resume), waive(what)],
    }
}

fn with_blockers(count: usize) -> Standing {
    let blockers = (0..count).map(|at| blocking(&format!("shop:pod/agent-{at}"))).collect();
    with(Open { blockers, ..open() })
}

fn with_pods(seen: [(&str, Pods); 2]) -> Standing {
    let seen = seen.map(|(name, pods)| (format!("deployment/{name}"), pods)).into();
    Standing { pods: Some(Ok(seen)), ..at_rest() }
}

fn ask_refused() -> Standing {
    let asked = Asked { refused: Some("rotate: there is no plan".to_owned()), ..Asked::default() };
    Standing { asked, ..at_rest() }
}

fn annotation(ask: &str) -> String {
    format!("kubectl -n shop annotate secretrotation anthropic keyroll.dev/{ask} --overwrite")
}

fn condition<'a>(status: &'a Status, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|one| one.kind == kind).unwrap()
}

/// What was asked for was refused.
fn asked_in_vain() -> Standing {
    let asked = Asked { refused: Some("the issuer is away".to_owned()), ..Asked::default() };
    Standing { asked, ..at_rest() }
}

#[test]
fn each_phase_has_its_sentence_and_its_next_command() {
    let rolls_back = Open { rolls_back: true, ..open() };
    let confirm = annotation(&format!("confirm={ID}"));
    let abort = annotation(&format!("abort={ID}"));
    let resume = annotation("resume=\"$(date +%s)\"");
    let revoked = Command::Keyroll(format!("keyroll resume {ID} --revoked-by-hand"));
    let by_hand = Open {
        shown: RotationStatus { waits: Some(waits("you to revoke the old key")), ..open().shown },
        forward: vec![Way { first: Some("revoke the old key".to_owned()), then: vec![revoked] }],
        ..open()
    };
    let turn = "the end of the old key, which was consented to, waits for its turn";
    let queued = |standing| Standing { queued: Some(turn.to_owned()), ..standing };
    let cases: [(Standing, Phase, &str, Vec<String>); 16] = [
        (queued(at_rest()), Phase::Rotating, turn, vec![]),
        (queued(with(consent())), Phase::Rotating, turn, vec![]),
        (asked_in_vain(), Phase::Refused, "the issuer is away", vec![]),
        (at_rest(), Phase::Ready, "v4 is current, and due 2026-03-01T00:00:00Z", vec![]),
        (overdue(None), Phase::Due, "v4 is due since 2026-03-01T00:00:00Z, and is about to be", vec![]),
        (
            overdue(Some("rotates_due is off")),
            Phase::Due,
            "rotates_due is off",
            vec![annotation("rotate=\"$(date +%s)\"")],
        ),
        (no_value(), Phase::NoValue, "its Secret is not there", vec![]),
        (
            refused(Accepted::No),
            Phase::Invalid,
            "`issuer` is missing",
            vec!["kubectl -n shop edit secretrotation anthropic".to_owned()],
        ),
        (
            refused(Accepted::Former),
            Phase::Invalid,
            "v4 is current",
            vec!["kubectl -n shop edit secretrotation anthropic".to_owned()],
        ),
        (with(open()), Phase::Rotating, "goes on, step roll: 1 of 2 consumers use the new key", vec![]),
        (with(rolls_back), Phase::RollingBack, "is rolled back", vec![]),
        (with(consent()), Phase::Waiting, "needs your consent", vec![confirm, abort.clone()]),
        (with(held(false)), Phase::Waiting, "is paused: `agent`", vec![resume.clone(), abort.clone()]),
        (with(held(true)), Phase::Waiting, "is stuck: `agent`", vec![resume, abort]),
        (
            with(by_hand),
            Phase::Waiting,
            "waits for you to revoke the old key",
            vec![format!("{PREFIX}keyroll resume {ID} --revoked-by-hand")],
        ),
        (
            lost(),
            Phase::Waiting,
            "keyroll's state folder does not have it",
            vec![annotation(&format!("forget={ID}"))],
        ),
    ];
    for (standing, phase, said, commands) in cases {
        let shown = of(&standing);
        assert_eq!(shown.phase, phase, "{}", shown.message);
        assert!(shown.message.contains(said), "{}", shown.message);
        assert_eq!(shown.message.matches("kubectl").count(), commands.len(), "{}", shown.message);
        for command in commands {
            assert!(shown.message.contains(&command), "{command}\n{}", shown.message);
        }
    }
}

#[test]
fn an_invalid_spec_hides_no_open_rotation() {
    let standing = Standing { accepted: Accepted::No("gone".to_owned()), ..with(open()) };
    assert_eq!(of(&standing).phase, Phase::Rotating);
}

#[test]
fn each_condition_has_each_of_its_reasons() {
    let paused_with_blockers = Open { blockers: vec![blocking("a")], ..held(false) };
    let by_hand = Open {
        shown: RotationStatus { waits: Some(waits("you")), ..open().shown },
        forward: vec![only(Command::Resume)],
        ..open()
    };
    let step = |phase: Option<&str>| {
        let phase = phase.map(str::to_owned);
        with(Open { shown: RotationStatus { phase, ..open().shown }, ..open() })
    };
    let (agent, worker) = ("agent", "worker");
    let cases: [(Standing, &str, &str, &str); 33] = [
        (at_rest(), "Accepted", "True", "Accepted"),
        (refused(Accepted::Former), "Accepted", "False", "InvalidSpecFormerCounts"),
        (refused(Accepted::No), "Accepted", "False", "InvalidSpec"),
        (at_rest(), "ValueKnown", "True", "ValueKnown"),
        (no_value(), "ValueKnown", "False", "NoValue"),
        (at_rest(), "Rotating", "False", "Idle"),
        (step(Some("confirm_dead")), "Rotating", "True", "ConfirmDead"),
        (step(Some("1_ü")), "Rotating", "True", "Open"),
        (step(None), "Rotating", "True", "Open"),
        (lost(), "Rotating", "Unknown", "JournalLost"),
        (at_rest(), "Blocked", "False", "NothingInTheWay"),
        (with(consent()), "Blocked", "True", "NeedsConsent"),
        (with(held(true)), "Blocked", "True", "Stuck"),
        (with(held(false)), "Blocked", "True", "Paused"),
        (with(paused_with_blockers), "Blocked", "True", "Paused"),
        (with(by_hand), "Blocked", "True", "NeedsPerson"),
        (with_blockers(1), "Blocked", "True", "Holders"),
        (ask_refused(), "Blocked", "True", "AskRefused"),
        (lost(), "Blocked", "True", "JournalLost"),
        (at_rest(), "PodsCurrent", "True", "Current"),
        (with_pods([(agent, pods(1, 1, 1)), (worker, pods(1, 0, 0))]), "PodsCurrent", "False", "StalePods"),
        (
            with_pods([(agent, pods(1, 0, 1)), (worker, pods(1, 0, 0))]),
            "PodsCurrent",
            "Unknown",
            "NotVisible",
        ),
        (
            with_pods([(agent, pods(1, 0, 0)), ("other", pods(1, 0, 0))]),
            "PodsCurrent",
            "Unknown",
            "NotLookedAt",
        ),
        (with_pods([(agent, pods(1, 0, 0)), (worker, pods(0, 0, 0))]), "PodsCurrent", "True", "Current"),
        (with_pods([(agent, pods(0, 0, 0)), (worker, pods(0, 0, 0))]), "PodsCurrent", "True", "NoPods"),
        (Standing { pods: None, ..at_rest() }, "PodsCurrent", "Unknown", "NotLookedAt"),
        (
            Standing { pods: Some(Err("forbidden".to_owned())), ..at_rest() },
            "PodsCurrent",
            "Unknown",
            "NotLookedAt",
        ),
        (Standing { consumers: Vec::new(), ..at_rest() }, "PodsCurrent", "Unknown", "NotLookedAt"),
        (at_rest(), "Ready", "True", "Ready"),
        (overdue(None), "Ready", "True", "Due"),
        (no_value(), "Ready", "False", "NoValue"),
        (with(open()), "Ready", "False", "Roll"),
        (ask_refused(), "Ready", "False", "AskRefused"),
    ];
    for (standing, kind, is, reason) in cases {
        let shown = of(&standing);
        let kinds: Vec<&str> = shown.conditions.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!(kinds, CONDITIONS);
        let one = condition(&shown, kind);
        assert_eq!((one.status.as_str(), one.reason.as_str()), (is, reason), "{kind}: {}", one.message);
        assert!(!one.message.is_empty(), "{kind} {reason}");
        assert_eq!(one.observed_generation, 3);
    }
}

#[test]
fn a_container_that_nothing_was_said_of_is_not_current() {
    let odd = Pods { total: 3, current: 1, stale: 0, unknown: 0 };
    let shown = of(&with_pods([("agent", odd), ("worker", pods(1, 0, 0))]));
    assert_eq!(condition(&shown, "PodsCurrent").status, "Unknown");
}

#[test]
fn pods_that_were_not_looked_at_now_are_not_shown_as_they_were_before() {
    let seen = of(&at_rest());
    assert_eq!(seen.consumers[0].pods, Some(pods(2, 0, 0)));
    let shown = status(&object(seen), &Standing { pods: None, ..at_rest() });
    assert_eq!(shown.consumers[0].pods, None);
}

#[test]
fn the_time_of_a_condition_changes_only_with_its_status() {
    let first = of(&at_rest());
    let later = |standing: Standing| Standing { now: "2026-01-02T00:00:00Z".to_owned(), ..standing };
    let second = status(&object(first.clone()), &later(at_rest()));
    assert!(is_same(&first, &second));
    let third = status(&object(first.clone()), &later(with_blockers(2)));
    let changed: Vec<&str> = third
        .conditions
        .iter()
        .filter(|one| one.last_transition_time == "2026-01-02T00:00:00Z")
        .map(|one| one.kind.as_str())
        .collect();
    assert_eq!(changed, ["Rotating", "Blocked", "Drifted", "Ready"]);
    // Another reason is no other status.
    let later = Standing { now: "2026-01-03T00:00:00Z".to_owned(), ..with(consent()) };
    let fourth = status(&object(third.clone()), &later);
    assert_eq!(condition(&fourth, "Blocked").reason, "NeedsConsent");
    assert_eq!(
        condition(&fourth, "Blocked").last_transition_time,
        condition(&third, "Blocked").last_transition_time
    );
    assert!(!is_same(&third, &fourth));
}

/// What a status of this standing says of ways.
fn past(standing: &Standing, ways: &[Way], bytes_max: usize) -> String {
    Commands::new(&object(Status::default()), standing).past(ways, bytes_max)
}

#[test]
fn commands_are_said_as_a_person_of_the_cluster_gives_them() {
    let standing = with(held(false));
    let waive = "keyroll consumer waive agent --reason WHY";
    let remote = format!("keyroll --server URL resume {ID} --confirm=shop.anthropic");
    let rotate = annotation("rotate=\"$(date +%s)\"");
    let cases = [
        (Command::Confirm, annotation(&format!("confirm={ID}"))),
        (Command::Abort, annotation(&format!("abort={ID}"))),
        (Command::Resume, annotation("resume=\"$(date +%s)\"")),
        (
            Command::Declare,
            format!("kubectl -n shop edit secretrotation anthropic to declare it, then {rotate}"),
        ),
        (
            Command::HandOver(format!("keyroll resume {ID} --value-stdin")),
            format!("kubectl -n keyroll exec -i keyroll-0 -- keyroll resume {ID} --value-stdin < FILE"),
        ),
        (Command::Keyroll(waive.to_owned()), format!("{PREFIX}{waive}")),
        (Command::Elsewhere(remote.clone()), remote),
        (Command::Keyroll(["keyroll", &" x".repeat(1_000)].concat()), format!("{PREFIX}keyroll status {ID}")),
    ];
    for (command, said) in cases {
        assert_eq!(past(&standing, &[only(command)], 512), said);
    }
    let outside = Standing { pod: None, ..with(held(false)) };
    assert_eq!(past(&outside, &[only(Command::Keyroll(waive.to_owned()))], 512), waive);
    // A consent counts for the waivers of its time.
    let waived = with(Open { confirm: format!("{ID}/0a1b"), ..consent() });
    let said = past(&waived, &[only(Command::Confirm)], 512);
    assert_eq!(said, annotation(&format!("confirm={ID}/0a1b")));
}

#[test]
fn each_way_is_named_as_far_as_there_is_room_and_the_last_command_once() {
    let resume = annotation("resume=\"$(date +%s)\"");
    let waived = format!("{PREFIX}keyroll consumer waive agent --reason WHY");
    let ways = [after("see why agent fails"), waive("agent"), only(Command::Abort)];
    let abort = annotation(&format!("abort={ID}"));
    let said = |bytes_max| past(&with(held(true)), &ways, bytes_max);
    let first = format!("see why agent fails, or {waived}; then {resume}");
    assert_eq!(said(1_000), format!("{first}; or {abort}"));
    let show = format!("{PREFIX}keyroll status {ID}");
    assert_eq!(said(first.len() + "; or: ".len() + show.len()), format!("{first}; or: {show}"));
    let one = format!("see why agent fails, then {resume}; or: {show}");
    assert_eq!(said(one.len()), one);
    assert_eq!(said(one.len() - 1), show);
}

#[test]
fn what_goes_on_by_itself_is_not_to_be_resumed() {
    let driven = with(open());
    let said = |ways: &[Way]| past(&driven, ways, 512);
    let resume = annotation("resume=\"$(date +%s)\"");
    assert_eq!(said(&[only(Command::Resume)]), "wait: keyroll goes on with it");
    assert_eq!(said(&[after("end the pod")]), "end the pod");
    // The waiver ends the driver.
    let waived = format!("{PREFIX}keyroll consumer waive agent --reason WHY, then {resume}");
    assert_eq!(said(&[after("end the pod"), waive("agent")]), format!("end the pod; or {waived}"));
    assert_eq!(said(&[]), format!("{PREFIX}keyroll status {ID}"));
    let mut open = open();
    open.shown.waits = Some(Waits { person: false, ..waits("a look at all pods") });
    let waits = of(&with(open)).rotation.unwrap().waits.unwrap();
    assert_eq!(waits.forward, Some(format!("{PREFIX}keyroll status {ID}")));
}

#[test]
fn an_id_that_somebody_wrote_into_the_object_is_one_word_of_the_command() {
    let standing = Standing { lost: Some("0; reboot 'now'".to_owned()), ..at_rest() };
    let forward = of(&standing).rotation.unwrap().waits.unwrap().forward.unwrap();
    assert!(forward.contains(r"keyroll.dev/forget='0; reboot '\''now'\''' --overwrite"), "{forward}");
}

#[test]
fn a_lost_rotation_stays_as_it_was_seen_last_until_it_is_forgotten() {
    let seen = status(&object(Status::default()), &with(consent()));
    let first = status(&object(seen.clone()), &lost());
    let rotation = first.rotation.clone().unwrap();
    assert_eq!((rotation.id.as_str(), rotation.old_key.as_str(), rotation.moved), (ID, "unknown", 2));
    assert_eq!(rotation.phase, seen.rotation.unwrap().phase);
    let later = Standing { now: "2026-01-05T00:00:00Z".to_owned(), ..lost() };
    assert!(is_same(&first, &status(&object(first.clone()), &later)));
    let another = Standing { open: Some(open()), ..lost() };
    assert_eq!(of(&another).phase, Phase::Waiting);
    assert_eq!(status(&object(first), &at_rest()).rotation, None);
}

#[test]
fn a_held_rotation_of_which_no_way_is_known_names_the_command_that_shows_it() {
    let bare = || with(Open { held: Some("its journal is unreadable".to_owned()), ..open() });
    let first = of(&bare());
    let waits = first.rotation.clone().unwrap().waits.unwrap();
    assert_eq!(waits.forward, Some(format!("{PREFIX}keyroll status {ID}")));
    assert_eq!((waits.back, waits.person), (None, true));
    let later = Standing { now: "2026-01-05T00:00:00Z".to_owned(), ..bare() };
    assert!(is_same(&first, &status(&object(first.clone()), &later)));
}

#[test]
fn what_is_refused_owed_or_not_used_is_said_besides() {
    let last = Ended { id: ID.to_owned(), outcome: "done with a debt".to_owned(), ..Ended::default() };
    let standing = Standing { last: Some(last), ..ask_refused() };
    let shown = of(&standing);
    assert!(shown.message.contains("rotate: there is no plan"), "{}", shown.message);
    assert!(shown.message.contains(&format!("{PREFIX}keyroll status {ID}")), "{}", shown.message);
    assert_eq!(shown.asked, standing.asked);
}

#[test]
fn of_many_blockers_ten_are_named_and_the_others_counted() {
    let named = |count: usize| {
        let shown = of(&with_blockers(count));
        let text = condition(&shown, "Blocked").message.clone();
        assert!(text.len() <= 4_096, "{}", text.len());
        (text.matches("\nshop:pod/").count(), text.lines().last().unwrap().to_owned(), shown.blockers.len())
    };
    let (lines, last, all) = named(10);
    assert_eq!((lines, all), (10, 10));
    assert!(last.contains("consumer waive shop:pod/agent-9"), "{last}");
    assert_eq!(named(11), (10, "and 1 more".to_owned(), 11));
    assert_eq!(named(250), (10, "and 240 more".to_owned(), 20));
}

#[test]
fn long_texts_are_cut_and_no_command_is() {
    let long = "ü".repeat(3_000);
    let mut held = held(false);
    held.held = Some(long.clone());
    held.shown.waits.as_mut().unwrap().what = long.clone();
    held.blockers = (0..120).map(|_| Blocking { why: long.clone(), ..blocking(&long) }).collect();
    held.stages = [("agent".to_owned(), long.clone())].into();
    let name = |at: usize| (format!("agent-{at}"), "deployment/agent".to_owned());
    let standing = Standing { consumers: (0..150).map(name).collect(), ..with(held) };
    let shown = of(&standing);
    assert!(shown.message.len() <= 1_024);
    assert!(shown.message.ends_with(&annotation(&format!("abort={ID}"))), "{}", shown.message);
    assert_eq!((shown.consumers.len(), shown.blockers.len()), (100, 20));
    let blocked = &condition(&shown, "Blocked").message;
    assert!(blocked.len() <= 4_096 && blocked.ends_with(" more"), "{blocked}");
    assert!(shown.blockers.iter().all(|one| one.what.len() <= 512 && one.why.len() <= 512));
}

/// A status with conditions of these types, each with a message.
fn with_conditions(kinds: &[String], message: &str) -> Status {
    let one = |kind: &String| Condition {
        kind: kind.clone(),
        status: "True".to_owned(),
        reason: "Seen".to_owned(),
        message: message.to_owned(),
        last_transition_time: "2025-01-01T00:00:00Z".to_owned(),
        observed_generation: 0,
    };
    Status { conditions: kinds.iter().map(one).collect(), ..Status::default() }
}

#[test]
fn the_largest_status_fits_and_names_its_next_command() {
    // A quotation mark is two bytes of JSON, and a control character would be six.
    for text in ["\"".repeat(9_000), "\u{1}".repeat(9_000), "\"\u{1}\n\\".repeat(2_000)] {
        let mut held = held(false);
        held.held = Some(text.clone());
        held.shown.waits.as_mut().unwrap().what = text.clone();
        let command = |length: usize| only(Command::Elsewhere(text[..length].to_owned()));
        let long = Blocking { why: text.clone(), ways: vec![command(460), command(512)], ..blocking(&text) };
        held.blockers = vec![long; 120];
        let names: Vec<String> = (0..150).map(|at| format!("agent-{at}-{}", "x".repeat(50))).collect();
        held.stages = names.iter().map(|name| (name.clone(), text.clone())).collect();
        let workload = format!("deployment/{}", "y".repeat(253));
        let ask = Some("\u{1}".repeat(256));
        let standing = Standing {
            consumers: names.iter().map(|name| (name.clone(), workload.clone())).collect(),
            accepted: Accepted::Former(text.clone()),
            pods: Some(Err(text.clone())),
            last: Some(Ended { id: ID.to_owned(), cause: Some(text.clone()), ..Ended::default() }),
            value: Err(text.clone()),
            asked: Asked {
                rotate: ask.clone(),
                plan: Some(ID.to_owned()),
                confirm: ask.clone(),
                abort: ask.clone(),
                resume: ask.clone(),
                forget: ask.clone(),
                refused_after: Some(ID.to_owned()),
                refused_ask: ask.clone(),
                refused: Some(text.clone()),
            },
            ..with(held)
        };
        let kinds: Vec<String> = (0..30).map(|at| format!("Foreign{at}")).collect();
        let shown = status(&object(with_conditions(&kinds, &"z".repeat(800))), &standing);
        assert!(json_bytes(&shown) <= STATUS_BYTES_MAX, "{}", json_bytes(&shown));
        assert_eq!(shown.asked.rotate, ask, "it is remembered whole");
        assert!(shown.message.ends_with(&annotation(&format!("abort={ID}"))), "{}", shown.message);
        assert!(CONDITIONS.iter().all(|kind| !condition(&shown, kind).message.is_empty()));
        let read: Status = serde_json::from_value(serde_json::to_value(&shown).unwrap()).unwrap();
        assert!(is_same(&read, &status(&object(read.clone()), &standing)));
    }
}

#[test]
fn a_status_is_shortened_no_further_than_it_must() {
    let short = |count: usize| ConsumerStatus { name: format!("agent-{count}"), ..ConsumerStatus::default() };
    let mut small = Status { consumers: (0..100).map(short).collect(), ..of(&with_blockers(20)) };
    let before = small.clone();
    shorten(&mut small);
    assert_eq!(small, before);
    let long = Blocker { what: "x".repeat(STATUS_BYTES_MAX / 12), ..Blocker::default() };
    let mut large = Status { blockers: vec![long; 20], consumers: Vec::new(), ..before };
    shorten(&mut large);
    assert_eq!(large.blockers.len(), 10);
}

#[test]
fn conditions_of_other_writers_stay_and_make_no_status_another_one() {
    let kinds = ["Synced", "Ready", "Audited", ""].map(str::to_owned);
    let before = with_conditions(&kinds, "seen");
    let shown = status(&object(before.clone()), &at_rest());
    let all: Vec<&str> = shown.conditions.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(all, [&CONDITIONS[..], &["Synced", "Audited"]].concat());
    assert_eq!(condition(&shown, "Synced"), condition(&before, "Synced"));
    assert_ne!(condition(&shown, "Ready").message, "seen");
    let json = serde_json::to_value(condition(&shown, "Synced")).unwrap();
    assert_eq!(json.get("observedGeneration"), None, "the writer said none");
    let mut other = shown.clone();
    other.conditions.retain(|one| one.kind != "Synced");
    assert!(is_same(&shown, &other));
    other.conditions.retain(|one| one.kind != "Blocked");
    assert!(!is_same(&shown, &other));
    let many: Vec<String> = (0..30).map(|at| format!("Foreign{at}")).collect();
    let shown = status(&object(with_conditions(&many, "seen")), &at_rest());
    assert_eq!(shown.conditions.len(), 27);
    assert_eq!(shown.conditions.last().unwrap().kind, "Foreign19");
}

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn text(&mut self) -> String {
        let length = self.of(&[3, 30, 700, 3_000]);
        self.of(&["a", "ü", "漢 "]).repeat(length)
    }

    fn maybe<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(2) { Some(draw(self)) } else { None }
    }

    fn few(&mut self) -> u32 {
        u32::try_from(self.below(3)).unwrap()
    }

    /// As keyroll makes one: it can be rolled back until the old key ends.
    fn open(&mut self) -> Open {
        let old_key = self.of(&["alive", "disabled", "revoked", "dead"]);
        let rolls_back = self.one_in(4);
        let is_final = rolls_back || ["revoked", "dead"].contains(&old_key);
        let waits = self.maybe(|random| Waits { person: random.one_in(3), ..waits(&random.text()) });
        let doctor = Command::Keyroll("keyroll doctor".to_owned());
        let ways = [
            only(Command::Resume),
            only(Command::Confirm),
            only(doctor),
            waive("agent"),
            after("end the pod"),
        ];
        let forward = (0..self.of(&[0, 1, 1, 3])).map(|_| self.of(&ways)).collect();
        let back = (!is_final).then(|| only(Command::Abort)).into_iter().collect();
        let shown = RotationStatus { old_key: old_key.to_owned(), waits, ..open().shown };
        let blockers = (0..self.of(&[0, 0, 1, 12, 130])).map(|_| blocking(&self.text())).collect();
        let held = self.maybe(Self::text);
        Open {
            shown,
            forward,
            back,
            rolls_back,
            consent: self.one_in(4),
            confirm: ID.to_owned(),
            stuck: held.is_some() && self.one_in(2),
            held,
            blockers,
            stages: [("agent".to_owned(), self.text())].into(),
        }
    }

    /// What two keys of a Secret hold.
    fn held(&mut self, why: String) -> Option<Result<Held, String>> {
        let (version, hidden) = (Holds::Version(3, "retired".to_owned()), Holds::NotVisible(why.clone()));
        let all = [Holds::Current, Holds::Current, version, Holds::Other, Holds::Absent, hidden];
        let keys = [self.of(&all), self.of(&all)];
        let take_over =
            self.of(&[TakeOver::AsFirst("keyroll".to_owned()), TakeOver::FromStore, TakeOver::Never]);
        let seen = holding(&keys, take_over).held;
        self.of(&[None, Some(Err(why)), seen.clone(), seen])
    }

    fn standing(&mut self) -> Standing {
        let why = self.text();
        let accepted =
            [Accepted::Yes, Accepted::Yes, Accepted::Former(why.clone()), Accepted::No(why.clone())];
        let overdue = self.maybe(|random| random.maybe(Self::text));
        let value = Value { version: 4, since: None, due: None, overdue };
        let pods = pods(self.few(), self.few(), self.few());
        let pods = ["agent", "worker"].map(|name| (format!("deployment/{name}"), pods.clone()));
        let pods = Ok(pods.into());
        Standing {
            accepted: self.of(&accepted),
            value: if self.one_in(4) { Err(why.clone()) } else { Ok(value) },
            open: self.maybe(Self::open),
            pods: self.of(&[None, Some(Err(why.clone())), Some(pods)]),
            held: self.held(why),
            queued: if self.one_in(6) { Some(self.text()) } else { None },
            lost: if self.one_in(10) { Some(ID.to_owned()) } else { None },
            asked: Asked {
                refused: if self.one_in(4) { Some(self.text()) } else { None },
                ..Asked::default()
            },
            ..at_rest()
        }
    }
}

/// Whether a key that holds this is named.
fn wrong_of(holds: &Holds) -> bool {
    !matches!(holds, Holds::Current | Holds::NotVisible(_))
}

/// What holds of every status.
fn holds(standing: &Standing, shown: &Status) {
    let is = |kind: &str| condition(shown, kind).status.as_str();
    if is("Ready") == "True" {
        let others = ["Accepted", "ValueKnown", "Rotating", "Blocked"].map(is);
        assert_eq!(others, ["True", "True", "False", "False"]);
        assert!(standing.open.is_none() && standing.lost.is_none() && standing.value.is_ok());
        assert!(matches!(shown.phase, Phase::Ready | Phase::Due));
    }
    if is("PodsCurrent") == "True" {
        let seen = shown.consumers.iter().filter_map(|one| one.pods.as_ref());
        assert_eq!(seen.map(|pods| pods.stale + pods.unknown).sum::<u32>(), 0);
    }
    let seen = standing.held.as_ref().and_then(|held| held.as_ref().ok());
    let all = seen.map(|held| held.keys.as_slice()).unwrap_or_default();
    let at_rest = standing.open.is_none() && standing.value.is_ok();
    match is("Drifted") {
        "True" => assert!(at_rest && all.iter().any(|one| wrong_of(&one.holds))),
        "False" => assert!(at_rest && !all.is_empty() && all.iter().all(|one| one.holds == Holds::Current)),
        _ => assert!(!at_rest || !all.iter().any(|one| wrong_of(&one.holds))),
    }
    if shown.phase == Phase::Waiting {
        assert_eq!(is("Blocked"), "True");
        let rotation = shown.rotation.as_ref().unwrap();
        let waits = rotation.waits.as_ref().unwrap();
        let forward = waits.forward.as_ref().unwrap();
        assert!(forward.contains("kubectl "), "{forward}");
        assert!(!forward.contains("keyroll resume"), "an annotation does it: {forward}");
        let fits = forward.len() <= WAYS_IN_MESSAGE_BYTES_MAX;
        assert!(!fits || shown.message.contains(forward), "{}", shown.message);
        assert!(shown.message.contains(": kubectl ") || shown.message.contains("then kubectl "));
        let is_final = ["revoked", "dead"].contains(&rotation.old_key.as_str());
        let goes_back = standing.open.as_ref().is_none_or(|open| open.rolls_back);
        if standing.lost.is_none() && !is_final && !goes_back {
            let back = waits.back.as_ref().unwrap();
            assert_eq!(*back, annotation(&format!("abort={ID}")));
            assert!(shown.message.contains(back), "{}", shown.message);
        }
    }
    assert!(!shown.message.is_empty() && shown.message.len() <= 1_024);
    assert!(shown.blockers.len() <= 20);
    assert!(json_bytes(shown) <= 64 * 1_024, "{}", json_bytes(shown));
    for one in &shown.conditions {
        assert!(!one.message.is_empty() && one.message.len() <= 4_096, "{}", one.kind);
        assert!(["True", "False", "Unknown"].contains(&one.status.as_str()));
        let mut reason = one.reason.chars();
        assert!(reason.next().unwrap().is_ascii_uppercase() && reason.all(|it| it.is_ascii_alphanumeric()));
    }
}

#[test]
fn drawn_standings_have_statuses_that_leave_nobody_stuck() {
    let mut phases = BTreeMap::<String, usize>::new();
    for seed in 0..3_000 {
        let standing = Random(seed).standing();
        let shown = of(&standing);
        holds(&standing, &shown);
        let later = Standing { now: "2026-02-01T00:00:00Z".to_owned(), ..standing };
        let again = status(&object(shown.clone()), &later);
        assert!(is_same(&shown, &again), "seed {seed}");
        *phases.entry(format!("{:?}", shown.phase)).or_default() += 1;
    }
    // Each phase but the one before the first status was drawn.
    assert_eq!(phases.len(), 8, "{phases:?}");
}
