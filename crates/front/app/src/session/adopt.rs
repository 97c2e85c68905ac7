//! Adopts an undeclared process or copy as a consumer, also into an open rotation.

mod as_it_stands;
mod consumer;
mod executable;
mod on_host;
mod record;

use std::path::Path;

use keyroll_config::{Config, Consumer, LOCAL, NewConsumer, Secret, add_consumer, replace_consumer};
use keyroll_setup::trust::refuse_missing_of;

use self::as_it_stands::as_they_stand;
use self::executable::adopting;
use self::on_host::OnHost;
use self::record::{Adoption, refuse_open};
use super::holder_on_host::HolderOnHost;
use super::look_again::look_again;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::resolve_target::meant;
use crate::wiring::trusted::trusted_consumer;
use crate::wiring::{issuer, provable};
use crate::{config_file, configured};

pub use self::consumer::AdoptRequest;
pub(super) use self::executable::ADD_CHECK;
pub(super) use self::on_host::{Edited, given_part};
pub(crate) use self::record::numbered;
pub(super) use self::record::{Judged, grant_restart, refuse_unprovable};

/// Writes the consumer into keyroll.toml, then adds it to the open rotation, whose driver is ended for it. The same request again
/// does what is left of it: keyroll may have been killed in between.
///
/// # Errors
/// The request describes no consumer that could work, the open rotation refuses it, or something cannot be written.
pub fn adopt(
    request: &AdoptRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let there = HolderOnHost::of(request.holder, &config);
    let secret = meant(&config, request.secret, request.holder, &places)?;
    refuse_declared_elsewhere(request.name, secret, there.as_ref())?;
    let again = || look_again(secret.name.as_str(), &places);
    let mut new = request.consumer(&config, secret, there.as_ref(), &again)?;
    // A copy of another host is read by nobody here.
    if there.is_none() && !request.names_no_copy() {
        new.reads = as_they_stand(&new.reads, secret, &places, operator)?;
    }
    let path = installation.config_path();
    let text = config_file::read(&path)?;
    let file = path.display().to_string();
    let known = secret.consumer(new.name.as_str()).is_some();
    let written_before = known && !request.replace && is_written(&text, &file, secret, &new)?;
    let edited = match (known, request.replace) {
        (true, false) if written_before => text.clone(),
        (true, false) => return Err(known_already(&new)),
        (true, true) => {
            refuse_open(&places, &new, &config)?;
            replace_consumer(&text, &file, &new)?
        }
        (false, _) => add_consumer(&text, &file, &new)?,
    };
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let config = &Config::parse(&edited, &absolute.display().to_string())?;
    let secret = configured::secret(config, new.secret.as_str())?;
    refuse_useless(&absolute, secret, &new)?;
    let (holder, new) = (request.holder, &new);
    let with = Edited { config, file: &absolute, text: &edited };
    let there = there.map(|there| OnHost::look(there, secret, with, &places)).transpose()?;
    let adoption = Adoption { new, holder, edited: with, there: there.as_ref() };
    let (its, detail) = (Some(new.secret.to_string()), Some(format!("the consumer {}", new.name)));
    let act = Act { secret: its, detail, ..acts::asked("consumer adopt", &places) };
    let mut write = |operator: &mut dyn Operator| {
        // Behind the last refusal, and before anything is changed.
        acts::record(&act, &places)?;
        if written_before {
            let secret = &new.secret;
            operator.note(format!("{} is already a consumer of {secret} in {}", new.name, path.display()));
            return Ok(());
        }
        config_file::replace(&path, &text, &edited)?;
        operator.event(written(new, known, &path));
        Ok(())
    };
    let open = match known && !written_before {
        true => adoption.write_alone(&places, operator, &mut write).map(|()| None)?,
        false => adoption.carry_out(&places, operator, &mut write)?,
    };
    if request.names_no_copy() {
        let flag = configured::secret_flag(config, new.secret.as_str());
        operator.note(assumed(new, open.as_ref().map(|_| flag.as_str())));
    }
    if let Some(next) = open {
        operator.note(format!("it is in the open rotation; {next}"));
    }
    Ok(())
}

