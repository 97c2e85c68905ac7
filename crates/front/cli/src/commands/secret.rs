mod check_store;
mod drift;

use keyroll_app::configured::secret;
use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, SecretShown};
use keyroll_app::problem::Problem;
use keyroll_app::reports::secrets::{secret_shown, secrets};
use keyroll_app::secrets::accept_key::{AcceptKeyRequest, accept_key};
use keyroll_app::secrets::add::{AddRequest, Addition};
use keyroll_app::secrets::fields::fields_of_lines;
use keyroll_app::secrets::import::{ImportRequest, import};
use keyroll_app::secrets::rewrap::rewrap;
use keyroll_config::{Name, Secret};
use keyroll_secret::SecretBytes;

use crate::args::{SecretAcceptKeyArgs, SecretAddArgs, SecretArgs, SecretCommand, SecretImportArgs};
use crate::context::Context;
use crate::ui::Table;

/// Adds, lists and shows secrets; never their values.
pub(super) fn run(command: &SecretCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        SecretCommand::Add(args) => add(args, context),
        SecretCommand::Import(args) => import_values(args, context),
        SecretCommand::Drift(args) => drift::run(args, context),
        SecretCommand::CheckStore(args) => Ok(check_store::run(args, context)),
        SecretCommand::AcceptKey(args) => {
            let SecretAcceptKeyArgs { name, id, label, withdraw } = args;
            let request = AcceptKeyRequest { name, id, label, withdraw: *withdraw };
            let Context { installation, ui, .. } = context;
            accept_key(&request, installation, ui).map(|()| Exit::Done)
        }
        SecretCommand::Rewrap(args) => {
            let Context { installation, ui, .. } = context;
            rewrap(&args.to, args.again.as_deref(), installation, ui).map(|()| Exit::Done)
        }
        SecretCommand::List => list(context),
        SecretCommand::Show(args) => show(args, context),
    }
}

fn add(args: &SecretAddArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = AddRequest {
        name: &args.name,
        issuer: args.issuer.as_deref(),
        admin: args.admin.clone(),
        id: args.id.as_deref(),
        fields: &args.fields,
        replace: args.replace,
        anyway: args.anyway,
    };
    let addition = Addition::prepare(request, &context.installation)?;
    let values = hidden_fields(addition.secret()?, context)?;
    addition.finish(values, &context.installation, &mut context.ui).map(|()| Exit::Done)
}

fn import_values(args: &SecretImportArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = ImportRequest {
        name: args.name.as_deref(),
        from: args.from.as_deref(),
        id: args.id.as_deref(),
        fields: &args.fields,
        anyway: args.anyway,
        bound: args.bound,
    };
    let failed = import(&request, &context.installation, &mut context.ui)?;
    Ok(if failed { Exit::Findings } else { Exit::Done })
}

/// Reads the secret fields: each by a hidden prompt; or from stdin, which is the value of a single field, or has a line
/// `NAME=VALUE` for each of several.
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
    fields_of_lines(secret, &all)
}

fn list(context: &mut Context) -> Result<Exit, Problem> {
    let all = secrets(&context.installation.config()?, &context.installation.places()?)?;
    if context.ui.look.json {
        all.into_iter().for_each(|secret| context.ui.event(Event::Secret(secret)));
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["SECRET", "ISSUER", "CONSUMERS", "VERSIONS"]);
    for secret in all {
        let versions: Vec<String> =
            secret.versions.iter().map(|version| format!("v{} {}", version.version, version.label)).collect();
        let versions = if versions.is_empty() { "no value".to_owned() } else { versions.join(", ") };
        table.row([secret.name, secret.issuer, secret.consumers.len().to_string(), versions]);
    }
    context.ui.data(&table.lines().join("\n"));
    Ok(Exit::Done)
}

fn show(args: &SecretArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let shown = secret_shown(secret(&config, &args.name)?, &context.installation.places()?)?;
    if context.ui.look.json {
        context.ui.event(Event::Secret(shown));
    } else {
        context.ui.data(&card(&shown).lines().join("\n"));
    }
    Ok(Exit::Done)
}

/// One secret with every detail.
fn card(secret: &SecretShown) -> Table {
    let mut table = Table::new(["secret", secret.name.as_str()]);
    table.row(["issuer".to_owned(), secret.issuer.clone()]);
    table.row(["store".to_owned(), secret.store.clone()]);
    table.row(["owner".to_owned(), secret.owner.clone().unwrap_or_else(|| "-".to_owned())]);
    let fields = secret.fields.iter().map(|field| match field.secret {
        true => format!("{} (secret)", field.name),
        false => field.name.clone(),
    });
    table.row(["fields".to_owned(), fields.collect::<Vec<_>>().join(", ")]);
    for version in &secret.versions {
        let id = version.id.as_deref().unwrap_or("not bound to an id");
        table.row([
            format!("v{}", version.version),
            format!("{}, fingerprint {}, {id}", version.label, version.fingerprint),
        ]);
    }
    if secret.versions.is_empty() {
        table.row(["versions".to_owned(), format!("no value; keyroll secret add {}", secret.name)]);
    }
    for (consumer, copies) in secret.consumers.iter().zip(&secret.copies) {
        table.row(["consumer".to_owned(), format!("{consumer}: {}", copies.join(", "))]);
    }
    table
}
