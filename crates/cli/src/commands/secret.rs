mod import;
mod rewrap;

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyroll_config::{Config, IssuerRef, Name, NewSecret, Secret, add_secret};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use crate::args::{SecretAddArgs, SecretArgs, SecretCommand};
use crate::config_file;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::versions;
use crate::ui::{Event, Table};
use crate::wiring::open;
use crate::wiring::taken::{self, Looked};

/// Adds, lists and shows secrets; never their values.
pub(super) fn run(command: &SecretCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        SecretCommand::Add(args) => add(args, context),
        SecretCommand::Import(args) => import::run(args, context),
        SecretCommand::Rewrap(args) => rewrap::run(args, context),
        SecretCommand::List => list(context),
        SecretCommand::Show(args) => show(args, context),
    }
}

/// Takes a secret in. Everything is checked and the value taken in before anything is written.
fn add(args: &SecretAddArgs, context: &mut Context) -> Result<Exit, Problem> {
    let edit = args.issuer.as_ref().map(|issuer| Edit::prepare(args, issuer, context)).transpose()?;
    let config = match &edit {
        Some(edit) => {
            let path = std::path::absolute(&edit.path).unwrap_or_else(|_| edit.path.clone());
            Config::parse(&edit.new, &path.display().to_string())?
        }
        None => context.config()?,
    };
    let wanted = to_add(&config, args)?;
    // A reference that was mistyped would be written into the configuration, and the value taken in unseen.
    if edit.is_some() && !args.anyway {
        crate::wiring::issuer(wanted)?;
    }
    if !args.anyway {
        taken::readable(wanted)?;
    }
    let mut given = plain_fields(wanted, &args.fields)?;
    let places = context.places()?;
    let mut fields = Fields::new();
    for (name, spec) in &wanted.fields {
        match (spec.secret, given.remove(name)) {
            (false, Some(text)) => fields.insert(name.as_str(), SecretBytes::from(text), false),
            (true, _) => {}
            (false, None) => {
                return Err(adding(wanted)
                    .because(format!("the field `{name}` is missing"))
                    .help(format!("--field {name}=TEXT")));
            }
        }
    }
    for (name, value) in hidden_fields(wanted, context)? {
        fields.insert(name.as_str(), value, true);
    }
    let credential = Credential { id: args.id.as_deref().map(CredentialId::new), fields };
    let folder = std::path::absolute(context.config_path()).unwrap_or_else(|_| context.config_path());
    let looked = taken::look(wanted, &credential, &places, open::folder_of(&folder))?;
    told(&looked, wanted, args.anyway, context)?;
    if let Some(edit) = edit {
        config_file::replace(&edit.path, &edit.old, &edit.new)?;
        context.ui.event(Event::Undo {
            what: format!("wrote [secrets.{}] into {}", args.name, edit.path.display()),
            with: "remove that table again".to_owned(),
        });
    }
    let config = context.config()?;
    let wanted = secret(&config, &args.name)?;
    match args.replace {
        true => versions::correct(&places, wanted, &credential)?,
        false => versions::keep(&places, wanted, &credential)?,
    }
    context.ui.note(format!("kept {}; its value is sealed in {}", wanted.name, places.state.display()));
    Ok(Exit::Done)
}

/// The secret, or how one that is not configured yet is.
fn to_add<'c>(config: &'c Config, args: &SecretAddArgs) -> Result<&'c Secret, Problem> {
    secret(config, &args.name).map_err(|problem| {
        let near = problem.help.as_ref().filter(|help| help.starts_with("did you mean"));
        let near = near.map(|near| format!("{near} ")).unwrap_or_default();
        problem.help(format!(
            "{near}a new one is written into keyroll.toml with it: --issuer ISSUER --admin file:./FILE; \
             keyroll issuers list shows the issuers, keyroll issuers show ISSUER what each needs"
        ))
    })
}

