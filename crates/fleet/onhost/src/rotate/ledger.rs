//! Which steps of a rotation were begun and carried out here: a durable record per secret beside the fence, so that the same
//! order runs a command once, however often it comes.
//!
//! A step belongs to one installation, rotation, epoch of the driver, intent, and word of the order. The record has only the
//! steps of one driver, and of them the last ones: a number, a word and an outcome each, no value. A driver that takes the
//! rotation over finds those of the one before, until it has a step of its own: whether a command was carried out whose answer
//! that one did not live to hear. As an answer to its own orders they count for nothing: the state folder of the new driver may
//! be a copy that was made before the last steps, and give their numbers to others. For the same reason the steps of a driver
//! that this state folder does not know are removed when the first connection of the new driver is opened.
//!
//! | the order | begun and not ended | carried out | failed |
//! |---|---|---|---|
//! | runs a command (`apply`, `fetch`) | answered: its outcome is unknown | answered as before | answered as before |
//! | writes a file (`deliver`) | carried out | answered as before | carried out: one intent may try several versions |
//! | `remove_superseded` | carried out | carried out: one intent may remove several versions' entries | carried out |
//!
//! An order that is carried out here once more has been sent once more: one that comes again behind a later one is refused by when
//! it was sent.
//!
//! Whether a damaged record is about an order, nobody can say. To take it for an empty one could run a command twice; to
//! refuse everything from then on would hold up the rotation, and a rollback, until somebody logs in there. So the orders that
//! are recorded are refused under the driver that found it, and the next driver begins a new record: then a command that was
//! carried out may be run once more.

#![expect(clippy::disallowed_methods, reason = "the record of the steps is keyroll's own")]

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use keyroll_codes::Code;
use keyroll_host::keep_whole;
use keyroll_link::{ClassForm, Order, Reply};
use keyroll_port::{Class, Failure};
use serde::{Deserialize, Serialize};

use super::fence::{Claim, is_among, record_name};

/// How many steps are kept. A host is given one order at a time.
const STEPS_MAX: usize = 16;

/// The longest record that is read, bytes.
const BYTES_MAX: u64 = 64 << 10;

/// The record of one secret's steps, for one driver of one rotation.
pub(super) struct Ledger {
    /// The folder of the fence.
    folder: PathBuf,
    /// The name of the record in it.
    file: String,
    /// Whose steps these are.
    driver: Driver,
}

/// Whose steps a record has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Driver {
    /// Its installation.
    installation: String,
    /// The rotation's id.
    rotation: String,
    /// It rises with each driver of the installation.
    epoch: u64,
    /// What it drew.
    driver: String,
}

/// What a record holds.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Whose steps these are.
    driver: Driver,
    /// The latest one is the last.
    steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    /// The intent's number in the journal.
    intent: u64,
    /// The word of the order.
    order: String,
    /// `None`: it was begun.
    outcome: Option<Outcome>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It was carried out.
    Done,
    /// It was not carried out, because of pending changes that nobody had accepted.
    Refused,
    /// It failed.
    Failed {
        /// What is known about its effect.
        class: ClassForm,
        /// The number of the page under docs/errors.
        code: String,
    },
}

/// What an order does, and so what is recorded of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It runs a command: recorded before it and after it.
    Command,
    /// It writes a file: recorded once it is written.
    File,
}

impl Ledger {
    /// The record for the driver of this claim. Nothing is read yet. `folder`: that of the fence.
    pub(super) fn of(folder: &Path, claim: &Claim) -> Self {
        let Claim { secret, installation, epoch, driver, turn: _, rotation } = claim;
        let (installation, rotation) = (installation.clone(), rotation.clone());
        let driver = Driver { installation, rotation, epoch: *epoch, driver: driver.clone() };
        Self { folder: folder.to_owned(), file: format!("{}.steps", record_name(secret)), driver }
    }

