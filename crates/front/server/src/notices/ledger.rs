//! Which notices were sent to whom, and which are to be sent now.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use keyroll_app::atomic_file;
use keyroll_app::records::old_key::clock_s;
use keyroll_config::{NoticeKind, Recipient};
use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::notice::{Notice, Undelivered, rfc3339};

/// The pause after a recipient could not be reached, seconds; each time twice as long.
const AGAIN_S: u64 = 60;
const AGAIN_S_MAX: u64 = 3_600;
/// More notices at once than this are folded: those of a kind that has more than a few become one.
const SINGLE_MAX: usize = 10;
const FEW_MAX: usize = 3;
/// The kinds, the most urgent first.
const URGENT: [NoticeKind; 6] = [
    NoticeKind::Incident,
    NoticeKind::Failed,
    NoticeKind::Waiting,
    NoticeKind::Server,
    NoticeKind::Due,
    NoticeKind::Ended,
];
/// The most notices to one recipient within an hour.
const HOURLY_MAX: usize = 60;
const HOUR_S: u64 = 3_600;
/// How many names a notice of many has.
const NAMED_MAX: usize = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    recipients: BTreeMap<String, Of>,
}

/// One recipient.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Of {
    /// Not before this time, Unix seconds.
    again_s: u64,
    tries: u32,
    /// When notices were delivered within the last hour, Unix seconds.
    sent: Vec<u64>,
    told: BTreeMap<String, Told>,
}

/// One thing.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    notice: Notice,
    stage: String,
    /// It is further than in its last notice.
    changed: bool,
    happened: bool,
    /// When it was first seen, Unix seconds.
    first_s: u64,
    /// How many messages about it were sent.
    number: u64,
    /// When its last notice was sent, Unix seconds; none = the first one is still to be sent.
    sent_s: Option<u64>,
    /// It does not stand any more, and that is still to be told.
    over: bool,
    /// Not before this time, Unix seconds.
    again_s: u64,
}

/// One notice that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) notice: Notice,
    /// The things that it tells of.
    covers: Vec<String>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    kept: Kept,
    written: Vec<u8>,
}

