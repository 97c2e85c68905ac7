//! Imports the value that the configured copies of a secret hold, if all of them hold the same, or the one that its source
//! of truth gives out.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Consumer, Copy, Name, Secret};
use keyroll_manager::shell_word;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use super::fields::{
    field_options, of_server, plain_fields, refuse_unbound, report_added, report_validation,
};
use super::import_from_store::{StoreImport, import_from_store, is_from_store};
use crate::configured::{place_of, secret};
use crate::installation::Installation;
use crate::operator::{CheckShown, Event, Finding, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::versions;
use crate::wiring::gather_values::{Gathered, gather, gather_clusters, is_one};
use crate::wiring::issuer::admin_login;
use crate::wiring::{open, validate_value};

/// What to import.
pub struct ImportRequest<'a> {
    /// The secret; none = every secret that has no value.
    pub name: Option<&'a str>,
    /// The copy to read if the copies differ, or the store of the secret.
    pub from: Option<&'a Path>,
    /// The issuer's id of the credential; none = as the issuer reports it.
    pub id: Option<&'a str>,
    /// The fields that are not secret, as `NAME=TEXT`.
    pub fields: &'a [String],
    /// Imports a value although its validation failed.
    pub anyway: bool,
    /// Refuses a key whose id at the issuer nobody says: keyroll could not revoke it.
    pub bound: bool,
}

/// Imports the value of one secret, or of all that have none. Returns whether an import failed that was not named.
///
/// # Errors
/// The named secret already has a value that neither its store nor Vault may replace, its copies differ or cannot be read, or the
/// validation fails.
pub fn import(
    request: &ImportRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<bool, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    if let Some(name) = request.name {
        let wanted = secret(&config, name)?;
        let from_store = is_from_store(wanted, request.from)?;
        let replaces = from_store || versions::is_changed_by_vault(wanted);
        let kept = versions::versions(&places, wanted)?;
        if !replaces && !kept.is_empty() {
            let is_bound = kept.iter().any(|version| version.id.is_some());
            return Err(has_value(wanted, is_bound, request));
        }
        import_one(wanted, request, installation, operator)?;
        return Ok(false);
    }
    let mut bad = false;
    for wanted in config.secrets.values() {
        let kept = versions::versions(&places, wanted)?;
        let (finding, detail, help) = match kept.is_empty() {
            false => (Finding::Note, "already has a value".to_owned(), None),
            true => match import_one(wanted, request, installation, operator) {
                Ok(()) => (Finding::Good, "added".to_owned(), None),
                Err(problem) => {
                    bad = true;
                    let why = problem.causes.join("; ");
                    (Finding::Bad, format!("not added: {why} ({})", problem.code), problem.help)
                }
            },
        };
        operator.event(Event::Check(CheckShown { name: wanted.name.to_string(), finding, detail, help }));
    }
    Ok(bad)
}

fn import_one(
    wanted: &Secret,
    request: &ImportRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    if is_from_store(wanted, request.from)? {
        let ImportRequest { id, fields, anyway, bound, .. } = *request;
        return import_from_store(&StoreImport { wanted, id, fields, anyway, bound }, installation, operator);
    }
    refuse_elsewhere(wanted, request.from)?;
    let places = &installation.places()?;
    let config_file = installation.config_file();
    if !request.anyway {
        validate_value::readable(wanted)?;
        admin_login(wanted)?;
    }
    let mut gathered = gather(wanted, request.from)?;
    if request.from.is_none() && wanted.in_clusters().next().is_some() {
        let config = installation.config()?;
        open::runtime(places)?.block_on(gather_clusters(&mut gathered, wanted, &config))?;
    }
    if !gathered.not_read.is_empty() && !request.anyway {
        let problem = importing(wanted, Code::PlaceNotFound);
        let problem = gathered.not_read.iter().fold(problem, |problem, why| problem.because(why.clone()));
        return Err(problem.help("correct `reads`, or create the copy; --from PATH uses the value of one copy, --anyway the readable ones"));
    }
    for missed in &gathered.not_read {
        operator.note(format!("not read: {missed}"));
    }
    for line in &gathered.elsewhere {
        operator.note(line.clone());
    }
    let mut credential = Credential {
        id: request.id.map(CredentialId::new),
        fields: fields(wanted, request, &gathered, places)?,
    };
    if credential.id.is_none() {
        credential.id = validate_value::whose(wanted, &credential, places)?;
    }
    if request.bound {
        refuse_unbound(wanted, &credential)?;
    }
    let mut looked = validate_value::look(wanted, &credential, places, open::folder_of(&config_file))?;
    validate_value::beside_truth(wanted, &credential, (places, &config_file), &mut looked)?;
    report_validation(&looked, wanted, request.anyway, operator)?;
    versions::import(places, wanted, &credential)?;
    report_added(&looked, wanted, places, operator);
    if credential.id.is_none() {
        operator.note(format!(
            "{} is not bound to an id at its issuer: you will have to revoke it yourself, unless you bind it: {}",
            wanted.name,
            binding(wanted, None)
        ));
    }
    Ok(())
}

/// Adds the same value with its id. A login has its user as its id, which the server confirms.
pub(crate) fn binding(wanted: &Secret, id: Option<&str>) -> String {
    let id = id.map_or_else(|| "ID".to_owned(), shell_word);
    match wanted.server {
        None => format!("keyroll secret add {} --replace --id {id}", wanted.name),
        Some(_) => format!("keyroll secret add {} --replace --field user=TEXT", wanted.name),
    }
}

