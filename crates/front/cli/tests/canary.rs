//! No output, log, error, journal, argument, environment or core dump of the program contains a value in any encoding.
//! The test runs whole rotations with generated values, and then searches for each of them.

pub(crate) mod watch;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use keyroll_needle::{NeedleId, Needles};
use keyroll_secret::SecretBytes;
use rustix::process::{Pid, Signal, kill_process};
use watch::{Watch, writes};

use crate::kill::scene::{Accepts, Ran, Scene, files, program, wait};

/// The copies that hold the value, and the admin key: every other file of the scene is searched.
const HOLD_VALUES: [&str; 4] = ["api/api.env", "reader/key", "nightly/nightly.env", "admin.key"];

/// Leaks that are shown.
const SHOWN_MAX: usize = 20;

/// Values shorter than this are no canaries: the empty bearer of a bad request.
const CANARY_BYTES_MIN: usize = 12;

/// Limits of the address space, MiB, with which the program starts but cannot continue: at some point it cannot
/// allocate a thread or a buffer.
const CRAMPED_MIB: std::ops::Range<u64> = 20..140;

/// Everything that was written or shown, by the place where it was seen; masked, so that this process does not hold a
/// leaked value itself.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

fn mask(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
    bytes
}

impl Seen {
    fn add(&mut self, place: String, bytes: Vec<u8>) {
        self.0.push((place, mask(bytes)));
    }

    fn output(&mut self, what: &str, output: &Output) {
        self.add(format!("stdout of {what}"), output.stdout.clone());
        self.add(format!("stderr of {what}"), output.stderr.clone());
    }

    /// Where a value was found, in words without it.
    fn leaks(&self, needles: &Needles) -> Vec<String> {
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            needles.find(&mask(bytes.clone()), &mut |hit| {
                found.push(format!("value {} {} in {place} at {}", hit.id.0, hit.encoding, hit.start));
            });
        }
        found
    }
}

fn needles<'a>(values: impl Iterator<Item = &'a [u8]>) -> Needles {
    let long = values.filter(|value| value.len() >= CANARY_BYTES_MIN);
    let all = (0u32..).zip(long).fold(Needles::builder(), |all, (id, value)| {
        all.add(NeedleId(id), &SecretBytes::new(value.to_vec()))
    });
    all.build().unwrap()
}

/// A command with a watch over it and everything that it starts.
fn run(scene: &Scene, seen: &mut Seen, begun: Option<Command>, words: &[&str]) -> Ran {
    finish(scene.command(begun, words), seen, words, |_| {})
}

fn finish(mut command: Command, seen: &mut Seen, words: &[&str], meanwhile: impl FnOnce(Pid)) -> Ran {
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let watch = Watch::over(child.id());
    meanwhile(pid);
    let output = child.wait_with_output().unwrap();
    let name = words.join(" ");
    for (place, bytes) in watch.end() {
        seen.add(format!("{place} of {name}"), bytes);
    }
    seen.output(&name, &output);
    assert!(!output.status.core_dumped(), "`{name}` dumped core");
    Ran::of(&output)
}