impl Ledger {
    /// Reads the file. One that cannot be used is said, and everything that stands is sent again; a damaged one is put aside.
    pub(super) fn read(path: &Path) -> (Self, Option<String>) {
        let (mut kept, mut said) = (Kept::default(), None);
        let text = std::fs::read(path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                said = Some(format!("could not read {}: {error}", path.display()));
            }
            Vec::new()
        });
        if !text.is_empty() {
            match serde_json::from_slice(&text) {
                Ok(read) => kept = read,
                Err(error) => {
                    let aside = path.with_extension("json.damaged");
                    let put = atomic_file::replace_private(&aside, &text);
                    let put = put.map_or_else(|error| error.to_string(), |()| "kept".to_owned());
                    said = Some(format!(
                        "{} is damaged ({error}; {}: {put}): a notice of everything that stands is sent again",
                        path.display(),
                        aside.display()
                    ));
                }
            }
        }
        (Self { path: path.to_owned(), kept, written: text }, said)
    }

    pub(super) fn write(&mut self) -> Result<(), String> {
        let failed = |why: String| format!("could not write {}: {why}", self.path.display());
        let text = serde_json::to_vec(&self.kept).map_err(|error| failed(error.to_string()))?;
        if text != self.written {
            atomic_file::replace_private(&self.path, &text).map_err(|error| failed(error.to_string()))?;
            self.written = text;
        }
        Ok(())
    }

    /// Who is not configured any more is forgotten.
    pub(super) fn keep_only(&mut self, recipients: &[Recipient]) {
        self.kept.recipients.retain(|name, _| recipients.iter().any(|one| one.name.as_str() == name));
    }

    /// How many things are still to be told.
    pub(super) fn waiting(&self, to: &Recipient) -> usize {
        let of = self.kept.recipients.get(to.name.as_str());
        of.map_or(0, |of| {
            of.told.values().filter(|told| told.over || told.changed || told.sent_s.is_none()).count()
        })
    }

    /// What is to be told now. `whole`: everything that stands was seen, so that what is missing is over.
    pub(super) fn steps(&mut self, to: &Recipient, now: &[Condition], whole: bool, now_s: u64) -> Vec<Step> {
        let is_new = !self.kept.recipients.contains_key(to.name.as_str());
        let of = self.kept.recipients.entry(to.name.to_string()).or_default();
        let wanted = now.iter().filter(|condition| to.on.contains(&condition.kind));
        let mut standing = BTreeSet::new();
        for condition in wanted {
            let (id, notice) = (&condition.notice.id, &condition.notice);
            standing.insert(id.as_str());
            let told = of.told.entry(id.clone()).or_insert_with(|| Told {
                first_s: now_s,
                number: 0,
                notice: notice.clone(),
                stage: condition.stage.clone(),
                changed: false,
                happened: condition.happened,
                // A recipient that is new is not told the past.
                sent_s: (is_new && condition.happened).then_some(now_s),
                over: false,
                again_s: 0,
            });
            (told.notice, told.over) = (notice.clone(), false);
            if told.stage != condition.stage {
                (told.stage, told.changed) = (condition.stage.clone(), true);
                told.again_s = 0;
            }
        }
        if whole {
            of.told.retain(|id, told| {
                let stands = standing.contains(id.as_str());
                told.over = !stands && !told.happened;
                // What happened is sent, also if it is not listed any more.
                stands || told.happened != told.sent_s.is_some()
            });
        }
        of.sent.retain(|sent| is_within(*sent, now_s));
        if waits(of.again_s, now_s) || of.sent.len() >= HOURLY_MAX {
            return Vec::new();
        }
        let steps = of.told.iter().filter_map(|(id, told)| told.step(id, to, now_s));
        let mut steps: Vec<Step> = steps.collect();
        // Reminders leave half of the room to what is new.
        if of.sent.len() >= HOURLY_MAX / 2 {
            steps.retain(|step| step.notice.state != "reminder");
        }
        // What is new or changed first, then what is over, then reminders; of each the most urgent first.
        let place = |all: &[&str], word: &str| all.iter().position(|one| *one == word).unwrap_or(all.len());
        let rank = |step: &Step| {
            let state = place(&["new", "changed", "over"], &step.notice.state);
            (state, place(&URGENT.map(NoticeKind::word), &step.notice.kind))
        };
        steps.sort_by_key(rank);
        match steps.len() {
            0..=SINGLE_MAX => steps,
            _ => folded(steps),
        }
    }

    /// Notes what became of a step.
    pub(super) fn told(&mut self, to: &Recipient, step: &Step, sent: &Result<(), Undelivered>, now_s: u64) {
        let Some(of) = self.kept.recipients.get_mut(to.name.as_str()) else { return };
        match sent {
            Ok(()) => {
                (of.again_s, of.tries) = (0, 0);
                of.sent.push(now_s);
                for id in &step.covers {
                    match of.told.get_mut(id) {
                        Some(told) if told.over => drop(of.told.remove(id)),
                        Some(told) => {
                            (told.sent_s, told.changed, told.again_s) = (Some(now_s), false, 0);
                            told.number = told.number.saturating_add(1);
                        }
                        None => {}
                    }
                }
            }
            Err(Undelivered::Later(_)) => {
                let pause = AGAIN_S.saturating_mul(1 << of.tries.min(8)).min(AGAIN_S_MAX);
                (of.again_s, of.tries) = (now_s.saturating_add(pause), of.tries.saturating_add(1));
            }
            Err(Undelivered::Never(_)) => {
                for id in &step.covers {
                    if let Some(told) = of.told.get_mut(id) {
                        told.again_s = now_s.saturating_add(AGAIN_S_MAX);
                    }
                }
            }
        }
    }
}

