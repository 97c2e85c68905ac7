//! Validates a value before it is stored. A wrong value would be noticed much later, by a plan, or never.

use std::path::Path;

use keyroll_config::Secret;
use keyroll_port::{CopySeen, Issuer, Probe, Values};
use keyroll_rotation::Holds;
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use super::fields::refuse_unfit_fields;
use super::hosts::hosts;
use super::issuer::{Described, described, issuer};
use super::open::runtime;
use super::served::served_folder;
use super::truth;
use super::wanted::Wanted;
use crate::places::Places;
use crate::problem::Problem;
use crate::weak_values::{Strength, WeakField};

/// Why a value of the wrong form was not sent to the issuer.
const NOT_ASKED: &str = "whether the issuer accepts it: nothing was sent, because it does not have the form";

/// The result of validating a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Evidence for the value, in words.
    pub good: Vec<String>,
    /// What is not visible, and why.
    pub not_visible: Vec<String>,
    /// Evidence against the value, in words.
    pub against: Vec<String>,
    /// The issuer refuses it.
    pub dead: bool,
    /// The issuer was not asked, because it cannot be used yet.
    pub unasked: bool,
    /// The fields that are easy to guess.
    pub weak: Vec<WeakField>,
}

/// Validates a value: its form and strength, whether the issuer accepts it and under which id, and whether the
/// configured copies hold it. Changes nothing. The issuer gets one call per endpoint, but never a value of the wrong
/// form: that could be anything, such as another issuer's secret.
pub fn look(
    secret: &Secret,
    credential: &Credential,
    places: &Places,
    folder: &Path,
) -> Result<Looked, Problem> {
    let mut looked = Looked::default();
    blanks(&credential.fields, &mut looked);
    let Strength { unusable, weak } = Strength::of(secret, &credential.fields);
    looked.against.extend(unusable);
    looked.weak = weak;
    let described = readable(secret);
    let spec = described.as_ref().ok().and_then(|described| described.spec.as_ref());
    let faults = spec.map(|spec| spec.faults(&credential.fields)).unwrap_or_default();
    looked.against.splice(0..0, faults);
    // The admin's file is often written later. Without it, the issuer is not asked, and the report says so.
    let issuer = match described.and_then(|described| described.issuer(secret, None)) {
        Ok(issuer) => issuer,
        Err(problem) => {
            let why = problem.causes.join(": ");
            looked.not_visible.push(format!("whether the issuer accepts it: {why}"));
            looked.unasked = true;
            return Ok(looked);
        }
    };
    match looked.against.is_empty() {
        true => runtime(places)?.block_on(ask(issuer.as_ref(), credential, &mut looked)),
        false => looked.not_visible.push(NOT_ASKED.to_owned()),
    }
    copies(secret, credential, issuer.as_ref(), places, folder, &mut looked)?;
    Ok(looked)
}

/// Whether a source of truth outside of keyroll gives the value out.
pub fn beside_truth(
    secret: &Secret,
    credential: &Credential,
    (places, config_file): (&Places, &Path),
    looked: &mut Looked,
) -> Result<(), Problem> {
    let given = runtime(places)?.block_on(async {
        let Some(truth) = truth::of(places, config_file, secret).await? else { return Ok(None) };
        let given = truth.current().await.map_err(Problem::from);
        Ok::<_, Problem>(Some((truth.name(), given)))
    })?;
    let Some((name, given)) = given else { return Ok(()) };
    let Ok(given) = given.map_err(|problem| {
        looked.not_visible.push(format!("whether {name} gives it out: {}", problem.causes.join(": ")));
    }) else {
        return Ok(());
    };
    let is_same = |(field, value): (&str, &SecretBytes)| {
        credential.fields.get(field).is_some_and(|here| here.value == *value)
    };
    match given.fields.secrets().all(is_same) {
        true => looked.good.push(format!("{name} gives it out")),
        false => looked.against.push(format!("{name} gives out another value")),
    }
    Ok(())
}

/// Refuses a secret whose issuer has no valid description, or that lacks the issuer's fields: its value could be
/// neither verified nor replaced. Call this before the operator is asked for the value.
pub fn readable(secret: &Secret) -> Result<Described, Problem> {
    let described = described(secret)?;
    refuse_unfit_fields(&described, secret)?;
    Ok(described)
}

/// The next step for a weak value. It is not refused: keyroll must know a value to replace it.
pub fn next_step(weak: &WeakField, secret: &Secret) -> String {
    let name = &secret.name;
    if !weak.searched {
        return format!(
            "no rotation can move it, because keyroll cannot search for it: change it at the issuer and in its copies, \
             then: keyroll secret add {name} --replace"
        );
    }
    let described = described(secret).ok();
    match described.and_then(|described| described.spec).is_some_and(|spec| spec.by_hand().is_some()) {
        true => format!("to replace it with a random one that you make at the issuer: keyroll plan {name}"),
        false => format!("to replace it with a generated one: keyroll plan {name}"),
    }
}

