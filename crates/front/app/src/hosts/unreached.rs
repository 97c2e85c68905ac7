use keyroll_codes::Code;
use keyroll_link::LinkError;
use keyroll_ssh::ReachError;

use super::chosen::Remote;
use crate::operator::plain;
use crate::problem::Problem;

/// How keyroll-host may fail. A host cannot end the command with the code, and so the exit status, of something else.
const OF_HOSTS: [Code; 4] =
    [Code::NameNotFound, Code::ProcessesHidden, Code::SearchPathUnreadable, Code::InternalError];

/// What ssh says of a host whose key it does not know.
const KEY_UNKNOWN: &str = "Host key verification failed";
/// What ssh says of a host that has another key than before.
const KEY_CHANGED: &str = "REMOTE HOST IDENTIFICATION HAS CHANGED";
/// What ssh says if no key of the user is accepted.
const DENIED: &str = "Permission denied";
/// The port of ssh, with which its file of known keys names no port.
const SSH_PORT: u16 = 22;
/// Where keyroll-host is installed, if nothing else is said.
const INSTALLED: &str = "/usr/local/bin/keyroll-host";

/// The problem of a host on which keyroll-host was not started.
pub(super) fn not_reached(remote: &Remote, error: ReachError) -> Problem {
    let name = &remote.name;
    let unreachable = || Problem::new(Code::HostUnreachable, format!("reach {name}"));
    let unusable = |why: String| {
        Problem::new(Code::HostProgramUnusable, format!("start keyroll-host on {name}")).because(why)
    };
    match error {
        ReachError::NoSsh(why) => unreachable()
            .because(format!("ssh could not be started: {}", plain(&why)))
            .help("install the client of OpenSSH"),
        ReachError::Ssh { said, code } => of_ssh(remote, &said, code),
        ReachError::Late { seconds } => {
            unreachable().because(format!("it did not answer within {seconds} s")).help(try_ssh(remote))
        }
        ReachError::NoProgramFor(machine) => {
            unusable(format!("this installation has no keyroll-host for {}", plain(&machine)))
                .help(install(remote))
        }
        ReachError::NoCache => {
            unusable("the cache folder of the user there, ~/.cache/keyroll, cannot be used".to_owned())
                .help(install(remote))
        }
        ReachError::NoSpace { free_kib } => {
            let free = free_kib.map(|kib| format!(": {kib} KiB are free")).unwrap_or_default();
            unusable(format!("the cache folder of the user there has no room{free}")).help(install(remote))
        }
        ReachError::NoExec => match &remote.address.program {
            Some(program) => unusable(format!("{program} there cannot be started"))
                .help("see that it is the keyroll-host for that machine, and that its mode allows the start"),
            None => unusable("programs in the cache folder of the user there may not be started".to_owned())
                .help(install(remote)),
        },
        ReachError::WrongSum => {
            unusable("what arrived there differs from what was sent".to_owned()).help("run the command again")
        }
        ReachError::Noise(said) => {
            Problem::new(Code::HostAnswerUnusable, format!("start keyroll-host on {name}"))
                .because(format!("something else answered: {}", plain(&said)))
                .help(format!("see that this prints nothing: {}", ssh(remote)))
        }
        // What it sent first was read as the length of a greeting.
        ReachError::Link(LinkError::TooLarge { .. }) => {
            Problem::new(Code::HostAnswerUnusable, format!("start keyroll-host on {name}"))
                .because("something else answered: it sent no greeting")
                .help(format!(
                    "see that `program` there is keyroll-host, and that this prints nothing: {}",
                    ssh(remote)
                ))
        }
        ReachError::Link(error) => of_link(name, "look at", error),
    }
}

/// The problem of an answer that no keyroll-host of this release gives.
pub(super) fn of_answer(name: &str, attempted: &str, why: &str) -> Problem {
    Problem::new(Code::HostAnswerUnusable, format!("{attempted} {name}"))
        .because(why)
        .help("see that the keyroll-host there is of this release")
}

