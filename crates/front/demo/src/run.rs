use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::interval;

use crate::books::Books;
use crate::load::{Load, Sent};
use crate::part::describe;
use crate::pipeline::{Ended, Event, Holder, News, Pipeline, Running, residues};
use crate::scene::Scene;
use crate::screen::Screen;
use crate::summary::{Outcome, RotationResult, Summary};

/// Requests a second through the front of `api`, and through each other entrance.
const API_PER_SECOND: u64 = 400;
const OTHERS_PER_SECOND: u64 = 100;
/// The fewest requests of a successful run: the callers continue until then.
const REQUESTS_MIN: u64 = 10_500;
/// How long the callers may continue for that.
const REQUESTS_MS_MAX: u64 = 30_000;
/// How many holders are adopted before the demo gives up.
const ADOPTIONS_MAX: usize = 3;
/// How often the live line shows the callers' counts.
const COUNT_MS: u64 = 200;

/// How to run the demo.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Events as JSON, one per line; the last line is the summary.
    pub json: bool,
    /// Plain lines even on a terminal.
    pub plain: bool,
    /// Leaves the folder of the demo, and says where it is.
    pub keep: bool,
    /// The keyroll executable to run; `None` = this one.
    pub program: Option<PathBuf>,
}

/// Runs the whole demo: the scene, the load, the pipeline as an operator runs it, the closing table, the clean-up.
///
/// Returns 0 when the rotation is done and no request failed, otherwise the pipeline's exit code for how it ended, 1
/// when the demo itself failed, 130 on Ctrl-C. In any case its processes are ended and its folder is removed.
pub fn run(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(
                &Failure::new(Class::Retryable, Code::DemoFailed, "start the demo").because(error),
            );
        }
    };
    let outcome = runtime.block_on(async {
        let mut stop = Stop::new()?;
        let mut demo = Demo::raise(&options, &mut stop).await?;
        let played = demo.play(&mut stop).await;
        if matches!(played, Err(Halt::Stopped)) {
            demo.screen.step(&stopped(demo.scene.folder(), options.keep));
        }
        // The scene blocks while it ends its processes; nothing else runs any more.
        tokio::task::block_in_place(|| drop(demo));
        played
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Halt::Stopped) => ExitCode::from(130),
        Err(Halt::Failed(failure)) => failed(&failure),
    }
}

