//! What nobody explained becomes a consumer of an open rotation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use keyroll_config::{Config, Consumer, NewConsumer};
use keyroll_host::{LOCAL, Local, incarnation};
use keyroll_journal::try_lock;
use keyroll_port::RotationId;
use keyroll_rotation::{Adoptee, Difference, Fact};

use super::told::{digest_of, tell};
use crate::exit::Exit;
use crate::places::Places;
use crate::plans::granted::Granted;
use crate::plans::look::files as files_seen;
use crate::problem::Problem;
use crate::records::begun::{open_of, open_own};
use crate::records::recorded::Opened;
use crate::records::saved::Saved;
use crate::wiring::compose::compose;
use crate::wiring::issuer::issuer;
use crate::wiring::open::{fingerprint_key, folder_of, journal, not_locked, runtime};

/// Tells the open rotation of a secret, if there is one, of a consumer that was written into the configuration;
/// which one it is.
pub(crate) fn adopted(
    places: &Places,
    new: &NewConsumer,
    holder: &str,
    config_file: &Path,
    config_text: &str,
) -> Result<Option<RotationId>, Problem> {
    if !places.journal().exists() {
        return Ok(None);
    }
    let lock = try_lock(&places.state).map_err(|error| {
        not_locked("tell the open rotation", &error)
            .exits(Exit::Failed)
            .help("keyroll pause, then adopt again: the consumer is in the configuration already")
    })?;
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let (journal, runtime) = (journal(places)?, runtime()?);
    let own = runtime.block_on(open_own(&journal, new.secret.as_str())).map_err(reading)?;
    drop(journal);
    // None is open: the configuration is all there is to tell.
    let Some(own) = own else { return Ok(None) };
    let told = tell(Some(&own.0), places, |opened| fact(opened, places, holder, config_file, config_text));
    drop(lock);
    told.map(|opened| Some(opened.id))
}

/// The restart script that the person names is accepted as it is now, also where it is newer than what runs: that it
/// carries this out is what was asked for.
pub(crate) fn grant(
    places: &Places,
    new: &NewConsumer,
    config_file: &Path,
    config_text: &str,
) -> Result<(), Problem> {
    let config = Config::parse(config_text, &config_file.display().to_string())?;
    let secret = crate::context::secret(&config, new.secret.as_str())?;
    // An issuer that cannot be had is `plan`'s to tell.
    let Ok(issuer) = issuer(secret) else { return Ok(()) };
    places.ensure()?;
    let folder = folder_of(config_file);
    let composed = compose(secret, issuer.as_ref(), places, "", folder, &[], &BTreeMap::new())?;
    let host = Local::new(composed.setup, fingerprint_key(places)?);
    let restart = format!("{}/restart:", new.name);
    let live = host.live_now().live.into_iter().map(|one| one.difference);
    let mine: Vec<Difference> = live.filter(|one| one.name.starts_with(&restart)).collect();
    if mine.is_empty() { Ok(()) } else { Granted::load(places)?.add(places, new.secret.as_str(), &mine) }
}

/// A consumer that an open rotation goes by is not changed under it.
pub(crate) fn refuse_open(places: &Places, new: &NewConsumer) -> Result<(), Problem> {
    if !places.journal().exists() {
        return Ok(());
    }
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let (journal, runtime) = (journal(places)?, runtime()?);
    let Some(id) = runtime.block_on(open_of(&journal, new.secret.as_str())).map_err(reading)? else {
        return Ok(());
    };
    Err(Problem::new("K0841", format!("put another consumer in place of {}", new.name))
        .because(format!("rotation {id} is open, and goes by the commands that it was begun with"))
        .help(format!(
            "keyroll consumer waive {} --reason WHY and adopt it under another name, or: keyroll abort {id}",
            new.name
        )))
}

/// The consumers of an open rotation in the order of its numbers, which today's configuration may not have any more.
pub(crate) fn numbered(opened: &Opened) -> Result<Vec<Consumer>, Problem> {
    let saved = &opened.saved;
    let config = Config::parse(&saved.config_text, &saved.config_file.display().to_string())?;
    Ok(crate::context::secret(&config, &saved.secret)?.consumers.clone())
}

fn fact(
    opened: &Opened,
    places: &Places,
    holder: &str,
    config_file: &Path,
    config_text: &str,
) -> Result<Vec<Fact>, Problem> {
    let config = Config::parse(config_text, &config_file.display().to_string())?;
    let secret = crate::context::secret(&config, &opened.saved.secret)?;
    let known = opened.state.plan();
    if !known.aim.makes_new() {
        return Err(Problem::new("K0841", "adopt the consumer into the open rotation")
            .because("it only ends the shared key, and moves nobody to another")
            .help(format!("keyroll abort {}, then: keyroll split {}", opened.id, opened.saved.secret)));
    }
    let folder = folder_of(config_file);
    let issuer = issuer(secret)?;
    let roots = &config.search_roots;
    let composed = compose(secret, issuer.as_ref(), places, &opened.id.0, folder, roots, &BTreeMap::new())?;
    // The rotation knows consumers and files by their numbers: those that it has must be the very same, in their order.
    let before = numbered(opened)?;
    let same = secret.consumers.starts_with(&before)
        && composed.consumers.iter().zip(&known.consumers).all(|(now, before)| now == before);
    let (count, files) = (known.consumers.len(), known.files.len());
    let granted = Granted::load(places)?;
    let key = fingerprint_key(places)?;
    let new = composed.setup.files.get(files..).unwrap_or_default();
    let seen = files_seen(&new.iter().map(|file| file.path.clone()).collect::<Vec<_>>(), &key)?;
    let host = Local::new(composed.setup, key);
    let accepted = host.live_now().live.into_iter().filter(|one| granted.has(&opened.saved.secret, one));
    let accepted = accepted.map(|one| Fact::Accepted(one.difference));
    let consumer = composed.consumers.get(count).filter(|_| same && composed.consumers.len() == count + 1);
    let consumer = consumer.cloned().ok_or_else(|| {
        Problem::new("K0841", "adopt the consumer into the open rotation")
            .because("the configuration has other changes beside it")
            .help("take those back until the rotation has ended")
    })?;
    let explains = match holder.parse::<u32>() {
        Ok(pid) => {
            let process = keyroll_observe::process(pid).map_err(|reason| {
                Problem::new("K0841", format!("adopt process {pid}")).because(reason.to_string())
            })?;
            Adoptee::Holder(incarnation(&process.id))
        }
        Err(_) => Adoptee::Copy(digest_of(Path::new(holder))),
    };
    let mut saved = Saved { config_text: config_text.to_owned(), ..opened.saved.clone() };
    // Where they lead now is where they must lead when they are written.
    saved.seen.files.extend(seen);
    let names: Arc<str> = Arc::from(saved.text()?);
    let brought = composed.files.get(files..).unwrap_or_default().iter().map(|_| LOCAL).collect();
    Ok(std::iter::once(Fact::Adopted { consumer, files: brought, explains, names }).chain(accepted).collect())
}