/// Says what was seen of a value, and refuses one that something speaks against.
fn told(looked: &Looked, secret: &Secret, anyway: bool, context: &mut Context) -> Result<(), Problem> {
    if !looked.good.is_empty() {
        context.ui.note(format!("the value of {}: {}", secret.name, looked.good.join("; ")));
    }
    for missed in &looked.not_visible {
        let (what, why) = missed.split_once(": ").unwrap_or((missed.as_str(), ""));
        context.ui.event(Event::NotVisible { what: what.to_owned(), why: why.to_owned() });
    }
    if looked.against.is_empty() {
        return Ok(());
    }
    if anyway {
        looked.against.iter().for_each(|why| context.ui.note(format!("taken in anyway: {why}")));
        return Ok(());
    }
    let problem = Problem::new("K0848", format!("take in this value of {}", secret.name));
    let problem = looked.against.iter().fold(problem, |problem, why| problem.because(why.clone()));
    Err(problem
        .help("give the value that the consumers use now; if this is the one all the same, add --anyway"))
}

/// A change of keyroll.toml that is checked and not written yet.
struct Edit {
    path: PathBuf,
    old: String,
    new: String,
}

impl Edit {
    /// The secret with its issuer, and the fields that this needs, as a table of its own.
    fn prepare(args: &SecretAddArgs, issuer: &str, context: &Context) -> Result<Self, Problem> {
        let name = Name::new(args.name.as_str()).ok_or_else(|| {
            Problem::new("K0005", "name the secret").because("a name is 1 to 64 of a-z 0-9 . _ -")
        })?;
        let path = context.config_path();
        let old = config_file::read(&path)?;
        let shown = path.display().to_string();
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone()).display().to_string();
        let (issuer, admin) = (issuer.to_owned(), args.admin.clone());
        let mut secret = NewSecret { name, issuer, admin, fields: Vec::new() };
        let mut new = add_secret(&old, &shown, &secret)?;
        let config = Config::parse(&new, &absolute)?;
        let needed = config.secrets.get(&secret.name).map(needed_fields).transpose()?.flatten();
        if let Some(fields) = needed {
            secret.fields = fields;
            new = add_secret(&old, &shown, &secret)?;
        }
        Ok(Self { path, old, new })
    }
}

/// The fields that a secret's issuer needs, where they are not the usual ones.
fn needed_fields(secret: &Secret) -> Result<Option<Vec<(Name, bool)>>, Problem> {
    let Some(spec) = crate::wiring::issuer::described(secret)?.spec else { return Ok(None) };
    let fields: Vec<(Name, bool)> =
        spec.fields().filter_map(|(name, secret)| Some((Name::new(name)?, secret))).collect();
    let usual = fields.iter().map(|(name, secret)| (name.as_str(), *secret));
    Ok((!usual.eq(secret.issuer.usual_fields().iter().copied())).then_some(fields))
}

/// The fields of `--field`, none of which may be secret: arguments are seen by every user of the machine.
fn plain_fields(secret: &Secret, given: &[String]) -> Result<BTreeMap<Name, String>, Problem> {
    let mut fields = BTreeMap::new();
    for pair in given {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| adding(secret).because("--field is NAME=TEXT").exits(Exit::Usage))?;
        let Some((name, spec)) = secret.fields.get_key_value(name) else {
            let known: Vec<&str> = secret.fields.keys().map(Name::as_str).collect();
            return Err(adding(secret)
                .because("--field names a field that it does not have")
                .help(format!("the fields are: {}", known.join(", ")))
                .exits(Exit::Usage));
        };
        if spec.secret {
            return Err(adding(secret)
                .because(format!("the field `{name}` is secret: every user of this machine can see arguments"))
                .help("end that credential if it was real; leave the field out, and it is asked for, or read from stdin")
                .exits(Exit::Usage));
        }
        if fields.insert(name.clone(), text.to_owned()).is_some() {
            return Err(adding(secret).because(format!("--field {name} is given twice")).exits(Exit::Usage));
        }
    }
    Ok(fields)
}