/// What remains after Ctrl-C.
fn stopped(folder: &Path, keep: bool) -> String {
    let folder = folder.display();
    match keep {
        true => format!("stopped: the demo ends its processes; {folder} stays"),
        false => format!("stopped: the demo ends its processes and removes {folder}"),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", describe(failure));
    ExitCode::FAILURE
}

/// Why the demo did not come to its end.
enum Halt {
    /// Ctrl-C, SIGTERM or SIGHUP.
    Stopped,
    Failed(Failure),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The signals on which the demo cleans up and ends.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> Result<Self, Failure> {
        let on = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Class::Permanent, Code::DemoFailed, "listen for signals for the demo")
                    .because(error)
            })
        };
        Ok(Self([on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?]))
    }

    async fn came(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

struct Demo {
    scene: Scene,
    pipeline: Pipeline,
    screen: Screen,
    load: Option<Load>,
    /// The first key's id at the issuer.
    old: String,
}

impl Demo {
    async fn raise(options: &Options, stop: &mut Stop) -> Result<Self, Halt> {
        let mut screen = Screen::new(options.json, options.plain);
        screen.open();
        let program = match &options.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|error| {
                Failure::new(Class::Permanent, Code::DemoFailed, "find the program of the demo")
                    .because(error)
            })?,
        };
        screen.step("starting an issuer, five workers behind two proxies, and a job at rest");
        let raised = program.clone();
        let mut raising = tokio::task::spawn_blocking(move || Scene::raise(&std::env::temp_dir(), &raised));
        let lost = |error: tokio::task::JoinError| {
            Failure::new(Class::Permanent, Code::DemoFailed, "start the demo's parts").because(error)
        };
        let mut scene = tokio::select! {
            scene = &mut raising => scene.map_err(lost)??,
            () = stop.came() => {
                screen.step("stopped: the demo ends its processes and removes its folder");
                // From here on, dropping the scene ends every process that it started.
                drop(raising.await);
                return Err(Halt::Stopped);
            }
        };
        let folder = scene.folder().to_owned();
        if options.keep {
            scene.keep_folder();
            screen.step(&format!("everything is in {}, and stays there", folder.display()));
        }
        let path = folder.join("first.id");
        let old = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("read {}", path.display()))
                .because(error)
        })?;
        Ok(Self { scene, pipeline: Pipeline::new(program, folder), screen, load: None, old })
    }

    async fn play(&mut self, stop: &mut Stop) -> Result<u8, Halt> {
        let load = Load::start(&self.scene.entrances(), |entrance| match entrance {
            "front-api" => API_PER_SECOND,
            _ => OTHERS_PER_SECOND,
        });
        self.load = Some(load);
        self.screen.step("600 requests a second from here on; each is sent once");
        let began = Instant::now();
        let mut seen = RotationResult::default();
        match self.rotate(&mut seen, stop).await {
            Ok(()) => {}
            Err(Halt::Failed(failure)) => self.screen.step(&describe(&failure)),
            Err(Halt::Stopped) => return Err(Halt::Stopped),
        }
        seen.took_s = began.elapsed().as_secs_f64();
        let sent = self.finish_load(&seen, stop).await?;
        Ok(self.close(&seen, &sent).await)
    }

    async fn add_secret(&mut self, stop: &mut Stop) -> Result<(), Halt> {
        let adding = self.pipeline.add_secret(&self.old)?;
        let (ended, said) = self.follow(adding, stop, |_| ()).await?;
        // keyroll has sealed the key; remove the demo's plain copy, which the search would find.
        let _ = std::fs::remove_file(self.scene.folder().join("first.key"));
        Ok(expect_done(ended, &said, "add the demo's secret")?)
    }

    /// Add, plan, apply, and what an operator does when the rotation pauses.
    async fn rotate(&mut self, seen: &mut RotationResult, stop: &mut Stop) -> Result<(), Halt> {
        self.add_secret(stop).await?;
        let plan = self.plan(stop).await?;
        let mut running = self.pipeline.apply(&plan)?;
        for adoptions in 0.. {
            let (mut holder, mut debt) = (None, false);
            let heed = |event: &Event| match &event.news {
                News::Blocked(found) => holder = Some(found.clone()),
                News::NotVisible(what) if !seen.not_visible.contains(what) => {
                    seen.not_visible.push(what.clone())
                }
                News::Closed { debt: owed, dead_confirmed } => {
                    debt = *owed;
                    seen.dead_confirmed = *dead_confirmed;
                    seen.residues.extend(residues(&event.value));
                }
                News::Phase(_) | News::Planned(_) | News::Failed(_) | News::NotVisible(_) | News::Other => {}
            };
            let (ended, said) = self.follow(running, stop, heed).await?;
            match (ended, holder) {
                (Ended::Paused | Ended::NeedsHuman, Some(holder)) if adoptions < ADOPTIONS_MAX => {
                    self.adopt(&holder, stop).await?;
                    seen.blocked.get_or_insert(holder);
                    running = self.pipeline.resume()?;
                }
                (ended, _) => {
                    seen.outcome = outcome(ended, debt);
                    if ended != Ended::Done {
                        said.lines().for_each(|line| self.screen.step(line));
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// `plan`; gives the plan's id.
    async fn plan(&mut self, stop: &mut Stop) -> Result<String, Halt> {
        let mut plan = None;
        let planning = self.pipeline.plan()?;
        let heed = |event: &Event| {
            if let News::Planned(id) = &event.news {
                plan = Some(id.clone());
            }
        };
        let (ended, said) = self.follow(planning, stop, heed).await?;
        expect_done(ended, &said, "plan the demo's rotation")?;
        Ok(plan.ok_or_else(|| {
            Failure::new(Class::Permanent, Code::DemoFailed, "plan the demo's rotation")
                .because("it named no plan")
        })?)
    }

    async fn adopt(&mut self, holder: &Holder, stop: &mut Stop) -> Result<(), Halt> {
        let Holder { name, found_by, .. } = holder;
        self.screen.step(&format!("{name} still uses the old key (found by {found_by}): adopting it"));
        let adopting = self.pipeline.adopt(holder)?;
        let (ended, said) = self.follow(adopting, stop, |_| ()).await?;
        Ok(expect_done(ended, &said, "adopt the forgotten worker")?)
    }

    /// Shows a command's events until it ends, and returns its failure message; on a signal the command is paused
    /// first.
    async fn follow(
        &mut self,
        mut running: Running,
        stop: &mut Stop,
        mut heed: impl FnMut(&Event),
    ) -> Result<(Ended, String), Halt> {
        let mut failures = String::new();
        let mut tick = interval(Duration::from_millis(COUNT_MS));
        loop {
            let event: Option<Event> = tokio::select! {
                event = running.next() => event?,
                _ = tick.tick() => {
                    if let Some(load) = &self.load {
                        self.screen.count(&load.sent());
                    }
                    continue;
                }
                () = stop.came() => {
                    running.interrupt().await;
                    return Err(Halt::Stopped);
                }
            };
            let Some(event) = event else { break };
            heed(&event);
            if let News::Failed(why) = &event.news {
                failures.push_str(why);
            }
            self.screen.event(&event);
        }
        let (ended, said) = running.end().await?;
        Ok((ended, failures + &said))
    }

    /// After a successful rotation, lets the callers continue until enough requests were made; then stops them.
    async fn finish_load(&mut self, seen: &RotationResult, stop: &mut Stop) -> Result<Sent, Halt> {
        let Some(load) = self.load.take() else {
            return Ok(Sent::default());
        };
        let deadline = Instant::now() + Duration::from_millis(REQUESTS_MS_MAX);
        let go_on = |sent: Sent| seen.outcome == Outcome::Done && sent.requests < REQUESTS_MIN;
        while go_on(load.sent()) && Instant::now() < deadline {
            self.screen.count(&load.sent());
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(COUNT_MS)) => {}
                () = stop.came() => return Err(Halt::Stopped),
            }
        }
        Ok(load.stop().await)
    }

    /// Ends the workers, compares both counts, and shows the closing table; returns the exit code.
    async fn close(&mut self, seen: &RotationResult, sent: &Sent) -> u8 {
        let scene = &self.scene;
        tokio::task::block_in_place(|| scene.end_workers());
        let books = match Books::read(self.scene.folder()).await {
            Ok(books) => books,
            Err(failure) => {
                self.screen.step(&describe(&failure));
                Books::default()
            }
        };
        let shown = seen.blocked.is_some() || seen.outcome != Outcome::Done;
        if !shown {
            let why = self.scene.said("parent");
            self.screen
                .step(&format!("the forgotten worker did not hold up the old key's end; its parent: {why}"));
        }
        let summary = Summary::new(seen, sent, &books, &self.old);
        let table = summary.table(seen, sent, &books, &self.old);
        self.screen.close(&table, &summary);
        match summary.outcome {
            Outcome::Done if summary.failed == 0 && books.agree() && shown => 0,
            Outcome::Done => 1,
            Outcome::Paused => 4,
            Outcome::RolledBack => 5,
            Outcome::Stuck | Outcome::Debt => 6,
        }
    }
}

fn outcome(ended: Ended, debt: bool) -> Outcome {
    match ended {
        Ended::Done if debt => Outcome::Debt,
        Ended::Done => Outcome::Done,
        Ended::Paused | Ended::Interrupted => Outcome::Paused,
        Ended::RolledBack => Outcome::RolledBack,
        Ended::NeedsHuman | Ended::Failed => Outcome::Stuck,
    }
}

fn expect_done(ended: Ended, said: &str, attempted: &str) -> Result<(), Failure> {
    if ended == Ended::Done {
        return Ok(());
    }
    let last = said.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n");
    Err(Failure::new(Class::Permanent, Code::DemoFailed, attempted.to_owned()).because(last))
}
