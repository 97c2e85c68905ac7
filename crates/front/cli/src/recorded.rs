//! Which commands are recorded in the journal, and when. An act that cannot be recorded is not done.
//!
//! Nothing that an operator typed is recorded but what the configuration or an id's form vouches for: a value that was
//! pasted in the wrong place must not stand in the journal for ever.

use keyroll_app::incidents;
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::records::acts::{self, Act};

use crate::args::{Command, Emergency, HostsCommand, IncidentCommand, SecretCommand};
use crate::context::Context;

/// The longest id of a rotation, plan or incident, characters; a longer word may be a key.
const ID_MAX: usize = 32;

/// What a command asks for, as it was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    what: &'static str,
    secret: Option<String>,
    /// Ids, or beginnings of ids.
    about: Vec<String>,
    /// Words that are keyroll's own.
    with: Vec<&'static str>,
    how: How,
    of: Of,
}

/// When a command is recorded, and what follows if it cannot be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum How {
    /// Before it is done; else it is not done.
    #[default]
    First,
    /// Before it is done; if that is not possible, it is done all the same. A person on a bad night needs it, also with a
    /// journal that was restored, a full disk, or a key that only the server can read.
    IfPossible,
    /// Once it is done: it makes the journal usable.
    Afterwards,
}

/// What the id of a command is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Of {
    /// It has none.
    #[default]
    None,
    /// A rotation or a plan; without an id, the only open rotation.
    Rotation,
    /// An incident; without an id, the only one that is not over.
    Incident,
}

/// Records what a command asks for, as this user's, unless a server did so; returns what is recorded once it is done.
///
/// # Errors
/// It cannot be recorded, so it must not be done.
pub(crate) fn before(command: &Command, context: &mut Context) -> Result<Option<Asked>, Problem> {
    let Some(asked) = asked(command).filter(|_| context.globals.asked_by.is_none()) else { return Ok(None) };
    let recorded = match asked.how {
        How::Afterwards => return Ok(Some(asked)),
        How::First | How::IfPossible => asked.record(&context.installation),
    };
    match (recorded, asked.how) {
        (Err(problem), How::IfPossible) => unrecorded(&problem, context),
        (recorded, _) => recorded?,
    }
    Ok(None)
}

/// Records what is done and was not recorded before.
pub(crate) fn after(asked: &Asked, context: &mut Context) {
    if let Err(problem) = asked.record(&context.installation) {
        context.ui.note(format!("it is done, and not recorded: {}", problem.sentence()));
    }
}

fn unrecorded(problem: &Problem, context: &mut Context) {
    context.ui.note(format!("it is not recorded who asks for this: {}", problem.sentence()));
}

