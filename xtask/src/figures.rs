//! The headline figures: measured in one run on one machine, as ratios where a peer can be measured too.

mod cluster;
mod fleet;
mod host_program;
mod house;
mod page;
mod seen;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::page::{Figure, Scope};
use self::seen::{last_json, number};
use crate::run::{output, root, run};
use crate::tidy;

/// The largest released binary, bytes.
const BINARY_BYTES_MAX: u64 = 60_000_000;

/// The released binary.
const BINARY: &str = "target/dist/keyroll";

/// How often the binary is started for the start-up figure.
const STARTS: usize = 41;

/// A folder with one small file.
const SMALL: &str = "target/figures";

/// Seeds of the simulation for its speed.
const SEEDS: &str = "20000";

/// The time between two samples of a driving process, milliseconds.
const SAMPLE_MS: u64 = 10;

/// One measurement; it adds its lines to the table.
type Measure = fn(&mut Vec<Figure>) -> Result<(), String>;

/// The measurements, by name.
const MEASURES: [(&str, Measure); 18] = [
    ("demo", demo),
    ("start-up", start_up),
    ("size", size),
    ("keyroll-host", host_program::size),
    ("cost", cost),
    ("fleet", fleet::measure),
    ("cluster", cluster::measure),
    ("follow", cluster::follow),
    ("follow-real", cluster::follow_real),
    ("store-to-file", cluster::store_to_file),
    ("journal", journal),
    ("needle", needle),
    ("processes", processes),
    ("leaks", leaks),
    ("simulation", simulation),
    ("opens", house::opens),
    ("house", house::sizes),
    ("builds", house::builds),
];

/// Those that do not start the released programs: to build these takes many minutes.
const WITHOUT_PROGRAM: [&str; 4] = ["cluster", "follow", "follow-real", "store-to-file"];

/// Makes these measurements, or all, and writes docs/reference/figures.md. A measurement that fails is on the page as not
/// measured, and makes the command fail at its end.
///
/// # Errors
/// A name is of no measurement (then nothing is measured), or a measurement failed.
pub(crate) fn figures(names: &[String]) -> Result<(), String> {
    let is_unknown = |name: &&String| MEASURES.iter().all(|(measure, _)| *measure != name.as_str());
    if let Some(name) = names.iter().find(is_unknown) {
        let all = MEASURES.map(|(measure, _)| measure).join(", ");
        return Err(format!("there is no measurement `{name}`; there are {all}"));
    }
    let is_wanted = |name: &str| names.is_empty() || names.iter().any(|one| one == name);
    let wanted = MEASURES.into_iter().filter(|(name, _)| is_wanted(name)).collect::<Vec<_>>();
    if wanted.iter().any(|(name, _)| !WITHOUT_PROGRAM.contains(name)) {
        run("cargo", &["build", "--profile", "dist", "--quiet", "-p", "keyroll", "-p", "keyroll-sim"])?;
    }
    let measured = wanted.iter().map(|(name, _)| *name).collect();
    let scope = if names.is_empty() { Scope::All } else { Scope::Of(measured) };
    let mut all = Vec::new();
    let mut failed = Vec::new();
    for (name, measure) in wanted {
        if let Err(why) = measure(&mut all) {
            eprintln!("{name}: {why}");
            all.push(Figure { what: name, value: "not measured".into(), limit: "–", command: "–" });
            failed.push(name);
        }
    }
    page::write(&all, &scope)?;
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

fn demo(all: &mut Vec<Figure>) -> Result<(), String> {
    let stop = Arc::new(AtomicBool::new(false));
    let sampler = thread::spawn({
        let stop = stop.clone();
        move || sample(&stop)
    });
    let begun = Instant::now();
    let lines = output(BINARY, &["demo", "--json"]);
    let wall = begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::SeqCst);
    let drivers = sampler.join().map_err(|_| "the sampler panicked")?;
    let lines = lines?;
    let summary = last_json(&lines)?;
    let steps =
        lines.lines().filter(|line| line.contains("\"host_step\"") && line.contains("\"applied\"")).count();
    let command = "keyroll demo --json";
    all.push(Figure {
        what: "requests sent and failed during the demo's rotation",
        value: format!(
            "{} sent, {} failed, in {wall:.0} s",
            number(&summary, "requests"),
            number(&summary, "failed")
        ),
        limit: "≥ 10,000, 0 failed, ≤ 60 s",
        command,
    });
    all.push(Figure {
        what: "time from mint to the last consumer moved; the rotation finds and adopts an undeclared worker meanwhile",
        value: format!("{:.1} s", number(&summary, "mint_to_last_moved_s")),
        limit: "–",
        command,
    });
    let peak = drivers.values().map(|driver| driver.peak_kib).max().unwrap_or(0);
    let cpu: f64 = drivers.values().map(|driver| driver.cpu_s).sum();
    all.push(Figure {
        what: "peak resident memory of a keyroll process that drives a rotation",
        value: format!("{:.0} MB", Duration::from_millis(peak).as_secs_f64() * 1.024),
        limit: "≤ 60 MB",
        command: "sampled from /proc while the demo runs",
    });
    all.push(Figure {
        what: "processor time of the keyroll processes that drive the demo's rotation, including their searches of process memory",
        value: format!("{cpu:.2} s for {steps} instances moved"),
        limit: "–",
        command: "sampled from /proc while the demo runs",
    });
    Ok(())
}

