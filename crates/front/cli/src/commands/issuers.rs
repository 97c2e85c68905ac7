use std::path::Path;

use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, IssuerShown};
use keyroll_app::problem::Problem;
use keyroll_app::wiring::issuer::{described, spec_text};
use keyroll_codes::Code;
use keyroll_config::{Config, IssuerRef};
use keyroll_issuer::{Spec, mechanism};
use keyroll_rotation::LastUsed;

use crate::args::IssuersCommand;
use crate::context::Context;
use crate::ui::Table;

/// What every shipped spec was tested against.
const NEVER_TRIED: &str =
    "complete rotations against a local server that answers as the spec expects; never the real service";
/// The same for a spec that is not shipped.
const NOT_KNOWN: &str = "unknown: it is your own spec";

/// Shows the known issuers and their capabilities, without a call to any.
pub(super) fn run(command: &IssuersCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        IssuersCommand::List => list(context),
        IssuersCommand::Show(args) => show(&args.name, context),
    }
    .map(|()| Exit::Done)
}

fn list(context: &mut Context) -> Result<(), Problem> {
    let mut all = Vec::new();
    for name in Spec::names() {
        all.push(shown(name, &Spec::shipped(name).map_err(|error| unread(&error))?, NEVER_TRIED));
    }
    // Without a configuration, list only the shipped specs.
    let config = context.installation.config().ok();
    for secret in config.iter().flat_map(|config| config.secrets.values()) {
        let IssuerRef::SpecFile(path) = &secret.issuer else { continue };
        let name = file_name(path, context);
        if all.iter().any(|one| one.name == name) {
            continue;
        }
        match described(secret).map(|described| described.spec) {
            Ok(spec) => all.extend(spec.map(|spec| shown(&name, &spec, NOT_KNOWN))),
            // One unreadable spec does not hide the others.
            Err(problem) => context.ui.problem(&problem),
        }
    }
    if context.ui.look.json {
        all.into_iter().for_each(|one| context.ui.event(Event::Issuer(one)));
        return Ok(());
    }
    let mut table = Table::new(["ISSUER", "MADE BY", "AT A TIME", "ENDED BY"]);
    for one in all {
        let made_by = one.made_by.split(',').next().unwrap_or_default().to_owned();
        table.row([one.name, made_by, one.keys, one.ended_by]);
    }
    context.ui.lines(&table.lines().join("\n"));
    let words = IssuerRef::server_words().join(", ");
    context.ui.note(format!("also: {words}, with two alternating logins (docs/guides)"));
    context.ui.note("for details: keyroll issuers show NAME");
    Ok(())
}

fn show(name: &str, context: &mut Context) -> Result<(), Problem> {
    let one = match (name.strip_prefix("file:"), Spec::names().contains(&name)) {
        (Some(_), _) | (None, false) => own(name, context)?,
        (None, true) => shown(name, &Spec::shipped(name).map_err(|error| unread(&error))?, NEVER_TRIED),
    };
    if context.ui.look.json {
        context.ui.event(Event::Issuer(one));
        return Ok(());
    }
    context.ui.lines(&card(&one));
    Ok(())
}

/// The spec with this name: the name of a secret, of a spec file, or of a rule of `leaks` that a shipped spec is linked
/// to. For any other name the error suggests the nearest.
fn own(name: &str, context: &Context) -> Result<IssuerShown, Problem> {
    let config: Option<Config> = context.installation.config().ok();
    let near = || Spec::shipped(name).map(drop).err().map(|error| unread(&error));
    let secrets = config.iter().flat_map(|config| config.secrets.values());
    for secret in secrets {
        let file = match &secret.issuer {
            IssuerRef::SpecFile(path) => Some(file_name(path, context)),
            IssuerRef::Shipped(_) | IssuerRef::Server(_) => None,
        };
        let short = name.strip_prefix("file:").map(|path| path.trim_start_matches("./"));
        let named = file.as_deref().is_some_and(|file| short.is_some_and(|short| file.ends_with(short)));
        if secret.name.as_str() != name && !named {
            continue;
        }
        let spec = described(secret)?.spec.ok_or_else(|| {
            Problem::new(Code::IssuerSettingsInvalid, format!("show the issuer of {name}"))
                .because("it is a server with two alternating logins, which no spec describes")
                .help("docs/guides describe each")
        })?;
        let (name, tried) = match (&secret.issuer, file) {
            (IssuerRef::Shipped(name), _) => (name.to_string(), NEVER_TRIED),
            (_, file) => (file.unwrap_or_default(), NOT_KNOWN),
        };
        return Ok(shown(&name, &spec, tried));
    }
    if let Some(path) = name.strip_prefix("file:").map(Path::new).filter(|path| path.is_file()) {
        let spec =
            Spec::parse(&spec_text(path)?, &path.display().to_string()).map_err(|error| unread(&error))?;
        return Ok(shown(name, &spec, NOT_KNOWN));
    }
    if let Some(linked) = Spec::of_rule(name) {
        let spec = Spec::shipped(linked).map_err(|error| unread(&error))?;
        return Ok(shown(linked, &spec, NEVER_TRIED));
    }
    Err(near().unwrap_or_else(|| Problem::new(Code::IssuerSettingsInvalid, "find the issuer")))
}

