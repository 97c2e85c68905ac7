//! The boot script and what is made of it, with an `ssh` that runs the command here, as the login shell of a host would.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use keyroll_link::{Frame, Hello, LinkError, NotReached, ReachFrame, VERSION, digits_of, encode};
use keyroll_testkit::{Deadline, TempDir, until, write_program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::verb::Verb;

const KEY: [u8; 32] = [7; 32];
/// What every host's `keyroll-host` says of itself here.
const USER: &str = "deploy";

/// A host: its home and its programs in a folder, and an `ssh` that leads there.
struct Host {
    folder: TempDir,
    ssh: Ssh,
}

impl Host {
    fn new() -> Self {
        Self::with("")
    }

    /// A host whose login shell does this first.
    fn with(first: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).unwrap();
        fs::create_dir(at("bin")).unwrap();
        let host = HostHello {
            version: VERSION,
            keyroll: "0.1.0".to_owned(),
            machine: None,
            hardware: None,
            boot: "9f3c21aa00b1c2d3".to_owned(),
            now_unix_ms: 0,
            root: false,
            user: USER.to_owned(),
            seal: String::new(),
        };
        fs::write(at("hello"), encode(&Frame::Hello(Hello::Host(host))).unwrap()).unwrap();
        let text = format!(
            "#!/bin/sh\nfor command do :; done\nHOME={0}/home PATH={0}/bin:$PATH; export HOME PATH\n\
             unset XDG_CACHE_HOME\n{first}\nexec /bin/sh -c \"$command\"\n",
            folder.path().display()
        );
        write_program(&at("ssh"), text);
        let ssh = Ssh { program: at("ssh"), ..Ssh::installed() };
        let host = Self { folder, ssh };
        host.user(1000);
        host
    }

    /// Who the host's user is, as `id -u` says it.
    fn user(&self, number: u32) {
        self.command("id", &format!("echo {number}"));
    }

    /// A command that the host finds before the system's own.
    fn command(&self, name: &str, text: &str) {
        write_program(&self.at("bin").join(name), format!("#!/bin/sh\n{text}\n"));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A `keyroll-host` for this machine that greets, and ends with its input.
    fn program(&self) -> Program {
        let hello = self.at("hello");
        self.program_of(&format!(
            "case $1 in --version) exit;; serve) ;; *) exit 2;; esac\ncat {}; exec cat >/dev/null",
            hello.display()
        ))
    }

    fn program_of(&self, text: &str) -> Program {
        let (path, text) = (self.at("program"), format!("#!/bin/sh\n{text}\n"));
        write_program(&path, &text);
        let sum = digest(&SHA256, text.as_bytes());
        let sha256 = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = u64::try_from(text.len()).unwrap();
        Program { path, machine: std::env::consts::ARCH, sha256, bytes }
    }

    async fn reach(&self, program: &Program) -> Result<Reached, ReachError> {
        self.reach_as(&plain(), program).await
    }

    async fn reach_as(&self, to: &Reach, program: &Program) -> Result<Reached, ReachError> {
        self.ssh.reach(to, std::slice::from_ref(program), &KEY, &mut |_| {}).await
    }

    /// Why it is not reached.
    async fn refusal(&self, program: &Program) -> ReachError {
        self.reach(program).await.err().expect("it is not reached")
    }

    fn cache(&self) -> PathBuf {
        self.at("home/.cache/keyroll")
    }

    /// The names of what is kept on the host.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.cache()) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn plain() -> Reach {
    let (name, host) = ("web-1".to_owned(), "web-1".to_owned());
    Reach { name, user: None, host, port: None, sudo: false, program: None, verb: Verb::Serve }
}

fn with_sudo() -> Reach {
    Reach { sudo: true, ..plain() }
}

/// With the wish for sudo, which the operator has for the host.
fn for_a_connection() -> Reach {
    Reach { verb: Verb::Reach, ..with_sudo() }
}

fn name_of(program: &Program) -> String {
    format!("keyroll-host-{}", program.sha256)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn the_first_time_the_program_is_sent_and_then_it_is_there() {
    let host = Host::new();
    let program = host.program();
    let mut told = Vec::new();
    let mut tell = |text: &str| told.push(text.to_owned());
    let reached = host.ssh.reach(&plain(), std::slice::from_ref(&program), &KEY, &mut tell).await.unwrap();
    assert_eq!(reached.hello.user, USER);
    assert!(reached.started.sent);
    assert_eq!(reached.started.machine, program.machine);
    assert_eq!(reached.started.sudo, Sudo::NotAsked);
    assert!(reached.started.free_kib.is_some());
    assert_eq!(told, ["sending keyroll-host to web-1, 1 MB"]);
    assert_eq!(host.kept(), [name_of(&program)]);
    assert_eq!((mode(&host.cache()), mode(&host.cache().join(name_of(&program)))), (0o700, 0o700));
    assert_eq!(reached.end().await, None);
    let reached = host.reach(&program).await.unwrap();
    assert!(!reached.started.sent);
    assert_eq!(reached.hello.user, USER);
}

#[tokio::test]
async fn another_program_of_that_name_is_replaced() {
    let host = Host::new();
    let program = host.program();
    fs::create_dir_all(host.cache()).unwrap();
    let file = host.cache().join(name_of(&program));
    write_program(&file, "#!/bin/sh\nexit 1\n");
    let reached = host.reach(&program).await.unwrap();
    assert!(reached.started.sent);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&program.path).unwrap());
    assert_eq!(host.kept(), [name_of(&program)]);
}