/// The secret fields: each by a hidden prompt; or from stdin, whole for one field, `NAME=VALUE` lines for more.
fn hidden_fields(secret: &Secret, context: &mut Context) -> Result<Vec<(Name, SecretBytes)>, Problem> {
    let names: Vec<&Name> =
        secret.fields.iter().filter(|(_, spec)| spec.secret).map(|(name, _)| name).collect();
    if names.len() == 1 || context.ui.is_terminal_input() {
        let mut values = Vec::new();
        for name in names {
            let value = context.ui.hidden(&format!("{} of {}", name, secret.name))?;
            values.push((name.clone(), value));
        }
        return Ok(values);
    }
    let all = context.ui.hidden(&format!("the fields of {}", secret.name))?;
    let mut values: Vec<(Name, SecretBytes)> = Vec::new();
    for row in all.expose().split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        let at = row.iter().position(|byte| *byte == b'=');
        let (name, value) = at.and_then(|at| row.split_at_checked(at)).unwrap_or((row, &[]));
        let known = names.iter().find(|known| known.as_str().as_bytes() == name);
        let (Some(known), Some((_, value))) = (known, value.split_first()) else {
            return Err(adding(secret).because("stdin must have one NAME=VALUE line for each secret field"));
        };
        if values.iter().any(|(other, _)| other == *known) {
            return Err(adding(secret).because(format!("stdin gives the field `{known}` twice")));
        }
        let value = SecretBytes::new(value.to_vec());
        crate::redact::remember(&value);
        values.push(((*known).clone(), value));
    }
    match names.iter().find(|name| !values.iter().any(|(other, _)| other == **name)) {
        Some(missing) => Err(adding(secret).because(format!("stdin does not give the field `{missing}`"))),
        None => Ok(values),
    }
}

fn adding(secret: &Secret) -> Problem {
    Problem::new("K0806", format!("add {}", secret.name)).help(
        "run it again at a terminal, where each field is asked for; on stdin: one NAME=VALUE line for each",
    )
}

fn list(context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let places = context.places()?;
    let mut table = Table::new(["SECRET", "ISSUER", "CONSUMERS", "VERSIONS"]);
    for secret in config.secrets.values() {
        let versions = versions::versions(&places, secret)?;
        let event = Event::Secret {
            name: secret.name.to_string(),
            issuer: issuer(&secret.issuer),
            versions: versions.clone(),
            consumers: secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect(),
        };
        if context.ui.look.json {
            context.ui.event(event);
            continue;
        }
        let shown: Vec<String> =
            versions.iter().map(|version| format!("v{} {}", version.version, version.label)).collect();
        let shown = if shown.is_empty() { "none kept".to_owned() } else { shown.join(", ") };
        table.row([
            secret.name.to_string(),
            issuer(&secret.issuer),
            secret.consumers.len().to_string(),
            shown,
        ]);
    }
    if !context.ui.look.json {
        context.ui.data(&table.lines().join("\n"));
    }
    Ok(Exit::Done)
}

fn show(args: &SecretArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let secret = secret(&config, &args.name)?;
    let versions = versions::versions(&context.places()?, secret)?;
    if context.ui.look.json {
        context.ui.event(Event::Secret {
            name: secret.name.to_string(),
            issuer: issuer(&secret.issuer),
            versions,
            consumers: secret.consumers.iter().map(|consumer| consumer.name.to_string()).collect(),
        });
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["secret", secret.name.as_str()]);
    table.row(["issuer".to_owned(), issuer(&secret.issuer)]);
    table.row(["owner".to_owned(), secret.owner.clone().unwrap_or_else(|| "-".to_owned())]);
    let fields = secret.fields.iter().map(|(name, spec)| match spec.secret {
        true => format!("{name} (secret)"),
        false => name.to_string(),
    });
    table.row(["fields".to_owned(), fields.collect::<Vec<_>>().join(", ")]);
    for version in &versions {
        let id = version.id.as_deref().unwrap_or("not bound to an id");
        table.row([
            format!("v{}", version.version),
            format!("{}, fingerprint {}, {id}", version.label, version.fingerprint),
        ]);
    }
    if versions.is_empty() {
        table.row(["versions".to_owned(), format!("none kept; keyroll secret add {}", secret.name)]);
    }
    for consumer in &secret.consumers {
        let copies: Vec<String> = consumer.reads.iter().map(|copy| copy.place.to_string()).collect();
        table.row(["consumer".to_owned(), format!("{}: {}", consumer.name, copies.join(", "))]);
    }
    context.ui.data(&table.lines().join("\n"));
    Ok(Exit::Done)
}

fn issuer(issuer: &IssuerRef) -> String {
    match issuer {
        IssuerRef::Shipped(name) => name.to_string(),
        IssuerRef::SpecFile(path) => format!("file:{}", path.display()),
        IssuerRef::Postgres => "postgres".to_owned(),
        IssuerRef::Server(kind) => kind.word().to_owned(),
    }
}
