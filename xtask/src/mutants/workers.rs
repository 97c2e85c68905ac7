//! Runs mutants in processes of their own: a mutant that never ends, or ends its process, stops nothing else.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::build::Program;
use super::fate::Fate;

/// The longest that the simulation of one mutant may take. Its switch stops a mutant that loops long before.
pub(super) const MUTANT_TIME_MAX: Duration = Duration::from_secs(180);

/// The longest that the tests of one mutant may take, in addition to ten times what they take without one.
const TESTS_TIME_MORE: Duration = Duration::from_secs(20);

/// Tests wait more than they compute, so more of them run at a time than there are processors.
const TESTS_PER_CORE: usize = 2;

/// How often an end is looked for.
const POLL: Duration = Duration::from_millis(5);

/// How the simulation is run.
pub(super) struct Simulation {
    pub(super) program: PathBuf,
    /// Random schedules in the list.
    pub(super) seeds: u64,
    /// Schedules per kind and mutant.
    pub(super) each_max: u64,
    /// Which mutants each schedule reaches.
    pub(super) reached: PathBuf,
    /// The longest that one mutant may take.
    pub(super) time_max: Duration,
}

impl Simulation {
    /// Runs every schedule without a mutant. Returns how many schedules there are, and how many break an invariant.
    pub(super) fn reach(&self) -> Result<(usize, usize), String> {
        let parts = cores();
        let text = in_threads(parts, |part| self.reach_part(part, parts))?.concat();
        let schedules = text.lines().count();
        let broken = text.lines().filter(|line| line.contains("\"broken\":true")).count();
        super::workspace::write(&self.reached, &text)?;
        Ok((schedules, broken))
    }

    fn reach_part(&self, part: usize, parts: usize) -> Result<String, String> {
        let words = ["reach".to_owned(), self.seeds.to_string(), part.to_string(), parts.to_string()];
        let output = Command::new(&self.program).args(words).stderr(Stdio::null()).output();
        let output =
            output.map_err(|error| format!("could not start {}: {error}", self.program.display()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("the schedules could not be run without a mutant: {}", output.status))
        }
    }

    /// Runs these mutants on as many processes as there are cores.
    pub(super) fn run(&self, numbers: &[u32], told: impl Fn(&Fate) + Sync) -> Result<Vec<Fate>, String> {
        over(cores(), numbers, |next| {
            let mut worker: Option<Worker> = None;
            let mut fates = Vec::new();
            while let Some(number) = next() {
                let mut current = match worker.take() {
                    Some(worker) => worker,
                    None => Worker::start(self)?,
                };
                let (fate, lives) = current.run(number, self.time_max)?;
                if lives {
                    worker = Some(current);
                }
                told(&fate);
                fates.push(fate);
            }
            Ok(fates)
        })
    }
}

/// One process that runs mutant after mutant.
struct Worker {
    child: Child,
    numbers: ChildStdin,
    lines: Receiver<String>,
}

