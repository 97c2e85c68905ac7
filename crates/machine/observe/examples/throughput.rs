//! Compares a search of a process's memory for 100 values in all encodings with a plain read of the same pages, and
//! prints one line of JSON.
//!
//! Both read the same Python process, which has a gigabyte of text and bytes; they take turns, and the best of several
//! runs counts for each. `ratio` is the speed of the search, including its reading, divided by that of the plain read,
//! by the wall clock. The search has a second thread, so `cpu_ratio` gives the same by the time on all cores.
#![allow(clippy::disallowed_methods, reason = "a test or an example looks from outside")]
#![allow(missing_docs)]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_needle::{NeedleId, Needles};
use keyroll_observe::{MemoryLimits, memory_holds, memory_search_time, process};
use keyroll_secret::SecretBytes;
use rustix::time::{ClockId, clock_gettime};

const RUNS: usize = 5;
const VALUES: u32 = 100;
const PIECE: usize = 1 << 20;

/// A gigabyte as real programs hold it: source text, objects, and random bytes.
const PROGRAM: &str = r#"
import glob, random, sys
random.seed(1)
text = b"".join(open(f, "rb").read() for f in sorted(glob.glob("/usr/lib/python3*/*.py")))
kept = []
held = 0
while held < 1 << 30:
    part = bytearray(random.randbytes(1 << 20)) if len(kept) % 4 == 0 else bytearray(text[: 4 << 20])
    kept.append(part); held += len(part)
objects = [{"id": n, "name": "user-%d" % n, "token": "%032x" % random.getrandbits(128)} for n in range(200000)]
print("ready", flush=True); sys.stdin.read()
"#;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

/// Reads every existing page of the private writable mappings and does nothing with it, as a simple program would.
fn read_alone(pid: u32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("memory");
    let pages = File::open(format!("/proc/{pid}/pagemap")).expect("a page map");
    let (mut buffer, mut entries, mut sum) = (vec![0; PIECE], vec![0; PIECE / 4096 * 8], 0);
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let (mut at, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        while at < end {
            let length = PIECE.min(usize::try_from(end - at).unwrap());
            let count = length / 4096;
            pages.read_exact_at(&mut entries[..count * 8], at / 4096 * 8).expect("its entries");
            let there = |page: usize| entries[page * 8 + 7] & 0xc0 != 0;
            let mut page = 0;
            while page < count {
                let run = (page..count).take_while(|page| there(*page)).count();
                if run > 0 {
                    let from = at + page as u64 * 4096;
                    sum += memory.read_at(&mut buffer[..run * 4096], from).expect("bytes") as u64;
                }
                page += run.max(1);
            }
            at += length as u64;
        }
    }
    sum
}

fn main() {
    let mut child = Ended(
        Command::new("python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3"),
    );
    BufReader::new(child.0.stdout.take().expect("its output")).read_line(&mut String::new()).expect("a line");
    let id = process(child.0.id()).expect("it runs").id;
    let needles = (0..VALUES).fold(Needles::builder(), |builder, index| {
        let value = format!(
            "sk-{:032x}{index:04}",
            u128::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)
        );
        builder.add(NeedleId(index), &SecretBytes::from(value))
    });
    let needles = needles.build().expect("needles");
    let limits = MemoryLimits { wait: Duration::from_secs(300), ..MemoryLimits::default() };
    let (mut plain, mut search) = ([f64::MAX; 2], [f64::MAX; 2]);
    let (mut plain_bytes, mut searched) = (0, 0);
    for _ in 0..RUNS {
        let (begun, spent) = (Instant::now(), cpu());
        plain_bytes = read_alone(id.pid);
        plain = [plain[0].min(begun.elapsed().as_secs_f64()), plain[1].min((cpu() - spent).as_secs_f64())];
        let (begun, spent) = (Instant::now(), memory_search_time());
        let report = memory_holds(&id, &needles, limits);
        assert!(report.whole(), "{report:?}");
        searched = report.bytes_read;
        let took = (memory_search_time() - spent).as_secs_f64();
        search = [search[0].min(begun.elapsed().as_secs_f64()), search[1].min(took)];
    }
    let gbps = |bytes: u64, seconds: f64| bytes as f64 / 1e9 / seconds;
    println!(
        r#"{{"values":{VALUES},"forms":{},"plain_bytes":{plain_bytes},"searched_bytes":{searched},"plain_gbps":{:.2},"search_gbps":{:.2},"ratio":{:.2},"cpu_ratio":{:.2}}}"#,
        needles.forms(),
        gbps(plain_bytes, plain[0]),
        gbps(searched, search[0]),
        gbps(searched, search[0]) / gbps(plain_bytes, plain[0]),
        gbps(searched, search[1]) / gbps(plain_bytes, plain[1]),
    );
}
