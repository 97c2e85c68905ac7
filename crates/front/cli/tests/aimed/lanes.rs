//! One rotation, killed again and again at the named places, and what must hold at its end.

use std::collections::BTreeMap;
use std::fs;
use std::hash::RandomState;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keyroll_testkit::command::kill;
use keyroll_testkit::issuer::{Ask, Issuer, Key, Moment};
use rustix::process::{Pid, Signal, kill_process};

use crate::aimed::book::{self, Shown};
use crate::aimed::gate::Gate;
use crate::aimed::kind::{By, Kind, When};
use crate::kill::scene::{Accepts, Ran, Scene};
use crate::kill::trace;

/// For each issuer, kind and moment: the number of kills, by the end of the rotation.
pub type Tally = BTreeMap<(bool, Kind, When), BTreeMap<String, usize>>;

/// How long one command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(150);

/// How many other writes of the same file may occur before the aimed one.
const BESIDE_MAX: u64 = 12;

/// How long a request may take at the HTTP issuer; the driver waits this long for a lost one.
const REQUEST_MAX: &str = "2s";

/// The label of the first key at the HTTP issuer.
const BY_HAND: &str = "by hand";

/// The label of a key that the operator makes during a rotation.
const MADE: &str = "made at the console";

/// The next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    Apply,
    /// Revokes the old key first.
    ApplyNow,
    /// With a worker that does not start on a new value.
    ApplyInVain,
    /// Until a pause right after the old key was disabled; the pause enables it again.
    ApplyUntilSoak,
    ApplyUntilQuiesce,
    /// Until the rotation waits for a key that the operator makes.
    ApplyUntilMade,
    /// With that key.
    Give,
    Abort,
    Resume,
    ResumeUntilStage,
    ResumeUntilRoll,
    /// An emergency during a rollback.
    ResumeForward,
}

/// How a rotation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    /// With calls refused meanwhile: an outage was stated.
    DoneAfterOutage,
    RolledBack,
    /// With a key that a person made.
    DoneByHand,
}

/// A command, and where it is killed.
type Step = (Go, Option<(Kind, When)>);

#[derive(Clone)]
pub struct Lane {
    pub name: &'static str,
    http: bool,
    fetches: bool,
    by_hand: bool,
    steps: Vec<Step>,
    end: End,
}

/// Several kinds, each before and after, all by the same command.
fn both(go: Go, kinds: &[Kind]) -> Vec<Step> {
    kinds
        .iter()
        .flat_map(|kind| [(*kind, When::Before), (*kind, When::After)])
        .map(|aim| (go, Some(aim)))
        .collect()
}

fn all(go: Go, kind: Kind, whens: &[When]) -> Vec<Step> {
    whens.iter().map(|when| (go, Some((kind, *when)))).collect()
}

/// Every lane, the longest first. PostgreSQL's wait for a lost request is long, so its rotations are killed less often.
pub fn lanes() -> Vec<Lane> {
    [postgres(), http()].concat()
}

fn lane(name: &'static str, http: bool, end: End, steps: &[Vec<Step>]) -> Lane {
    Lane { name, http, fetches: false, by_hand: false, steps: steps.concat(), end }
}

/// Without a kill.
fn only(go: Go) -> Vec<Step> {
    vec![(go, None)]
}

fn postgres() -> Vec<Lane> {
    use Go::{
        Abort, Apply, ApplyNow, ApplyUntilQuiesce, ApplyUntilSoak, Resume, ResumeUntilRoll, ResumeUntilStage,
    };
    use Kind::{
        ApplyNew, ApplyOld, Choose, DeleteNew, DeliverNew, DeliverOld, Demote, Disable, Enable, EndSessions,
        Mint, Promote, RetireNew, RetireOld, Revoke, Stage,
    };
    use When::{After, Before, Sealed};
    vec![
        lane(
            "PostgreSQL: the new key deleted",
            false,
            End::RolledBack,
            &[
                only(ApplyUntilQuiesce),
                all(Abort, Demote, &[Before]),
                all(Resume, Demote, &[After]),
                both(Resume, &[DeleteNew, RetireNew]),
            ],
        ),
        lane(
            "PostgreSQL: the old key",
            false,
            End::Done,
            &[
                all(Apply, Mint, &[Sealed]),
                both(Resume, &[Disable]),
                all(Resume, Revoke, &[Before]),
                all(Resume, EndSessions, &[Before]),
                both(Resume, &[RetireOld]),
            ],
        ),
        lane(
            "PostgreSQL: promoted",
            false,
            End::Done,
            &[all(Apply, Mint, &[After]), only(ResumeUntilRoll), both(Resume, &[Promote])],
        ),
        lane(
            "PostgreSQL: back",
            false,
            End::RolledBack,
            &[
                all(ApplyUntilSoak, Enable, &[Before]),
                all(Abort, Enable, &[After]),
                both(Resume, &[DeliverOld, ApplyOld]),
            ],
        ),
        lane(
            "PostgreSQL: forward",
            false,
            End::Done,
            &[
                both(Apply, &[Choose]),
                all(Resume, Mint, &[Before]),
                only(ResumeUntilStage),
                both(Resume, &[Stage, DeliverNew, ApplyNew]),
            ],
        ),
        lane("PostgreSQL: ended first", false, End::DoneAfterOutage, &[both(ApplyNow, &[Revoke])]),
    ]
}

