//! Reports as items of an answer, and back. Of two forms of one thing, the field that the public form leaves out stands
//! beside it in the item.

use keyroll_inventory::{
    DraftShown, FoundShown, InstanceShown, Missed, ScanReport, StoreShown, TraceReport, WhyReport,
};

use crate::frame::{Item, WhyItem};

/// How many copies of a secret are in one item.
const COPIES_MAX: usize = 1_000;

/// The items of a report of `scan`.
pub fn scan_items(report: ScanReport) -> Vec<Item> {
    let ScanReport { found, instances, stores, differs, missed, refused } = report;
    let mut items: Vec<Item> = found.into_iter().flat_map(found_items).collect();
    items.extend(instances.into_iter().map(instance_item));
    items.extend(stores.into_iter().map(Item::Store));
    items.extend(differs.map(Item::Differs));
    items.extend(missed.into_iter().map(Item::Missed));
    items.extend(refused.then_some(Item::Refused));
    items
}

/// The items of a report of `trace`.
pub fn trace_items(report: TraceReport) -> Vec<Item> {
    let TraceReport { found, instances, nobody, missed, refused } = report;
    let mut items = found_items(found);
    items.extend(instances.into_iter().map(instance_item));
    items.push(Item::Sentence(nobody));
    items.extend(missed.into_iter().map(Item::Missed));
    items.extend(refused.then_some(Item::Refused));
    items
}

/// The items of reports of `why`.
pub fn why_items(reports: Vec<WhyReport>) -> Vec<Item> {
    let item = |report| {
        let WhyReport { sentences, instances, differing, chains } = report;
        let instances = instances.into_iter().map(instance_item).collect();
        Item::Why(WhyItem { sentences, instances, differing, chains })
    };
    reports.into_iter().map(item).collect()
}

/// The items of drafts, of what was left out, and of what could not be inspected.
pub fn draft_items(
    drafts: Vec<DraftShown>,
    left_out: Vec<String>,
    missed: Vec<Missed>,
    refused: bool,
) -> Vec<Item> {
    let drafts = drafts.into_iter().map(|draft| Item::Draft(Box::new(draft)));
    let mut items: Vec<Item> = drafts.chain(left_out.into_iter().map(Item::LeftOut)).collect();
    items.extend(missed.into_iter().map(Item::Missed));
    items.extend(refused.then_some(Item::Refused));
    items
}

/// The drafts of these items, and what was left out.
pub fn drafted(items: Vec<Item>) -> (Vec<DraftShown>, Vec<String>) {
    let Collected { drafts, left_out, .. } = Collected::of(items);
    (drafts, left_out)
}

/// The report of `scan` of these items.
pub fn scan_report(items: Vec<Item>) -> ScanReport {
    let Collected { found, instances, stores, differs, missed, refused, .. } = Collected::of(items);
    ScanReport { found, instances, stores, differs, missed, refused }
}

/// The report of `trace` of these items; `None` if there is no secret among them.
pub fn trace_report(items: Vec<Item>) -> Option<TraceReport> {
    let Collected { found, instances, sentences, missed, refused, .. } = Collected::of(items);
    let nobody = sentences.into_iter().next().unwrap_or_default();
    found.into_iter().next().map(|found| TraceReport { found, instances, nobody, missed, refused })
}

/// The reports of `why` of these items.
pub fn why_reports(items: Vec<Item>) -> Vec<WhyReport> {
    Collected::of(items).why
}

/// What could not be inspected, and whether a user with more rights would see more.
pub fn missed(items: &[Item]) -> (Vec<Missed>, bool) {
    let missed = items.iter().filter_map(|item| {
        let Item::Missed(missed) = item else { return None };
        Some(missed.clone())
    });
    (missed.collect(), items.contains(&Item::Refused))
}

fn found_items(mut shown: FoundShown) -> Vec<Item> {
    let risk = std::mem::take(&mut shown.risk);
    let programs = shown.used_by.iter_mut().map(|user| std::mem::take(&mut user.program)).collect();
    let rest = shown.copies.split_off(shown.copies.len().min(COPIES_MAX));
    let secret = shown.secret.clone();
    let more = |copies: &[_]| Item::Copies { secret: secret.clone(), copies: copies.to_vec() };
    let more: Vec<Item> = rest.chunks(COPIES_MAX).map(more).collect();
    let mut items = vec![Item::Found { shown, risk, programs }];
    items.extend(more);
    items
}

fn instance_item(mut shown: InstanceShown) -> Item {
    let (sentence, started_ticks) = (std::mem::take(&mut shown.sentence), shown.started_ticks);
    Item::Instance { shown: Box::new(shown), sentence, started_ticks }
}

