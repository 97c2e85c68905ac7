//! Measures the first stage with 300 processes more on the machine, a third of which hold a version of one of 100
//! secrets and have its file open, and the second stage for them; prints one line of JSON.
#![allow(missing_docs)]
#![allow(clippy::expect_used)]

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_secret::FingerprintKey;
use keyroll_trace::{Memory, MemoryStage, Options, survey};

const PROCESSES: usize = 300;
const SECRETS: usize = 100;

struct Ended(Vec<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|child| drop(child.kill()));
        self.0.iter_mut().for_each(|child| drop(child.wait()));
    }
}

fn value() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most that this process had in memory. Source: `VmHWM` of proc_pid_status(5).
fn own_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("what the kernel says of this process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut children = Ended(Vec::new());
    for index in 0..PROCESSES {
        let mut command = Command::new("sleep");
        command.arg("600").env_clear().stdin(Stdio::null());
        // As many variables as a service usually has.
        command.envs((0..40).map(|number| (format!("SETTING_{number}"), format!("{index} of {number}"))));
        if index < SECRETS {
            let (path, value) = (folder.path().join(format!("{index}.env")), value());
            std::fs::write(&path, format!("SERVICE_{index}_API_KEY={value}\n")).expect("a file");
            command.env(format!("SERVICE_{index}_API_KEY"), value);
            command.stdin(File::open(path).expect("a file"));
        }
        children.0.push(command.spawn().expect("a process"));
    }
    let options = Options { roots: vec![folder.path().to_owned()], wait: Duration::from_secs(60) };
    let begun = Instant::now();
    let mut seen = survey(&options, FingerprintKey::new(&[7; 32])).expect("a survey");
    let first = begun.elapsed();
    let own = |pid: u32| children.0.iter().any(|child| child.id() == pid);
    let ours: Vec<_> = seen.instances.values().filter(|one| own(one.process.pid)).collect();
    let holding = ours.iter().filter(|one| one.start.as_ref().is_ok_and(|start| !start.is_empty())).count();
    let open = ours.iter().filter(|one| !one.open.is_empty()).count();
    let which = ours.iter().map(|one| one.process).collect();
    let (processes, values) = (seen.instances.len(), seen.values.len());
    let begun = Instant::now();
    let ahead = seen.memory_ahead(&which);
    let mut whole = 0;
    seen.search_memory(&ahead, MemoryStage::default(), &mut |_, memory| {
        whole += usize::from(matches!(memory, Memory::Whole(_)));
    });
    let second = begun.elapsed();
    println!(
        r#"{{"processes":{processes},"started":{PROCESSES},"values":{values},"first_stage_s":{:.2},"hold_at_start":{holding},"have_open":{open},"second_stage_s":{:.2},"resident_bytes":{},"whole":{whole},"own_peak_bytes":{}}}"#,
        first.as_secs_f64(),
        second.as_secs_f64(),
        ahead.bytes,
        own_peak_bytes(),
    );
}