    /// Removes the record of another rotation, one of a driver that the state folder does not know (it went on with a copy of
    /// that), and one that cannot be used. Only for the first connection of a driver that holds the fence. `before`: the drivers
    /// that the state folder knows.
    ///
    /// # Errors
    /// The system refused it.
    pub(super) fn begin_anew(&self, before: &[(u64, String)]) -> Result<(), Failure> {
        let is_known = |of: &Driver| *of == self.driver || is_among(before, of.epoch, &of.driver);
        if self.record().is_ok_and(|record| record.is_some_and(|record| is_known(&record.driver))) {
            return Ok(());
        }
        match fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.unusable(Class::Retryable, "remove").because(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The answer to an order that came before; `None`: it is to be carried out.
    ///
    /// # Errors
    /// It failed before, or may have been carried out without a recorded outcome; or the record cannot be used. Nothing was
    /// changed by this.
    pub(super) fn answer(&self, order: &Order) -> Result<Option<Reply>, Failure> {
        let Some(effect) = effect_of(order) else { return Ok(None) };
        let Some(step) = self.steps()?.into_iter().rfind(|step| step.is_of(order)) else { return Ok(None) };
        match (effect, step.outcome) {
            (Effect::File, Some(Outcome::Done)) => Ok(Some(Reply::Done)),
            (Effect::File, Some(Outcome::Refused | Outcome::Failed { .. }) | None) => Ok(None),
            (Effect::Command, Some(outcome)) => outcome.reply(order).map(Some),
            (Effect::Command, None) => Err(repeated(Class::Unknown, Code::RestartFailed, order).because(
                "its command was begun before, and keyroll-host ended before the outcome was known: it may have run, and is \
                 not run again before keyroll has looked",
            )),
        }
    }

    /// Whether a command of this intent is recorded as carried out, by this driver or by the one before it.
    ///
    /// # Errors
    /// The record cannot be used.
    pub(super) fn has_done(&self, intent: u64) -> Result<bool, Failure> {
        let commands = ["apply", "fetch"];
        let is_it = |step: &Step| step.intent == intent && commands.contains(&step.order.as_str());
        let steps = self.record()?.map(|record| record.steps).unwrap_or_default();
        let found = steps.into_iter().rfind(is_it);
        Ok(found.is_some_and(|step| step.outcome == Some(Outcome::Done)))
    }

    /// Records durably that an order begins, if it runs a command.
    ///
    /// # Errors
    /// The record cannot be used or written: the order must not begin.
    pub(super) fn begin(&self, order: &Order) -> Result<(), Failure> {
        match effect_of(order) {
            Some(Effect::Command) => self.put(Step::of(order, None)),
            Some(Effect::File) | None => Ok(()),
        }
    }

    /// Records how an order ended. If that cannot be written, its command counts as begun: it is never run again.
    pub(super) fn end(&self, order: &Order, reply: &Result<Reply, Failure>) {
        let Some(effect) = effect_of(order) else { return };
        let outcome = Outcome::of(reply);
        if effect == Effect::Command || outcome == Outcome::Done {
            drop(self.put(Step::of(order, Some(outcome))));
        }
    }

    /// Adds a step, in the place of the same one before.
    fn put(&self, step: Step) -> Result<(), Failure> {
        let mut steps = self.steps()?;
        steps.retain(|known| (known.intent, &known.order) != (step.intent, &step.order));
        steps.push(step);
        steps.drain(..steps.len().saturating_sub(STEPS_MAX));
        let record = Record { driver: self.driver.clone(), steps };
        let text = serde_json::to_string(&record).map_err(|error| {
            Failure::new(Class::Permanent, Code::InternalError, "record a step of the rotation")
                .because(error)
        })?;
        let failed = |error: io::Error| self.unusable(Class::Retryable, "write").because(error);
        keep_whole(&self.folder, &self.file, &text).map_err(failed)
    }

    /// The steps of this driver.
    fn steps(&self) -> Result<Vec<Step>, Failure> {
        let own = self.record()?.filter(|record| record.driver == self.driver);
        Ok(own.map(|record| record.steps).unwrap_or_default())
    }

    /// The record of this driver, or of the one before it in the same rotation.
    fn record(&self) -> Result<Option<Record>, Failure> {
        let failed = |error: io::Error| self.unusable(Class::Retryable, "read").because(error);
        let file = match File::open(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            self.unusable(Class::Permanent, "read").because(error).help(
                "it is no record of this version of keyroll: stop keyroll, and the next driver of the rotation begins a new one; or \
                 remove the file on the host, if no command of the rotation runs there",
            )
        })?;
        let Driver { installation, rotation, epoch, driver: _ } = &record.driver;
        let same = (installation, rotation) == (&self.driver.installation, &self.driver.rotation);
        let is_own = record.driver == self.driver;
        Ok((is_own || same && *epoch < self.driver.epoch).then_some(record))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(&self.file)
    }

    fn unusable(&self, class: Class, verb: &str) -> Failure {
        let attempted = format!("{verb} the record of steps {}", self.path().display());
        Failure::new(class, Code::StateUnusable, attempted)
    }
}

impl Step {
    fn of(order: &Order, outcome: Option<Outcome>) -> Self {
        Self { intent: order.intent(), order: order.kind().to_owned(), outcome }
    }

