//! Drawn histories: people, a schedule and drivers change a small world, and a server goes by its object and ends at any time.
//!
//! The server looks as [`super::look`] does: it reads the facts, decides, begins a step, writes the status, and then
//! applies a plan that the status has. The world may change between the facts and the rest of a look, the object may be an
//! older one, and the status is not written if another one came first. What is checked is said where it is checked.

use std::collections::{BTreeMap, BTreeSet};

use keyroll_controller::{
    Accepted, Asked, Open, RotationStatus, SecretRotation, Standing, Status, asks, is_same, status,
};

use super::decide::{Ask, Memory, Wish, decide, refuse};
use super::decide_tests::{at_rest, ended, object, open, value};
use super::facts::{Facts, Planned};
use super::jobs;
use crate::consent_text::consent_text;
use crate::drives::{Operate, Step};

const HISTORIES: u64 = 250;
const STEPS: u32 = 80;
/// After so many steps nobody changes anything for a while.
const UNTIL_CALM: u32 = 20;
/// Within so many looks all is done then, and so many looks change nothing.
const LOOKS_MAX: usize = 20;
const STILL: usize = 3;

/// A plan and a rotation of another secret, and no name of a file.
const FOREIGN_PLAN: &str = "ffff";
const FOREIGN_ROTATION: &str = "eeee";
const NO_NAME: &str = "../../etc/passwd";

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Why a rotation does not go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Paused,
    Stuck,
}

/// The open rotation.
struct Rotation {
    id: String,
    rolls_back: bool,
    /// The old key has not ended.
    back: bool,
    consent: bool,
    hold: Option<Hold>,
    waivers: Vec<String>,
}

impl Rotation {
    fn new(id: String) -> Self {
        Self { id, rolls_back: false, back: true, consent: false, hold: None, waivers: Vec::new() }
    }

    /// What a consent must say.
    fn confirm(&self) -> String {
        consent_text(&self.id, &self.waivers)
    }

    /// It waits for nobody.
    fn goes_on(&mut self) {
        (self.consent, self.hold) = (false, None);
    }

    fn roll_back(&mut self) {
        self.goes_on();
        self.rolls_back = true;
    }

    fn shown(&self) -> Open {
        Open {
            rolls_back: self.rolls_back,
            consent: self.consent,
            confirm: self.confirm(),
            held: self.hold.map(|_| "the host is away".to_owned()),
            stuck: self.hold == Some(Hold::Stuck),
            ..open(&self.id, self.back)
        }
    }
}

struct Plan {
    is_foreign: bool,
    /// The object's uid and the text of `rotate` that it was made for.
    made_for: String,
}

/// A process that does a step, for an annotation with this text.
struct Driver {
    operate: Operate,
    says: Option<String>,
}

/// What a server remembers.
#[derive(Default)]
struct Memories {
    /// The plan that is being made: what for, and what came of it.
    job: Option<(String, Option<jobs::Result>)>,
    begun: Option<String>,
    driver: Option<Driver>,
    refusals: BTreeMap<String, String>,
}

/// How a step went.
enum Went {
    On,
    Nothing(Option<String>),
    Refused(String),
}

/// How drivers do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Some do what they should, some refuse, and some die.
    Drawn,
    Well,
    /// No plan can be applied.
    NoPlan,
}

/// One look, at the object as it was read.
struct Look {
    object: SecretRotation,
    facts: Facts,
    is_calm: bool,
    /// Other secrets are driven.
    others: bool,
}

/// What a look came to: the first wish, and whether the status was another one.
struct Seen {
    wish: Option<Wish>,
    changed: bool,
}

struct World {
    seed: u64,
    random: Random,
    object: SecretRotation,
    /// The object before the last change by another one than the server.
    before: SecretRotation,
    plans: BTreeMap<String, Plan>,
    open: Option<Rotation>,
    ended: Vec<String>,
    has_value: bool,
    approvals: u8,
    server: Memories,
    /// Drivers of servers that ended.
    orphans: Vec<Driver>,
    numbers: u32,
    last_text: Option<String>,
    /// What each text of `rotate` of each object began.
    begun: BTreeMap<String, BTreeSet<String>>,
    /// The texts that began a rotation, or whose refusal a status had.
    answered: BTreeSet<String>,
    /// The texts whose plan somebody changed in the status.
    spoiled: BTreeSet<String>,
    /// What happened in all histories.
    met: BTreeSet<&'static str>,
}