fn plan(scene: &Scene, seen: &mut Seen) -> String {
    let ran = run(scene, seen, None, &["plan", "ring"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
    let plan = ran.events.iter().find(|event| event["type"] == "plan").unwrap();
    plan["id"].as_str().unwrap().to_owned()
}

/// A whole rotation, its first half under a record of everything that it writes.
fn rotation_with_recorded_writes(scene: &Scene, seen: &mut Seen) {
    let id = plan(scene, seen);
    let record = scene.home().join("writes");
    let begun = strace(scene.keyroll(), &record);
    let traced = begun.is_some();
    let ran = run(scene, seen, begun, &["apply", &id, "--confirm", "ring"]);
    if traced {
        for (place, bytes) in writes(&record) {
            seen.add(place, bytes);
        }
        fs::remove_file(record).unwrap();
    }
    // The recorder saw the values, so it may have been found as an undeclared process.
    if ran.code != Some(0) {
        assert!(traced && ran.text.contains("strace"), "{}", ran.text);
        let ran = run(scene, seen, None, &["resume", "--confirm", "ring"]);
        assert_eq!(ran.code, Some(0), "{}", ran.text);
    }
}

fn strace(program: &Path, record: &Path) -> Option<Command> {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    let works = works.is_ok_and(|output| output.status.success());
    assert!(works || std::env::var("CI").is_err(), "strace cannot trace in CI");
    works.then(|| {
        let mut command = Command::new("strace");
        command.args(["-f", "-b", "execve", "-qq", "-y", "-xx", "-s", "1000000", "-e"]);
        command.arg("trace=write,writev,pwrite64,pwritev,sendto,sendmsg").arg("-o").arg(record);
        command.arg("--").arg(program);
        command
    })
}

fn rolled_back(scene: &Scene, seen: &mut Seen) {
    let id = plan(scene, seen);
    let ran = run(scene, seen, None, &["apply", &id, "--confirm", "ring", "--until", "quiesce"]);
    assert_eq!(ran.code, Some(4), "{}", ran.text);
    let ran = run(scene, seen, None, &["abort", &id]);
    assert_eq!(ran.code, Some(5), "{}", ran.text);
}

/// Runs that fail: on a value in the wrong place, a wrong admin key, and too little memory.
fn failures(scene: &Scene, seen: &mut Seen) {
    // A careless mistake: a value as an argument. The test itself wrote it, so arguments are not searched here.
    let pasted = scene.copies()[0].clone();
    let text = String::from_utf8(pasted.to_vec()).unwrap();
    for words in [&["apply", text.as_str()][..], &["plan", &text], &["apply", "x", "--confirm", &text]] {
        let output = scene.command(None, words).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        seen.output("a command with a value as its argument", &output);
    }
    drop(zeroize::Zeroizing::new(text));
    let admin = scene.dir().join("admin.key");
    let kept = scene.dir().join("admin.key.kept");
    fs::copy(&admin, &kept).unwrap();
    fs::write(&admin, format!("admin_{}\n", keyroll_testkit::alphanumeric(40))).unwrap();
    let ran = run(scene, seen, None, &["plan", "ring"]);
    assert_ne!(ran.code, Some(0), "a wrong admin key is refused");
    fs::rename(&kept, &admin).unwrap();
    cramped(scene, seen);
}

/// Less and less address space: a failed allocation of a thread or a buffer ends the program at various points.
fn cramped(scene: &Scene, seen: &mut Seen) {
    let limited = |mib: &u64, core: &str| {
        let mut begun = Command::new("prlimit");
        begun.arg(format!("--as={}", mib << 20)).arg(format!("--core={core}")).arg("--").arg(scene.keyroll());
        begun
    };
    // With less the loader itself fails, before there is any value.
    let begins = |mib: &u64| limited(mib, "0").arg("--version").output().unwrap().status.success();
    let (mut panics, mut ended) = (0, 0);
    for mib in CRAMPED_MIB.step_by(4).skip_while(|mib| !begins(mib)) {
        let begun = limited(&mib, "unlimited");
        let ran = run(scene, seen, Some(begun), &["plan", "ring"]);
        panics += usize::from(ran.text.contains("K0801"));
        ended += usize::from(ran.code.is_none());
    }
    println!("{panics} runs panicked, {ended} were ended by a signal");
    assert!(panics + ended > 0, "no run was cramped enough");
}

/// Ended by a signal that dumps core, with a core limit that allows it, while values are in its memory.
fn aborted(scene: &Scene, seen: &mut Seen) {
    let id = plan(scene, seen);
    let mut begun = Command::new("prlimit");
    begun.arg("--core=unlimited").arg("--").arg(scene.keyroll());
    let words = ["apply", id.as_str(), "--confirm", "ring"];
    let Accepts::Http(issuer) = &scene.accepts else { panic!("the HTTP issuer") };
    let command = scene.command(Some(begun), &words);
    let ran = finish(command, seen, &words, |pid| {
        wait("a second key is made", || issuer.keys().len() == 2);
        kill_process(pid, Signal::ABORT).unwrap();
    });
    assert_eq!(ran.code, None, "{}", ran.text);
    let ran = run(scene, seen, None, &["resume", "--confirm", "ring"]);
    assert_eq!(ran.code, Some(0), "{}", ran.text);
}

/// The same once more as people see it, not as JSON.
fn shown_to_people(scene: &Scene, seen: &mut Seen) {
    let id = plan(scene, seen);
    for words in [
        &["apply", id.as_str(), "--confirm", "ring"][..],
        &["status"],
        &["secret", "show", "ring"],
        &["doctor"],
    ] {
        let mut command = Command::new(scene.keyroll());
        command.args(["--state", "../state", "--no-input"]).args(words).current_dir(scene.dir());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", scene.home());
        let output = command.output().unwrap();
        seen.output(&words.join(" "), &output);
    }
}

fn all_files(scene: &Scene, seen: &mut Seen) {
    let holds: Vec<PathBuf> = HOLD_VALUES.iter().map(|name| scene.dir().join(name)).collect();
    for (path, name) in files(scene.home()) {
        assert!(!name.starts_with("core"), "a dump: {}", path.display());
        if !holds.contains(&path) {
            seen.add(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn no_value_stands_anywhere_but_sealed_and_where_it_belongs() {
    let (_folder, program) = program();
    let scene = Scene::http(&program);
    let Accepts::Http(issuer) = &scene.accepts else { panic!("the HTTP issuer") };
    issuer.keep_values();
    let mut seen = Seen::default();
    rotation_with_recorded_writes(&scene, &mut seen);
    // Search everything but the sealed store, also in the middle of a rotation.
    rolled_back(&scene, &mut seen);
    all_files(&scene, &mut seen);
    aborted(&scene, &mut seen);
    failures(&scene, &mut seen);
    shown_to_people(&scene, &mut seen);
    all_files(&scene, &mut seen);

    let values = issuer.values();
    let long = values.iter().filter(|value| value.len() >= CANARY_BYTES_MIN).count();
    let (places, bytes) = (seen.0.len(), seen.0.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    println!("{long} values looked for in {places} places, {bytes} bytes");
    // Keys of every rotation, the admin keys, decoys.
    assert!(long >= 7 && places > 100, "{long} values, {places} places");
    let needles = needles(values.iter().map(Vec::as_slice));
    let mut leaks = seen.leaks(&needles);
    // The values of controls are wrong on purpose. The search is only for values that work or once worked.
    let works = |value: &&Vec<u8>| issuer.whose(value).is_some() || value.starts_with(b"admin_");
    let works = self::needles(values.iter().filter(works).map(Vec::as_slice));
    leaks.retain(|leak| !leak.contains("/work/control-"));
    seen.0.retain(|(place, _)| place.contains("/work/control-"));
    leaks.extend(seen.leaks(&works));
    leaks.truncate(SHOWN_MAX);
    assert_eq!(leaks, [] as [String; 0]);
    scene.check();
}

/// The same search on an output that holds a value, plain and in other forms.
#[test]
fn a_planted_leak_is_found() {
    let value = keyroll_testkit::alphanumeric(40);
    let needles = needles(std::iter::once(value.as_bytes()));
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let wide: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for leak in [value.clone().into_bytes(), hex.into_bytes(), wide, base64(value.as_bytes())] {
        let text = [b"connecting with ".as_slice(), &leak, b" now".as_slice()].concat();
        let mut seen = Seen::default();
        seen.add("stderr".to_owned(), text);
        assert_eq!(seen.leaks(&needles).len(), 1);
    }
    let mut clean = Seen::default();
    clean.add("stderr".to_owned(), b"connecting with nothing".to_vec());
    assert!(clean.leaks(&needles).is_empty());
}

/// Base64 as a log might show it.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, at| word << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..=three.len() {
            out.push(DIGITS[(word >> (18 - 6 * at) & 63) as usize]);
        }
    }
    out
}