    fn is_of(&self, order: &Order) -> bool {
        self.intent == order.intent() && self.order == order.kind()
    }
}

impl Outcome {
    /// Without what the answer says beyond that.
    fn of(reply: &Result<Reply, Failure>) -> Self {
        match reply {
            Ok(Reply::Applied { done: false, .. }) => Self::Refused,
            Ok(Reply::Failed(form)) => Self::Failed { class: form.class, code: form.code.clone() },
            Ok(_) => Self::Done,
            Err(failure) => {
                Self::Failed { class: failure.class.into(), code: failure.code.as_str().to_owned() }
            }
        }
    }

    /// The answer to the same order again.
    fn reply(&self, order: &Order) -> Result<Reply, Failure> {
        match self {
            Self::Done if matches!(order, Order::Apply { .. }) => {
                Ok(Reply::Applied { done: true, changes: Vec::new() })
            }
            Self::Done => Ok(Reply::Done),
            // Without the changes nobody could accept them: the next step looks at them again.
            Self::Refused => Err(repeated(Class::Retryable, Code::PendingChange, order)
                .because("it was not carried out because of pending changes, which the first answer named")),
            Self::Failed { class, code } => {
                let code = Code::parse(code).unwrap_or(Code::InternalError);
                let failure = repeated((*class).into(), code, order);
                Err(failure.because("it failed when it came first; the first answer says why"))
            }
        }
    }
}

/// What an order does that must not be done twice without need; `None`: nothing.
fn effect_of(order: &Order) -> Option<Effect> {
    match order {
        Order::Fetch { .. } | Order::Apply { .. } => Some(Effect::Command),
        Order::Deliver { .. } => Some(Effect::File),
        Order::Open(_)
        | Order::Survey(_)
        | Order::Copies { .. }
        | Order::Live
        | Order::Trial { .. }
        | Order::Carries { .. }
        | Order::Delivered { .. }
        | Order::RemoveSuperseded { .. }
        | Order::BeforeGivenOut { .. }
        | Order::AwaitEnd { .. }
        | Order::Enumerate { .. }
        | Order::Prepare { .. }
        | Order::Go { .. }
        | Order::Describe { .. }
        | Order::WatchRefusals
        | Order::Refusals
        | Order::Caller { .. }
        | Order::Sweep { .. }
        | Order::Search(_) => None,
    }
}

/// The same order came again.
fn repeated(class: Class, code: Code, order: &Order) -> Failure {
    let (intent, word) = (order.intent(), order.kind());
    Failure::new(class, code, format!("carry out step {intent} ({word}) of the rotation once more"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use keyroll_link::{AskedForm, Sealed, WhichForm};

    use super::*;

    fn claim(rotation: &str, epoch: u64) -> Claim {
        let installation = "0f".repeat(16);
        let driver = format!("{epoch:032x}");
        Claim {
            secret: "acme".to_owned(),
            installation,
            epoch,
            driver,
            turn: 1,
            rotation: rotation.to_owned(),
        }
    }

    /// The drivers that a state folder knows before this one.
    fn before(epoch: u64) -> Vec<(u64, String)> {
        (1..epoch).map(|epoch| (epoch, claim("17ab", epoch).driver)).collect()
    }

    fn asked(intent: u64) -> AskedForm {
        AskedForm { intent, until_ms: 0 }
    }

    fn apply(intent: u64) -> Order {
        Order::Apply { consumer: 0, slot: 0, asked: asked(intent), accepted: None }
    }

    fn values() -> Sealed {
        Sealed { enc: String::new(), text: String::new() }
    }

    fn deliver(intent: u64) -> Order {
        Order::Deliver { file: 0, which: WhichForm::New, values: values(), asked: asked(intent) }
    }

    fn failed(class: Class) -> Result<Reply, Failure> {
        Err(Failure::new(class, Code::RestartFailed, "restart api"))
    }

    fn applied(done: bool) -> Result<Reply, Failure> {
        Ok(Reply::Applied { done, changes: Vec::new() })
    }

    /// What is known of the effect, and the code.
    fn of(failure: Failure) -> (Class, Code) {
        (failure.class, failure.code)
    }

    #[test]
    fn a_command_that_ended_is_answered_as_before_by_every_connection_of_the_driver() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = || Ledger::of(folder.path(), &claim("17ab", 3));
        assert_eq!(ledger().answer(&apply(1)).unwrap(), None);
        let outcomes = [applied(true), applied(false), failed(Class::Permanent), failed(Class::Unknown)];
        for (intent, reply) in (1..).zip(&outcomes) {
            ledger().begin(&apply(intent)).unwrap();
            ledger().end(&apply(intent), reply);
        }
        assert_eq!(ledger().answer(&apply(1)).unwrap(), applied(true).ok());
        assert_eq!(of(ledger().answer(&apply(2)).unwrap_err()), (Class::Retryable, Code::PendingChange));
        assert_eq!(of(ledger().answer(&apply(3)).unwrap_err()), (Class::Permanent, Code::RestartFailed));
        assert_eq!(of(ledger().answer(&apply(4)).unwrap_err()), (Class::Unknown, Code::RestartFailed));
        // Another step, and another order of the same one.
        assert_eq!(ledger().answer(&apply(5)).unwrap(), None);
        assert_eq!(ledger().answer(&deliver(1)).unwrap(), None);
    }

    #[test]
    fn of_a_command_that_was_only_begun_the_outcome_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(folder.path(), &claim("17ab", 3));
        ledger.begin(&apply(1)).unwrap();
        let failure = ledger.answer(&apply(1)).unwrap_err();
        assert!(failure.source.as_ref().unwrap().to_string().contains("it may have run"));
        assert_eq!(of(failure), (Class::Unknown, Code::RestartFailed));
        assert_eq!(ledger.answer(&apply(2)).unwrap(), None);
    }

    #[test]
    fn a_delivery_is_answered_only_once_it_was_made_and_what_is_harmless_never() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(folder.path(), &claim("17ab", 3));
        ledger.begin(&deliver(1)).unwrap();
        assert_eq!(ledger.answer(&deliver(1)).unwrap(), None);
        ledger.end(&deliver(1), &failed(Class::Permanent));
        assert_eq!(ledger.answer(&deliver(1)).unwrap(), None);
        ledger.end(&deliver(1), &Ok(Reply::Done));
        assert_eq!(ledger.answer(&deliver(1)).unwrap(), Some(Reply::Done));
        let removal = Order::RemoveSuperseded { values: values(), asked: asked(2) };
        ledger.begin(&removal).unwrap();
        ledger.end(&removal, &Ok(Reply::Done));
        assert_eq!(ledger.answer(&removal).unwrap(), None);
    }