impl Told {
    fn step(&self, id: &str, to: &Recipient, now_s: u64) -> Option<Step> {
        let reminds = |sent_s: u64| {
            let every = to.remind_every.map(|every| every.as_secs());
            // A clock that was set back makes the last one lie in the future.
            every.is_some_and(|every| {
                !self.happened && !(sent_s..sent_s.saturating_add(every)).contains(&now_s)
            })
        };
        let state = match self.sent_s {
            _ if self.over => "over",
            None => "new",
            Some(_) if self.changed => "changed",
            Some(sent_s) if reminds(sent_s) => "reminder",
            Some(_) => return None,
        };
        if waits(self.again_s, now_s) {
            return None;
        }
        let at = rfc3339(&clock_s(now_s));
        let message = Notice::message_of(id, self.first_s, self.number);
        let mut notice = Notice { message, at, state: state.to_owned(), ..self.notice.clone() };
        if self.over {
            // There is nothing to do any more.
            (notice.text, notice.next) = (format!("this is over: {}", notice.text), None);
        }
        Some(Step { notice, covers: vec![id.to_owned()] })
    }
}

/// One notice for each kind that has more than a few.
fn folded(steps: Vec<Step>) -> Vec<Step> {
    let mut kinds: Vec<(String, Vec<Step>)> = Vec::new();
    for step in steps {
        match kinds.iter_mut().find(|(kind, _)| *kind == step.notice.kind) {
            Some((_, all)) => all.push(step),
            None => kinds.push((step.notice.kind.clone(), vec![step])),
        }
    }
    let each = kinds.into_iter().flat_map(|(_, all)| if all.len() > FEW_MAX { vec![many(all)] } else { all });
    each.collect()
}

/// One notice of many things of a kind.
fn many(steps: Vec<Step>) -> Step {
    let count = steps.len();
    let mut states: BTreeMap<String, usize> = BTreeMap::new();
    for step in &steps {
        let count = states.entry(step.notice.state.clone()).or_default();
        *count = count.saturating_add(1);
    }
    let states: Vec<String> = states.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    let named: Vec<&str> = steps.iter().take(NAMED_MAX).map(|step| step.notice.text.as_str()).collect();
    let more = count.saturating_sub(named.len());
    let text =
        format!("{count} notices at once ({}): {}; and {more} more", states.join(", "), named.join("; "));
    let covers = steps.iter().flat_map(|step| step.covers.clone()).collect();
    let mut notice = steps.into_iter().next().map(|step| step.notice).unwrap_or_else(|| Notice::test(0));
    let next = match notice.kind.as_str() {
        "incident" => "keyroll incident list",
        "due" => "keyroll due",
        _ => "keyroll status",
    };
    (notice.id, notice.text) = (format!("many/{}/{count}", notice.id), text);
    notice.message = Notice::message_of(&notice.message, 0, u64::try_from(count).unwrap_or_default());
    (notice.secret, notice.owner, notice.rotation, notice.incident, notice.since) =
        (None, None, None, None, None);
    notice.next = Some(next.to_owned());
    Step { notice, covers }
}

/// Whether it is too early. A time far ahead comes from a clock that was set back.
fn waits(again_s: u64, now_s: u64) -> bool {
    again_s > now_s && again_s.saturating_sub(now_s) <= AGAIN_S_MAX
}

