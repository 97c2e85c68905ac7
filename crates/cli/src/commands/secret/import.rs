use keyroll_config::{Name, Secret};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use super::{plain_fields, told};
use crate::args::SecretImportArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::versions;
use crate::ui::{Event, Finding};
use crate::wiring::gathered::{Gathered, gather};
use crate::wiring::open;
use crate::wiring::taken;

/// Takes in the value that the configured copies hold, where all of them hold the same.
pub(super) fn run(args: &SecretImportArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    let places = context.places()?;
    if let Some(name) = &args.name {
        let wanted = secret(&config, name)?;
        if !versions::versions(&places, wanted)?.is_empty() {
            return Err(importing(wanted, "K0613")
                .because("it is kept already")
                .help(format!("change its value by rotating it: keyroll plan {name}")));
        }
        take(wanted, args, &places, context)?;
        return Ok(Exit::Done);
    }
    let mut bad = false;
    for wanted in config.secrets.values() {
        let kept = versions::versions(&places, wanted)?;
        let (finding, detail, help) = match kept.is_empty() {
            false => (Finding::Note, "kept already".to_owned(), None),
            true => match take(wanted, args, &places, context) {
                Ok(()) => (Finding::Good, "taken in".to_owned(), None),
                Err(problem) => {
                    bad = true;
                    let why = problem.causes.join("; ");
                    (Finding::Bad, format!("not taken in: {why} ({})", problem.code), problem.help)
                }
            },
        };
        context.ui.event(Event::Check { name: wanted.name.to_string(), finding, detail, help });
    }
    Ok(if bad { Exit::Findings } else { Exit::Done })
}

fn take(
    wanted: &Secret,
    args: &SecretImportArgs,
    places: &Places,
    context: &mut Context,
) -> Result<(), Problem> {
    let path = context.config_path();
    let config_file = std::path::absolute(&path).unwrap_or(path);
    if !args.anyway {
        taken::readable(wanted)?;
    }
    let gathered = gather(wanted, args.from.as_deref())?;
    if !gathered.not_read.is_empty() && !args.anyway {
        let problem = importing(wanted, "K0881");
        let problem = gathered.not_read.iter().fold(problem, |problem, why| problem.because(why.clone()));
        return Err(problem.help("correct `reads`, or put the copy there; --from PATH takes the value from one copy, --anyway from those that can be read"));
    }
    for missed in &gathered.not_read {
        context.ui.note(format!("not read: {missed}"));
    }
    let mut credential = Credential {
        id: args.id.as_deref().map(CredentialId::new),
        fields: fields(wanted, args, &gathered, places)?,
    };
    if credential.id.is_none() {
        credential.id = taken::whose(wanted, &credential)?;
    }
    let looked = taken::look(wanted, &credential, places, open::folder_of(&config_file))?;
    told(&looked, wanted, args.anyway, context)?;
    versions::keep(places, wanted, &credential)?;
    context.ui.note(format!("kept {}; its value is sealed in {}", wanted.name, places.state.display()));
    if credential.id.is_none() {
        context.ui.note(format!(
            "{} is not bound to an id at its issuer: ending it will be your step, unless you take it in again with --id",
            wanted.name
        ));
    }
    Ok(())
}

/// Every field: what was given for it, or what all copies hold.
fn fields(
    wanted: &Secret,
    args: &SecretImportArgs,
    gathered: &Gathered,
    places: &Places,
) -> Result<Fields, Problem> {
    let mut given = plain_fields(wanted, &args.fields)?;
    let key = open::fingerprint_key(places)?;
    let mut fields = Fields::new();
    let mut differ = Vec::new();
    for (name, spec) in &wanted.fields {
        if let Some(text) = given.remove(name) {
            fields.insert(name.as_str(), SecretBytes::from(text), spec.secret);
            continue;
        }
        match gathered.one(name.as_str(), &key) {
            Ok(Some(value)) => fields.insert(name.as_str(), value.duplicate(), spec.secret),
            Ok(None) => return Err(absent(wanted, name, spec.secret)),
            Err(groups) => differ.extend(groups),
        }
    }
    if differ.is_empty() {
        return Ok(fields);
    }
    let problem = importing(wanted, "K0880");
    let problem = differ.into_iter().fold(problem, |problem, group| problem.because(group));
    Err(problem.help("bring the copies into agreement; --from PATH --anyway takes the value of one of them"))
}

fn absent(wanted: &Secret, name: &Name, secret: bool) -> Problem {
    let problem =
        importing(wanted, "K0881").because(format!("no copy that was read holds the field `{name}`"));
    match secret {
        true => problem.help(format!(
            "name a copy of it under `reads`, or give the value: keyroll secret add {}",
            wanted.name
        )),
        false => problem.help(format!("--field {name}=TEXT")),
    }
}

fn importing(wanted: &Secret, code: &'static str) -> Problem {
    Problem::new(code, format!("take in the value of {} from its copies", wanted.name))
}