/// Refuses the name of a consumer that keyroll.toml puts on other machines: its table would get a process of this one.
/// `there`: what is adopted, if it is on another host.
fn refuse_declared_elsewhere(
    name: &str,
    secret: &Secret,
    there: Option<&HolderOnHost>,
) -> Result<(), Problem> {
    let machine = there.map_or(LOCAL, |there| there.host.as_str());
    let of_several = |consumer: &Consumer| consumer.name.as_str() != name;
    let mut same = secret.consumers.iter().filter(|consumer| consumer.table() == name);
    let Some(consumer) = same.find(|consumer| consumer.machine() != machine || of_several(consumer)) else {
        return Ok(());
    };
    let why = match (consumer.machine() == machine, consumer.is_here) {
        (true, _) => format!("keyroll.toml declares {} of {} with `hosts`", consumer.name, secret.name),
        (false, true) => format!("{} of {} runs on this machine", consumer.name, secret.name),
        (false, false) => format!("{} of {} runs on {}", consumer.name, secret.name, consumer.host),
    };
    Err(adopting().because(why).help("choose another --name; nothing was changed"))
}

/// Whether keyroll.toml has this very consumer.
fn is_written(text: &str, file: &str, secret: &Secret, new: &NewConsumer) -> Result<bool, Problem> {
    let replaced = Config::parse(&replace_consumer(text, file, new)?, file)?;
    let wanted = configured::secret(&replaced, new.secret.as_str())?.consumer(new.name.as_str());
    Ok(wanted == secret.consumer(new.name.as_str()))
}

/// Shows which copy was chosen, why, and how to name another one. `open`: a rotation is, with the flag that names its secret.
fn assumed(new: &NewConsumer, open: Option<&str>) -> String {
    let copies: Vec<String> = new.reads.iter().map(|copy| copy.place.to_string()).collect();
    let (name, copies) = (&new.name, copies.join(" and "));
    let other = match open {
        None => "repeat the command with --replace --env-file FILE --variable NAME, or --replace --file FILE"
            .to_owned(),
        Some(flag) => format!(
            "keyroll consumer waive {name} --reason WHY{flag}, then adopt the process under another --name with \
             --env-file FILE --variable NAME, or --file FILE"
        ),
    };
    format!(
        "no copy was named, so keyroll assumes that {name} starts from {copies}, which every other consumer of {} reads\n  if \
         it starts from another copy: {other}",
        new.secret
    )
}

/// What was written, and how to undo that.
fn written(new: &NewConsumer, known: bool, path: &Path) -> Event {
    let (what, with) = match known {
        true => ("replaced", "restore its previous table".to_owned()),
        false => ("adopted", format!("remove its [[secrets.{}.consumers]] table", new.secret)),
    };
    let what = format!("{what} {} as a consumer of {} in {}", new.name, new.secret, path.display());
    Event::Undo { what, with }
}

fn known_already(new: &NewConsumer) -> Problem {
    adopting()
        .because(format!("{} already has a consumer {}", new.secret, new.name))
        .help("replace it with --replace, or choose another --name")
}

/// Refuses a consumer whose commands cannot run, which another user can change, or that can never prove the new value: it
/// would only pause the rotation.
fn refuse_useless(config_file: &Path, secret: &Secret, new: &NewConsumer) -> Result<(), Problem> {
    let Some(consumer) = secret.consumer(new.name.as_str()) else { return Ok(()) };
    // Another host looks at its own commands.
    if consumer.is_here {
        refuse_missing_of(consumer)?;
        trusted_consumer(config_file, consumer)?;
    }
    // `plan` reports an issuer that cannot be built.
    let Ok(issuer) = issuer(secret) else { return Ok(()) };
    provable::provable(consumer, issuer.capabilities().attributes).map_err(|problem| problem.help(ADD_CHECK))
}

#[cfg(test)]
mod tests {
    use keyroll_config::NewApply;

    use super::*;

    const TEXT: &str = "version = 1\n[hosts.web-2]\nconnect = \"ssh://web-2\"\nfolder = \"/srv\"\n[secrets.acme]\n\
        issuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"one\"\nhost = \"web-2\"\n\
        runs = { at_rest = true }\nreads = { file = \"./1\" }\n[[secrets.acme.consumers]]\nname = \"both\"\n\
        hosts = [\"local\", \"web-2\"]\nruns = { at_rest = true }\nreads = { file = \"./2\" }\n\
        [[secrets.acme.consumers]]\nname = \"here\"\nruns = { at_rest = true }\nreads = { file = \"./3\" }\n";

    /// A request that names nothing but what is adopted.
    fn request<'a>(holder: &'a str, name: &'a str) -> AdoptRequest<'a> {
        AdoptRequest {
            holder,
            name,
            secret: None,
            restart: None,
            signal: None,
            pid_file: None,
            process: None,
            unit: None,
            env_file: None,
            file: None,
            within: None,
            check: None,
            replace: false,
        }
    }

