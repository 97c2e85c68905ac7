//! Consumers that ask keyroll's socket for the value: the file that says which version each is given, and who may ask.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Config, Consumer, Secret};
use keyroll_manager::uid_of;
use keyroll_port::{Label, Store as _};
use keyroll_secret::FingerprintKey;
use keyroll_served::{Consumers, Known, Of, Print, Rule, Value, answer_of, print_of, version_file};

use super::open;
use crate::atomic_file;
use crate::env;
use crate::places::{Places, make_folder};
use crate::problem::Problem;

/// Where root's programs find the socket.
pub const OF_ROOT: &str = "/run/keyroll/values.sock";

/// Where the socket of a user's own server is, if the system gives the user a folder for it.
pub fn socket_of_user() -> Option<PathBuf> {
    env::XDG_RUNTIME_DIR.absolute().map(|folder| folder.join("keyroll/values.sock"))
}

/// The folder of the ledger and of the files.
pub fn served_folder(places: &Places) -> PathBuf {
    keyroll_setup::served_folder(&places.state)
}

/// The key of the fingerprints, if a consumer of the secret is served.
pub(super) fn served_by(secret: &Secret, places: &Places) -> Result<Option<Arc<FingerprintKey>>, Problem> {
    let served = secret.consumers.iter().any(|consumer| consumer.serves.is_some());
    served.then(|| open::fingerprint_key(places).map(Arc::new)).transpose()
}

/// Who is served, for a person: `user agent, /usr/bin/python3.11`.
pub(crate) fn served_to(consumer: &Consumer) -> String {
    consumer
        .serves
        .as_ref()
        .map_or_else(String::new, |serves| format!("user {}, {}", serves.user, serves.exe.display()))
}

/// The file of a served consumer, for a person.
pub(crate) fn served_name(consumer: &Consumer) -> String {
    format!("what keyroll's socket gives to {}", consumer.name)
}

/// Refuses a rotation while no server gives the value out: no program would get the new one.
pub fn refuse_unserved(secret: &Secret, places: &Places) -> Result<(), Problem> {
    let mut served = secret.consumers.iter().filter(|one| one.serves.is_some());
    match served.find(|consumer| !is_given_out(secret, consumer, places)) {
        None => Ok(()),
        Some(consumer) => {
            Err(Problem::new(Code::ValueNotServed, format!("find what gives {} out", secret.name))
                .because(format!("no keyroll serve runs that gives it to {}", consumer.name))
                .help("start keyroll serve on this state folder, then run this again"))
        }
    }
}

/// Who may ask for what.
///
/// # Errors
/// The configuration names a user that this machine does not have. The sentences are for the log; the other rules count.
pub fn rules(config: &Config) -> (Vec<Rule>, Vec<String>) {
    let (mut rules, mut wrong) = (Vec::new(), Vec::new());
    for (secret, consumer) in served_consumers(config) {
        let Some(serves) = &consumer.serves else { continue };
        let of = of(secret, consumer);
        let named = |why: String| format!("{}, {}: {why}", of.secret, of.consumer);
        let uid = serves.user.parse::<u32>().or_else(|_| uid_of(&serves.user));
        match uid {
            Ok(uid) => {
                let paths = consumer.paths.iter().map(|path| path.name.to_string()).collect();
                rules.push(Rule { of, uid, exe: serves.exe.clone(), paths });
            }
            Err(_) => wrong.push(named(format!("there is no user '{}' on this machine", serves.user))),
        }
    }
    (rules, wrong)
}

/// What keeps a served consumer from being given its value: the user, the executable, the server; each with what to do.
pub fn served_faults(
    config: &Config,
    secret: &Secret,
    consumer: &Consumer,
    places: &Places,
) -> Vec<(String, String)> {
    let Some(serves) = &consumer.serves else { return Vec::new() };
    let mut faults = Vec::new();
    if serves.user.parse::<u32>().is_err() && uid_of(&serves.user).is_err() {
        let why = format!("there is no user '{}' on this machine", serves.user);
        faults.push((why, "correct `serves.uid`, or make the user".to_owned()));
    }
    if let Err(error) = serves.exe.metadata() {
        let help = "correct `serves.exe`: readlink /proc/PID/exe shows it for a running program";
        faults.push((format!("{}: {error}", serves.exe.display()), help.to_owned()));
    }
    if config.server.is_none() {
        let help = "docs/guides/values-for-programs.md has the tables of the server";
        faults.push(("no [server] gives its value out".to_owned(), help.to_owned()));
    } else if !is_given_out(secret, consumer, places) {
        let why = "no keyroll serve runs that gives its value out".to_owned();
        faults.push((why, "start keyroll serve".to_owned()));
    }
    faults
}

