//! What 1,000 connected hosts cost the process that drives them: prints one line of JSON.
//!
//! Each host is a real `keyroll-host serve`, a child of this process that it speaks to over pipes, and its link is open: both
//! have greeted. Over ssh each has a process of ssh in place of its own, which is not measured here; nor is what a rotation
//! knows of its hosts. `KEYROLL_HOST` names the program; without it, it is the one that was built into the folder above this
//! benchmark's own: `cargo bench -p keyroll --bench fleet` builds it there. `HOSTS` is another number of hosts.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used, missing_docs)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_fleet::Dialled;
use keyroll_link::Link;
use keyroll_testkit::command::has_ended;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::BufReader;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How many hosts are connected.
const HOSTS: u32 = 1_000;

/// How many connect at the same time.
const AT_ONCE: usize = 32;

/// The most memory that the process may have had, megabytes.
const PEAK_MB_MAX: f64 = 200.0;

/// How long a program may take to greet.
const GREETING_MAX: Duration = Duration::from_secs(120);

/// How many files this process may open for each host, and besides: two pipes, and what the end of the child is seen by.
const FILES_PER_HOST: u64 = 4;
const FILES_BESIDES: u64 = 256;

/// With this key a host makes digests of its ids.
const KEY: [u8; 32] = [7; 32];

fn main() -> ExitCode {
    let program = program();
    if !program.is_file() {
        eprintln!("{} is not there: build it, or name it in KEYROLL_HOST", program.display());
        return ExitCode::FAILURE;
    }
    let hosts = env::var("HOSTS").map_or(HOSTS, |text| text.parse().expect("a number of hosts"));
    allow_files(u64::from(hosts) * FILES_PER_HOST + FILES_BESIDES);
    let runtime = Runtime::new().unwrap();
    let before = Memory::now();
    let begun = Instant::now();
    let links = runtime.block_on(connected(&program, hosts));
    let took = begun.elapsed();
    let after = Memory::now();
    // A program that has ended meanwhile is no connected host.
    let open = links.iter().filter(|(_, pid)| !has_ended(*pid)).count();
    let met = after.peak_mb <= PEAK_MB_MAX && open == links.len() && hosts >= HOSTS;
    println!(
        "{{\"hosts\":{open},\"peak_mb\":{:.1},\"peak_mb_max\":{PEAK_MB_MAX},\"peak_mb_met\":{met},\
         \"resident_before_mb\":{:.1},\"resident_mb\":{:.1},\"own_before_mb\":{:.1},\"own_mb\":{:.1},\
         \"own_kb_per_host\":{:.1},\"connect_all_s\":{:.1}}}",
        after.peak_mb,
        before.resident_mb,
        after.resident_mb,
        before.own_mb,
        after.own_mb,
        (after.own_mb - before.own_mb) * 1e3 / f64::from(hosts),
        took.as_secs_f64(),
    );
    if !met {
        eprintln!("LIMIT NOT MET: {open} of {HOSTS} hosts, {:.1} of {PEAK_MB_MAX} MB", after.peak_mb);
    }
    // They end with their links.
    runtime.block_on(async move { drop(links) });
    ExitCode::SUCCESS
}

/// The keyroll-host that is started.
fn program() -> PathBuf {
    let beside = || {
        let own = env::current_exe().unwrap();
        own.ancestors().nth(2).unwrap().join("keyroll-host")
    };
    env::var_os("KEYROLL_HOST").map_or_else(beside, PathBuf::from)
}

/// Lets this process open so many files.
fn allow_files(count: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < count) {
        let maximum = maximum.map(|maximum| maximum.max(count));
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum }).expect("more open files");
    }
}

/// All hosts, connected, each with the process of its program.
async fn connected(program: &Path, hosts: u32) -> Vec<(Dialled, Pid)> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut connecting = JoinSet::new();
    for _ in 0..hosts {
        let (program, places) = (program.to_owned(), Arc::clone(&places));
        connecting.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            connect(&program).await
        });
    }
    connecting.join_all().await
}

/// Starts one program, and greets it.
async fn connect(program: &Path) -> (Dialled, Pid) {
    let mut command = Command::new(program);
    command.arg("serve").env_clear().kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("keyroll-host starts");
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).expect("its process");
    let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // Read through a buffer, as over ssh.
    let opened = Link::open(BufReader::new(output), input, &KEY, GREETING_MAX).await;
    let (link, hello) = opened.expect("keyroll-host greets");
    (Dialled { link, hello, keeps: Box::new(child) }, pid)
}

/// What the kernel says of this process's memory, megabytes.
struct Memory {
    /// The most that was resident so far.
    peak_mb: f64,
    /// What is resident now.
    resident_mb: f64,
    /// What of it belongs to this process alone, and to no file.
    own_mb: f64,
}

impl Memory {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        // In units of 1,024 bytes. Source: proc(5).
        let mb = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            let kib: f64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
            kib * 1.024e-3
        };
        Self { peak_mb: mb("VmHWM:"), resident_mb: mb("VmRSS:"), own_mb: mb("RssAnon:") }
    }
}