/// A text of `rotate`: an object that is made anew asks anew.
fn text_of(object: &SecretRotation) -> String {
    format!("{} {}", object.uid, object.asks(asks::ROTATE).unwrap_or_default())
}

fn applying(plan: &str) -> Operate {
    Operate { rotation: plan.to_owned(), step: Step::Apply(Vec::new()) }
}

fn what(operate: &Operate, ask: &str) -> String {
    format!("{} {} {ask}", operate.step.word(), operate.rotation)
}

fn is_name(plan: &str) -> bool {
    plan.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_lost(facts: &Facts, asked: &Asked) -> bool {
    facts.lost.is_some() && asked.forget != facts.lost
}

/// Writes down what came of a step.
fn done(asked: &mut Asked, ask: &Ask, went: Went, facts: &Facts) {
    match went {
        Went::On => {}
        Went::Nothing(why) => refuse(asked, why.map(|why| (ask, why)), facts),
        Went::Refused(why) => return refuse(asked, Some((ask, why)), facts),
    }
    let taken = match ask.annotation {
        asks::ABORT => &mut asked.abort,
        asks::CONFIRM => &mut asked.confirm,
        _ => &mut asked.resume,
    };
    *taken = Some(ask.text.clone());
}

/// Beginnings and endings.
impl World {
    fn new(seed: u64) -> Self {
        let object = object(&[], Asked::default());
        let foreign = Plan { is_foreign: true, made_for: String::new() };
        let mut random = Random(seed);
        let approvals = if random.one_in(8) { 2 } else { 1 };
        Self {
            seed,
            random,
            before: object.clone(),
            object,
            plans: BTreeMap::from([(FOREIGN_PLAN.to_owned(), foreign)]),
            open: None,
            ended: Vec::new(),
            has_value: false,
            approvals,
            server: Memories::default(),
            orphans: Vec::new(),
            numbers: 0,
            last_text: None,
            begun: BTreeMap::new(),
            answered: BTreeSet::new(),
            spoiled: BTreeSet::new(),
            met: BTreeSet::new(),
        }
    }

    fn number(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn id(&mut self) -> String {
        format!("{:04x}", self.number())
    }

    fn knows(&self, id: &str) -> bool {
        self.open.as_ref().is_some_and(|open| open.id == id) || self.ended.iter().any(|ended| ended == id)
    }

    /// The last rotation that ended, or the first, or one that never was.
    fn other_rotation(&mut self) -> String {
        let known = match self.random.below(3) {
            0 => self.ended.last(),
            1 => self.ended.first(),
            _ => None,
        };
        known.cloned().unwrap_or_else(|| FOREIGN_ROTATION.to_owned())
    }

    /// The server ends; its driver may have done its step, may go on alone, or dies.
    fn crash(&mut self) {
        self.met.insert("the server ended");
        let Memories { driver, .. } = std::mem::take(&mut self.server);
        if let Some(driver) = driver {
            match self.random.below(3) {
                0 => drop(self.effect(&driver)),
                1 => self.orphans.push(driver),
                _ => {}
            }
        }
    }

    fn may_crash(&mut self, look: &Look) -> bool {
        let crashes = !look.is_calm && self.random.one_in(12);
        if crashes {
            self.crash();
        }
        crashes
    }

    fn has_failed(&mut self, look: &Look) -> bool {
        !look.is_calm && self.random.one_in(10)
    }
}

/// What drivers do.
impl World {
    fn effect(&mut self, driver: &Driver) -> Result<(), String> {
        let Operate { rotation, step } = &driver.operate;
        if matches!(step, Step::Apply(_)) {
            return self.apply(rotation);
        }
        let Some(open) = self.open.as_mut().filter(|open| open.id == *rotation) else {
            return Err("it is not open".to_owned());
        };
        match step {
            Step::Abort if open.back && !open.rolls_back => {
                assert_eq!(driver.says.as_ref(), Some(&open.id), "{}: the abort names it", self.seed);
                open.roll_back();
                self.met.insert("aborted");
            }
            Step::Abort => return Err("it cannot be rolled back any more".to_owned()),
            Step::Confirm(text) if open.consent && *text == open.confirm() => {
                let says = driver.says.as_ref();
                assert_eq!(says, Some(text), "{}: the consent is for these waivers", self.seed);
                open.goes_on();
                open.back = false;
                self.met.insert("confirmed");
            }
            Step::Confirm(_) => {
                self.met.insert("a consent was void");
                return Err("the consent is for other waivers".to_owned());
            }
            Step::Resume(_) | Step::Retry => {
                open.hold = None;
                self.met.insert("resumed");
            }
            Step::Apply(_) | Step::Consent => panic!("{}: an object asks for no {step:?}", self.seed),
        }
        Ok(())
    }

    fn apply(&mut self, id: &str) -> Result<(), String> {
        let is_possible = self.open.is_none() && !self.knows(id);
        let Some(plan) = self.plans.get(id).filter(|_| is_possible) else {
            return Err("the plan cannot be applied".to_owned());
        };
        assert!(!plan.is_foreign, "{}: a plan of another secret is never applied", self.seed);
        let text = plan.made_for.clone();
        let begun = self.begun.entry(text.clone()).or_default();
        begun.insert(id.to_owned());
        assert_eq!(begun.len(), 1, "{}: one text begins one rotation: {text} {begun:?}", self.seed);
        self.answered.insert(text);
        self.open = Some(Rotation::new(id.to_owned()));
        self.met.insert("applied");
        Ok(())
    }

    fn drivers(&mut self, mood: Mood) {
        if (mood != Mood::Drawn || self.random.one_in(2))
            && let Some(orphan) = self.orphans.pop()
        {
            drop(self.effect(&orphan));
        }
        let Some(driver) = self.server.driver.take() else { return };
        let is_apply = matches!(driver.operate.step, Step::Apply(_));
        let fails = match mood {
            Mood::Drawn => self.random.below(5) < 2,
            Mood::Well => false,
            Mood::NoPlan => is_apply,
        };
        let why = match fails {
            // It dies without a word.
            true if self.random.one_in(2) => None,
            true => Some("the issuer is away".to_owned()),
            false => self.effect(&driver).err(),
        };
        if let Some(why) = why {
            self.server.refusals.insert(driver.operate.rotation, why);
        }
    }

    fn plan_is_made(&mut self, always: bool) {
        let fails = !always && self.random.one_in(5);
        let id = self.id();
        let Some((made_for, done @ None)) = &mut self.server.job else { return };
        if fails {
            *done = Some(Err("the issuer is away".to_owned()));
        } else {
            *done = Some(Ok(id.clone()));
            self.plans.insert(id, Plan { is_foreign: false, made_for: made_for.clone() });
        }
    }

    /// The open rotation goes on, unless it waits for a person.
    fn advance(&mut self) {
        let is_consented = self.random.one_in(4);
        let Some(open) = self.open.as_mut().filter(|open| open.hold.is_none()) else { return };
        match (open.rolls_back, open.consent, open.back) {
            (false, true, _) => {}
            (false, false, true) if is_consented => open.back = false,
            (false, false, true) => open.consent = true,
            (true, _, _) | (false, false, false) => self.ended.extend(self.open.take().map(|open| open.id)),
        }
    }
}

/// What people do.
impl World {
    /// The object, which is another one from now on.
    fn edit(&mut self) -> &mut SecretRotation {
        self.before = self.object.clone();
        self.object.resource_version = self.number().to_string();
        &mut self.object
    }

    fn annotate(&mut self, annotation: &str, text: Option<String>) {
        let annotations = &mut self.edit().annotations;
        match text {
            Some(text) => annotations.insert(annotation.to_owned(), text),
            None => annotations.remove(annotation),
        };
    }

    fn person(&mut self) {
        let (number, other) = (self.number(), self.other_rotation());
        match self.random.below(14) {
            // Nobody writes a text of long ago: it would be a new one.
            0..=3 => {
                self.last_text = Some(format!("t{number}"));
                self.annotate(asks::ROTATE, self.last_text.clone());
            }
            4 => self.annotate(asks::ROTATE, None),
            5 => self.annotate(asks::ROTATE, self.last_text.clone()),
            6 | 7 => {
                let text = match (self.random.below(4), &self.open) {
                    (0, _) => None,
                    (1, Some(open)) => Some(open.id.clone()),
                    (_, Some(open)) => Some(open.confirm()),
                    (_, None) => Some(other),
                };
                self.annotate(asks::CONFIRM, text);
            }
            8 | 9 => {
                let text = match (self.random.below(4), &self.open) {
                    (0, _) => None,
                    (1 | 2, Some(open)) => Some(open.id.clone()),
                    (_, _) => Some(other),
                };
                self.annotate(asks::ABORT, text);
            }
            10 | 11 => {
                let text = (!self.random.one_in(4)).then(|| format!("r{number}"));
                self.annotate(asks::RESUME, text);
            }
            12 => {
                let lost = self.facts(&self.object).lost;
                let text = if self.random.one_in(4) { Some("v9".to_owned()) } else { lost };
                self.annotate(asks::FORGET, text);
            }
            _ if self.random.one_in(3) => self.make_anew(),
            _ => {}
        }
    }

    /// The object is deleted, and made anew, perhaps from a file that has its annotations.
    fn make_anew(&mut self) {
        let keeps = self.random.one_in(2);
        let uid = format!("u{}", self.number());
        let object = self.edit();
        (object.uid, object.status) = (uid, Status::default());
        if !keeps {
            object.annotations.clear();
        }
        self.met.insert("made anew");
    }

    /// Somebody writes into the status.
    fn rubbish(&mut self) {
        self.met.insert("rubbish");
        let plan = match self.random.below(4) {
            0 => FOREIGN_PLAN,
            1 => FOREIGN_ROTATION,
            2 => NO_NAME,
            _ => {
                let id = FOREIGN_ROTATION.to_owned();
                self.edit().status.rotation = Some(RotationStatus { id, ..RotationStatus::default() });
                return;
            }
        };
        let object = self.edit();
        object.status.asked.plan = Some(plan.to_owned());
        let text = object.status.asked.rotate.clone().unwrap_or_default();
        let text = format!("{} {text}", object.uid);
        self.spoiled.insert(text);
    }

    /// Anything but a look.
    fn step(&mut self) {
        let number = self.number();
        match self.random.below(20) {
            0..=3 => self.advance(),
            4 => {
                let hold = if self.random.one_in(2) { Hold::Stuck } else { Hold::Paused };
                if let Some(open) = self.open.as_mut().filter(|open| !open.rolls_back) {
                    open.hold = Some(hold);
                }
            }
            5 => {
                if let Some(open) = self.open.as_mut().filter(|open| open.back) {
                    open.roll_back();
                }
            }
            // It is due.
            6 if self.open.is_none() && self.has_value => self.open = Some(Rotation::new(self.id())),
            7 => {
                if let Some(open) = &mut self.open {
                    open.waivers.push(format!("w{number}"));
                }
            }
            8 => self.has_value = !self.random.one_in(5),
            9..=11 => self.drivers(Mood::Drawn),
            12 | 13 => self.plan_is_made(false),
            14 if self.random.one_in(2) => self.rubbish(),
            15 if self.random.one_in(3) => {
                let newest = self.plans.iter().rfind(|(_, plan)| !plan.is_foreign).map(|(id, _)| id.clone());
                if let Some(id) = newest {
                    self.plans.remove(&id);
                }
            }
            16.. => self.person(),
            _ => {}
        }
    }
}

/// What the server does.
impl World {
    fn facts(&self, object: &SecretRotation) -> Facts {
        let status = &object.status;
        let last = self.ended.last().and_then(|id| ended(id)).or_else(|| status.last_rotation.clone());
        let shown = status.rotation.as_ref().map(|shown| shown.id.clone());
        let had = status.version.clone().filter(|_| !self.has_value && self.open.is_none());
        Facts {
            value: self.has_value.then(value),
            open: self.open.as_ref().map(Rotation::shown),
            last,
            lost: shown.filter(|id| !self.knows(id)).or(had),
            planned: self.planned(status),
            approvals: self.approvals,
            ..at_rest()
        }
    }

    fn planned(&self, status: &Status) -> Planned {
        let Some(plan) = &status.asked.plan else { return Planned::Gone };
        if self.knows(plan) || status.last_rotation.as_ref().is_some_and(|last| last.id == *plan) {
            return Planned::Begun;
        }
        match self.plans.get(plan) {
            _ if !is_name(plan) => Planned::Foreign,
            Some(Plan { is_foreign: true, .. }) => Planned::Foreign,
            Some(_) => Planned::Waits,
            None => Planned::Gone,
        }
    }

    fn memory(&self, Look { object, others, .. }: &Look, plan: Option<jobs::Result>) -> Memory {
        let named = object.status.asked.plan.as_ref();
        let tried = named.filter(|plan| self.server.begun.as_ref() == Some(&what(&applying(plan), "")));
        let applied = tried.map(|plan| self.server.refusals.get(plan).cloned().map_or(Ok(()), Err));
        let driven = self.server.driver.is_some();
        Memory { plan, driven, busy: driven || *others, applied }
    }

    /// What is begun is what a person asked for, by all that was known.
    fn check_begun(&self, look: &Look, operate: &Operate) {
        let (object, id, seed) = (&look.object, operate.rotation.as_str(), self.seed);
        let open = look.facts.open.as_ref();
        if matches!(operate.step, Step::Apply(_)) {
            assert!(is_name(id), "{seed}: {id} becomes the name of a file");
            let plan = self.plans.get(id);
            assert!(plan.is_none_or(|plan| !plan.is_foreign), "{seed}: {id} is of another secret");
            let made_for = plan.map_or_else(|| text_of(object), |plan| plan.made_for.clone());
            assert_eq!(made_for, text_of(object), "{seed}: {id} was made for another text");
            return;
        }
        let open = open.filter(|open| open.shown.id == id).unwrap_or_else(|| panic!("{seed}: {id} is open"));
        match &operate.step {
            Step::Abort => {
                assert!(!open.back.is_empty() && !open.rolls_back, "{seed}: {id} can be rolled back");
                assert_eq!(object.asks(asks::ABORT), Some(id), "{seed}");
            }
            Step::Confirm(text) => {
                assert!(open.consent && *text == open.confirm, "{seed}: {id} wants this consent");
                assert_eq!(object.asks(asks::CONFIRM), Some(text.as_str()), "{seed}");
                assert!(look.facts.approvals < 2, "{seed}: one person is enough");
            }
            Step::Resume(_) | Step::Retry => {
                assert!(open.held.is_some(), "{seed}: {id} is held");
                assert_eq!(open.stuck, operate.step == Step::Retry, "{seed}");
                let before = object.status.asked.resume.as_deref();
                assert_ne!(object.asks(asks::RESUME), before, "{seed}: one text resumes once");
            }
            Step::Apply(_) | Step::Consent => panic!("{seed}: an object asks for no {:?}", operate.step),
        }
    }

    fn begin(&mut self, look: &Look, operate: Operate, ask: Option<&Ask>) -> Went {
        self.check_begun(look, &operate);
        let what = what(&operate, &ask.map(Ask::shown).unwrap_or_default());
        // The pause after an attempt.
        let is_over = look.is_calm || self.random.one_in(4);
        if self.server.begun.as_ref() == Some(&what) && !is_over {
            return match &self.server.driver {
                Some(_) => Went::On,
                None => Went::Nothing(self.server.refusals.get(&operate.rotation).cloned()),
            };
        }
        if let Some(driver) = &self.server.driver {
            if driver.operate.includes(&operate) {
                return Went::On;
            }
            let instead = !matches!(operate.step, Step::Apply(_) | Step::Retry)
                && driver.operate.step != Step::Abort
                && driver.operate.rotation == operate.rotation;
            if !instead {
                return Went::Refused("another one is driven".to_owned());
            }
        }
        // It may have been done just before its driver made way.
        if let Some(before) = self.server.driver.take().filter(|_| self.random.one_in(2)) {
            drop(self.effect(&before));
        }
        self.server.refusals.remove(&operate.rotation);
        self.server.begun = Some(what);
        self.server.driver = Some(Driver { operate, says: ask.map(|ask| ask.text.clone()) });
        Went::On
    }

    /// What was asked for, the plan that is to be applied, and the first wish.
    fn answer(&mut self, look: &Look) -> (Asked, Option<String>, Option<Wish>) {
        let Look { object, facts, .. } = look;
        let memory = self.memory(look, None);
        let (mut asked, first) = decide(object, facts, &memory);
        self.check_dealt(look, &asked);
        if memory.busy {
            let is_plan = matches!(first, Some(Wish::Plan(_)));
            assert!(!is_plan, "{}: a plan is made while something is driven", self.seed);
            let is_new = object.asks(asks::ROTATE).is_some_and(|text| asked.rotate.as_deref() != Some(text));
            if look.others && is_new && facts.open.is_none() && facts.value.is_some() {
                self.met.insert("waited for another secret");
            }
        }
        let mut wish = first.clone();
        if let Some(Wish::Plan(text)) = &first {
            let made_for = format!("{} {text}", object.uid);
            match &self.server.job {
                Some((its, done)) if *its == made_for => {
                    if let Some(done) = done.clone() {
                        (asked, wish) = decide(object, facts, &self.memory(look, Some(done)));
                    }
                }
                _ => self.server.job = Some((made_for, None)),
            }
        }
        match wish {
            Some(Wish::Step(operate, ask)) => {
                let went = self.begin(look, operate, Some(&ask));
                done(&mut asked, &ask, went, facts);
                (asked, None, first)
            }
            Some(Wish::Apply(plan)) => (asked, Some(plan), first),
            Some(Wish::Plan(_)) | None => (asked, None, first),
        }
    }

    /// A consent or an abort that is dealt with just now, and not by a step, is refused in the same answer, or it is over.
    fn check_dealt(&self, Look { object, facts, .. }: &Look, asked: &Asked) {
        let before = &object.status.asked;
        for (annotation, was, is) in
            [(asks::ABORT, &before.abort, &asked.abort), (asks::CONFIRM, &before.confirm, &asked.confirm)]
        {
            if was == is {
                continue;
            }
            let text = object.asks(annotation);
            assert_eq!(is.as_deref(), text, "{}: {annotation}", self.seed);
            let ask = Ask { annotation, text: text.unwrap_or_default().to_owned() };
            let is_over = ask.text.split('/').next() == facts.last_id();
            let is_said = asked.refused_ask == Some(ask.shown());
            assert!(is_over || is_said, "{}: {} is dealt with, and nothing is said", self.seed, ask.shown());
        }
    }

    /// What is said to be refused is asked for now, of this rotation or of none; and what was lost is in the way.
    fn check_asked(&self, look: &Look, asked: &Asked, first: Option<&Wish>) {
        let Look { object, facts, .. } = look;
        let open = facts.open.as_ref().map(|open| open.shown.id.as_str());
        if is_lost(facts, asked) && open.is_none() {
            assert_eq!(first, None, "{}: a person looks first", self.seed);
        }
        let Some((word, text)) = asked.refused_ask.as_deref().and_then(|of| of.split_once('=')) else {
            return;
        };
        assert_eq!(object.asks(&format!("keyroll.dev/{word}")), Some(text), "{}: {word}", self.seed);
        assert_eq!(
            asked.refused_after,
            facts.point(),
            "{}: {word}={text}: no rotation began or ended",
            self.seed
        );
        if word == "resume" {
            let is_late = asked.refused.as_deref() == Some("nothing is paused or stuck");
            assert!(open.is_some() || is_late, "{}: {word}={text} is about an open rotation", self.seed);
        }
        if word == "abort" && open == Some(text) {
            let rolls_back = facts.open.as_ref().is_some_and(|open| open.rolls_back);
            assert!(!rolls_back, "{}: {text} is rolled back, and was refused", self.seed);
        }
        if (word == "confirm" || word == "abort") && text.split('/').next() != open {
            let why = match open {
                Some(id) => format!("it names another rotation than the open one, {id}"),
                None => "no rotation is open".to_owned(),
            };
            assert_eq!(asked.refused, Some(why), "{}: {word}={text}", self.seed);
            let dealt = if word == "abort" { &asked.abort } else { &asked.confirm };
            assert_eq!(dealt.as_deref(), Some(text), "{}: {word} is refused once", self.seed);
        }
    }

    /// A consent and an abort are about the open rotation, one that is coming, or one that was lost; or they were dealt with.
    fn check_known(&self, facts: &Facts) {
        let asked = &self.object.status.asked;
        let open = facts.open.as_ref().map(|open| open.shown.id.as_str());
        for (annotation, dealt) in [(asks::ABORT, &asked.abort), (asks::CONFIRM, &asked.confirm)] {
            let Some(text) = self.object.asks(annotation) else { continue };
            let id = text.split('/').next();
            let is_known = [open, asked.plan.as_deref(), facts.lost.as_deref()].contains(&id);
            assert!(
                is_known || dealt.as_deref() == Some(text),
                "{}: {annotation}={text} has no answer",
                self.seed
            );
        }
    }

    /// What an object is shown.
    fn status(&self, Look { object, facts, .. }: &Look, asked: Asked) -> Status {
        let standing = Standing {
            now: "2026-01-01T00:00:00Z".to_owned(),
            accepted: Accepted::Yes,
            consumers: Vec::new(),
            value: facts.value.clone().ok_or_else(|| "it is being imported".to_owned()),
            open: facts.open.clone(),
            last: facts.last.clone(),
            queued: None,
            base: None,
            pods: None,
            held: None,
            lost: facts.lost.clone().filter(|_| is_lost(facts, &asked)),
            asked,
            pod: None,
        };
        status(object, &standing)
    }

    fn look(&mut self, is_calm: bool) -> Seen {
        let is_old = !is_calm && self.random.one_in(6);
        let object = if is_old { self.before.clone() } else { self.object.clone() };
        let facts = self.facts(&object);
        while !is_calm && self.random.one_in(3) {
            self.step();
        }
        let others = !is_calm && self.random.one_in(4);
        let mut look = Look { object, facts, is_calm, others };
        let (asked, apply, wish) = self.answer(&look);
        self.check_asked(&look, &asked, wish.as_ref());
        if asked.refused.as_deref().is_some_and(|why| why.contains("names another rotation")) {
            self.met.insert("a wrong id");
        }
        let new = self.status(&look, asked);
        let changed = !is_same(&look.object.status, &new);
        let seen = Seen { wish, changed };
        if self.may_crash(&look) {
            return seen;
        }
        if changed {
            if look.object.resource_version != self.object.resource_version {
                self.met.insert("overtaken");
                return seen;
            }
            if self.has_failed(&look) {
                return seen;
            }
            self.write(new);
            look.object = self.object.clone();
            // It was written, and the answer did not come.
            if self.has_failed(&look) {
                return seen;
            }
        }
        if self.may_crash(&look) {
            return seen;
        }
        if let Some(plan) = apply.filter(|plan| look.object.status.asked.plan.as_ref() == Some(plan)) {
            self.begin(&look, applying(&plan), None);
        }
        seen
    }

    fn write(&mut self, new: Status) {
        if let Some(text) = new.asked.refused_ask.as_deref().and_then(|ask| ask.strip_prefix("rotate=")) {
            self.answered.insert(format!("{} {text}", self.object.uid));
            self.met.insert("refused");
        }
        if new.rotation.as_ref().is_some_and(|shown| !self.knows(&shown.id)) {
            self.met.insert("lost");
        }
        self.object.resource_version = self.number().to_string();
        self.object.status = new;
        self.before = self.object.clone();
    }
}

/// What comes of it.
impl World {
    /// Nobody changes anything, and no server ends: soon nothing is left to do, and each text of `rotate` has its answer.
    fn calm(&mut self) {
        self.has_value |= self.random.one_in(2);
        let mood = if self.random.one_in(3) { Mood::NoPlan } else { Mood::Well };
        let mut still = 0;
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let Seen { wish, changed } = self.look(true);
            still = if changed || wish.is_some() { 0 } else { still + 1 };
            last = wish;
            if still == STILL {
                break;
            }
            self.drivers(mood);
            self.plan_is_made(true);
            self.advance();
        }
        let seed = self.seed;
        assert_eq!(still, STILL, "{seed}: it never ends: {last:?} {:?}", self.object.status.asked);
        let (facts, asked) = (self.facts(&self.object), &self.object.status.asked);
        self.check_known(&facts);
        let text = text_of(&self.object);
        let Some(rotate) = self.object.asks(asks::ROTATE) else { return };
        if !self.has_value || is_lost(&facts, asked) || self.spoiled.contains(&text) {
            return;
        }
        assert!(self.answered.contains(&text), "{seed}: {text} has no answer: {asked:?}");
        if self.begun.contains_key(&text) {
            let refused = format!("rotate={rotate}");
            assert_ne!(asked.refused_ask, Some(refused), "{seed}: what began was not refused");
        }
    }
}

#[test]
fn in_every_history_a_person_gets_what_was_asked_for_once_or_reads_why_not() {
    let mut met = BTreeSet::new();
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for at in 1..=STEPS {
            if world.random.one_in(3) {
                world.look(false);
            } else {
                world.step();
            }
            if at % UNTIL_CALM == 0 {
                world.calm();
            }
        }
        met.append(&mut world.met);
    }
    let all = [
        "a consent was void",
        "a wrong id",
        "aborted",
        "applied",
        "confirmed",
        "lost",
        "made anew",
        "overtaken",
        "refused",
        "resumed",
        "rubbish",
        "the server ended",
        "waited for another secret",
    ];
    assert_eq!(met, BTreeSet::from(all), "the histories have all of it");
}