/// What one driving process used.
#[derive(Default)]
struct Driver {
    peak_kib: u64,
    cpu_s: f64,
}

/// Watches every `keyroll apply` and `keyroll resume` until it is told to stop.
fn sample(stop: &AtomicBool) -> BTreeMap<u32, Driver> {
    let mut seen: BTreeMap<u32, Driver> = BTreeMap::new();
    while !stop.load(Ordering::SeqCst) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            let drives = words.get(1).is_some_and(|word| *word == b"apply" || *word == b"resume");
            if !(drives && words.first().is_some_and(|word| word.ends_with(b"keyroll"))) {
                continue;
            }
            let driver = seen.entry(pid).or_default();
            driver.peak_kib = driver.peak_kib.max(peak(&entry.path()).unwrap_or(0));
            driver.cpu_s = driver.cpu_s.max(cpu(&entry.path()).unwrap_or(0.0));
        }
        thread::sleep(Duration::from_millis(SAMPLE_MS));
    }
    seen
}

fn peak(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// User and system time; the kernel counts in hundredths of a second (`CLK_TCK`, proc(5)).
fn cpu(process: &Path) -> Option<f64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    let mut words = rest.split_whitespace().skip(11);
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

fn start_up(all: &mut Vec<Figure>) -> Result<(), String> {
    let program = root().join(BINARY);
    let ours = median_start(&program, &["--version"], &root())?;
    let least = median_start(Path::new("/bin/true"), &[], &root())?;
    all.push(Figure {
        what: "`keyroll --version`, median of 41 starts",
        value: format!("{:.1} ms ({:.1} × `true`)", ours * 1e3, ours / least),
        limit: "≤ 10 ms",
        command: "keyroll --version",
    });
    let folder = root().join(SMALL);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = folder.join("settings.env");
    fs::write(&file, "PORT=8080\n").map_err(|error| format!("{}: {error}", file.display()))?;
    let leaks = median_start(&program, &["leaks", "settings.env"], &folder)?;
    all.push(Figure {
        what: "`keyroll leaks` of one small file, median of 41 starts",
        value: format!("{:.1} ms ({:.1} × `true`)", leaks * 1e3, leaks / least),
        limit: "≤ 15 ms",
        command: "keyroll leaks settings.env",
    });
    Ok(())
}

fn median_start(program: &Path, arguments: &[&str], folder: &Path) -> Result<f64, String> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env("HOME", folder);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.map_err(|error| format!("{}: {error}", program.display()))?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times.get(STARTS / 2).copied().ok_or_else(|| "no start was timed".to_owned())
}

fn size(all: &mut Vec<Figure>) -> Result<(), String> {
    let path = root().join(BINARY);
    let bytes = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if bytes > BINARY_BYTES_MAX {
        return Err(format!("{BINARY} has {bytes} bytes, {BINARY_BYTES_MAX} at most"));
    }
    all.push(Figure {
        what: "size of the binary",
        value: format!("{} MB", bytes / 1_000_000),
        limit: "≤ 60 MB",
        command: "cargo build --profile dist",
    });
    all.push(Figure {
        what: "packages that the binary depends on, without build and development dependencies",
        value: tidy::packages()?.len().to_string(),
        limit: "≤ 420",
        command: "cargo tree -p keyroll -e normal",
    });
    Ok(())
}