/// What is recorded of this command; none = it changes nothing, or records itself.
fn asked(command: &Command) -> Option<Asked> {
    let plain = |what| Asked { what, ..Asked::default() };
    let of = |what, secret: &String| Asked { secret: Some(secret.clone()), ..plain(what) };
    let about = |what, id: &Option<String>| Asked {
        about: id.iter().cloned().collect(),
        of: Of::Rotation,
        ..plain(what)
    };
    Some(match command {
        Command::Apply(args) => {
            let with = consents(args.confirm.is_some(), args.emergency, !args.accept.is_empty(), false);
            Asked { with, ..about("apply", &Some(args.plan.clone())) }
        }
        Command::Resume(args) => {
            let by_hand = args.revoked_by_hand;
            let with = consents(args.confirm.is_some(), args.emergency, !args.accept.is_empty(), by_hand);
            Asked { with, ..about("resume", &args.id) }
        }
        Command::Retry(args) => about("retry", &args.id),
        Command::Abort(args) | Command::Undo(args) => about("abort", &args.id),
        Command::Pause(args) => Asked { how: How::IfPossible, ..about("pause", &args.id) },
        Command::Revoke(args) => of("revoke", &args.secret),
        Command::Emergency(args) => {
            let with = consents(args.confirm.is_some(), None, false, false);
            Asked { about: args.rotation.iter().cloned().collect(), with, ..of("emergency", &args.secret) }
        }
        Command::Due(args) if args.apply => Asked { secret: args.secret.clone(), ..plain("due --apply") },
        Command::Secret(command) => return of_secrets(command),
        Command::Incident(command) => return of_incidents(command),
        Command::Hosts(command) => return of_hosts(command),
        Command::Fingerprints(_) => Asked { how: How::IfPossible, ..plain("fingerprints") },
        Command::Leaks(args) if args.alert => Asked { how: How::IfPossible, ..plain("leaks --alert") },
        Command::Doctor(args) if args.accept_journal => {
            Asked { how: How::Afterwards, ..plain("doctor --accept-journal") }
        }
        Command::Doctor(args) if args.moved_here => Asked { how: How::Afterwards, ..plain("doctor --moved-here") },
        // A token is recorded by its name, and what is adopted or waived once it is known.
        Command::Token(_)
        | Command::Consumer(_)
        // These change nothing of an installation, or only its configuration.
        | Command::Doctor(_)
        | Command::Due(_)
        | Command::Demo(_)
        | Command::DemoPart(_)
        | Command::Below(_)
        | Command::Scan(_)
        | Command::Why(_)
        | Command::Trace(_)
        | Command::Graph(_)
        | Command::Leaks(_)
        | Command::Redact(_)
        | Command::Run(_)
        | Command::Get(_)
        | Command::Init(_)
        | Command::Issuers(_)
        | Command::Plan(_)
        | Command::Split(_)
        | Command::Status(_)
        | Command::Verify(_)
        | Command::Runbook(_)
        | Command::Serve(_)
        | Command::Notice(_)
        | Command::History(_)
        | Command::Audit(_)
        | Command::Explain(_)
        | Command::Schema
        | Command::Completion(_)
        | Command::Man(_) => return None,
    })
}

fn of_secrets(command: &SecretCommand) -> Option<Asked> {
    let of = |what, secret: Option<&String>| Asked { what, secret: secret.cloned(), ..Asked::default() };
    match command {
        SecretCommand::Add(args) => Some(of("secret add", Some(&args.name))),
        SecretCommand::Import(args) => Some(of("secret import", args.name.as_ref())),
        SecretCommand::Rewrap(_) => Some(Asked { how: How::IfPossible, ..of("secret rewrap", None) }),
        // Records itself once it is known that the label is one.
        SecretCommand::AcceptKey(_) => None,
        SecretCommand::Drift(_)
        | SecretCommand::CheckStore(_)
        | SecretCommand::List
        | SecretCommand::Show(_) => None,
    }
}

fn of_hosts(command: &HostsCommand) -> Option<Asked> {
    match command {
        HostsCommand::Accept(_) => {
            Some(Asked { what: "hosts accept", how: How::IfPossible, ..Asked::default() })
        }
        // It is recorded once it is known in which rotations.
        HostsCommand::Waive(_) => None,
        HostsCommand::List | HostsCommand::Check(_) | HostsCommand::Import(_) => None,
    }
}

fn of_incidents(command: &IncidentCommand) -> Option<Asked> {
    let of = |what, ids: &[String]| Asked {
        what,
        about: ids.to_vec(),
        of: Of::Incident,
        how: How::IfPossible,
        ..Asked::default()
    };
    Some(match command {
        IncidentCommand::Open(args) => {
            Asked { secret: args.secret.clone(), of: Of::None, ..of("incident open", &[]) }
        }
        IncidentCommand::Contain(args) => {
            let mut with = consents(args.confirm.is_some(), None, false, args.revoked_by_hand);
            with.extend(args.revoke_now.then_some("--revoke-now"));
            Asked { with, how: How::First, ..of("incident contain", args.id.as_slice()) }
        }
        IncidentCommand::Close(args) => of("incident close", &args.ids),
        IncidentCommand::Reopen(args) => of("incident reopen", std::slice::from_ref(&args.id)),
        IncidentCommand::List(_) | IncidentCommand::Assess(_) | IncidentCommand::Report(_) => return None,
    })
}