#[tokio::test]
async fn a_folder_in_which_others_could_replace_the_program_is_closed_and_a_link_is_not_followed() {
    let host = Host::new();
    let program = host.program();
    drop(host.reach(&program).await.unwrap());
    fs::set_permissions(host.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    let reached = host.reach(&program).await.unwrap();
    assert!(!reached.started.sent);
    assert_eq!(mode(&host.cache()), 0o700);
    drop(reached);
    let behind = host.at("behind");
    fs::rename(host.cache(), &behind).unwrap();
    std::os::unix::fs::symlink(&behind, host.cache()).unwrap();
    assert!(matches!(host.refusal(&program).await, ReachError::NoCache));
}

#[tokio::test]
async fn a_program_for_another_machine_is_not_sent() {
    let host = Host::new();
    let program = Program { machine: "another", ..host.program() };
    let why = host.refusal(&program).await;
    assert!(matches!(&why, ReachError::NoProgramFor(of) if of == std::env::consts::ARCH), "{why:?}");
    assert!(host.kept().is_empty());
}

#[tokio::test]
async fn of_several_programs_the_one_for_the_machine_is_sent() {
    let host = Host::new();
    let program = host.program();
    let other = Program { machine: "another", sha256: "0".repeat(64), ..program.clone() };
    for programs in [[program.clone(), other.clone()], [other, program.clone()]] {
        let reached = host.ssh.reach(&plain(), &programs, &KEY, &mut |_| {}).await.unwrap();
        assert_eq!(reached.hello.user, USER);
        assert_eq!(host.kept(), [name_of(&program)]);
    }
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_told() {
    let host = Host::with("HOME=/proc/none");
    let program = host.program();
    assert!(matches!(host.refusal(&program).await, ReachError::NoCache));
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_left_there() {
    // No file may grow: the writer is ended by the system, as an error of the disk would end it.
    let host = Host::with("ulimit -f 0");
    let program = host.program();
    let why = host.refusal(&program).await;
    assert!(matches!(why, ReachError::NoSpace { free_kib: Some(_) }), "{why:?}");
    assert!(host.kept().is_empty(), "{:?}", host.kept());
}

#[tokio::test]
async fn a_full_disk_is_told_in_the_middle_of_sending() {
    let host = Host::new();
    // More than fits into the pipe, and the host reads nothing of it.
    let program = host.program_of(&"# a long program\n".repeat(100_000));
    host.command("head", "exit 1");
    let why = host.refusal(&program).await;
    assert!(matches!(why, ReachError::NoSpace { .. }), "{why:?}");
}

#[tokio::test]
async fn a_program_that_does_not_start_is_told() {
    let host = Host::new();
    let program = host.program_of("exit 1");
    assert!(matches!(host.refusal(&program).await, ReachError::NoExec));
}

#[tokio::test]
async fn what_arrives_as_something_else_is_not_kept() {
    let host = Host::new();
    let program = Program { sha256: "0".repeat(64), ..host.program() };
    assert!(matches!(host.refusal(&program).await, ReachError::WrongSum));
    assert!(host.kept().is_empty(), "{:?}", host.kept());
}

#[tokio::test]
async fn what_arrives_cut_is_not_kept() {
    let host = Host::with("head -c 20 | /bin/sh -c \"$command\"; exit");
    let program = host.program();
    assert!(matches!(host.refusal(&program).await, ReachError::WrongSum));
    assert!(host.kept().is_empty(), "{:?}", host.kept());
}

#[tokio::test]
async fn a_program_that_is_gone_or_shorter_here_is_not_awaited_there() {
    let host = Host::new();
    let program = host.program();
    let longer = Program { bytes: program.bytes + 1, ..program.clone() };
    assert!(matches!(host.refusal(&longer).await, ReachError::NoProgramFor(_)));
    fs::remove_file(&program.path).unwrap();
    assert!(matches!(host.refusal(&program).await, ReachError::NoProgramFor(_)));
}

#[tokio::test]
async fn an_installed_program_is_used_as_it_is() {
    let host = Host::new();
    let program = host.program();
    let installed = |path: &Path| Reach { program: Some(path.display().to_string()), ..plain() };
    let reached = host.reach_as(&installed(&program.path), &program).await.unwrap();
    assert!(!reached.started.sent);
    assert_eq!(reached.hello.user, USER);
    assert!(host.kept().is_empty());
    let why = host.reach_as(&installed(&host.at("none")), &program).await.err();
    assert!(matches!(why, Some(ReachError::NoExec)), "{why:?}");
}

#[tokio::test]
async fn sudo_is_used_where_it_allows_the_very_command() {
    let host = Host::new();
    let program = host.program();
    let used = host.at("used");
    // It allows this command, and no other.
    let text = r#"[ "$1 $2 $4 $#" = "-n -- serve 4" ] || exit 1; shift 2; echo "$@" >>"#;
    host.command("sudo", &format!("{text}{}; exec \"$@\"", used.display()));
    let reached = host.reach_as(&with_sudo(), &program).await.unwrap();
    assert_eq!(reached.started.sudo, Sudo::Yes);
    let line = format!("{}/{} serve\n", host.cache().display(), name_of(&program));
    assert_eq!(fs::read_to_string(&used).unwrap(), line.repeat(2), "asked, then used");
    // Without the wish it is not asked.
    let reached = host.reach(&program).await.unwrap();
    assert_eq!(reached.started.sudo, Sudo::NotAsked);
    assert_eq!(fs::read_to_string(&used).unwrap(), line.repeat(2));
}

#[tokio::test]
async fn a_connection_from_a_host_needs_no_sudo_and_its_bytes_follow_the_answer() {
    let host = Host::new();
    let used = host.at("used");
    host.command("sudo", &format!("echo \"$@\" >>{}; exit 1", used.display()));
    let mut answer = Vec::new();
    ReachFrame::Reached { local: "192.0.2.7:4000".parse().unwrap() }.write(&mut answer).unwrap();
    fs::write(host.at("answer"), &answer).unwrap();
    // What the driver says before the bytes: a greeting and a question.
    let hello = Frame::Hello(Hello::Driver { versions: vec![VERSION], key: digits_of(&KEY) });
    let mut asked = encode(&hello).unwrap();
    ReachFrame::Reach { host: "api.example.org".to_owned(), port: 443 }.write(&mut asked).unwrap();
    let program = host.program_of(&format!(
        "case $1 in --version) exit;; reach) ;; *) exit 2;; esac\n\
         cat {0}/hello; head -c {1} >{0}/asked; cat {0}/answer; exec cat",
        host.folder.path().display(),
        asked.len()
    ));
    let reached = host.reach_as(&for_a_connection(), &program).await.unwrap();
    assert!(reached.started.sent);
    assert_eq!(reached.started.sudo, Sudo::NotAsked);
    let (link, hello, _running) = reached.into_parts();
    assert_eq!(hello.user, USER);
    let mut tunnel = link.reach("api.example.org", 443).await.unwrap();
    assert_eq!(fs::read(host.at("asked")).unwrap(), asked);
    tunnel.write.write_all(b"ping\0").await.unwrap();
    let mut heard = [0; 5];
    tunnel.read.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping\0");
    // The half that is written is the program's input.
    drop(tunnel.write);
    assert_eq!(tunnel.read.read(&mut heard).await.unwrap(), 0);
    assert!(!used.exists());
}

#[tokio::test]
async fn a_program_that_ends_before_it_answers_is_no_connection() {
    let host = Host::new();
    let hello = Frame::Hello(Hello::Driver { versions: vec![VERSION], key: digits_of(&KEY) });
    let program = host.program_of(&format!(
        "[ $1 = --version ] && exit; cat {}; head -c {} >/dev/null",
        host.at("hello").display(),
        encode(&hello).unwrap().len()
    ));
    let reached = host.reach_as(&for_a_connection(), &program).await.unwrap();
    let (link, _, _running) = reached.into_parts();
    let refused = link.reach("api.example.org", 443).await.err();
    assert!(matches!(refused, Some(NotReached::Link(LinkError::Cut(_)))), "{refused:?}");
}

#[tokio::test]
async fn where_sudo_refuses_the_program_runs_as_the_user() {
    let host = Host::new();
    let program = host.program();
    host.command("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let reached = host.reach_as(&with_sudo(), &program).await.unwrap();
    assert_eq!((reached.started.sudo, reached.hello.user.as_str()), (Sudo::Refused, USER));
}

#[tokio::test]
async fn root_needs_no_sudo() {
    let host = Host::new();
    let program = host.program();
    host.command("sudo", "exit 1");
    host.user(0);
    for to in [plain(), with_sudo()] {
        assert_eq!(host.reach_as(&to, &program).await.unwrap().started.sudo, Sudo::Root);
    }
}

#[tokio::test]
async fn what_a_login_shell_prints_first_is_skipped_up_to_a_limit() {
    let host = Host::with("echo Welcome; printf 'no line end'; head -c 1000000 /dev/zero >&2");
    assert_eq!(host.reach(&host.program()).await.unwrap().hello.user, USER);
    let host = Host::with("head -c 100000 /dev/zero");
    let why = host.refusal(&host.program()).await;
    assert!(matches!(why, ReachError::Noise(_)), "{why:?}");
}

#[tokio::test]
async fn ssh_tells_why_it_failed() {
    let failed = "echo 'debug of the proxy' >&2; echo 'Host key verification failed.' >&2; exit 255";
    let host = Host::with(failed);
    let why = host.refusal(&host.program()).await;
    assert!(
        matches!(&why, ReachError::Ssh { said, code: Some(255) } if said == "Host key verification failed."),
        "{why:?}"
    );
    // What a shell with `set -x` repeats of its profile may hold a value.
    let host = Host::with("echo '+ export API_KEY=a-value' >&2; exit 1");
    let why = host.refusal(&host.program()).await;
    assert!(matches!(&why, ReachError::Ssh { said, .. } if said == "+ export API_KEY=…"), "{why:?}");
    // Without a word of ssh's, the last word of the host's shell counts.
    let host = Host::with("echo; echo 'This account is closed.'; echo; exit 1");
    let why = host.refusal(&host.program()).await;
    assert!(
        matches!(&why, ReachError::Ssh { said, code: Some(1) } if said == "This account is closed."),
        "{why:?}"
    );
}

#[tokio::test]
async fn without_ssh_nothing_is_reached() {
    let host = Host::new();
    let program = host.program();
    let ssh = Ssh { program: host.at("none"), ..Ssh::installed() };
    let why = ssh.reach(&plain(), std::slice::from_ref(&program), &KEY, &mut |_| {}).await.err();
    assert!(matches!(why, Some(ReachError::NoSsh(_))), "{why:?}");
}

#[tokio::test]
async fn a_host_that_says_nothing_is_not_awaited_for_ever() {
    let mut host = Host::with("exec cat");
    host.ssh.answer_wait = Duration::from_millis(50);
    let program = host.program();
    assert!(matches!(host.refusal(&program).await, ReachError::Late { seconds: 0 }));
}

#[tokio::test]
async fn a_program_that_ends_at_once_tells_why() {
    let host = Host::new();
    let program = host.program_of("[ $1 = --version ] || { echo 'no memory' >&2; exit 1; }");
    let why = host.refusal(&program).await;
    let told = |words: &str| words.ends_with("; no memory");
    assert!(matches!(&why, ReachError::Link(LinkError::Cut(words)) if told(words)), "{why:?}");
}

#[tokio::test]
async fn a_dropped_host_leaves_no_process() {
    let host = Host::new();
    let reached = host.reach(&host.program()).await.unwrap();
    // The `ssh` of here becomes the host's shell, and that the program.
    let process = format!("/proc/{}/stat", reached.running.id().unwrap());
    assert!(fs::read_to_string(&process).is_ok());
    drop(reached);
    // The last state of a process that nobody has awaited yet is no running one.
    let gone = || async {
        let stat = fs::read_to_string(&process).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| rest.is_empty() || rest.trim_start().starts_with('Z'))
            .then_some(())
    };
    until(Deadline::seconds(60), gone).await.unwrap();
}

#[tokio::test]
async fn a_host_that_does_not_end_is_ended() {
    let host = Host::new();
    let hello = host.at("hello");
    let program =
        host.program_of(&format!("[ $1 = --version ] && exit; cat {}; exec sleep 1000", hello.display()));
    let reached = host.reach(&program).await.unwrap();
    let process = format!("/proc/{}", reached.running.id().unwrap());
    assert_eq!(reached.end().await, None);
    assert!(!Path::new(&process).exists());
}