/// Whether a server that runs gives a value to the consumer.
fn is_given_out(secret: &Secret, consumer: &Consumer, places: &Places) -> bool {
    let ledger = Consumers::read(&served_folder(places)).unwrap_or_default();
    ledger.of(secret.name.as_str(), consumer.name.as_str()).is_some_and(Known::is_given_out)
}

/// Every consumer of this machine that is served, with its secret: a user and an executable of another host are others here.
pub fn served_consumers(config: &Config) -> impl Iterator<Item = (&Secret, &Consumer)> {
    config.secrets.values().flat_map(|secret| {
        let served = secret.consumers.iter().filter(|one| one.serves.is_some() && one.is_here);
        served.map(move |consumer| (secret, consumer))
    })
}

/// The consumer, as the ledger names it.
pub fn of(secret: &Secret, consumer: &Consumer) -> Of {
    Of { secret: secret.name.to_string(), consumer: consumer.name.to_string() }
}

/// The version that the file of a consumer names, with its values. A consumer that was never given one is given the current
/// version, and the file is made.
///
/// # Errors
/// Why nothing can be given out: the file names no version that the store has, or there is none.
pub fn value_of(of: &Of, places: &Places) -> Result<Value, Problem> {
    let file = places.state.join(version_file(&of.secret, &of.consumer));
    let wanted = read_print(&file)?;
    let key = open::fingerprint_key(places)?;
    let store = open::store(places)?;
    let secret = of.secret.as_str();
    open::runtime(places)?.block_on(async {
        for version in store.versions(secret).await?.into_iter().rev() {
            if wanted.is_none() && version.label != Label::Current {
                continue;
            }
            let Some(credential) = store.read(secret, version.number).await? else { continue };
            let print = print_of(&key, &credential.fields);
            if wanted.as_ref().is_some_and(|wanted| *wanted != print) {
                continue;
            }
            let line = answer_of(secret, version.number, &credential.fields).ok_or_else(|| {
                not_given(of).because("a field of it is no text").help("deliver it to a file instead: `reads`")
            })?;
            if wanted.is_none() {
                write_print(&file, &print)?;
            }
            return Ok(Value { version: version.number, print, line });
        }
        Err(match &wanted {
            None => not_given(of)
                .because("keyroll does not know its value")
                .help(format!("keyroll secret import {secret}, or keyroll secret add {secret}")),
            Some(_) => not_given(of)
                .because(format!("{} names a version that the store does not have", file.display()))
                .help(format!("if no rotation of {secret} is open, remove the file: the current version is given out then")),
        })
    })
}

fn not_given(of: &Of) -> Problem {
    Problem::new(Code::ValueNotServed, format!("give {} out to {}", of.secret, of.consumer))
}

fn read_print(file: &Path) -> Result<Option<Print>, Problem> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Problem::new(Code::StateUnusable, format!("read {}", file.display())).because_of(&error))
        }
    }
}

fn write_print(file: &Path, print: &str) -> Result<(), Problem> {
    let made = file.parent().map_or(Ok(()), make_folder);
    made.and_then(|()| atomic_file::create(file, print.as_bytes(), 0o600)).map_err(|error| {
        Problem::new(Code::StateUnusable, format!("write {}", file.display())).because_of(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_here_is_not_given_the_value_of_one_on_another_host() {
        let text = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n[[secrets.acme.consumers]]\n\
                    name = \"app\"\nserves = { uid = \"root\", exe = \"/usr/bin/python3.11\" }\n";
        let mut config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        assert_eq!(rules(&config).0.len(), 1);
        config.secrets.values_mut().for_each(|secret| secret.consumers[0].is_here = false);
        assert!(rules(&config).0.is_empty());
    }
}