fn http() -> Vec<Lane> {
    use Go::{Abort, Apply, ApplyInVain, ApplyNow, ApplyUntilQuiesce, ApplyUntilSoak, Resume, ResumeForward};
    use Kind::{
        ApplyNew, ApplyOld, DeleteAbandoned, DeleteNew, DeleteOrphan, DeliverNew, DeliverOld, Demote,
        Disable, Enable, EndSessions, Fetch, Mint, Promote, RetireNew, RetireOld, Revoke, Stage,
    };
    use When::{After, Before, Late, Sealed};
    let forward = [
        all(Apply, Mint, &[Before, Late, After, Sealed]),
        both(Resume, &[Stage, DeliverNew, ApplyNew, Promote, Fetch]),
    ];
    vec![
        lane(
            "HTTP: back",
            true,
            End::RolledBack,
            &[
                all(ApplyUntilSoak, Enable, &[Before]),
                all(Abort, Enable, &[After]),
                both(Resume, &[Demote, DeliverOld, ApplyOld, DeleteNew, RetireNew]),
            ],
        ),
        Lane { fetches: true, ..lane("HTTP: forward", true, End::Done, &forward) },
        lane(
            "HTTP: a worker that does not start",
            true,
            End::RolledBack,
            &[
                all(ApplyInVain, ApplyNew, &[Before]),
                both(Resume, &[DeliverOld]),
                all(Resume, ApplyOld, &[Before, Late]),
            ],
        ),
        lane(
            "HTTP: the old key",
            true,
            End::Done,
            &[both(Apply, &[Disable, Revoke, EndSessions, RetireOld])],
        ),
        lane(
            "HTTP: abandoned",
            true,
            End::Done,
            &[
                only(ApplyUntilQuiesce),
                all(Abort, DeleteNew, &[Before]),
                all(ResumeForward, DeleteAbandoned, &[Before]),
                all(Resume, DeleteAbandoned, &[After]),
            ],
        ),
        // Apart from other mints: after five in vain a rotation goes back.
        lane(
            "HTTP: orphans",
            true,
            End::Done,
            &[all(Apply, Mint, &[After]), both(Resume, &[DeleteOrphan]), all(Resume, ApplyNew, &[Late])],
        ),
        Lane {
            by_hand: true,
            ..lane(
                "HTTP: made by hand",
                true,
                End::DoneByHand,
                &[only(Go::ApplyUntilMade), all(Go::Give, Kind::TakeIn, &[Before, Sealed])],
            )
        },
        lane("HTTP: ended first", true, End::DoneAfterOutage, &[both(ApplyNow, &[Revoke])]),
    ]
}

impl Lane {
    /// Carries it out; how it ended, or nothing where a part is missing.
    pub fn run(&self, program: &Path) -> Option<&'static str> {
        let mut gate = None;
        let scene = if self.http {
            Scene::http_of(program, REQUEST_MAX, self.fetches, self.by_hand)
        } else {
            Scene::postgres_by(program, |port| gate.insert(Gate::before(port)).port())?
        };
        let id = scene.plan();
        let mut run =
            Run { lane: self, scene: &scene, gate, id, hasher: RandomState::new(), log: Vec::new() };
        for (at, (go, aim)) in self.steps.iter().enumerate() {
            // After a kill the same command would be refused, so the rotation is resumed.
            let again = at > 0 && self.steps[at - 1].0 == *go && *go != Go::Give;
            let go = if again { Go::Resume } else { *go };
            match aim {
                Some((kind, when)) => run.kill_at(go, *kind, *when),
                None => run.until_it_pauses(go),
            }
        }
        run.to_its_end();
        Some(match self.end {
            End::Done | End::DoneAfterOutage | End::DoneByHand => "done",
            End::RolledBack => "rolled back",
        })
    }

    /// Its kills, by how it ended.
    pub fn count(&self, end: String, tally: &mut Tally) {
        for (kind, when) in self.steps.iter().filter_map(|(_, aim)| *aim) {
            *tally.entry((self.http, kind, when)).or_default().entry(end.clone()).or_default() += 1;
        }
    }
}