/// The problem of a host whose connection or answers cannot be used; `attempted` is a verb before its name.
pub(super) fn of_link(name: &str, attempted: &str, error: LinkError) -> Problem {
    let attempted = format!("{attempted} {name}");
    let check = format!("keyroll hosts check {name} tries the connection alone");
    match error {
        LinkError::Cut(_) | LinkError::Silent { .. } => {
            Problem::new(Code::HostUnreachable, attempted).because(plain(&error.to_string())).help(check)
        }
        LinkError::Late { .. } => Problem::new(Code::HostUnreachable, attempted)
            .because(plain(&error.to_string()))
            .help("search less: a folder (scan FOLDER, why NAME --in FOLDER, leaks FOLDER), or --memory 0; or give it more time: --wait (not leaks)"),
        LinkError::TooLarge { .. } => Problem::new(Code::HostAnswerUnusable, attempted)
            .because(plain(&error.to_string()))
            .help("narrow the search to a folder: scan FOLDER, why NAME --in FOLDER, leaks FOLDER"),
        LinkError::OtherVersion(_) => Problem::new(Code::HostAnswerUnusable, attempted)
            .because(plain(&error.to_string()))
            .help(format!(
                "install the keyroll-host of this release there, or leave out `program` in [hosts.{name}]"
            )),
        LinkError::Garbage(_) => {
            Problem::new(Code::HostAnswerUnusable, attempted).because(plain(&error.to_string())).help(check)
        }
        LinkError::Failed { code, attempted, causes, help } => {
            let code = Code::parse(&code).filter(|code| OF_HOSTS.contains(code));
            let code = code.unwrap_or(Code::HostAnswerUnusable);
            let problem = Problem::new(code, format!("{} on {name}", plain(&attempted)));
            let problem = causes.iter().fold(problem, |problem, cause| problem.because(plain(cause)));
            match help {
                Some(help) => problem.help(format!("on {name}: {}", plain(&help))),
                None => problem,
            }
        }
    }
}

fn of_ssh(remote: &Remote, said: &str, code: Option<i32>) -> Problem {
    let code = code.map(|code| format!(" (it ended with {code})")).unwrap_or_default();
    let why = match said.trim().is_empty() {
        true => format!("ssh said nothing{code}"),
        false => plain(said.trim()),
    };
    let help = if said.contains(KEY_CHANGED) {
        format!(
            "ask the administrator of the host whether its key was changed; if so: ssh-keygen -R {}, and connect once by \
             hand: {}",
            known_as(remote),
            ssh(remote)
        )
    } else if said.contains(KEY_UNKNOWN) {
        format!("compare the fingerprint of the host's key, and connect once by hand: {}", ssh(remote))
    } else if said.contains(DENIED) {
        format!(
            "keyroll asks for no password: load your key with ssh-add, then see that this works: {}",
            ssh(remote)
        )
    } else {
        try_ssh(remote)
    };
    Problem::new(Code::HostUnreachable, format!("reach {}", remote.name)).because(why).help(help)
}

fn try_ssh(remote: &Remote) -> String {
    format!("see that this works: {}", ssh(remote))
}

/// The same connection by hand. Its parts have no sign that a shell takes apart.
fn ssh(remote: &Remote) -> String {
    let address = &remote.address;
    let port = address.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let user = address.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    format!("ssh {port}{user}{} true", address.host)
}

/// The host as ssh's file of known keys names it, a word for a shell.
fn known_as(remote: &Remote) -> String {
    let host = &remote.address.host;
    match remote.address.port.filter(|port| *port != SSH_PORT) {
        Some(port) => format!("\"[{host}]:{port}\""),
        None => host.clone(),
    }
}

fn install(remote: &Remote) -> String {
    format!("install keyroll-host there, and name it in [hosts.{}]: program = \"{INSTALLED}\"", remote.name)
}

/// The problem of a host where keyroll-host was to run as root, and runs as the user of the login.
pub(super) fn not_root(remote: &Remote) -> Problem {
    let name = &remote.name;
    Problem::new(Code::HostProgramUnusable, format!("start keyroll-host as root on {name}"))
        .because("sudo there refuses it, or asks for a password")
        .help(format!("{}; keyroll hosts check {name} then shows whether it works", sudo_rule(remote)))
}

