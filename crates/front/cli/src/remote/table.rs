use std::path::PathBuf;

use clap::Parser as _;
use keyroll_server::Role;

use crate::args::{
    ApplyArgs, Cli, Command, ConsumerCommand, EmergencyArgs, Globals, HostArgs, IdArgs, IncidentCommand,
    PlanArgs, ResumeArgs, RetryArgs, SecretCommand, StatusArgs,
};
use crate::usage;

/// Where a command is done if a server is named.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'c> {
    /// On this machine all the same: it needs no installation.
    Here,
    /// The server runs it for callers of this role: it only reads, and reads no file that the caller names.
    Read(Role),
    /// The server is asked by a request of its own.
    Asked(Operation<'c>),
    /// On the machine of the server only.
    There,
}

/// What the server is asked by a request of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation<'c> {
    Watch(&'c StatusArgs),
    Plan(&'c PlanArgs),
    Apply(&'c ApplyArgs),
    Resume(&'c ResumeArgs),
    Retry(&'c RetryArgs),
    Pause(&'c IdArgs),
    Abort(&'c IdArgs),
    Emergency(&'c EmergencyArgs),
}

fn of_consumer(command: &ConsumerCommand) -> Place<'static> {
    match command {
        ConsumerCommand::Waivers(_) => Place::Read(Role::Viewer),
        ConsumerCommand::Adopt(_)
        | ConsumerCommand::Correct(_)
        | ConsumerCommand::LetGo(_)
        | ConsumerCommand::AcceptFile(_)
        | ConsumerCommand::Waive(_)
        | ConsumerCommand::CheckAdapter(_) => Place::There,
    }
}

/// Where this command is done.
pub(super) fn place(command: &Command) -> Place<'_> {
    match command {
        Command::Demo(_)
        | Command::DemoPart(_)
        | Command::Below(_)
        | Command::Leaks(_)
        | Command::Redact(_)
        | Command::Run(_)
        | Command::Get(_)
        | Command::Issuers(_)
        | Command::Explain(_)
        | Command::Schema
        | Command::Completion(_)
        | Command::Man(_) => Place::Here,
        Command::Status(args) if args.watch => Place::Asked(Operation::Watch(args)),
        Command::Plan(args) => Place::Asked(Operation::Plan(args)),
        Command::Apply(args) => Place::Asked(Operation::Apply(args)),
        Command::Resume(args) => Place::Asked(Operation::Resume(args)),
        Command::Retry(args) => Place::Asked(Operation::Retry(args)),
        Command::Pause(args) => Place::Asked(Operation::Pause(args)),
        Command::Abort(args) | Command::Undo(args) => Place::Asked(Operation::Abort(args)),
        Command::Emergency(args) => Place::Asked(Operation::Emergency(args)),
        Command::Due(args) => read_if(!args.apply && !args.timer, Role::Viewer),
        Command::Status(_) | Command::History(_) | Command::Audit(_) | Command::Runbook(_) => {
            Place::Read(Role::Viewer)
        }
        // These search the machine, or ask an issuer.
        Command::Verify(_) => Place::Read(Role::Operator),
        Command::Doctor(args) => read_if(!args.accept_journal && !args.moved_here, Role::Operator),
        Command::Scan(args) => read_if(usual(&args.roots, &args.hosts), Role::Operator),
        Command::Why(args) => {
            read_if(usual(&args.roots, &args.hosts) && !args.what.contains('/'), Role::Operator)
        }
        Command::Trace(args) => read_if(usual(&args.roots, &args.hosts), Role::Operator),
        Command::Graph(args) => read_if(args.roots.is_empty(), Role::Operator),
        Command::Secret(command) => match command {
            SecretCommand::List | SecretCommand::Show(_) => Place::Read(Role::Viewer),
            // It searches the machine, and asks the store.
            SecretCommand::Drift(_) => Place::Read(Role::Operator),
            SecretCommand::Add(_)
            | SecretCommand::Import(_)
            | SecretCommand::CheckStore(_)
            | SecretCommand::AcceptKey(_)
            | SecretCommand::Rewrap(_) => Place::There,
        },
        Command::Consumer(command) => of_consumer(command),
        Command::Incident(command) => match command {
            IncidentCommand::List(_) | IncidentCommand::Report(_) => Place::Read(Role::Viewer),
            IncidentCommand::Assess(args) => read_if(args.roots.is_empty(), Role::Operator),
            IncidentCommand::Open(_)
            | IncidentCommand::Contain(_)
            | IncidentCommand::Close(_)
            | IncidentCommand::Reopen(_) => Place::There,
        },
        // The server would use its own ssh keys for a caller.
        Command::Hosts(_)
        | Command::Fingerprints(_)
        | Command::Init(_)
        | Command::Split(_)
        | Command::Revoke(_)
        | Command::Serve(_)
        | Command::Token(_)
        | Command::Notice(_) => Place::There,
    }
}

/// Whether neither a folder nor a host was named.
fn usual(roots: &[PathBuf], hosts: &HostArgs) -> bool {
    roots.is_empty() && !hosts.any()
}

fn read_if(reads: bool, role: Role) -> Place<'static> {
    if reads { Place::Read(role) } else { Place::There }
}

/// The role that a command needs which the server runs for a caller; or why the server does not run it.
///
/// No word is repeated: it may be a value in the wrong place.
pub(crate) fn readable(words: &[String]) -> Result<Role, String> {
    let whole = std::iter::once("keyroll").chain(words.iter().map(String::as_str));
    let cli = Cli::try_parse_from(whole).map_err(|error| usage::explain(&error).sentence())?;
    if cli.globals != Globals::default() {
        return Err("the server runs a command without the options that every command takes".to_owned());
    }
    match place(&cli.command) {
        Place::Read(role) => Ok(role),
        Place::Here | Place::Asked(_) | Place::There => Err("the server does not run this command: it runs \
             commands that only read, such as status and history, without a path"
            .to_owned()),
    }
}

/// The words of the command as the operator wrote them, without the options that every command takes, and without
/// `--watch`: the server gets them one by one.
pub(super) fn own_words(typed: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut typed = typed.into_iter();
    while let Some(word) = typed.next() {
        match word.as_str() {
            "--" => {
                words.push(word);
                words.extend(typed);
                break;
            }
            "--json" | "--plain" | "--no-input" | "--yes" | "--cost" | "-w" | "--watch" => {}
            "--server" | "--token-file" => drop(typed.next()),
            _ if word.starts_with("--server=") || word.starts_with("--token-file=") => {}
            _ => words.push(word),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_server_runs_what_only_reads() {
        for line in [
            "status",
            "status 01a2",
            "history openai --all",
            "due",
            "secret list",
            "secret show openai",
            "incident list",
            "incident report 12",
            "consumer waivers",
            "runbook openai",
        ] {
            assert_eq!(readable(&words(line)), Ok(Role::Viewer), "{line}");
        }
        for line in [
            "verify openai",
            "secret drift",
            "doctor",
            "scan",
            "why openai",
            "trace openai",
            "graph",
            "incident assess 12",
        ] {
            assert_eq!(readable(&words(line)), Ok(Role::Operator), "{line}");
        }
        for line in [
            "status -w",
            "due --apply",
            "due --timer",
            "doctor --accept-journal",
            "doctor --moved-here",
            "scan /etc",
            "why /etc/canary",
            "why openai --in /canary",
            "trace openai --in /canary",
            "scan --host canary",
            "scan --all-hosts",
            "why openai --host canary",
            "trace openai --host canary",
            "hosts list",
            "hosts check canary",
            "hosts accept canary",
            "graph --in /canary",
            "incident assess 12 --in /canary",
            "incident open openai",
            "incident close 12 --because canary",
            "secret add canary",
            "apply 01a2",
            "plan openai",
            "resume",
            "retry 01a2",
            "token list",
            "leaks /canary",
            "redact /canary",
            "run -- cat /canary",
            "issuers show file:/canary",
            "status --state /canary",
            "status --config /canary",
            "status --sealing-key file:/canary",
            "status --json",
            "status --help",
            "status canary canary",
            "canary",
            "--canary",
        ] {
            let said = readable(&words(line)).unwrap_err();
            let repeats = said.contains("canary") && !line.contains("--canary");
            assert!(!repeats, "{line}: {said}");
        }
        assert!(readable(&[]).is_err());
    }

    #[test]
    fn the_options_of_every_command_stay_here() {
        let own = |line: &str| own_words(words(line)).join(" ");
        assert_eq!(own("--server http://127.0.0.1:9090 status -w --json 01a2"), "status 01a2");
        assert_eq!(own("status --server=http://x --token-file=f --plain"), "status");
        assert_eq!(own("--token-file f history openai --all --no-input"), "history openai --all");
        assert_eq!(own("why -- --json"), "why -- --json");
    }
}