/// The problem of a secret that already has a value.
fn has_value(wanted: &Secret, is_bound: bool, request: &ImportRequest<'_>) -> Problem {
    let name = &wanted.name;
    let rotate = format!("to change its value, rotate it: keyroll plan {name}");
    let problem = importing(wanted, Code::VersionRefused).because("it already has a value");
    match is_bound {
        true => problem.help(rotate),
        false => problem
            .because("that value is not bound to an id at its issuer")
            .help(format!("to bind it, enter the same value: {}; {rotate}", binding(wanted, request.id))),
    }
}

/// Refuses a copy on another machine, and a secret that has copies only there: no value comes from a host.
fn refuse_elsewhere(wanted: &Secret, from: Option<&Path>) -> Result<(), Problem> {
    let is_meant = |consumer: &Consumer, copy: &Copy| {
        let path = copy.place.path();
        from.is_none_or(|from| {
            let there = Path::new(&format!("{}:{}", consumer.host, path.display())) == from;
            if consumer.is_here { is_one(from, path) } else { there || from == path }
        })
    };
    let on_machines = wanted.consumers.iter().filter(|one| one.in_cluster.is_none());
    let copies = on_machines.flat_map(|one| one.reads.iter().map(move |copy| (one, copy)));
    let meant = copies.filter(|(consumer, copy)| is_meant(consumer, copy));
    let (here, there): (Vec<_>, Vec<_>) = meant.partition(|(consumer, _)| consumer.is_here);
    if !here.is_empty() || there.is_empty() {
        return Ok(());
    }
    let mut problem = importing(wanted, Code::PlaceNotFound);
    let mut places: Vec<String> =
        there.into_iter().map(|(consumer, copy)| place_of(consumer, copy)).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        problem =
            problem.because(format!("{place} is on another machine, and keyroll imports only from this one"));
    }
    Err(problem.help(format!("enter the value that is there: keyroll secret add {}", wanted.name)))
}

/// Every field: the given text, or the value that all copies hold.
fn fields(
    wanted: &Secret,
    request: &ImportRequest<'_>,
    gathered: &Gathered,
    places: &Places,
) -> Result<Fields, Problem> {
    let mut given = plain_fields(wanted, request.fields)?;
    let key = open::fingerprint_key(places)?;
    let mut fields = Fields::new();
    let (mut differ, mut missing) = (Vec::new(), Vec::new());
    for (name, spec) in &wanted.fields {
        if let Some(text) = given.remove(name) {
            fields.insert(name.as_str(), SecretBytes::from(text), spec.secret);
            continue;
        }
        match gathered.one(name.as_str(), &key) {
            Ok(Some(value)) => fields.insert(name.as_str(), value.duplicate(), spec.secret),
            Ok(None) => match of_server(wanted, name) {
                Some(value) => fields.insert(name.as_str(), value, spec.secret),
                None => missing.push(name),
            },
            Err(groups) => differ.extend(groups),
        }
    }
    if differ.is_empty() && !missing.is_empty() {
        return Err(absent(wanted, request, &missing));
    }
    if differ.is_empty() {
        return Ok(fields);
    }
    let problem = importing(wanted, Code::CopyDiffers);
    let problem = differ.into_iter().fold(problem, |problem, group| problem.because(group));
    Err(problem.help("make the copies equal; --from PATH --anyway uses the value of one of them"))
}

/// The problem of fields that stand neither in a copy nor in keyroll.toml, with the command that gives all of them.
fn absent(wanted: &Secret, request: &ImportRequest<'_>, missing: &[&Name]) -> Problem {
    let causes = missing.iter().map(|name| format!("no copy that was read holds the field `{name}`"));
    let problem = causes.fold(importing(wanted, Code::PlaceNotFound), Problem::because);
    let is_secret = |name: &&&Name| wanted.fields.get(**name).is_some_and(|spec| spec.secret);
    let plain: Vec<&Name> = missing.iter().filter(|name| !is_secret(name)).copied().collect();
    let options = field_options(request.fields, &plain);
    if plain.len() < missing.len() {
        return problem.help(format!(
            "declare a copy of it under `reads`, or enter the value: keyroll secret add {}{options}",
            wanted.name
        ));
    }
    let from = request.from.map(|from| format!(" --from {}", shell_word(from.display().to_string())));
    let id = request.id.map(|id| format!(" --id {}", shell_word(id)));
    problem.help(format!(
        "keyroll secret import {}{options}{}{}",
        wanted.name,
        from.unwrap_or_default(),
        id.unwrap_or_default()
    ))
}

fn importing(wanted: &Secret, code: Code) -> Problem {
    Problem::new(code, format!("import the value of {} from its copies", wanted.name))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;

    fn refused(hosts: &str, from: Option<&str>) -> Option<String> {
        let text = format!(
            "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/app\"\n[secrets.acme]\n\
             issuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"api\"\nhosts = {hosts}\n\
             runs = {{ at_rest = true }}\nreads = {{ file = \"./key\" }}\n"
        );
        let config = Config::parse(&text, "/etc/keyroll/keyroll.toml").unwrap();
        let problem = refuse_elsewhere(config.secret("acme").unwrap(), from.map(Path::new)).err()?;
        Some(format!("{} {}", problem.sentence(), problem.help.unwrap()))
    }

    #[test]
    fn a_copy_on_another_machine_is_not_imported_and_no_file_here_is_taken_for_it() {
        let there = refused("[\"web-1\"]", None).unwrap();
        assert!(there.contains("web-1:/srv/app/key") && there.contains("keyroll secret add acme"), "{there}");
        for from in ["/srv/app/key", "web-1:/srv/app/key"] {
            assert!(refused("[\"local\", \"web-1\"]", Some(from)).is_some(), "{from}");
        }
        assert_eq!(refused("[\"local\", \"web-1\"]", None), None);
        assert_eq!(refused("[\"local\", \"web-1\"]", Some("/etc/keyroll/key")), None);
    }
}