/// What permits a login to start keyroll-host as root, and what names that program here.
pub(super) fn sudo_rule(remote: &Remote) -> String {
    let (name, program) = (&remote.name, remote.address.program.as_deref());
    let path = program.unwrap_or(INSTALLED);
    let login = remote.address.user.as_deref().unwrap_or("LOGIN");
    let rule = format!("there, a line for sudoers: {login} ALL=(root) NOPASSWD: {path} serve");
    match program {
        Some(_) => rule,
        None => format!("{rule}; and in [hosts.{name}]: program = \"{path}\""),
    }
}

#[cfg(test)]
mod tests {
    use keyroll_config::SshAddress;

    use super::*;

    fn remote() -> Remote {
        let address = SshAddress::parse("ssh://deploy@web-1.example:2222").unwrap();
        Remote { name: "web-1".to_owned(), address }
    }

    #[test]
    fn each_way_to_fail_has_its_code_and_its_next_step() {
        let ssh = |said: &str| ReachError::Ssh { said: said.to_owned(), code: Some(255) };
        for (error, code, help) in [
            (
                ssh("ssh: connect to host web-1 port 22: Connection refused"),
                "K0960",
                "ssh -p 2222 deploy@web-1.example true",
            ),
            (ssh("Host key verification failed."), "K0960", "fingerprint"),
            (
                ssh("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!"),
                "K0960",
                "ssh-keygen -R \"[web-1.example]:2222\"",
            ),
            (ssh("deploy@web-1: Permission denied (publickey)."), "K0960", "ssh-add"),
            (ReachError::NoProgramFor("aarch64".to_owned()), "K0961", "[hosts.web-1]: program"),
            (ReachError::NoSpace { free_kib: Some(12) }, "K0961", "[hosts.web-1]: program"),
            (ReachError::WrongSum, "K0961", "again"),
            (ReachError::Noise("hello".to_owned()), "K0963", "prints nothing"),
            (ReachError::Link(LinkError::Silent { seconds: 30 }), "K0960", "hosts check web-1"),
            (ReachError::Link(LinkError::Garbage("no frame".to_owned())), "K0963", "hosts check web-1"),
            (ReachError::Link(LinkError::TooLarge { bytes: 9 << 20 }), "K0963", "prints nothing"),
        ] {
            let problem = not_reached(&remote(), error);
            assert_eq!(problem.code, code, "{}", problem.sentence());
            assert!(
                problem.sentence().contains("web-1") && !problem.causes.is_empty(),
                "{}",
                problem.sentence()
            );
            assert!(problem.help.as_ref().unwrap().contains(help), "{problem:?}");
        }
    }

    #[test]
    fn a_host_whose_sudo_refuses_is_named_with_the_rule_that_permits_it() {
        let problem = not_root(&remote());
        assert_eq!(problem.code, "K0961", "{}", problem.sentence());
        assert!(problem.attempted.ends_with(" web-1"), "{}", problem.attempted);
        let help = problem.help.unwrap();
        for words in [
            "deploy ALL=(root) NOPASSWD: /usr/local/bin/keyroll-host serve",
            "in [hosts.web-1]: program = \"/usr/local/bin/keyroll-host\"",
            "keyroll hosts check web-1",
        ] {
            assert!(help.contains(words), "{help}");
        }
        // An installed one is named already.
        let mut installed = remote();
        installed.address.program = Some("/opt/keyroll-host".to_owned());
        let help = not_root(&installed).help.unwrap();
        assert!(help.contains("NOPASSWD: /opt/keyroll-host serve") && !help.contains("program ="), "{help}");
    }

    #[test]
    fn what_a_host_reports_keeps_its_code_and_cannot_write_to_the_terminal() {
        let failed = |code: &str| LinkError::Failed {
            code: code.to_owned(),
            attempted: "search this machine".to_owned(),
            causes: vec!["no \u{1b}[2J/proc".to_owned()],
            help: Some("mount /proc".to_owned()),
        };
        let problem = of_link("web-1", "look at", failed("K0411"));
        assert_eq!(problem.code, "K0411");
        assert_eq!(problem.sentence(), "could not search this machine on web-1: no \u{fffd}[2J/proc");
        assert_eq!(problem.help.as_deref(), Some("on web-1: mount /proc"));
        // One that does not exist, and one that no look at a host ends with.
        for code in ["K9999", "K0802"] {
            assert_eq!(of_link("web-1", "look at", failed(code)).code, "K0963");
        }
    }
}