/// The name of a spec file as keyroll.toml writes it: relative, if it is beside or below that file.
fn file_name(path: &Path, context: &Context) -> String {
    let config = std::path::absolute(context.installation.config_path()).unwrap_or_default();
    match config.parent().and_then(|folder| path.strip_prefix(folder).ok()) {
        Some(beside) => format!("file:./{}", beside.display()),
        None => format!("file:{}", path.display()),
    }
}

fn unread(error: &keyroll_issuer::SpecError) -> Problem {
    let problem = Problem::new(error.code, "find the issuer").because(error.message.clone());
    match &error.help {
        Some(help) => problem.help(help.clone()),
        None => problem.help("keyroll issuers list"),
    }
}

fn shown(name: &str, spec: &Spec, tried: &'static str) -> IssuerShown {
    let [made_by, keys, ended_by] = mechanism(spec);
    let can = spec.capabilities();
    let abilities = [
        (can.list, "list its keys"),
        (spec.binds(), "report the id of a value"),
        (can.disable, "disable and enable a key"),
        (can.last_used != LastUsed::NotVisible, "show when a key was last used"),
    ];
    let those = |there: bool| {
        abilities.iter().filter(move |(has, _)| *has == there).map(|(_, what)| (*what).to_owned())
    };
    let mut by_hand = Vec::new();
    if let Some(hand) = spec.by_hand() {
        by_hand.push(format!("make a key at {}", hand.url));
        by_hand.extend(numbered(hand.steps));
        if !hand.revoke_steps.is_empty() {
            by_hand.push(format!("revoke the old key at {}", hand.revoke_url));
            by_hand.extend(numbered(hand.revoke_steps));
        }
    }
    let field =
        |(name, secret): (&str, bool)| if secret { format!("{name} (secret)") } else { name.to_owned() };
    IssuerShown {
        name: name.to_owned(),
        title: spec.title().to_owned(),
        made_by,
        keys,
        ended_by,
        can: those(true).collect(),
        cannot: those(false).collect(),
        fields: spec.fields().map(field).collect(),
        reach: spec.reach(),
        by_hand,
        sources: spec.sources().to_vec(),
        checked: spec.checked().to_owned(),
        assumed: spec.assumed().to_vec(),
        tried,
    }
}

fn numbered(steps: &[String]) -> impl Iterator<Item = String> {
    (1..).zip(steps).map(|(at, step): (u32, &String)| format!("  {at}. {step}"))
}

fn card(one: &IssuerShown) -> String {
    let mut lines = vec![
        format!("{}: {}", one.name, one.title),
        format!("makes a key: {}", one.made_by),
        format!("keys at once: {}", one.keys),
        format!("revokes the old key: {}", one.ended_by),
    ];
    let lists = [
        ("can", &one.can),
        ("cannot, according to the spec", &one.cannot),
        ("fields of a credential", &one.fields),
        ("credentials are sent to", &one.reach),
        ("by hand", &one.by_hand),
        ("assumed, not documented", &one.assumed),
        ("taken from", &one.sources),
    ];
    for (what, all) in lists.into_iter().filter(|(_, all)| !all.is_empty()) {
        lines.push(format!("{what}:"));
        lines.extend(all.iter().map(|one| format!("  {one}")));
    }
    lines.push(format!("read on: {}", one.checked));
    lines.push(format!("tried: {}", one.tried));
    lines.join("\n")
}
