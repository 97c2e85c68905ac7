//! `split`: one key for each consumer of a shared one. The plan of the whole, and of each rotation that it is made of.

use std::collections::BTreeMap;
use std::path::Path;

use keyroll_config::{Config, Consumer, Name, Secret, join_consumers, split_consumer};
use keyroll_port::Label;
use keyroll_rotation::{MintedBy, Overlap};

use super::live;
use super::make::{absolute, look_at, refuse_open};
use super::outline::{announced, gaps, least_s, show_findings};
use super::{Found, Subject};
use crate::config_file;
use crate::context::Context;
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::saved::{Apart, Family, Saved, Share};
use crate::records::versions::{kept, label};
use crate::ui::Event;
use crate::wiring::issuer::described;
use crate::wiring::open::{runtime, store};

/// Looks at everything, and saves who gets which key and in which order; the plan's id.
pub(crate) fn plan(
    secret: &Secret,
    into: &BTreeMap<String, String>,
    config: &Config,
    context: &mut Context,
) -> Result<String, Problem> {
    let places = context.places()?;
    let config_file = absolute(&context.config_path())?;
    let config_text = config_file::read(&config_file)?;
    let shares = shares(secret, into)?;
    shares.iter().try_for_each(|share| refuse_taken(&places, secret.name.as_str(), share))?;
    refuse_one_place(secret)?;
    refuse_members(&refuse_open(&places, secret.name.as_str())?, secret)?;
    edited(&config_text, &config_file, secret.name.as_str(), &shares)?;
    let described = described(secret)?;
    let subject = Subject::new((config, secret), (&config_file, &config_text), &places, &described);
    let found = look_at(&subject)?;
    refuse_limits(secret, &found, shares.len())?;
    show_findings(&found, &mut context.ui);
    for place in &found.saved.seen.unexplained {
        context.ui.note(format!(
            "{place} holds the shared key too, and no consumer names it: the shared key is not ended before that is explained"
        ));
    }
    let saved = Saved { shares, ..found.saved.clone() };
    saved.write(&places)?;
    let id = saved.id.clone();
    live::show(&found.live, &mut context.ui);
    let (steps, gaps, least_s) = (steps(&saved, &found), gaps(&found, secret), least_s(&found));
    let away = announced(secret);
    let apply_with = live::apply_with(&found.live, &id);
    let name = secret.name.to_string();
    context.ui.event(Event::Plan { id: id.clone(), secret: name, steps, gaps, away, least_s, apply_with });
    Ok(id)
}

/// A split of before is open still.
fn refuse_members(apart: &[Apart], secret: &Secret) -> Result<(), Problem> {
    let Some(one) = apart.first() else { return Ok(()) };
    Err(Problem::new("K0846", format!("plan a split of {}", secret.name))
        .because(format!("rotation {} gives {} a key of its own, and is open", one.rotation, one.consumer))
        .help(format!("keyroll resume {}, or keyroll abort {}", one.rotation, one.rotation))
        .exits(Exit::Held))
}

fn splitting(secret: &str) -> Problem {
    Problem::new("K0873", format!("give each consumer of {secret} a key of its own"))
}

/// Which secret each consumer gets: as it was asked for, or named after both.
fn shares(secret: &Secret, into: &BTreeMap<String, String>) -> Result<Vec<Share>, Problem> {
    let attempted = || splitting(secret.name.as_str());
    if secret.consumers.is_empty() {
        return Err(attempted()
            .because("no consumer of it is configured")
            .help(format!("describe who uses it as [[secrets.{}.consumers]] in keyroll.toml", secret.name)));
    }
    if let Some(unknown) = into.keys().find(|name| secret.consumer(name).is_none()) {
        let known: Vec<&str> = secret.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
        return Err(attempted()
            .because(format!("--into names {unknown}, which is no consumer of it"))
            .help(format!("its consumers are: {}", known.join(", "))));
    }
    secret.consumers.iter().map(|consumer| share(secret, consumer, into)).collect()
}