    #[test]
    fn the_steps_of_another_rotation_installation_or_driver_answer_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = Ledger::of(folder.path(), &claim("17ab", 3));
        let written = || {
            first.begin(&apply(1)).unwrap();
            first.end(&apply(1), &applied(true));
        };
        let elsewhere = Claim { installation: "1e".repeat(16), ..claim("17ab", 3) };
        for other in [claim("18cd", 3), claim("17ab", 4), elsewhere] {
            written();
            let other = Ledger::of(folder.path(), &other);
            assert_eq!(other.answer(&apply(1)).unwrap(), None);
            other.begin(&apply(2)).unwrap();
            assert_eq!(first.answer(&apply(1)).unwrap(), None, "the record is the other one's");
        }
        // Each secret has a record of its own.
        written();
        let secret = Claim { secret: "other".to_owned(), ..claim("17ab", 3) };
        assert_eq!(Ledger::of(folder.path(), &secret).answer(&apply(1)).unwrap(), None);
    }

    #[test]
    fn the_next_driver_learns_what_was_carried_out_until_it_has_a_step_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let of = |rotation, epoch| Ledger::of(folder.path(), &claim(rotation, epoch));
        let first = of("17ab", 3);
        first.begin(&apply(1)).unwrap();
        first.end(&apply(1), &applied(true));
        first.begin(&apply(2)).unwrap();
        let next = of("17ab", 4);
        next.begin_anew(&before(4)).unwrap();
        assert_eq!([1, 2, 3].map(|intent| next.has_done(intent).unwrap()), [true, false, false]);
        assert_eq!(next.answer(&apply(1)).unwrap(), None);
        next.begin(&apply(3)).unwrap();
        assert!(!next.has_done(1).unwrap(), "this driver has come to its own steps");
        // An older driver learns nothing of them, and another rotation begins without them.
        next.end(&apply(3), &applied(true));
        assert!(!first.has_done(3).unwrap());
        of("18cd", 5).begin_anew(&before(5)).unwrap();
        assert!(!next.has_done(3).unwrap());
    }

    #[test]
    fn the_steps_of_a_driver_that_the_state_folder_does_not_know_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        // The state folder was copied before the third driver: each copy has one.
        let third = claim("17ab", 3);
        let of_copy = Claim { driver: "c0".repeat(16), ..third.clone() };
        let next = Ledger::of(folder.path(), &claim("17ab", 4));
        for (before_it, is_known) in [(&third, true), (&of_copy, false)] {
            let before_it = Ledger::of(folder.path(), before_it);
            before_it.begin(&apply(1)).unwrap();
            before_it.end(&apply(1), &applied(true));
            next.begin_anew(&before(4)).unwrap();
            assert_eq!((next.has_done(1).unwrap(), next.path().exists()), (is_known, is_known));
        }
        // A driver keeps its own, whatever is known of others.
        next.begin(&apply(2)).unwrap();
        next.end(&apply(2), &applied(true));
        next.begin_anew(&[]).unwrap();
        assert_eq!(next.answer(&apply(2)).unwrap(), applied(true).ok());
    }

    #[test]
    fn a_record_has_the_last_steps_once_each_and_is_of_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(folder.path(), &claim("17ab", 3));
        for intent in 1..=20 {
            ledger.begin(&apply(intent)).unwrap();
            ledger.end(&apply(intent), &applied(true));
        }
        let kept: Vec<u64> = ledger.steps().unwrap().iter().map(|step| step.intent).collect();
        assert_eq!(kept, (5..=20).collect::<Vec<u64>>());
        let mode = fs::metadata(ledger.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_damaged_record_is_refused_by_its_name_until_the_next_driver_begins() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::of(folder.path(), &claim("17ab", 3));
        let long = format!("{{\"driver\":{}", " ".repeat(1 << 17));
        for damaged in ["", "{", "[]", "\u{fffd}", long.as_str()] {
            fs::write(ledger.path(), damaged).unwrap();
            for refused in [ledger.answer(&apply(1)).map(drop), ledger.begin(&apply(1))] {
                let failure = refused.unwrap_err();
                assert!(failure.attempted.ends_with(ledger.path().to_str().unwrap()), "{failure:?}");
                assert_eq!(of(failure), (Class::Permanent, Code::StateUnusable));
            }
            assert_eq!(fs::read_to_string(ledger.path()).unwrap(), damaged);
            let next = Ledger::of(folder.path(), &claim("17ab", 4));
            next.begin_anew(&before(4)).unwrap();
            next.begin_anew(&before(4)).unwrap();
            next.begin(&apply(1)).unwrap();
        }
    }
}
