//! How long it takes to look through a home of 50,000 files of settings, beside ripgrep searching the same files for the
//! same values: `cargo run --release -p keyroll-trace --example files [COUNT]`.
// A measurement stops at the first thing that is wrong.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_secret::FingerprintKey;
use keyroll_trace::{Options, Place, survey};

/// How many values are planted, each in one file by name and in another as it is.
const VALUES: usize = 100;

fn main() {
    let count: usize = std::env::args().nth(1).map_or(50_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<String> = (0..VALUES).map(|_| generated()).collect();
    let bytes = fill(folder.path(), count, &values);
    println!("{count} files, {:.0} MB, {VALUES} values", bytes as f64 / 1e6);
    for round in 1..=3 {
        let (began, spent) = (Instant::now(), cpu_seconds());
        let options = Options { roots: vec![folder.path().to_owned()], wait: Duration::from_secs(600) };
        let survey = survey(&options, FingerprintKey::new(&[7; 32])).unwrap();
        let (took, spent) = (began.elapsed(), cpu_seconds() - spent);
        let at_rest = survey.sightings.iter().filter(|one| matches!(one.place, Place::File { .. })).count();
        println!(
            "round {round}: keyroll {:.2} s ({spent:.2} s of CPU), {} files, {at_rest} sightings of {} values; resident {} MB at most",
            took.as_secs_f64(),
            survey.files,
            survey.values.len(),
            resident(),
        );
        match ripgrep(folder.path(), &values) {
            Some((other, lines)) => println!(
                "round {round}: ripgrep {:.2} s, {lines} lines; ratio {:.2}",
                other.as_secs_f64(),
                took.as_secs_f64() / other.as_secs_f64()
            ),
            None => println!("ripgrep is not installed"),
        }
    }
}

fn generated() -> String {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Settings as people write them, about 2 KiB each. How many bytes.
fn fill(folder: &Path, count: usize, values: &[String]) -> usize {
    let lines = |number: usize, sign: &str, quote: &str| -> String {
        (0..40)
            .map(|line| {
                format!("{quote}setting_{line}{quote}{sign}{quote}some value {number} of {line}{quote}\n")
            })
            .collect()
    };
    let mut bytes = 0;
    for number in 0..count {
        let value = (number % (count / VALUES / 2).max(1) == 0)
            .then(|| values.get(number * 2 * VALUES / count / 2).cloned())
            .flatten();
        let below = folder.join(format!("project-{}", number / 250));
        std::fs::create_dir_all(&below).unwrap();
        let (name, mut text) = match number % 5 {
            0 => ("env", lines(number, "=", "")),
            1 => ("yaml", lines(number, ": ", "")),
            2 => ("conf", lines(number, " = ", "")),
            3 => ("toml", lines(number, " = ", "\"")),
            _ => {
                let inner = lines(number, ": ", "\"").trim_end().replace('\n', ",\n");
                ("json", format!("{{{inner}}}\n"))
            }
        };
        if let Some(value) = value {
            let line = match name {
                "env" => format!("SERVICE_API_KEY={value}\n"),
                "yaml" => format!("service_api_key: {value}\n"),
                "toml" => format!("service_api_key = \"{value}\"\n"),
                "json" => String::new(),
                _ => format!("# it was {value}\n"),
            };
            text.push_str(&line);
        }
        bytes += text.len();
        std::fs::write(below.join(format!("{number}.{name}")), text).unwrap();
    }
    bytes
}

fn ripgrep(folder: &Path, values: &[String]) -> Option<(Duration, usize)> {
    let began = Instant::now();
    let mut child = Command::new("rg")
        .args(["-uuu", "--threads", "2", "--no-heading", "-F", "-f", "-"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(values.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((began.elapsed(), output.stdout.iter().filter(|byte| **byte == b'\n').count()))
}

/// What this process has spent, all its threads together: says more than the clock where others work too.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind = text.rsplit_once(')').unwrap().1;
    let ticks: u32 =
        behind.split_whitespace().skip(11).take(2).map(|part| part.parse::<u32>().unwrap()).sum();
    f64::from(ticks) / 100.0
}

/// The most memory that this process had, MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