fn share(secret: &Secret, consumer: &Consumer, into: &BTreeMap<String, String>) -> Result<Share, Problem> {
    let name = consumer.name.as_str();
    if consumer.is_pull() {
        return Err(splitting(secret.name.as_str())
            .because(format!("a command fetches the copy of {name}, and would fetch the shared key"))
            .help("let it read a file that keyroll writes, or make a secret for it: keyroll secret add"));
    }
    let own = into.get(name).cloned().unwrap_or_else(|| format!("{}-{name}", secret.name));
    if Name::new(own.as_str()).is_none() {
        return Err(splitting(secret.name.as_str())
            .because(format!("the name for the key of {name} is not 1 to 64 of a-z 0-9 . _ -"))
            .help(format!("name it: --into {name}=NAME")));
    }
    Ok(Share { consumer: name.to_owned(), secret: own })
}

/// A name under which the store has a key already: the rotation would take that for the shared one's successor.
fn refuse_taken(places: &Places, secret: &str, share: &Share) -> Result<(), Problem> {
    if !places.state.join("secrets.db").exists() {
        return Ok(());
    }
    let own = runtime()?
        .block_on(async { kept(store(places)?.as_ref(), &share.secret).await.map_err(Problem::from) })?;
    // What a rotation made that was rolled back is nobody's key.
    let live = own.iter().find(|version| matches!(version.label, Label::Current | Label::Pending));
    live.map_or(Ok(()), |version| {
        Err(splitting(secret)
            .because(format!(
                "the store has a secret {} already: its v{} is {}",
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

/// One place holds one value: whoever reads the same one cannot have two keys.
fn refuse_one_place(secret: &Secret) -> Result<(), Problem> {
    let mut readers = BTreeMap::new();
    for consumer in &secret.consumers {
        for copy in &consumer.reads {
            let first = *readers.entry(&copy.place).or_insert(&consumer.name);
            if first != &consumer.name {
                return Err(Problem::new(
                    "K0874",
                    format!("give {first} and {} a key of their own each", consumer.name),
                )
                .because(format!("both read {}, and one place holds one key", copy.place))
                .help(format!(
                    "give one of them a file or a variable of its own, with the value of now, name it in keyroll.toml, restart it, then: keyroll split {}",
                    secret.name
                )));
            }
        }
    }
    Ok(())
}

/// Several keys have to live beside each other for good, and be made without a person.
fn refuse_limits(secret: &Secret, found: &Found, more: usize) -> Result<(), Problem> {
    let can = &found.plan.capabilities;
    let listed = found.saved.seen.issuer_ids.len();
    let why = match can.overlap {
        Overlap::TwoSlots => "its issuer has two places for a key, and no more".to_owned(),
        Overlap::Grace { .. } | Overlap::None => "its issuer ends a key when it makes the next".to_owned(),
        Overlap::Independent { .. } if can.minted_by == MintedBy::Human => {
            "its keys are made by a person at the console".to_owned()
        }
        Overlap::Independent { max } if max > 0 && listed.saturating_add(more) > max as usize => {
            format!("its issuer has at most {max} keys, lists {listed}, and {more} are to be made")
        }
        Overlap::Independent { .. } => return Ok(()),
    };
    Err(Problem::new("K0875", format!("make keys for the consumers of {}", secret.name)).because(why).help(
        "end keys at the issuer that nobody needs, or make a secret for each consumer by hand: keyroll secret add",
    ))
}

/// The configuration with every consumer moved: refused here, it would be refused in the middle.
fn edited(text: &str, file: &Path, secret: &str, shares: &[Share]) -> Result<String, Problem> {
    let mut text = text.to_owned();
    for share in shares {
        text = moved(&text, file, secret, share)?;
    }
    Ok(text)
}

/// The configuration with one consumer moved into its own secret.
pub(crate) fn moved(text: &str, file: &Path, secret: &str, share: &Share) -> Result<String, Problem> {
    let name = |name: &str| {
        Name::new(name).ok_or_else(|| splitting(secret).because(format!("{name} cannot be a name")))
    };
    let names = (&name(secret)?, &name(&share.consumer)?, &name(&share.secret)?);
    Ok(split_consumer(text, &file.display().to_string(), names)?)
}

/// The steps in words; the last is the one that cannot be taken back.
fn steps(saved: &Saved, found: &Found) -> Vec<String> {
    let seen = found.endpoints.join(" and at ");
    let secret = &saved.secret;
    let mut steps: Vec<String> = saved
        .shares
        .iter()
        .map(|share| {
            format!(
                "{}: make a key of its own, see it accepted at {seen}, move it and see it there; {secret} stays alive\n     writes [secrets.{}] into {}",
                share.consumer,
                share.secret,
                saved.config_file.display()
            )
        })
        .collect();
    steps.push(format!("look for whoever still holds the key of {secret}, and wait until nobody does"));
    steps.push(format!("END the key of {secret}, and see it refused (IRREVERSIBLE, asks then)"));
    steps
}

/// The plan of one consumer's rotation, by the configuration as it is now; it is saved.
pub(crate) fn member(split: &Saved, share: &Share, context: &mut Context) -> Result<Saved, Problem> {
    let places = context.places()?;
    let text = config_file::read(&split.config_file)?;
    refuse_changed(split, share, &text)?;
    refuse_taken(&places, &split.secret, share)?;
    let text = moved(&text, &split.config_file, &split.secret, share)?;
    let family =
        Family::Member { from: split.secret.clone(), version: split.from_version, split: split.id.clone() };
    let found = look((&share.secret, &family), &split.config_file, &text, &places)?;
    found.notes.iter().for_each(|note| context.ui.note(note.clone()));
    found.saved.write(&places)?;
    Ok(found.saved)
}

/// A consumer that is another than the split was planned for.
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
        (_, _) => Err(Problem::new("K0876", format!("move {} to a key of its own", share.consumer))
            .because(format!("{file} describes it otherwise than when the split was planned"))
            .help(format!("keyroll split {}", split.secret))),
    }
}

/// The plan of the end of a key that nobody of the configuration uses any more; it is saved. `own`: by the consumers
/// that shared it the secrets that they have now.
pub(crate) fn end(
    secret: &str,
    (members, split): (&[String], Option<&str>),
    config_file: &Path,
    context: &mut Context,
) -> Result<Saved, Problem> {
    let places = context.places()?;
    let text = config_file::read(config_file)?;
    let file = config_file.display().to_string();
    let now = Config::parse(&text, &file)?;
    let mut own = BTreeMap::new();
    let mut names = Vec::new();
    for name in members {
        // Without its table nobody would ask whether its service has shown its own key.
        let member = now.secret(name).map_err(|_| {
            Problem::new("K0877", format!("end the key of {secret}"))
                .because(format!("{name} got a key in its place, and keyroll.toml does not name it any more"))
                .help(format!(
                    "put [secrets.{name}] back; where its service is gone for good, without its consumers"
                ))
        })?;
        names.push(member.name.clone());
        own.extend(member.consumers.iter().map(|it| (it.name.to_string(), member.name.to_string())));
    }
    if own.is_empty() {
        return Err(Problem::new("K0877", format!("end the key of {secret}"))
            .because("no consumer of the configuration has a key that was made in its place")
            .help(format!(
                "keyroll secret show {secret}; end it at the issuer's console, if nobody needs it"
            )));
    }
    let shared = crate::context::secret(&now, secret)?;
    if let Some(consumer) = shared.consumers.first() {
        return Err(Problem::new("K0877", format!("end the key of {secret}"))
            .because(format!("{} uses it, by the configuration", consumer.name))
            .help(format!("keyroll split {secret}")));
    }
    let shared = shared.name.clone();
    // What the rotation goes by names all of them as consumers of the key that ends; it is written nowhere else.
    let text = join_consumers(&text, &file, &shared, &names)?;
    let family = Family::End { own, split: split.map(str::to_owned) };
    let found = look((secret, &family), config_file, &text, &places)?;
    show_findings(&found, &mut context.ui);
    if !found.saved.seen.unexplained.is_empty() {
        return Err(super::make::unexplained(&found));
    }
    found.saved.write(&places)?;
    Ok(found.saved)
}

fn look(
    (name, family): (&str, &Family),
    config_file: &Path,
    text: &str,
    places: &Places,
) -> Result<Found, Problem> {
    let config = Config::parse(text, &config_file.display().to_string())?;
    let secret = crate::context::secret(&config, name)?;
    let described = described(secret)?;
    let subject = Subject::new((&config, secret), (config_file, text), places, &described);
    look_at(&Subject { family: Some(family), ..subject })
}
