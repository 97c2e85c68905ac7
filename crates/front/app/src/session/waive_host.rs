//! Waives a whole host: open rotations go on without it as long as it is away.

use keyroll_codes::Code;
use keyroll_port::{Journal as _, RotationId};
use keyroll_rotation::{Fact, HostId, Waived};

use super::append_offline::{may_follow, opened_own, tell_open_locked};
use super::lock_to_record::{Recording, lock_to_record};
use super::waive::recorded;
use crate::configured::{refuse_undeclared, secret};
use crate::installation::Installation;
use crate::operator::{HostLeft, Operator};
use crate::places::Places;
use crate::problem::Problem;
use crate::records::hosts_left;
use crate::records::next_words::goes_on_with;
use crate::records::plan_names::Called;
use crate::records::recorded::{Opened, unread};
use crate::records::waivers::{Waivers, host_waiver, reason_given};
use crate::wiring::open::{journal, runtime};

/// A host that the operator waives.
pub struct HostWaiveRequest<'a> {
    /// Its name in keyroll.toml.
    pub host: &'a str,
    /// The secret; none = all whose open rotation asks something of it.
    pub secret: Option<&'a str>,
    /// Why it may lose access: 1 to 1,024 bytes on one line.
    pub reason: &'a str,
}

/// A host that was waived.
pub struct HostWaived {
    /// For each open rotation, what it goes on without.
    pub left: Vec<HostLeft>,
    /// The driver that was ended for it, and the command that continues.
    pub driver: Option<String>,
}

/// Records the waiver of a host in the open rotations that have a consumer there, or that searched it and had no answer. A driver
/// of one of them is ended for it.
///
/// # Errors
/// The reason or the host is not valid, no open rotation has a consumer there, or the lock stays held.
pub fn waive_host(
    request: &HostWaiveRequest<'_>,
    installation: &Installation,
    operator: &mut dyn Operator,
) -> Result<HostWaived, Problem> {
    let config = installation.config()?;
    let places = installation.places()?;
    let reason = reason_given(request.reason)?;
    refuse_undeclared(request.host, &config)?;
    let secrets = match request.secret {
        Some(name) => vec![secret(&config, name)?.name.to_string()],
        None => config.secrets.keys().map(ToString::to_string).collect(),
    };
    places.ensure()?;
    // A damaged list is found before a rotation has recorded anything.
    Waivers::load(&places)?;
    let recording = lock_to_record(&places, operator, || judged(&secrets, request.host, &places))?;
    recording.or_driver(waived_in_all(&secrets, request.host, &reason, &recording))
}

/// The open rotations that would record it.
fn judged(secrets: &[String], host: &str, places: &Places) -> Result<Vec<RotationId>, Problem> {
    let mut all = Vec::new();
    for secret in secrets {
        let Some(opened) = opened_own(secret, places)? else { continue };
        let Some(id) = asked_of(&opened, host) else { continue };
        may_follow(&opened, vec![Fact::Waived(Waived::Host(id))])?;
        all.push(opened.id);
    }
    if all.is_empty() { Err(asks_nothing(host)) } else { Ok(all) }
}

/// Records it in the open rotation of each secret, under the lock.
fn waived_in_all(
    secrets: &[String],
    host: &str,
    reason: &str,
    recording: &Recording,
) -> Result<HostWaived, Problem> {
    let mut all = HostWaived { left: Vec::new(), driver: None };
    for secret in secrets {
        if let Some((left, opened)) = waived_in(secret, host, reason, &recording.places)? {
            all.left.push(left);
            all.driver = all.driver.or_else(|| recording.driver_ended(&opened));
        }
    }
    if all.left.is_empty() { Err(asks_nothing(host)) } else { Ok(all) }
}

/// The number of a host in an open rotation that asks something of it.
fn asked_of(opened: &Opened, host: &str) -> Option<HostId> {
    opened.saved.host_id(host).filter(|id| opened.state.depends_on(*id))
}

fn asks_nothing(host: &str) -> Problem {
    Problem::new(Code::NotPossibleNow, format!("waive the host {host}"))
        .because("no open rotation has a consumer on it, or missed it when it looked")
        .help(format!(
            "while no rotation is open, a plan leaves it out: keyroll plan NAME --without {host} --reason WHY"
        ))
}

/// Records it in the open rotation of one secret; none if none is open, or it asks nothing of the host.
fn waived_in(
    secret: &str,
    host: &str,
    reason: &str,
    places: &Places,
) -> Result<Option<(HostLeft, Opened)>, Problem> {
    let mut shown = None;
    let opened = tell_open_locked(places, secret, |opened| {
        let Some(id) = asked_of(opened, host) else { return Ok(Vec::new()) };
        recorded("hosts waive", secret, &format!("the host {host}"), places)?;
        shown = left(opened, id, reason, places)?.map(|left| (id, left));
        Ok(vec![Fact::Waived(Waived::Host(id))])
    })?;
    let Some((opened, (id, left))) = opened.zip(shown) else { return Ok(None) };
    let rotation = opened.id.0.clone();
    let waiver = host_waiver(secret, &rotation, (host, id), reason);
    Waivers::load(places)?.add(places, waiver).map_err(|problem| {
        problem.because(format!(
            "rotation {rotation} has recorded the waiver; only its reason and its name are not stored"
        ))
    })?;
    // The waiver may have released what the rotation was stuck at.
    let left = HostLeft { next: Some(goes_on_with(&opened)), ..left };
    Ok(Some((left, opened)))
}

/// The host with its consumers, as they are before it is waived.
fn left(opened: &Opened, host: HostId, reason: &str, places: &Places) -> Result<Option<HostLeft>, Problem> {
    let recorded = runtime(places)?.block_on(journal(places)?.load(&opened.id));
    let recorded = recorded.map_err(|error| unread(&error))?;
    Ok(hosts_left::before(&recorded, &Called::of(&recorded), &opened.state, host, reason))
}

#[cfg(test)]
mod tests {
    use keyroll_config::Config;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn only_the_name_of_one_other_host_is_taken_and_every_other_word_is_explained() {
        let text = "version = 1\n[hosts.here]\nconnect = \"local\"\n[hosts.web-1]\nconnect = \"ssh://web-1\"\n\
                    group = \"front\"\n[hosts.web-2]\nconnect = \"ssh://web-2\"\ngroup = \"back\"\n\
                    [hosts.prod]\nconnect = \"kube://eks/agents\"\n";
        let config = Config::parse(text, "/srv/keyroll.toml").unwrap();
        assert!(refuse_undeclared("web-1", &config).is_ok() && refuse_undeclared("prod", &config).is_ok());
        for (word, why) in [
            ("here", "this machine"),
            ("local", "this machine"),
            ("front", "a group or a pattern (web-1)"),
            ("web-*", "a group or a pattern (web-1, web-2)"),
            ("web-3", "no host of this name"),
        ] {
            let problem = refuse_undeclared(word, &config).unwrap_err();
            assert_eq!(problem.exit(), Exit::Usage, "{word}");
            assert!(problem.causes.join(" ").contains(why), "{word}: {:?}", problem.causes);
        }
    }
}