/// The id of a value, if the issuer tells it. A value of the wrong form is not sent to the issuer.
pub fn whose(
    secret: &Secret,
    credential: &Credential,
    places: &Places,
) -> Result<Option<CredentialId>, Problem> {
    let spec = described(secret).ok().and_then(|described| described.spec);
    if spec.is_some_and(|spec| !spec.faults(&credential.fields).is_empty()) {
        return Ok(None);
    }
    let Ok(issuer) = issuer(secret) else { return Ok(None) };
    // An error here is ignored: the validation that follows reports it.
    Ok(runtime(places)?.block_on(issuer.identify(credential)).ok().and_then(|told| told.id))
}

/// White space at an end is nearly always a typing mistake or added by an editor.
fn blanks(fields: &Fields, looked: &mut Looked) {
    for (name, value) in fields.secrets() {
        let bytes = value.expose();
        let blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        let end = match (blank(bytes.first()), blank(bytes.last())) {
            (true, _) if bytes.iter().all(u8::is_ascii_whitespace) => "is white space alone",
            (true, _) => "begins with white space",
            (false, true) => "ends with white space",
            (false, false) => continue,
        };
        looked.against.push(format!("the field `{name}` {end}"));
    }
}

async fn ask(issuer: &dyn Issuer, credential: &Credential, looked: &mut Looked) {
    for endpoint in issuer.endpoints() {
        match issuer.probe(&endpoint, credential).await {
            Probe::Alive => looked.good.push(format!("accepted at {endpoint}")),
            Probe::Denied => looked.good.push(format!("accepted at {endpoint}, but not permitted there")),
            Probe::Dead => {
                looked.dead = true;
                looked.against.push(format!("the issuer refuses it at {endpoint}: it is dead"));
            }
            Probe::Unknown(why) => {
                looked.not_visible.push(format!("whether {endpoint} accepts it: {why}"));
            }
        }
    }
    // The issuer does not tell the id of a dead value.
    if !looked.against.is_empty() {
        return;
    }
    let Some(id) = &credential.id else { return };
    match issuer.identify(credential).await {
        Ok(told) => match told.id {
            Some(other) if other != *id => {
                looked.against.push(format!("the issuer says that it belongs to {other}, not to {id}"));
            }
            Some(_) => looked.good.push(format!("it belongs to {id}")),
            None => {}
        },
        Err(failure) => {
            let why = Problem::from(failure).causes.join(": ");
            looked.not_visible.push(format!("its account: {why}"));
        }
    }
}

fn copies(
    secret: &Secret,
    credential: &Credential,
    issuer: &dyn Issuer,
    places: &Places,
    folder: &Path,
    looked: &mut Looked,
) -> Result<(), Problem> {
    for cluster in secret.clusters() {
        let name = &secret.name;
        looked
            .not_visible
            .push(format!("the Secrets in {cluster}: keyroll why {name} --host {cluster} shows them"));
    }
    if secret.consumers.is_empty() {
        return Ok(());
    }
    for host in secret.ssh_hosts() {
        looked.not_visible.push(format!("the configured copies on {host}: keyroll plan reads them"));
    }
    let here = secret.here();
    let machine = match hosts(&Wanted::of(&here, issuer, places, folder)) {
        Ok(hosts) => hosts.machine,
        Err(problem) => {
            let why = problem.causes.join(": ");
            looked.not_visible.push(format!("the configured copies: {why}"));
            return Ok(());
        }
    };
    let values = Values { old: &credential.fields, new: None, old_ended: false };
    let mut same = 0_usize;
    let served = served_folder(places);
    for CopySeen { path, holds, unclear } in runtime(places)?.block_on(machine.copies(values)) {
        match holds {
            // The server makes it from the value that is kept.
            Holds::Unreadable if path.starts_with(&served) => {}
            Holds::Old => same += 1,
            Holds::Unreadable => looked.not_visible.push(format!("{}: it cannot be read", path.display())),
            Holds::New | Holds::Other => {
                looked.against.push(match unclear {
                    Some(why) => format!("it is not clear what {} holds: {why}", path.display()),
                    None => format!("{} holds another value", path.display()),
                });
            }
        }
    }
    if same > 0 {
        let copies = if same == 1 { "copy holds" } else { "copies hold" };
        looked.good.push(format!("{same} configured {copies} it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_at_an_end_speaks_against_a_value() {
        let said = |text: &str| {
            let mut fields = Fields::new();
            fields.insert("value", SecretBytes::from(text.to_owned()), true);
            let mut looked = Looked::default();
            blanks(&fields, &mut looked);
            looked.against.join("; ")
        };
        assert_eq!(said("a b"), "");
        assert_eq!(said("ab\n"), "the field `value` ends with white space");
        assert_eq!(said(" ab"), "the field `value` begins with white space");
        assert_eq!(said(" \t"), "the field `value` is white space alone");
    }
}