impl Worker {
    fn start(simulation: &Simulation) -> Result<Self, String> {
        let mut child = Command::new(&simulation.program)
            .args(["run", &simulation.seeds.to_string(), &simulation.each_max.to_string()])
            .arg(&simulation.reached)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("could not start {}: {error}", simulation.program.display()))?;
        let (Some(numbers), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a worker has no pipes".to_owned());
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, numbers, lines })
    }

    /// The fate of one mutant, and whether the process can run another one.
    fn run(&mut self, number: u32, time_max: Duration) -> Result<(Fate, bool), String> {
        // A process that cannot read has ended; then there is no line either.
        let _ = writeln!(self.numbers, "{number}").and_then(|()| self.numbers.flush());
        match self.lines.recv_timeout(time_max) {
            Ok(line) => {
                let value: Value = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
                Ok((Fate::of_simulation(number, &value), true))
            }
            Err(RecvTimeoutError::Timeout) => {
                Ok((Fate::new(number, "endless", "its process was stopped"), false))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map(|status| status.to_string()).unwrap_or_default();
                Ok((Fate::new(number, "aborted", &status), false))
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended needs nothing.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the tests with each of these mutants. Returns those that a test noticed, with the test.
pub(super) fn tests(
    programs: &[Program],
    numbers: &[u32],
    told: impl Fn(&Fate) + Sync,
) -> Result<Vec<Fate>, String> {
    let mut limits = Vec::new();
    for program in programs {
        let begun = Instant::now();
        if let Some(failed) = test(program, None, Duration::MAX)? {
            return Err(format!("{} fails without a mutant: {failed}", program.path.display()));
        }
        limits.push(TESTS_TIME_MORE + begun.elapsed() * 10);
    }
    over(cores() * TESTS_PER_CORE, numbers, |next| {
        let mut fates = Vec::new();
        while let Some(number) = next() {
            let mut fate = Fate::new(number, "survived", "");
            for (program, limit) in programs.iter().zip(&limits) {
                if let Some(failed) = test(program, Some(number), *limit)? {
                    fate = Fate::new(number, "test", &failed);
                    break;
                }
            }
            told(&fate);
            fates.push(fate);
        }
        Ok(fates)
    })
}

/// Runs a test program. Returns the first test that fails, also when it is run again alone: a test that only failed beside
/// busy processes found nothing.
fn test(program: &Program, mutant: Option<u32>, limit: Duration) -> Result<Option<String>, String> {
    let failed = match ended(program, mutant, limit, &[])? {
        Ended::Passed => return Ok(None),
        Ended::Broken(how) => return Ok(Some(how)),
        Ended::Failed(tests) => tests,
    };
    for name in failed {
        match ended(program, mutant, limit, &["--exact", &name])? {
            Ended::Passed => {}
            Ended::Failed(_) | Ended::Broken(_) => return Ok(Some(name)),
        }
    }
    Ok(None)
}

/// How a test program ended.
enum Ended {
    Passed,
    /// These tests failed.
    Failed(Vec<String>),
    /// It was stopped, or ended without saying which test failed.
    Broken(String),
}

fn ended(program: &Program, mutant: Option<u32>, limit: Duration, words: &[&str]) -> Result<Ended, String> {
    let mut command = Command::new(&program.path);
    if let Some(number) = mutant {
        command.env("KEYROLL_MUTANT", number.to_string());
    }
    // Snapshots are compared with the files of the copy, and never written.
    command.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", super::workspace::copy());
    command.args(words).current_dir(&program.folder);
    let failed = |error: std::io::Error| format!("could not start {}: {error}", program.path.display());
    let log = log_of(&program.path, mutant);
    let output = std::fs::File::create(&log).map_err(failed)?;
    let mut child = command.stdout(output).stderr(Stdio::null()).spawn().map_err(failed)?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if begun.elapsed() > limit => {
                drop(child.kill());
                drop(child.wait());
                break None;
            }
            None => std::thread::sleep(POLL),
        }
    };
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    drop(std::fs::remove_file(&log));
    let failed = text.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    let failed: Vec<String> = failed.map(str::to_owned).collect();
    Ok(match status {
        None => Ended::Broken("it did not end".to_owned()),
        Some(status) if status.success() => Ended::Passed,
        Some(status) if failed.is_empty() => Ended::Broken(status.to_string()),
        Some(_) => Ended::Failed(failed),
    })
}

fn log_of(program: &Path, mutant: Option<u32>) -> PathBuf {
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    super::workspace::below(&format!("{name}-{}.log", mutant.unwrap_or_default()))
}

/// Lets so many threads take one number after the other.
fn over(
    threads: usize,
    numbers: &[u32],
    work: impl Fn(&dyn Fn() -> Option<u32>) -> Result<Vec<Fate>, String> + Sync,
) -> Result<Vec<Fate>, String> {
    let left = Mutex::new(numbers.iter().copied());
    let next = || left.lock().ok()?.next();
    Ok(in_threads(threads, |_| work(&next))?.concat())
}

/// Runs the work once per thread, with the number of the thread. Returns the results in this order, or one of the errors.
fn in_threads<T: Send>(
    threads: usize,
    work: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        // Every thread is joined, also after an error.
        let results: Vec<_> =
            ended.map(|it| it.unwrap_or_else(|_| Err("a thread panicked".to_owned()))).collect();
        results.into_iter().collect()
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mutant that stops, ends or blocks its process takes none of the others with it.
    #[test]
    fn a_mutant_ends_only_its_own_process() {
        let folder = std::env::temp_dir().join(format!("keyroll-workers-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("worker");
        let script = "#!/bin/sh\nwhile read number; do case $number in\n2) kill -ABRT $$ ;;\n3) exec sleep 3600 ;;\n\
                      *) echo '{\"result\":\"survived\",\"schedules\":7}' ;;\nesac; done\n";
        // Another process writes it: no process that another test starts meanwhile has it open for writing.
        let mut write = Command::new("sh");
        write.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 700 \"$2\"", "sh", script]);
        assert!(write.arg(&program).status().unwrap().success());
        let time_max = Duration::from_secs(10);
        let simulation =
            Simulation { program, seeds: 0, each_max: 0, reached: folder.join("none"), time_max };
        let mut fates = simulation.run(&[1, 2, 3, 4, 5], |_| {}).unwrap();
        fates.sort_by_key(|fate| fate.number);
        std::fs::remove_dir_all(&folder).unwrap();
        let results: Vec<&str> = fates.iter().map(|fate| fate.result.as_str()).collect();
        assert_eq!(results, ["survived", "aborted", "endless", "survived", "survived"]);
        assert_eq!(fates[0].what, "");
    }
}