struct Run<'a> {
    lane: &'a Lane,
    scene: &'a Scene,
    gate: Option<Gate>,
    id: String,
    hasher: RandomState,
    log: Vec<String>,
}

impl Run<'_> {
    fn words(&self, go: Go) -> Vec<&str> {
        let id = self.id.as_str();
        match go {
            Go::Apply | Go::ApplyInVain | Go::ApplyUntilMade => vec!["apply", id, "--confirm", "ring"],
            Go::ApplyNow => vec!["apply", id, "--confirm", "ring", "--emergency", "revoke-now"],
            Go::ApplyUntilSoak => vec!["apply", id, "--confirm", "ring", "--until", "soak"],
            Go::ApplyUntilQuiesce => vec!["apply", id, "--confirm", "ring", "--until", "quiesce"],
            Go::Give => vec!["resume", id, "--confirm", "ring", "--value-file", "run/new.key"],
            Go::Abort => vec!["abort", id],
            Go::Resume => vec!["resume", id, "--confirm", "ring"],
            Go::ResumeUntilStage => vec!["resume", id, "--confirm", "ring", "--until", "stage"],
            Go::ResumeUntilRoll => vec!["resume", id, "--confirm", "ring", "--until", "roll"],
            Go::ResumeForward => vec!["resume", id, "--confirm", "ring", "--emergency", "roll-first"],
        }
    }

    /// Kills the driver at that moment, between the intent and the outcome of this kind of operation, and checks that
    /// it was at that point.
    fn kill_at(&mut self, mut go: Go, kind: Kind, when: When) {
        if go == Go::ApplyInVain {
            let script = "sha256sum <api/api.env >run/fails-on";
            let status = Command::new("sh").args(["-c", script]).current_dir(self.scene.dir()).status();
            assert!(status.unwrap().success());
        }
        let (mut nth, mut apart) = (1, false);
        for _ in 0..BESIDE_MAX {
            let before = Shown::of(self.scene, &self.id, &self.hasher);
            let ran = self.attempt(go, kind, when, nth);
            let at = format!("{go:?}, {kind:?} {when:?} {nth}");
            assert!(ran.killed, "{at} was not met\n{}\n{}", self.log.join("\n"), ran.text);
            let begun = book::begun(self.scene, &self.id);
            let shown = Shown::of(self.scene, &self.id, &self.hasher);
            let effect = shown.effect(kind, when == When::Sealed, &before);
            self.log.push(format!("{at}: killed in {} at {begun:?}, effect {effect:?}", ran.last_phase()));
            let there = begun.contains(&kind);
            let seen = kind != Kind::DeleteOrphan || ran.last_phase() == "mint";
            assert!(seen, "a lost mint is found before anything is made of another\n{}", self.log.join("\n"));
            if there && effect.is_none_or(|effect| effect == when.effected()) {
                return;
            }
            let counted = matches!(kind.by(when, self.lane.http), By::Store | By::Folder);
            assert!(counted, "{}\n{}", self.log.join("\n"), ran.text);
            // Another write of the same operation, or of one before it, which the next driver need not repeat.
            nth += u64::from(there || apart);
            apart = !there && !apart;
            // Until the value is sealed, the operator has to enter it again.
            go = if go == Go::Give { go } else { Go::Resume };
        }
        panic!("{kind:?} {when:?} was not met in {BESIDE_MAX} runs\n{}", self.log.join("\n"));
    }

    /// One command with its trap.
    fn attempt(&self, go: Go, kind: Kind, when: When, nth: u64) -> Ran {
        let driver: Arc<OnceLock<u32>> = Arc::default();
        let known = driver.clone();
        let act = move || kill(&known);
        let record = self.scene.home().join("state").join(trace::name());
        let mut begun = None;
        match kind.by(when, self.lane.http) {
            By::Request(ask) => self.issuer(|issuer| {
                let old = matches!(kind, Kind::Disable | Kind::Enable | Kind::Revoke);
                let of =
                    if old { |key: &Key| key.label == BY_HAND } else { |key: &Key| key.label != BY_HAND };
                issuer.trap(ask, when.moment(), if ask == Ask::EndSession { |_| true } else { of }, act);
                if kind == Kind::EndSessions {
                    // Somebody connects with the old key at the moment when it is revoked.
                    let there = issuer.clone();
                    let connect = move || there.linger(BY_HAND).unwrap();
                    issuer.trap(Ask::Delete, Moment::Meanwhile, |key| key.label == BY_HAND, connect);
                }
            }),
            By::Statement(said) => self.gate.as_ref().unwrap().trap(said, when, act),
            By::Command => {
                let aim = self.scene.dir().join(format!("run/aim-{}", when.word()));
                fs::write(aim, "").unwrap();
            }
            By::Store => {
                let log = self.scene.home().join("state/secrets.db-wal");
                // Every commit of an entered value is complete when the driver is killed.
                let calls =
                    if when.effected() || kind == Kind::TakeIn { "fsync,fdatasync" } else { "pwrite64" };
                begun = Some(trace::killed_on(self.scene.keyroll(), &record, &log, calls, nth));
            }
            By::Folder => {
                let folder = self.scene.dir().join("api");
                let calls = if when.effected() { "fsync,fdatasync" } else { "rename,renameat,renameat2" };
                begun = Some(trace::killed_on(self.scene.keyroll(), &record, &folder, calls, nth));
            }
        }
        let child = self.scene.command(begun, &self.words(go)).spawn().unwrap();
        driver.set(child.id()).unwrap();
        let ran = ended(child);
        let _ = fs::remove_file(record);
        self.issuer(Issuer::disarm);
        self.gate.iter().for_each(Gate::disarm);
        ran
    }

    fn issuer(&self, with: impl FnOnce(&Issuer)) {
        if let Accepts::Http(issuer) = &self.scene.accepts {
            with(issuer);
        }
    }

    fn until_it_pauses(&mut self, go: Go) {
        let ran = ended(self.scene.command(None, &self.words(go)).spawn().unwrap());
        let code = if go == Go::ApplyUntilMade { 6 } else { 4 };
        assert_eq!(ran.code, Some(code), "{}\n{}", self.log.join("\n"), ran.text);
        self.log.push(format!("{go:?} paused"));
        if go == Go::ApplyUntilMade {
            self.scene.made_by_hand(MADE);
        }
    }

    /// No more kills. The operator has deleted the file with the key, because the value is sealed.
    fn to_its_end(&self) {
        let _ = fs::remove_file(self.scene.dir().join("run/new.key"));
        let ran = ended(self.scene.command(None, &self.words(Go::Resume)).spawn().unwrap());
        let told = || format!("{}\n{}", self.log.join("\n"), ran.text);
        let outcome = ran.events.iter().find(|event| event["type"] == "done").map(|event| &event["outcome"]);
        let (code, word, label) = match self.lane.end {
            End::Done | End::DoneAfterOutage => (0, "done", "keyroll/"),
            End::DoneByHand => (0, "done", MADE),
            End::RolledBack => (5, "rolled_back", BY_HAND),
        };
        assert_eq!(
            (ran.code, outcome.and_then(|word| word.as_str())),
            (Some(code), Some(word)),
            "{}",
            told()
        );
        let shown = Shown::of(self.scene, &self.id, &self.hasher);
        assert!(shown.agrees(code == 0), "{shown:?}\n{}", told());
        let _ = fs::remove_file(self.scene.dir().join("run/fails-on"));
        println!("{}:\n  {}", self.lane.name, self.log.join("\n  "));
        match self.lane.end {
            End::Done => self.scene.check(),
            End::DoneByHand => self.scene.check_unrefused(label),
            End::RolledBack | End::DoneAfterOutage => self.scene.check_end(label),
        }
    }
}

/// Its end, within a limit.
fn ended(mut child: Child) -> Ran {
    let (pid, over) = (Pid::from_child(&child), Instant::now() + COMMAND_TIME_MAX);
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            from.read_to_end(&mut text).unwrap();
            text
        })
    };
    let (out, err) = (read(Box::new(out)), read(Box::new(err)));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > over {
            // Its traces end with it.
            kill_process(pid, Signal::TERM).unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Ran::of(&std::process::Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() })
}
