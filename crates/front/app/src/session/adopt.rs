//! Adopts an undeclared process or copy as a consumer, also into an open rotation.

mod consumer;
mod executable;
mod record;

use std::path::Path;

use keyroll_config::{Config, Consumer, NewConsumer, Secret, add_consumer, replace_consumer};
use keyroll_setup::trust::refuse_missing_of;

use self::executable::adopting;
use self::record::{Adoption, refuse_open};
use super::holder_on_host::HolderOnHost;
use crate::installation::Installation;
use crate::operator::{Event, Operator};
use crate::problem::Problem;
use crate::records::acts::{self, Act};
use crate::records::resolve_target::meant;
use crate::wiring::trusted::trusted_consumer;
use crate::wiring::{issuer, provable};
use crate::{config_file, configured};

pub use self::consumer::AdoptRequest;
pub(crate) use self::record::numbered;

/// Writes the consumer into keyroll.toml, then adds it to the open rotation. The same request again does what is left of
/// it: keyroll may have been killed in between.
///
/// # Errors
/// The request describes no consumer that could work, the open rotation refuses it, or something cannot be written.
pub fn adopt(
    request: &AdoptRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<(), Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    refuse_elsewhere(request.holder, &config)?;
    let secret = meant(&config, request.secret, request.holder, &places)?;
    refuse_declared_elsewhere(request.name, secret)?;
    let new = request.consumer(&config, secret)?;
    let path = installation.config_path();
    let text = config_file::read(&path)?;
    let file = path.display().to_string();
    let known = secret.consumer(new.name.as_str()).is_some();
    let written_before = known && !request.replace && is_written(&text, &file, secret, &new)?;
    let edited = match (known, request.replace) {
        (true, false) if written_before => text.clone(),
        (true, false) => return Err(known_already(&new)),
        (true, true) => {
            refuse_open(&places, &new)?;
            replace_consumer(&text, &file, &new)?
        }
        (false, _) => add_consumer(&text, &file, &new)?,
    };
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let config = &Config::parse(&edited, &absolute.display().to_string())?;
    refuse_useless(&absolute, configured::secret(config, new.secret.as_str())?, &new)?;
    let (holder, new) = (request.holder, &new);
    let adoption = Adoption { new, holder, config, config_file: &absolute, config_text: &edited };
    let (its, detail) = (Some(new.secret.to_string()), Some(format!("the consumer {}", new.name)));
    acts::record(&Act { secret: its, detail, ..acts::asked("consumer adopt", &places) }, &places)?;
    let mut write = || {
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
        true => adoption.write_alone(&places, &mut write).map(|()| None)?,
        false => adoption.carry_out(&places, &mut write)?,
    };
    if request.names_no_copy() {
        operator.note(assumed(new, open.is_some()));
    }
    if let Some(id) = open {
        operator.note(format!("it is in the open rotation; to continue: keyroll resume {id}"));
    }
    Ok(())
}

/// Refuses what is on another machine: how it runs and what it reads is seen only there.
fn refuse_elsewhere(holder: &str, config: &Config) -> Result<(), Problem> {
    let Some(there) = HolderOnHost::of(holder, config) else { return Ok(()) };
    let host = &there.host;
    Err(adopting()
        .because(format!("{} is not on this machine, and keyroll adopts only what is", there.shown()))
        .help(format!(
            "declare it in keyroll.toml with host = \"{host}\"; keyroll consumer waive {holder} --reason WHY accepts that it \
             loses access"
        )))
}

/// Refuses the name of a consumer that keyroll.toml puts on other machines: its table would get a process of this one.
fn refuse_declared_elsewhere(name: &str, secret: &Secret) -> Result<(), Problem> {
    let table = |consumer: &Consumer| consumer.name.as_str().split('@').next() == Some(name);
    let of_several = |consumer: &Consumer| consumer.name.as_str() != name;
    let mut same = secret.consumers.iter().filter(|consumer| table(consumer));
    let Some(consumer) = same.find(|consumer| !consumer.is_here || of_several(consumer)) else {
        return Ok(());
    };
    let why = match consumer.is_here {
        false => format!("{} of {} runs on {}", consumer.name, secret.name, consumer.host),
        true => format!("keyroll.toml declares {} of {} with `hosts`", consumer.name, secret.name),
    };
    Err(adopting().because(why).help("choose another --name; nothing was changed"))
}

/// Whether keyroll.toml has this very consumer.
fn is_written(text: &str, file: &str, secret: &Secret, new: &NewConsumer) -> Result<bool, Problem> {
    let replaced = Config::parse(&replace_consumer(text, file, new)?, file)?;
    let wanted = configured::secret(&replaced, new.secret.as_str())?.consumer(new.name.as_str());
    Ok(wanted == secret.consumer(new.name.as_str()))
}

/// Shows which copy was chosen, why, and how to name another one.
fn assumed(new: &NewConsumer, open: bool) -> String {
    let copies: Vec<String> = new.reads.iter().map(|copy| copy.place.to_string()).collect();
    let (name, copies) = (&new.name, copies.join(" and "));
    let other = match open {
        false => {
            "repeat the command with --replace --env-file FILE --variable NAME, or --replace --file FILE"
                .to_owned()
        }
        true => format!(
            "keyroll consumer waive {name} --reason WHY, then adopt the process under another --name with \
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
    refuse_missing_of(consumer)?;
    trusted_consumer(config_file, consumer)?;
    // `plan` reports an issuer that cannot be built.
    let Ok(issuer) = issuer(secret) else { return Ok(()) };
    provable::provable(consumer, issuer.capabilities().attributes).map_err(|problem| {
        problem.help(
            "add --check \"COMMAND {copy}\", a command that succeeds only with a working key in that copy",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\n[hosts.web-2]\nconnect = \"ssh://web-2\"\nfolder = \"/srv\"\n[secrets.acme]\n\
        issuer = \"openrouter\"\n[[secrets.acme.consumers]]\nname = \"one\"\nhost = \"web-2\"\n\
        runs = { at_rest = true }\nreads = { file = \"./1\" }\n[[secrets.acme.consumers]]\nname = \"both\"\n\
        hosts = [\"local\", \"web-2\"]\nruns = { at_rest = true }\nreads = { file = \"./2\" }\n\
        [[secrets.acme.consumers]]\nname = \"here\"\nruns = { at_rest = true }\nreads = { file = \"./3\" }\n";

    #[test]
    fn what_is_on_a_host_is_not_adopted_as_something_of_this_machine() {
        let config = Config::parse(TEXT, "/srv/keyroll.toml").unwrap();
        for holder in ["web-2:4711", "web-2:/srv/old.env"] {
            let help = refuse_elsewhere(holder, &config).unwrap_err().help.unwrap();
            assert!(help.contains("host = \"web-2\""), "{help}");
            assert!(help.contains(&format!("keyroll consumer waive {holder} --reason WHY")), "{help}");
        }
        for holder in ["4711", "/srv/web-2:/old.env", "web-9:4711", "web-2:old.env", "web-2"] {
            assert!(refuse_elsewhere(holder, &config).is_ok(), "{holder}");
        }
    }

    /// With --replace, a process of this machine would come into the table of one on another machine.
    #[test]
    fn the_table_of_a_consumer_on_another_machine_is_neither_replaced_nor_doubled() {
        let config = Config::parse(TEXT, "/srv/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        for name in ["one", "both"] {
            assert!(refuse_declared_elsewhere(name, secret).is_err(), "{name}");
        }
        for name in ["here", "on", "one2", "new"] {
            assert!(refuse_declared_elsewhere(name, secret).is_ok(), "{name}");
        }
    }
}