    fn adopted(request: &AdoptRequest<'_>) -> Result<NewConsumer, Problem> {
        let config = Config::parse(TEXT, "/srv/keyroll.toml").unwrap();
        let there = HolderOnHost::of(request.holder, &config);
        let again = || "keyroll retry 0192 inspects again".to_owned();
        request.consumer(&config, config.secret("acme").unwrap(), there.as_ref(), &again)
    }

    /// Red where it says `keyroll resume` whatever the rotation takes.
    #[test]
    fn a_process_that_is_not_there_is_refused_with_the_command_that_looks_again() {
        // No process has this number.
        let request = AdoptRequest { restart: Some("./again.sh"), ..request("4194305", "mailer") };
        let problem = adopted(&request).unwrap_err();
        assert_eq!(problem.causes, ["there is no process 4194305"]);
        assert_eq!(problem.help.as_deref(), Some("keyroll retry 0192 inspects again"));
    }

    #[test]
    fn a_process_of_a_host_becomes_a_consumer_of_that_host() {
        let env_file = Some((Path::new("/srv/app/api.env"), "KEY"));
        let unit = AdoptRequest { unit: Some("mailer.service"), env_file, ..request("web-2:4711", "mailer") };
        let new = adopted(&unit).unwrap();
        assert_eq!(new.host.as_ref().map(|host| host.as_str()), Some("web-2"));
        assert_eq!(new.apply, NewApply::Unit("mailer.service".to_owned()));
        // The same process id of this machine is another process: its executable is never looked up for one of a host.
        assert_eq!(new.process, None);
        let text = add_consumer(TEXT, "/srv/keyroll.toml", &new).unwrap();
        let config = Config::parse(&text, "/srv/keyroll.toml").unwrap();
        let consumer = config.secret("acme").unwrap().consumer("mailer").unwrap();
        assert_eq!((consumer.machine(), consumer.reads == new.reads), ("web-2", true));

        let process =
            AdoptRequest { restart: Some("./again.sh"), env_file, ..request("web-2:4711", "mailer") };
        assert!(adopted(&process).unwrap_err().help.unwrap().contains("--unit UNIT"));
        let found = AdoptRequest { process: Some("/bin/mailer"), ..process };
        assert_eq!(adopted(&found).unwrap().process, Some(("/bin/mailer".to_owned(), None)));
    }

    #[test]
    fn what_a_process_of_a_host_reads_is_named_and_not_guessed() {
        let unit = AdoptRequest { unit: Some("mailer.service"), ..request("web-2:4711", "mailer") };
        assert!(adopted(&unit).unwrap_err().help.unwrap().contains("--env-file"));
        // A path of this machine's folder would name another file there.
        let near = AdoptRequest { file: Some(Path::new("./api.key")), ..unit };
        assert!(adopted(&near).unwrap_err().help.unwrap().contains("/srv/app/api.env"));
    }

    #[test]
    fn a_copy_of_a_host_becomes_a_consumer_of_that_host_without_a_look_at_the_same_path_here() {
        let new = adopted(&request("web-2:/srv/no/such/old.key", "old")).unwrap();
        assert_eq!(new.host.as_ref().map(|host| host.as_str()), Some("web-2"));
        assert_eq!((new.apply, new.process), (NewApply::AtRest, None));
        assert_eq!(new.reads[0].place.path(), Path::new("/srv/no/such/old.key"));
        assert!(adopted(&request("web-9:/srv/no/such/old.key", "old")).is_err(), "it is no declared host");
    }

    #[test]
    fn the_options_for_hosts_are_refused_on_this_machine() {
        let unit = AdoptRequest { unit: Some("mailer.service"), ..request("4711", "mailer") };
        let process = AdoptRequest { process: Some("/bin/mailer"), ..request("4711", "mailer") };
        for request in [unit, process] {
            assert!(adopted(&request).unwrap_err().causes[0].contains("another host"));
        }
    }

    /// With --replace, a process of this machine would come into the table of one on another machine.
    #[test]
    fn the_table_of_a_consumer_on_another_machine_is_neither_replaced_nor_doubled() {
        let config = Config::parse(TEXT, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        for name in ["one", "both"] {
            assert!(refuse_declared_elsewhere(name, secret, None).is_err(), "{name}");
        }
        for name in ["here", "on", "one2", "new"] {
            assert!(refuse_declared_elsewhere(name, secret, None).is_ok(), "{name}");
        }
        let there = HolderOnHost::of("web-2:4711", &config).unwrap();
        for (name, is_ok) in [("one", true), ("new", true), ("here", false), ("both", false)] {
            assert_eq!(refuse_declared_elsewhere(name, secret, Some(&there)).is_ok(), is_ok, "{name}");
        }
    }
}