fn consents(
    confirmed: bool,
    emergency: Option<Emergency>,
    accepts: bool,
    by_hand: bool,
) -> Vec<&'static str> {
    let how = emergency.map(|emergency| match emergency {
        Emergency::RollFirst => "--emergency roll-first",
        Emergency::RevokeNow => "--emergency revoke-now",
    });
    let given = [
        confirmed.then_some("--confirm"),
        how,
        accepts.then_some("--accept"),
        by_hand.then_some("--revoked-by-hand"),
    ];
    given.into_iter().flatten().collect()
}

impl Asked {
    fn record(&self, installation: &Installation) -> Result<(), Problem> {
        let Self { what, secret, about, with, how, of } = self;
        let places = installation.places()?;
        // Nobody is asked for a passphrase by what is done without it too.
        let places = if *how == How::IfPossible { places.unasked() } else { places };
        let secret = secret.as_ref().filter(|name| acts::is_configured(name, installation));
        let detail = (!with.is_empty()).then(|| with.join(" "));
        let each: Vec<Option<&String>> = match about.as_slice() {
            [] => vec![None],
            ids => ids.iter().filter(|id| is_id(id)).map(Some).collect(),
        };
        for id in each {
            let meant = match of {
                Of::None => None,
                Of::Rotation => acts::meant(id.map(String::as_str), &places).map(|(id, its)| (id, Some(its))),
                Of::Incident => incidents::subject(id.map(String::as_str), installation),
            };
            // What nothing is called may be a value in the wrong place.
            let (about, its) = meant.map_or((None, None), |(id, its)| (Some(id), its));
            let (secret, detail) = (its.or_else(|| secret.cloned()), detail.clone());
            acts::record(&Act { secret, about, detail, ..acts::asked(what, &places) }, &places)?;
        }
        Ok(())
    }
}

/// Whether it has the form of an id: any other word may be a value in the wrong place.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase();
    (1..=ID_MAX).contains(&text.len()) && text.bytes().all(plain)
}

/// Records what is asked about a token of the server, by the name of the token. A token must be revocable where nothing
/// else works.
pub(crate) fn token(what: &str, name: &str, role: Option<&str>, context: &mut Context) {
    let (about, detail) = (Some(name.to_owned()), role.map(|role| format!("--role {role}")));
    let recorded = context.installation.places().and_then(|places| {
        let places = places.unasked();
        acts::record(&Act { about, detail, ..acts::asked(what, &places) }, &places)
    });
    if let Err(problem) = recorded {
        unrecorded(&problem, context);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn of(line: &str) -> Option<(String, How)> {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        asked(&cli.command).map(|asked| (format!("{} {}", asked.what, asked.with.join(" ")), asked.how))
    }

    #[test]
    fn what_changes_something_is_recorded_with_what_it_consents_to() {
        let told = |text: &str, how| Some((text.to_owned(), how));
        assert_eq!(of("keyroll apply 01a2 --confirm db"), told("apply --confirm", How::First));
        assert_eq!(
            of("keyroll resume --emergency revoke-now --accept a"),
            told("resume --emergency revoke-now --accept", How::First)
        );
        assert_eq!(of("keyroll pause"), told("pause ", How::IfPossible));
        assert_eq!(of("keyroll due --apply"), told("due --apply ", How::First));
        assert_eq!(of("keyroll hosts accept web-1"), told("hosts accept ", How::IfPossible));
        assert_eq!(of("keyroll doctor --accept-journal"), told("doctor --accept-journal ", How::Afterwards));
        for reads in [
            "keyroll due",
            "keyroll doctor",
            "keyroll status",
            "keyroll secret list",
            "keyroll audit",
            "keyroll hosts check",
        ] {
            assert_eq!(of(reads), None, "{reads}");
        }
    }
}