fn is_within(sent_s: u64, now_s: u64) -> bool {
    sent_s <= now_s && now_s.saturating_sub(sent_s) < HOUR_S
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const DAY_S: u64 = 86_400;
    const NOW_S: u64 = 1_800_000_000;

    fn recipient() -> Recipient {
        let text = "version = 1\n[server]\nlisten = \"127.0.0.1:9\"\n[server.emergency]\nadmin_token = \"file:./t\"\n\
                    [server.notices.team]\nslack = \"file:./slack.url\"\n";
        let config = keyroll_config::Config::parse(text, "/x/keyroll.toml").unwrap();
        config.server.unwrap().notices.remove(0)
    }

    fn condition(id: &str, happened: bool) -> Condition {
        let (id, text) = (id.to_owned(), format!("{id} waits"));
        let notice = Notice { id, text, secret: Some("openai".to_owned()), next: None, ..Notice::test(0) };
        let notice = Notice { kind: NoticeKind::Waiting.word().to_owned(), ..notice };
        Condition { kind: NoticeKind::Waiting, stage: String::new(), happened, notice }
    }

    struct Kit(tempfile::TempDir, Recipient, RefCell<BTreeSet<String>>);

    impl Kit {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), recipient(), RefCell::default())
        }

        fn ledger(&self) -> Ledger {
            Ledger::read(&self.0.path().join("notices.json")).0
        }

        /// Each time the file is read anew, as after a restart.
        fn said(&self, now: &[Condition], now_s: u64) -> Vec<(String, String)> {
            self.tries(now, now_s, &Ok(()))
        }

        fn tries(
            &self,
            now: &[Condition],
            now_s: u64,
            answer: &Result<(), Undelivered>,
        ) -> Vec<(String, String)> {
            let mut ledger = self.ledger();
            let mut said = Vec::new();
            for step in ledger.steps(&self.1, now, true, now_s) {
                said.push((step.notice.id.clone(), step.notice.state.clone()));
                // A receiver drops what has the id of an earlier message.
                let taken = answer.is_ok() && !self.2.borrow_mut().insert(step.notice.message.clone());
                assert!(!taken, "{:?} has the id of an earlier one", step.notice);
                ledger.told(&self.1, &step, answer, now_s);
            }
            ledger.write().unwrap();
            said
        }
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
    }

    #[test]
    fn a_thing_is_told_once_again_after_a_day_and_when_it_is_over() {
        let (kit, stands) = (Kit::new(), [condition("a", false)]);
        assert_eq!(kit.said(&stands, NOW_S), pairs(&[("a", "new")]));
        // A look at which nothing is sent writes nothing.
        let file = || std::fs::read_to_string(kit.0.path().join("notices.json")).unwrap();
        let before = file();
        assert_eq!(kit.said(&stands, NOW_S + 1), []);
        assert_eq!(file(), before);
        assert_eq!(kit.said(&stands, NOW_S + DAY_S - 1), []);
        assert_eq!(kit.said(&stands, NOW_S + DAY_S), pairs(&[("a", "reminder")]));
        assert_eq!(kit.said(&stands, NOW_S + DAY_S + 1), []);
        let mut further = stands.clone();
        "overdue".clone_into(&mut further[0].stage);
        assert_eq!(kit.said(&further, NOW_S + DAY_S + 1), pairs(&[("a", "changed")]));
        assert_eq!(kit.said(&further, NOW_S + DAY_S + 1), []);
        assert_eq!(kit.said(&[], NOW_S + DAY_S + 2), pairs(&[("a", "over")]));
        assert_eq!(kit.said(&[], NOW_S + DAY_S + 3), []);
        // It may come again.
        assert_eq!(kit.said(&stands, NOW_S + DAY_S + 4), pairs(&[("a", "new")]));
        // What was never told is not over.
        let other = [condition("a", false), condition("b", false)];
        let later = Err(Undelivered::Later("no".to_owned()));
        assert_eq!(kit.tries(&other, NOW_S + DAY_S + 5, &later), pairs(&[("b", "new")]));
        assert_eq!(kit.said(&stands, NOW_S + 2 * DAY_S), []);
    }

    #[test]
    fn what_happened_is_told_once_and_a_new_recipient_is_not_told_the_past() {
        let kit = Kit::new();
        let past = [condition("ended/1", true), condition("a", false)];
        assert_eq!(kit.said(&past, NOW_S), pairs(&[("a", "new")]));
        let more = [condition("ended/1", true), condition("ended/2", true), condition("a", false)];
        assert_eq!(kit.said(&more, NOW_S + 1), pairs(&[("ended/2", "new")]));
        let all = kit.said(&more, NOW_S + 2 * DAY_S);
        assert_eq!(all, pairs(&[("a", "reminder")]), "never again");
        assert_eq!(kit.said(&[condition("a", false)], NOW_S + 2 * DAY_S + 1), [], "and never over");
    }

    #[test]
    fn who_cannot_be_reached_is_tried_ever_later() {
        let (kit, stands) = (Kit::new(), [condition("a", false)]);
        let later = Err(Undelivered::Later("no".to_owned()));
        let mut tries = Vec::new();
        for second in 0..30_000 {
            if second % 10 == 0 && !kit.tries(&stands, NOW_S + second, &later).is_empty() {
                tries.push(second);
            }
        }
        assert_eq!(
            tries,
            [0, 60, 180, 420, 900, 1_860, 3_780, 7_380, 10_980, 14_580, 18_180, 21_780, 25_380, 28_980]
        );
        // A clock that was set back does not silence it.
        assert_eq!(kit.said(&stands, NOW_S - 100_000), pairs(&[("a", "new")]));
        // A notice that is refused does not hold up the others.
        let kit = Kit::new();
        let both = [condition("a", false), condition("b", false)];
        let never = Err(Undelivered::Never("refused".to_owned()));
        assert_eq!(kit.tries(&both, NOW_S, &never).len(), 2);
        assert_eq!(kit.said(&both, NOW_S + 3_599), []);
        assert_eq!(kit.said(&both, NOW_S + 3_600).len(), 2);
    }

    #[test]
    fn a_flood_is_told_as_one_and_bounded_in_an_hour() {
        let kit = Kit::new();
        let flood: Vec<_> = (0..500).map(|at| condition(&format!("incident/{at:03}"), false)).collect();
        let said = kit.said(&flood, NOW_S);
        assert!(said.len() == 1 && said[0].0.starts_with("many/incident/000/500"), "{said:?}");
        assert_eq!(kit.said(&flood, NOW_S + 1), [], "all of them are told");
        let mut told = 0;
        let mut stands = flood;
        for more in 0..200 {
            stands.push(condition(&format!("more/{more}"), false));
            told += kit.said(&stands, NOW_S + 2 + more).len();
        }
        assert_eq!(told, HOURLY_MAX - 1);
        let rest = kit.said(&stands, NOW_S + 2 * HOUR_S);
        assert!(rest.len() == 1 && rest[0].0.starts_with("many/"), "{rest:?}");
        // One incident is not lost among much else.
        let (kit, mut stands) = (Kit::new(), Vec::new());
        for at in 0..20 {
            stands.push(condition(&format!("a{at}"), false));
        }
        stands.push(condition("incident/1", false));
        stands[20].kind = NoticeKind::Incident;
        "incident".clone_into(&mut stands[20].notice.kind);
        let said = kit.said(&stands, NOW_S);
        assert!(said.len() == 2 && said[0].0 == "incident/1" && said[1].0.starts_with("many/"), "{said:?}");
    }

    #[test]
    fn what_was_not_seen_is_neither_over_nor_forgotten() {
        let (kit, stands) = (Kit::new(), [condition("a", false)]);
        kit.said(&stands, NOW_S);
        let mut ledger = kit.ledger();
        assert!(ledger.steps(&kit.1, &[], false, NOW_S + 1).is_empty());
        ledger.write().unwrap();
        assert_eq!(kit.said(&stands, NOW_S + 2), [], "it was sent already");
        atomic_file::replace_private(&kit.0.path().join("notices.json"), b"{").unwrap();
        let (_, said) = Ledger::read(&kit.0.path().join("notices.json"));
        assert!(said.unwrap().contains("notices.json.damaged"));
        assert_eq!(kit.said(&stands, NOW_S + 3), pairs(&[("a", "new")]), "what stands is sent again");
    }
}