/// Items by their kinds, in their order.
#[derive(Default)]
struct Collected {
    found: Vec<FoundShown>,
    instances: Vec<InstanceShown>,
    stores: Vec<StoreShown>,
    why: Vec<WhyReport>,
    sentences: Vec<String>,
    drafts: Vec<DraftShown>,
    left_out: Vec<String>,
    differs: Option<String>,
    missed: Vec<Missed>,
    refused: bool,
}

impl Collected {
    fn of(items: Vec<Item>) -> Self {
        let mut all = Self::default();
        items.into_iter().for_each(|item| all.take(item));
        all
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Found { mut shown, risk, programs } => {
                shown.risk = risk;
                for (user, program) in shown.used_by.iter_mut().zip(programs) {
                    user.program = program;
                }
                self.found.push(shown);
            }
            Item::Copies { secret, copies } => {
                // They follow their secret. The others are not searched for it: a host may send many of both.
                if let Some(found) = self.found.last_mut().filter(|found| found.secret == secret) {
                    found.copies.extend(copies);
                }
            }
            Item::Instance { shown, sentence, started_ticks } => {
                self.instances.push(InstanceShown { sentence, started_ticks, ..*shown });
            }
            Item::Store(store) => self.stores.push(store),
            Item::Why(WhyItem { sentences, instances, differing, chains }) => {
                let instances = Self::of(instances).instances;
                self.why.push(WhyReport { sentences, instances, differing, chains });
            }
            Item::Draft(draft) => self.drafts.push(*draft),
            Item::LeftOut(why) => self.left_out.push(why),
            Item::Sentence(sentence) => self.sentences.push(sentence),
            Item::Differs(secret) => self.differs = Some(secret),
            Item::Missed(missed) => self.missed.push(missed),
            Item::Refused => self.refused = true,
            // They belong to other calls.
            Item::Value { .. }
            | Item::Scan(_)
            | Item::Fact(_)
            | Item::Leak(_)
            | Item::Picked(..)
            | Item::LeaksEnd(_)
            | Item::Reply(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use keyroll_inventory::{
        ChainShown, ConsumerShown, CopyShown, LinkShown, MemoryShown, SaidShown, UserShown, ValueShown,
    };

    use super::*;
    use crate::frame::{End, Frame};
    use crate::wire::{encode, read_frame};

    fn found(copies: usize) -> FoundShown {
        let copy = |number: usize| CopyShown {
            place: format!("/srv/{number}.env:1"),
            name: Some("API_KEY".to_owned()),
            value: "…·9f3c21".to_owned(),
            form: "plain".into(),
        };
        let user = |name: &str| UserShown {
            keeper: "systemd".into(),
            name: name.to_owned(),
            program: format!("{name} program"),
            processes: vec![7],
            pods: Vec::new(),
            applies: None,
        };
        FoundShown {
            secret: "openai".to_owned(),
            managed: true,
            values: vec![ValueShown {
                label: "…·9f3c21".to_owned(),
                version: Some(7),
                state: Some("current".into()),
            }],
            copies: (0..copies).map(copy).collect(),
            used_by: vec![user("api"), user("mailer")],
            shared: true,
            risks: vec!["copies differ".to_owned()],
            pods_hidden: false,
            risk: "copies differ".to_owned(),
        }
    }

    fn instance() -> InstanceShown {
        InstanceShown {
            secret: "openai".to_owned(),
            used_by: "api".to_owned(),
            keeper: "systemd".into(),
            program: "api".to_owned(),
            pid: Some(7),
            pod: None,
            started: None,
            name: None,
            start: Some(vec!["…·9f3c21".to_owned()]),
            memory: MemoryShown { searched: "whole".into(), values: Vec::new() },
            next: None,
            verdict: "stale".into(),
            cause: "a cause".to_owned(),
            sentence: "a sentence".to_owned(),
            applies: None,
            seems: None,
            started_ticks: 4711,
            unread_edit: true,
            doubt: Some("a doubt".into()),
            grounds: vec!["a ground".to_owned()],
            evidence: vec!["an observation".to_owned()],
        }
    }

    #[test]
    fn drafts_come_out_of_a_frame_as_they_were() {
        let consumer = ConsumerShown {
            name: "api".to_owned(),
            notes: vec!["api.service, managed by systemd".to_owned()],
            runs: vec![
                ("restart".to_owned(), SaidShown::Words(vec!["./x.sh".to_owned(), "api".to_owned()])),
                ("pid_file".to_owned(), SaidShown::Text("./x.pid".to_owned())),
                ("at_rest".to_owned(), SaidShown::Yes),
            ],
            reads: vec![vec![("file".to_owned(), "./key".to_owned())]],
            within: Vec::new(),
            open: vec!["api: `restart`".to_owned()],
            synced: false,
        };
        let draft = DraftShown {
            secret: "openai".to_owned(),
            name: "openai".to_owned(),
            managed: true,
            values: vec![7],
            differ: true,
            issuer: None,
            title: Some("key".to_owned()),
            consumers: vec![consumer],
            used: true,
            left: vec!["left".to_owned()],
        };
        let hidden = Missed { what: "/srv/api".to_owned(), why: "permission denied".to_owned() };
        let left_out = vec!["chat: no known service uses it".to_owned()];
        let items = sent(draft_items(vec![draft.clone()], left_out.clone(), vec![hidden.clone()], true));
        assert_eq!(missed(&items), (vec![hidden], true));
        assert_eq!(drafted(items), (vec![draft], left_out));
    }

    /// The items as they come out of a frame.
    fn sent(items: Vec<Item>) -> Vec<Item> {
        let bytes = encode(&Frame::Answer { id: 1, items, end: Some(End::Done) }).unwrap();
        let Some(Frame::Answer { items, .. }) = read_frame(&mut bytes.as_slice()).unwrap() else {
            panic!("it is another frame")
        };
        items
    }

    fn unseen() -> Vec<Missed> {
        vec![Missed { what: "memory of process 1".to_owned(), why: "permission denied".to_owned() }]
    }

    #[test]
    fn a_report_of_a_scan_comes_out_as_it_was_with_all_of_its_many_copies() {
        let report = || ScanReport {
            found: vec![found(2_500), found(1)],
            instances: vec![instance()],
            stores: vec![StoreShown {
                path: "/srv/all.kdbx".to_owned(),
                encrypted_with: "KeePass".into(),
                used_by: Vec::new(),
            }],
            differs: Some("openai".to_owned()),
            missed: unseen(),
            refused: true,
        };
        let items = scan_items(report());
        let copies = items.iter().filter(|item| matches!(item, Item::Copies { .. })).count();
        assert_eq!(copies, 2);
        assert_eq!(missed(&items), (unseen(), true));
        let (was, is) = (report(), scan_report(sent(items)));
        assert_eq!(is.found, was.found);
        assert_eq!(is.instances, was.instances);
        assert_eq!(is.stores, was.stores);
        assert_eq!((is.differs, is.missed, is.refused), (was.differs, was.missed, was.refused));
    }

    #[test]
    fn a_report_of_a_trace_comes_out_as_it_was() {
        let report = || TraceReport {
            found: found(3),
            instances: vec![instance(), instance()],
            nobody: "nobody".to_owned(),
            missed: unseen(),
            refused: false,
        };
        let (was, is) = (report(), trace_report(sent(trace_items(report()))).unwrap());
        assert_eq!((is.found, is.instances), (was.found, was.instances));
        assert_eq!((is.nobody, is.missed, is.refused), (was.nobody, was.missed, was.refused));
        assert!(trace_report(vec![Item::Refused]).is_none());
    }

    #[test]
    fn reports_of_why_come_out_as_they_were() {
        let link = LinkShown {
            what: "EnvironmentFile=/srv/a.env".to_owned(),
            place: None,
            value: None,
            standing: "wins".into(),
            why: Some("a reason".into()),
            applies: None,
            seems: None,
        };
        let chain = ChainShown {
            secret: "openai".to_owned(),
            used_by: "api".to_owned(),
            keeper: "systemd".into(),
            name: "API_KEY".to_owned(),
            links: vec![link],
        };
        let report = || WhyReport {
            sentences: vec!["a sentence".to_owned()],
            instances: vec![instance()],
            differing: vec![("…·9f3c21".to_owned(), vec!["/srv/a.env:1".to_owned()])],
            chains: vec![chain.clone()],
        };
        let all = why_reports(sent(why_items(vec![report(), report()])));
        assert_eq!(all.len(), 2);
        for (is, was) in all.into_iter().zip([report(), report()]) {
            assert_eq!((is.sentences, is.instances), (was.sentences, was.instances));
            assert_eq!((is.differing, is.chains), (was.differing, was.chains));
        }
    }

    #[test]
    fn items_that_do_not_fit_together_make_no_report_and_no_panic() {
        let copies = Item::Copies { secret: "another".to_owned(), copies: found(1).copies };
        let more = Item::Found { shown: found(0), risk: String::new(), programs: vec![String::new(); 5] };
        let report = scan_report(vec![copies, more]);
        assert!(report.found.len() == 1 && report.found[0].copies.is_empty());
    }
}
