//! Waives a whole host: open rotations go on without it as long as it is away.

use keyroll_codes::Code;
use keyroll_port::Journal as _;
use keyroll_rotation::{Fact, HostId, Waived};

use super::append_offline::{lock_to_tell, tell_open_locked};
use super::waive::recorded;
use crate::configured::{refuse_undeclared, secret};
use crate::installation::Installation;
use crate::operator::HostLeft;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::hosts_left;
use crate::records::missing_proof::again;
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

/// Records the waiver of a host in the open rotations that have a consumer there, or that searched it and had no answer.
///
/// # Errors
/// The reason or the host is not valid, no open rotation has a consumer there, or a driver runs.
pub fn waive_host(
    request: &HostWaiveRequest<'_>,
    installation: &Installation,
) -> Result<Vec<HostLeft>, Problem> {
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
    let (_lock, places) = lock_to_tell(&places, "keyroll pause, then waive again")?;
    let mut all = Vec::new();
    for secret in &secrets {
        all.extend(waived_in(secret, request.host, &reason, &places)?);
    }
    if all.is_empty() {
        let why = "no open rotation has a consumer on it, or missed it when it looked";
        return Err(waiving(request.host).because(why).help(format!(
            "while no rotation is open, a plan leaves it out: keyroll plan NAME --without {} --reason WHY",
            request.host
        )));
    }
    Ok(all)
}

/// Records it in the open rotation of one secret; none if none is open, or it asks nothing of the host.
fn waived_in(secret: &str, host: &str, reason: &str, places: &Places) -> Result<Option<HostLeft>, Problem> {
    let mut shown = None;
    let opened = tell_open_locked(places, secret, |opened| {
        let Some(id) = opened.saved.host_id(host).filter(|id| opened.state.depends_on(*id)) else {
            return Ok(Vec::new());
        };
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
    Ok(Some(HostLeft { next: Some(format!("{} {rotation}", again(&opened.state))), ..left }))
}

/// The host with its consumers, as they are before it is waived.
fn left(opened: &Opened, host: HostId, reason: &str, places: &Places) -> Result<Option<HostLeft>, Problem> {
    let recorded = runtime(places)?.block_on(journal(places)?.load(&opened.id));
    let recorded = recorded.map_err(|error| unread(&error))?;
    Ok(hosts_left::before(&recorded, &Called::of(&recorded), &opened.state, host, reason))
}

fn waiving(host: &str) -> Problem {
    Problem::new(Code::NotPossibleNow, format!("waive the host {host}"))
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
