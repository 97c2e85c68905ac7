//! The fields of a value that is added.

use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_config::{Name, Secret};
use keyroll_manager::shell_word;
use keyroll_secret::{Credential, SecretBytes};

use crate::exit::Exit;
use crate::operator::{Event, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::redact::remember;
use crate::wiring::validate_value::{Looked, next_step};

/// The `NAME=TEXT` pairs as fields. None of them may be secret: every user of the machine can see arguments.
pub(super) fn plain_fields(secret: &Secret, given: &[String]) -> Result<BTreeMap<Name, String>, Problem> {
    let mut fields = BTreeMap::new();
    for pair in given {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| adding(secret).because("--field is NAME=TEXT").exits(Exit::Usage))?;
        let Some((name, spec)) = secret.fields.get_key_value(name) else {
            let known: Vec<&str> = secret.fields.keys().map(Name::as_str).collect();
            return Err(adding(secret)
                .because("--field names an unknown field")
                .help(format!("the fields are: {}", known.join(", ")))
                .exits(Exit::Usage));
        };
        if spec.secret {
            return Err(adding(secret)
                .because(format!("the field `{name}` is secret: every user of this machine can see arguments"))
                .help("revoke that credential if it was real; omit the field, and keyroll prompts for it or reads \
                 it from stdin")
                .exits(Exit::Usage));
        }
        if fields.insert(name.clone(), text.to_owned()).is_some() {
            return Err(adding(secret).because(format!("--field {name} is given twice")).exits(Exit::Usage));
        }
    }
    Ok(fields)
}

/// A field that the table of a login's server names too, `host`, `port` or `dbname`: what stands in keyroll.toml is not
/// asked for again.
pub(super) fn of_server(secret: &Secret, name: &Name) -> Option<SecretBytes> {
    let table = secret.server.as_ref()?;
    let port = || table.port(name.as_str()).map(|port| port.to_string());
    table.text(name.as_str()).map(str::to_owned).or_else(port).map(SecretBytes::from)
}

/// The options for these fields, each with what was given or a place for its text.
pub(super) fn field_options(given: &[String], missing: &[&Name]) -> String {
    let given = given.iter().map(shell_word);
    let missing = missing.iter().map(|name| format!("{name}=TEXT"));
    given.chain(missing).map(|pair| format!(" --field {pair}")).collect()
}

/// The secret fields of a text with one line `NAME=VALUE` for each.
///
/// # Errors
/// A line is of another form or of another field, or a field is there twice or not at all.
pub fn fields_of_lines(secret: &Secret, lines: &SecretBytes) -> Result<Vec<(Name, SecretBytes)>, Problem> {
    let names = || secret.fields.iter().filter(|(_, spec)| spec.secret).map(|(name, _)| name);
    let mut values: Vec<(Name, SecretBytes)> = Vec::new();
    for row in lines.expose().split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        let at = row.iter().position(|byte| *byte == b'=');
        let (name, value) = at.and_then(|at| row.split_at_checked(at)).unwrap_or((row, &[]));
        let known = names().find(|known| known.as_str().as_bytes() == name);
        let (Some(known), Some((_, value))) = (known, value.split_first()) else {
            return Err(adding(secret).because("stdin must have one NAME=VALUE line for each secret field"));
        };
        if values.iter().any(|(other, _)| other == known) {
            return Err(adding(secret).because(format!("stdin has the field `{known}` twice")));
        }
        let value = SecretBytes::new(value.to_vec());
        remember(&value);
        values.push((known.clone(), value));
    }
    match names().find(|name| !values.iter().any(|(other, _)| other == *name)) {
        Some(missing) => Err(adding(secret).because(format!("stdin does not have the field `{missing}`"))),
        None => Ok(values),
    }
}

/// Reports what the validation of a value found, and refuses a value that failed it unless `anyway`. A weak value is
/// reported and not refused.
pub(super) fn report_validation(
    looked: &Looked,
    secret: &Secret,
    anyway: bool,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if !looked.good.is_empty() {
        operator.note(format!("the value of {}: {}", secret.name, looked.good.join("; ")));
    }
    for missed in &looked.not_visible {
        let (what, why) = missed.split_once(": ").unwrap_or((missed.as_str(), ""));
        operator.event(Event::NotVisible { what: what.to_owned(), why: why.to_owned() });
    }
    if looked.against.is_empty() || anyway {
        looked.against.iter().for_each(|why| operator.note(format!("added anyway: {why}")));
        report_weakness(looked, secret, operator);
        return Ok(());
    }
    let problem = Problem::new(Code::ValueRefused, format!("add this value of {}", secret.name));
    let problem = looked.against.iter().fold(problem, |problem, why| problem.because(why.clone()));
    Err(problem.help(
        "enter the value that the consumers use now; if this value is right nevertheless, add --anyway",
    ))
}

/// Says that a value was added, and if its issuer was not asked about it.
pub(super) fn report_added(looked: &Looked, secret: &Secret, places: &Places, operator: &mut dyn Operator) {
    operator.note(format!("added {}; its value is sealed in {}", secret.name, places.state.display()));
    if looked.unasked {
        operator.note(format!(
            "warning: {} was added unchecked: whether its issuer accepts the value is not visible yet. keyroll plan {} asks \
             the issuer",
            secret.name, secret.name
        ));
    }
}

/// Warns of a weak value that is added, with the next step.
fn report_weakness(looked: &Looked, secret: &Secret, operator: &mut dyn Operator) {
    for weak in &looked.weak {
        operator.note(format!("warning: {}; {}", weak.why, next_step(weak, secret)));
    }
}

/// The problem of a value that cannot be added.
pub(super) fn adding(secret: &Secret) -> Problem {
    Problem::new(Code::ValueRefused, format!("add {}", secret.name)).help(
        "run it again at a terminal, which prompts for each field; on stdin, write one NAME=VALUE line for each",
    )
}
/// Refuses a key whose id at the issuer nobody says.
pub(super) fn refuse_unbound(wanted: &Secret, credential: &Credential) -> Result<(), Problem> {
    // A login has its name.
    if credential.id.is_some() || wanted.server.is_some() {
        return Ok(());
    }
    Err(Problem::new(Code::NotPossibleNow, format!("import the value of {}", wanted.name))
        .because("the issuer does not say which of its keys this is, so keyroll could not revoke it")
        .help(format!("keyroll secret import {} --id ID", wanted.name)))
}
