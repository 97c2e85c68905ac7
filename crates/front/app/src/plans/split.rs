//! `split`: one key per consumer of a shared key. The plan of the split, and of each of its rotations.

use std::collections::BTreeMap;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Config, Consumer, Name, Secret, StoreRef, join_consumers};
use keyroll_port::Label;
use keyroll_rotation::{MintedBy, Overlap};

use super::in_clusters::refuse_in_clusters;
use super::make::{look_at, refuse_open, refuse_unprovable, save};
use super::move_consumer::{moved, refuse_several_machines, splitting};
use super::outline::show_findings;
use super::rehearsed::refuse_unready;
use super::subject::ConfiguredSecret;
use super::{Inspection, Subject};
use crate::config_file;
use crate::exit::Exit;
use crate::installation::Installation;
use crate::operator::Operator;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::open_rotation_guard::ends_open;
use crate::records::saved_plan::{Apart, Family, Saved, Share};
use crate::records::versions::{kept, label};
use crate::wiring::issuer::described;
use crate::wiring::open::{runtime, store};

/// Inspects everything, and saves which consumer gets which key, in order; returns the plan's id.
pub fn plan(
    secret: &Secret,
    into: &BTreeMap<String, String>,
    config: &Config,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<String, Problem> {
    let places = installation.places()?;
    let config_file = config_file::absolute(&installation.config_path())?;
    let config_text = config_file::read(&config_file)?;
    refuse_in_clusters(secret)?;
    refuse_several_machines(secret)?;
    let shares = shares(secret, into)?;
    shares.iter().try_for_each(|share| refuse_taken(&places, secret.name.as_str(), share))?;
    refuse_one_place(secret)?;
    refuse_members(&places, &refuse_open(&places, secret.name.as_str())?, secret)?;
    edited(&config_text, &config_file, secret.name.as_str(), &shares)?;
    let described = described(secret)?;
    let subject = Subject::new(
        ConfiguredSecret { config, secret, config_file: &config_file, config_text: &config_text },
        &places,
        &described,
    );
    let again = format!("keyroll split {}", secret.name);
    let found = look_at(&subject, operator).map_err(|problem| problem.then(&again))?;
    refuse_limits(secret, &found, shares.len())?;
    show_findings(&found, operator);
    refuse_unprovable(&found, secret)?;
    refuse_unready(&found).map_err(|problem| problem.then(&again))?;
    for place in &found.saved.seen.unexplained {
        operator.note(format!(
            "{place} holds the shared key too and is not a declared copy: keyroll does not revoke the \
             shared key before it is declared or waived"
        ));
    }
    let saved = Saved { shares, ..found.saved.clone() };
    save(&saved, &places, (&found, secret), steps(&saved, &found), operator)
}

/// Refuses a split while an earlier one is open.
fn refuse_members(places: &Places, apart: &[Apart], secret: &Secret) -> Result<(), Problem> {
    let Some(one) = apart.first() else { return Ok(()) };
    let ends = ends_open(places, &one.rotation, &one.secret)?;
    Err(Problem::new(Code::NotPossibleNow, format!("plan a split of {}", secret.name))
        .because(format!("the open rotation {} gives {} its own key", one.rotation, one.consumer))
        .help(ends)
        .exits(Exit::Held))
}

/// The new secret of each consumer: as requested, or named after secret and consumer.
fn shares(secret: &Secret, into: &BTreeMap<String, String>) -> Result<Vec<Share>, Problem> {
    let attempted = || splitting(secret.name.as_str());
    if secret.store != StoreRef::Keyroll {
        return Err(attempted()
            .because(format!(
                "its source of truth is {}, which holds one value for all of them",
                secret.store
            ))
            .help("add a secret with a store of its own for each consumer: keyroll secret add"));
    }
    if secret.consumers.is_empty() {
        return Err(attempted().because("it has no declared consumer").help(format!(
            "declare its consumers as [[secrets.{}.consumers]] in keyroll.toml",
            secret.name
        )));
    }
    if let Some(unknown) = into.keys().find(|name| secret.consumer(name).is_none()) {
        let known: Vec<&str> = secret.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        return Err(attempted()
            .because(format!("--into names {unknown}, which is not one of its consumers"))
            .help(format!("its consumers are: {}", known.join(", "))));
    }
    secret.consumers.iter().map(|consumer| share(secret, consumer, into)).collect()
}

fn share(secret: &Secret, consumer: &Consumer, into: &BTreeMap<String, String>) -> Result<Share, Problem> {
    let name = consumer.name.as_str();
    if consumer.is_pull() {
        return Err(splitting(secret.name.as_str())
            .because(format!("a command fetches the copy of {name}, and would fetch the shared key"))
            .help(
                "let it read a file that keyroll writes, or add a separate secret for it: keyroll secret add",
            ));
    }
    if consumer.serves.is_some() {
        return Err(splitting(secret.name.as_str())
            .because(format!("{name} asks keyroll's socket for {}, by that name", secret.name))
            .help("add a secret of its own for it, and let it ask for that one: keyroll secret add"));
    }
    let own = into.get(name).cloned().unwrap_or_else(|| format!("{}-{name}", secret.name));
    if Name::new(own.as_str()).is_none() {
        return Err(splitting(secret.name.as_str())
            .because(format!("the name for the key of {name} is not 1 to 64 of a-z 0-9 . _ -"))
            .help(format!("name it: --into {name}=NAME")));
    }
    Ok(Share { consumer: name.to_owned(), secret: own })
}

/// Refuses a name that already has a key in the store: the rotation would take that key for the successor of the shared
/// one.
fn refuse_taken(places: &Places, secret: &str, share: &Share) -> Result<(), Problem> {
    if !places.state.join("secrets.db").exists() {
        return Ok(());
    }
    let own = runtime(places)?
        .block_on(async { kept(store(places)?.as_ref(), &share.secret).await.map_err(Problem::from) })?;
    // A key from a rotation that was rolled back is not in use.
    let live = own.iter().find(|version| matches!(version.label, Label::Current | Label::Pending));
    live.map_or(Ok(()), |version| {
        Err(splitting(secret)
            .because(format!(
                "the store already has a secret {}: its v{} is {}",
                share.secret,
                version.number,
                label(version.label)
            ))
            .help(format!(
                "name another one: --into {}=NAME; keyroll history {}",
                share.consumer, share.secret
            )))
    })
}

/// Refuses consumers that read the same copy: they cannot have different keys.
fn refuse_one_place(secret: &Secret) -> Result<(), Problem> {
    let mut readers = BTreeMap::new();
    for consumer in &secret.consumers {
        for copy in &consumer.reads {
            // The same path on another host is another copy.
            let host = (!consumer.is_here).then_some(&consumer.host);
            let first = *readers.entry((host, &copy.place)).or_insert(&consumer.name);
            if first != &consumer.name {
                return Err(Problem::new(
                    Code::SplitImpossible,
                    format!("give {first} and {} their own keys", consumer.name),
                )
                .because(format!("both read {}, and one copy holds one key", copy.place))
                .help(format!(
                    "give one of them its own file or variable with the present value, declare it in \
                     keyroll.toml, restart the consumer, then: keyroll split {}",
                    secret.name
                )));
            }
        }
    }
    Ok(())
}

/// Refuses issuers that cannot have several keys at once, or whose keys an operator makes.
fn refuse_limits(secret: &Secret, found: &Inspection, more: usize) -> Result<(), Problem> {
    let can = &found.plan.capabilities;
    let listed = found.saved.seen.issuer_ids.len();
    let why = match can.overlap {
        Overlap::TwoSlots => "its issuer allows only two keys".to_owned(),
        Overlap::Grace { .. } | Overlap::None => "its issuer revokes a key when it makes the next".to_owned(),
        Overlap::Independent { .. } if can.minted_by == MintedBy::Human => {
            "an operator makes its keys at the console".to_owned()
        }
        Overlap::Independent { max } if max > 0 && listed.saturating_add(more) > max as usize => {
            format!("its issuer allows {max} keys, lists {listed}, and {more} more are needed")
        }
        Overlap::Independent { .. } => return Ok(()),
    };
    Err(Problem::new(Code::NoRoomForNewKey, format!("make keys for the consumers of {}", secret.name))
        .because(why)
        .help(
            "revoke unused keys at the issuer, or add a secret for each consumer by hand: keyroll secret add",
        ))
}

/// Checks the configuration with every consumer moved, so that no edit is refused later.
fn edited(text: &str, file: &Path, secret: &str, shares: &[Share]) -> Result<String, Problem> {
    let mut text = text.to_owned();
    for share in shares {
        text = moved(&text, file, secret, share)?;
    }
    Ok(text)
}

/// The steps as text; the last is irreversible.
fn steps(saved: &Saved, found: &Inspection) -> Vec<String> {
    let seen = found.probed();
    let secret = &saved.secret;
    let mut steps: Vec<String> = saved
        .shares
        .iter()
        .map(|share| {
            format!(
                "{}: make its own key, see it accepted at {seen}, move the consumer and see it use the key; \
                 {secret} stays alive\nwrites [secrets.{}] into {}",
                share.consumer,
                share.secret,
                saved.config_file.display()
            )
        })
        .collect();
    steps.push(format!("find every process that still holds the key of {secret}, and wait until none does"));
    steps.push(format!("REVOKE the key of {secret}, and see it refused (IRREVERSIBLE, asks then)"));
    steps
}

/// The plan of one consumer's rotation, by the configuration as it is now; it is saved.
pub fn member(
    split: &Saved,
    share: &Share,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Saved, Problem> {
    let places = installation.places()?;
    let text = config_file::read(&split.config_file)?;
    refuse_changed(split, share, &text)?;
    refuse_taken(&places, &split.secret, share)?;
    let text = moved(&text, &split.config_file, &split.secret, share)?;
    let family =
        Family::Member { from: split.secret.clone(), version: split.from_version, split: split.id.clone() };
    let found = look((&share.secret, &family), &split.config_file, &text, &places, operator)?;
    found.notes.iter().for_each(|note| operator.note(note.clone()));
    found.saved.write(&places)?;
    Ok(found.saved)
}

/// Refuses a consumer that changed since the split was planned.
fn refuse_changed(split: &Saved, share: &Share, now: &str) -> Result<(), Problem> {
    let file = split.config_file.display().to_string();
    let then = Config::parse(&split.config_text, &file)?;
    let now = Config::parse(now, &file)?;
    let consumer = |config: &Config| {
        let secret = config.secret(&split.secret).ok()?;
        secret.consumer(&share.consumer).cloned()
    };
    match (consumer(&then), consumer(&now)) {
        (then, Some(now)) if then.as_ref() == Some(&now) => Ok(()),
        (_, _) => Err(Problem::new(Code::PlanStale, format!("move {} to its own key", share.consumer))
            .because(format!("{file} declares it differently than when the split was planned"))
            .help(format!("keyroll split {}", split.secret))),
    }
}

/// Saves the plan that revokes a key which no configured consumer uses any more. `own`: the present secret of each
/// consumer that shared the key.
pub fn end(
    secret: &str,
    (members, split): (&[String], Option<&str>),
    config_file: &Path,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<Saved, Problem> {
    let places = installation.places()?;
    let text = config_file::read(config_file)?;
    let file = config_file.display().to_string();
    let now = Config::parse(&text, &file)?;
    let mut own = BTreeMap::new();
    let mut names = Vec::new();
    for name in members {
        // Without its table in the configuration, nothing would check whether its service was proved to use its own
        // key.
        let member = now.secret(name).map_err(|_| {
            Problem::new(Code::NothingToRevoke, format!("revoke the key of {secret}"))
                .because(format!("{name} got its own key, and keyroll.toml no longer declares it"))
                .help(format!(
                    "restore [secrets.{name}]; if its service no longer exists, without its consumers"
                ))
        })?;
        refuse_end_elsewhere(secret, member)?;
        names.push(member.name.clone());
        own.extend(member.consumers.iter().map(|it| (it.name.to_string(), member.name.to_string())));
    }
    if own.is_empty() {
        return Err(Problem::new(Code::NothingToRevoke, format!("revoke the key of {secret}"))
            .because("no configured consumer has a key that replaces it")
            .help(format!(
                "keyroll secret show {secret}; revoke it at the issuer's console, if nothing needs it"
            )));
    }
    let shared = crate::configured::secret(&now, secret)?;
    if let Some(consumer) = shared.consumers.first() {
        return Err(Problem::new(Code::NothingToRevoke, format!("revoke the key of {secret}"))
            .because(format!("{} uses it, according to the configuration", consumer.name))
            .help(format!("keyroll split {secret}")));
    }
    let shared = shared.name.clone();
    // The configuration text of this rotation lists all of them as consumers of the revoked key. Only the plan contains
    // it.
    let text = join_consumers(&text, &file, &shared, &names)?;
    let family = Family::End { own, split: split.map(str::to_owned) };
    let found = look((secret, &family), config_file, &text, &places, operator)?;
    show_findings(&found, operator);
    if !found.saved.seen.unexplained.is_empty() {
        return Err(super::make::unexplained(&found));
    }
    found.saved.write(&places)?;
    Ok(found.saved)
}

/// Refuses to revoke a shared key while a consumer that has a key of its own is on another machine: nothing would prove
/// there that the consumer uses that key.
fn refuse_end_elsewhere(shared: &str, member: &Secret) -> Result<(), Problem> {
    let Some(consumer) = member.consumers.iter().find(|consumer| !consumer.is_here) else { return Ok(()) };
    let host = &consumer.host;
    Err(Problem::new(Code::SplitImpossible, format!("revoke the key of {shared}"))
        .because(format!(
            "{}, which has the key of {} now, runs on {host}, and keyroll proves only on this machine that a consumer uses \
             a key of its own",
            consumer.name, member.name
        ))
        .help(format!(
            "see that nothing uses the shared key (keyroll trace {shared} --host {host}), revoke it at the issuer's console, \
             then: keyroll verify {shared}"
        )))
}

fn look(
    (name, family): (&str, &Family),
    config_file: &Path,
    text: &str,
    places: &Places,
    operator: &mut dyn Operator,
) -> Result<Inspection, Problem> {
    let config = Config::parse(text, &config_file.display().to_string())?;
    let secret = crate::configured::secret(&config, name)?;
    let described = described(secret)?;
    let subject = Subject::new(
        ConfiguredSecret { config: &config, secret, config_file, config_text: text },
        places,
        &described,
    );
    look_at(&Subject { family: Some(family), ..subject }, operator)
}