fn cost(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = last_json(&output("cargo", &["bench", "--quiet", "-p", "keyroll", "--bench", "cost"])?)?;
    println!("{seen}");
    let command = "cargo bench -p keyroll --bench cost";
    let told = |own: &str, wall: &str, search: &str| {
        format!(
            "{:.1} ms of processor time among {} processes (wall {:.0} ms, the search of their memory {:.0} ms)",
            number(&seen, own),
            number(&seen, "processes"),
            number(&seen, wall),
            number(&seen, search),
        )
    };
    all.push(Figure {
        what: "`plan` with ten consumers: processor time of keyroll, without its search of process memory and without child processes",
        value: told("plan_own_ms", "plan_wall_ms", "plan_memory_search_ms"),
        limit: "≤ 300 ms",
        command,
    });
    all.push(Figure {
        what: "`apply` with ten consumers: processor time of keyroll per step on the host, including its start and end; most of the wall time is waiting",
        value: told("apply_own_ms_per_step", "apply_wall_ms", "apply_memory_search_ms"),
        limit: "≤ 25 ms",
        command,
    });
    all.push(Figure {
        what: "peak resident memory of `apply` with ten consumers",
        value: format!("{:.0} MB", number(&seen, "peak_mb")),
        limit: "≤ 60 MB",
        command,
    });
    all.push(Figure {
        what: "an emergency with ten consumers, roll first; the test's issuer and restarts take almost no time, so this is keyroll's own time",
        value: format!(
            "alert → all moved {:.1} s → old key dead {:.1} s",
            number(&seen, "emergency_to_moved_s"),
            number(&seen, "emergency_to_dead_s"),
        ),
        limit: "≤ 2 s beyond issuer and restarts",
        command,
    });
    Ok(())
}

fn example(package: &str) -> Result<Value, String> {
    named_example(package, "throughput")
}

fn named_example(package: &str, name: &str) -> Result<Value, String> {
    let words = ["run", "--profile", "dist", "--quiet", "-p", package, "--example", name];
    last_json(&output("cargo", &words)?)
}

fn journal(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = example("keyroll-journal")?;
    println!("{seen}");
    let command = "cargo run --profile dist -p keyroll-journal --example throughput";
    let ratio = |key: &str| format!("{:.2} ×", number(&seen, key));
    all.push(Figure {
        what: "journal entries per second, one after another, relative to plain one-row commits of SQLite with synchronous=FULL in the same run",
        value: ratio("serial_to_bare"),
        limit: "≥ 0.8 ×",
        command,
    });
    all.push(Figure {
        what: "journal entries per second of 32 concurrent rotations in one process, relative to one rotation",
        value: ratio("together_to_serial"),
        limit: "≥ 4 ×",
        command,
    });
    Ok(())
}

fn needle(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = example("keyroll-needle")?;
    println!("{seen}");
    let command = "cargo run --profile dist -p keyroll-needle --example throughput";
    for (kind, of) in [("source", "200 MB of source"), ("memory", "200 MB of process memory")] {
        let speed = number(&seen, &format!("{kind}_gbps_100"));
        let ratio = number(&seen, &format!("{kind}_ratio"));
        all.push(Figure {
            what: if kind == "source" {
                "search by value in source, per core, 100 values in all encodings; and the speed for 1,000 values relative to the `aho-corasick` crate"
            } else {
                "search by value in process memory, otherwise the same"
            },
            value: format!("{speed:.1} GB/s; {ratio:.0} × ({of})"),
            limit: "≥ 2 GB/s; ≥ 10 ×",
            command,
        });
    }
    all.push(Figure {
        what: "search by value in source, 6,000 values of 16 bytes or more, unencoded",
        value: format!("{:.1} GB/s", number(&seen, "source_gbps_plain_6000")),
        limit: "≥ 4 GB/s",
        command,
    });
    all.push(Figure {
        what: "redaction of text that contains none of the values, per core, 1,000 values in all encodings",
        value: format!("{:.1} GB/s", number(&seen, "redactor_gbps_1000")),
        limit: "≥ 1 GB/s",
        command,
    });
    Ok(())
}

fn processes(all: &mut Vec<Figure>) -> Result<(), String> {
    let seen = example("keyroll-observe")?;
    println!("{seen}");
    all.push(Figure {
        what: "search of a process's memory for 100 values in all encodings: speed relative to only reading the same pages",
        value: format!(
            "{:.2} × ({:.1} GB/s; {:.2} × by the time of all cores)",
            number(&seen, "ratio"),
            number(&seen, "search_gbps"),
            number(&seen, "cpu_ratio")
        ),
        limit: "≥ 0.6 ×",
        command: "cargo run --profile dist -p keyroll-observe --example throughput",
    });
    let seen = last_json(&output("cargo", &["bench", "--quiet", "-p", "keyroll", "--bench", "machine"])?)?;
    println!("{seen}");
    let command = "cargo bench -p keyroll --bench machine";
    let beside = match seen.get("ripgrep_s").and_then(Value::as_f64) {
        Some(peer) => format!("; ripgrep for the raw values alone {peer:.2} s"),
        None => "; ripgrep is not installed".to_owned(),
    };
    all.push(Figure {
        what: "`keyroll scan` until its first table, on a machine with 300 additional processes, 20 services and 50,000 files: environments, open files and files",
        value: format!("{:.2} s{beside}", number(&seen, "first_table_s")),
        limit: "≤ 2 s",
        command,
    });
    all.push(Figure {
        what: "peak resident memory of that scan, including the search of process memory",
        value: format!("{:.0} MB", number(&seen, "peak_mb")),
        limit: "≤ 120 MB",
        command,
    });
    let seen = named_example("keyroll-trace", "grouping")?;
    println!("{seen}");
    let took = ["grouping_s", "risks_s", "rows_s"].map(|part| number(&seen, part)).iter().sum::<f64>();
    all.push(Figure {
        what: "grouping of 50,000 occurrences in 30,000 files into secrets, with consumers, risks and verdicts; peak memory",
        value: format!("{took:.2} s; {:.0} MB", number(&seen, "resident_mb")),
        limit: "≤ 1 s; ≤ 120 MB",
        command: "cargo run --profile dist -p keyroll-trace --example grouping",
    });
    Ok(())
}

/// Each task of the benchmark, with its limits.
const LEAKS: [(&str, &str, &str); 4] = [
    ("start", "`keyroll leaks` of one small file, including the start of each program", "≤ 15 ms, ≤ 25 MiB"),
    (
        "tree",
        "`keyroll leaks` of a folder tree",
        "≤ 1/3 of Kingfisher's time and processor time; without archives ≤ 1.5 × `cat` of every file",
    ),
    ("large", "`keyroll leaks` of one text file of 240 MB", "≤ 1/4 of Kingfisher's time"),
    ("history", "`keyroll leaks` of a git history", "≤ 1/4 of Kingfisher's time and memory"),
];

/// The best of three rounds of each program, one after the other.
fn leaks(all: &mut Vec<Figure>) -> Result<(), String> {
    let text = output("cargo", &["bench", "--quiet", "-p", "keyroll", "--bench", "leaks"])?;
    println!("{text}");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (task, what, limit) in LEAKS {
        let mut own = None;
        let told =
            lines.iter().filter(|line| line.get("task").and_then(Value::as_str) == Some(task)).map(|line| {
                let name = line.get("name").and_then(Value::as_str).unwrap_or_default();
                let Some(best) = line.get("best").filter(|best| best.is_object()) else {
                    return format!("{name} not installed, or longer than five minutes");
                };
                let wall = number(best, "wall_s");
                let times = match own {
                    Some(own) => format!(" ({:.2} ×)", wall / own),
                    None => String::new(),
                };
                if name == "keyroll" {
                    own = Some(wall);
                }
                format!(
                    "{name} {wall:.3} s{times}, {:.2} s of processor, {:.0} MiB",
                    number(best, "cpu_s"),
                    number(best, "mib")
                )
            });
        let told: Vec<String> = told.collect();
        let value = if told.is_empty() { "not measured".to_owned() } else { told.join("; ") };
        all.push(Figure {
            what,
            value,
            limit,
            command: "TREE=… HISTORY=… cargo bench -p keyroll --bench leaks",
        });
    }
    Ok(())
}

fn simulation(all: &mut Vec<Figure>) -> Result<(), String> {
    let sim = "target/dist/sim";
    let seeds = last_json(&output(sim, &["--seeds", SEEDS])?)?;
    println!("{seeds}");
    all.push(Figure {
        what: "steps of the simulation per second and core; every invariant is checked after each step",
        value: format!("{:.0}", number(&seeds, "steps_per_second")),
        limit: "≥ 500,000",
        command: "cargo xtask sim --seeds 20000",
    });
    all.push(Figure {
        what: "violations of an invariant in all schedules",
        value: format!("{} in {} schedules", number(&seeds, "violations"), number(&seeds, "schedules")),
        limit: "0",
        command: "cargo xtask sim --seeds 20000",
    });
    let mutants = last_json(&output(sim, &["--mutants"])?)?;
    println!("{mutants}");
    all.push(Figure {
        what: "mutants (deliberate bugs in the protocol) that the simulation finds",
        value: format!("{} of {}", number(&mutants, "killed"), number(&mutants, "mutants")),
        limit: "all of ≥ 30",
        command: "cargo xtask sim --mutants",
    });
    Ok(())
}
