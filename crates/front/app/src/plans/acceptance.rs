//! Whether the issuer accepts the current value: asked from this machine, and from the hosts of the consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::{once, repeat_n};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_host::LOCAL;
use keyroll_port::{Issuer, Probe};
use keyroll_rotation::{Consumer, HostId};
use keyroll_secret::Credential;
use keyroll_setup::is_loopback;
use tokio::task::JoinSet;

use crate::problem::Problem;
use crate::wiring::hosts::{Hosts, Machine};

/// Whether the issuer accepts the current value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// Every endpoint accepts it.
    Alive,
    /// Every endpoint accepts it, and one does not permit it the call.
    Denied,
    /// An endpoint refuses it.
    Dead,
}

/// The answer of one endpoint to one host.
struct Answer {
    /// `api.example.org:443 from web-2`.
    asked: String,
    /// The host's name.
    host: String,
    /// The answer.
    probe: Probe,
}

/// Asks every endpoint from this machine.
pub(crate) async fn standing(issuer: &dyn Issuer, credential: &Credential) -> Result<Acceptance, Problem> {
    let mut all = Acceptance::Alive;
    for endpoint in issuer.endpoints() {
        match issuer.probe(&endpoint, credential).await {
            Probe::Alive => {}
            Probe::Denied if all == Acceptance::Alive => all = Acceptance::Denied,
            Probe::Denied => {}
            Probe::Dead => all = Acceptance::Dead,
            Probe::Unknown(why) => {
                return Err(Problem::new(
                    Code::RequestFailed,
                    format!("see the current value accepted at {endpoint}"),
                )
                .because(why)
                .help("nothing was changed; run keyroll plan again when the issuer answers"));
            }
        }
    }
    Ok(all)
}

/// The hosts from which keyroll asks the issuer's endpoints, beside this machine: those with a consumer. None if an endpoint
/// is on this machine alone.
pub(crate) fn asking(endpoints: &[String], consumers: &[Consumer]) -> Vec<HostId> {
    if endpoints.iter().any(|endpoint| is_loopback(endpoint)) {
        return Vec::new();
    }
    let hosts: BTreeSet<HostId> = consumers.iter().map(|consumer| consumer.host).collect();
    hosts.into_iter().filter(|host| *host != LOCAL).collect()
}

/// The host of each (host, endpoint) pair of a plan: every endpoint from this machine, then every endpoint from each of
/// these hosts.
pub(crate) fn pairs(endpoints: usize, hosts: &[HostId]) -> Vec<HostId> {
    once(LOCAL).chain(hosts.iter().copied()).flat_map(|host| repeat_n(host, endpoints)).collect()
}

/// Asks every endpoint from these hosts, at the same time. `here` is what this machine was answered.
///
/// # Errors
/// A host gets no clear answer, or another one than this machine. All such hosts are named.
pub(crate) async fn confirm(
    here: Acceptance,
    hosts: &Hosts,
    asking: &[HostId],
    issuer: &Arc<dyn Issuer>,
    credential: &Credential,
) -> Result<Acceptance, Problem> {
    judge(here, answers(hosts, asking, issuer, credential).await)
}

/// The answers, by the numbers of the hosts.
async fn answers(
    hosts: &Hosts,
    asking: &[HostId],
    issuer: &Arc<dyn Issuer>,
    credential: &Credential,
) -> Vec<Answer> {
    let (mut asked, mut open) = (JoinSet::new(), BTreeMap::new());
    for (host, endpoint) in
        asking.iter().flat_map(|host| issuer.endpoints().into_iter().map(move |it| (*host, it)))
    {
        let (machine, issuer): (Arc<dyn Machine>, _) = (Arc::clone(&hosts.machine), Arc::clone(issuer));
        let credential = credential.duplicate();
        open.insert((host, endpoint.clone()), Probe::Unknown("the call was stopped".to_owned()));
        asked.spawn(async move {
            let probe = machine.call_from(host, issuer.probe(&endpoint, &credential)).await;
            ((host, endpoint), probe)
        });
    }
    while let Some(ended) = asked.join_next().await {
        if let Ok((pair, probe)) = ended {
            open.insert(pair, probe);
        }
    }
    let answers = open.into_iter().map(|((id, endpoint), probe)| {
        let host = hosts.names.get(id.index()).cloned().unwrap_or_else(|| format!("host {}", id.0));
        Answer { asked: format!("{endpoint} from {host}"), host, probe }
    });
    answers.collect()
}

/// What this machine and the hosts were answered together.
fn judge(here: Acceptance, answers: Vec<Answer>) -> Result<Acceptance, Problem> {
    let mut all = here;
    let mut against = Vec::new();
    for Answer { asked, host, probe } in answers {
        let why = match (here, probe) {
            (Acceptance::Alive | Acceptance::Denied, Probe::Alive) | (Acceptance::Dead, Probe::Dead) => {
                continue;
            }
            (Acceptance::Alive | Acceptance::Denied, Probe::Denied) => {
                all = Acceptance::Denied;
                continue;
            }
            (Acceptance::Alive | Acceptance::Denied, Probe::Dead) => {
                "it is refused there, and accepted from this machine".to_owned()
            }
            (Acceptance::Dead, Probe::Alive | Probe::Denied) => {
                "it is accepted there, and refused from this machine".to_owned()
            }
            (_, Probe::Unknown(why)) => why,
        };
        against.push((asked, host, why));
    }
    let mut against = against.into_iter();
    let Some((asked, host, why)) = against.next() else { return Ok(all) };
    let wanted = if here == Acceptance::Dead { "refused" } else { "accepted" };
    let first = Problem::new(Code::RequestFailed, format!("see the current value {wanted} at {asked}"))
        .because(why)
        .help(format!(
            "nothing was changed; see that {host} reaches the issuer, and that the issuer permits its address, then run keyroll \
             plan again"
        ));
    Err(against.fold(first, |first, (asked, _, why)| first.because(format!("also {asked}: {why}"))))
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Delivery, ReloadMode};

    use super::*;

    fn consumer(host: u16) -> Consumer {
        Consumer {
            host: HostId(host),
            delivery: Delivery::Push,
            uptake: ReloadMode::Verb,
            files: Vec::new(),
            slots: 1,
            paths: 1,
            own_word: false,
            wave: 0,
            attributable: false,
        }
    }

    fn answer(host: &str, probe: Probe) -> Answer {
        Answer { asked: format!("api.example.org:443 from {host}"), host: host.to_owned(), probe }
    }

    #[test]
    fn every_endpoint_is_asked_from_every_host_with_a_consumer_or_from_none() {
        let consumers = [consumer(2), consumer(0), consumer(1), consumer(2)];
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let hosts = asking(&names(&["api.example.org:443", "eu.example.org:443"]), &consumers);
        assert_eq!(hosts, [HostId(1), HostId(2)]);
        assert_eq!(pairs(2, &hosts), [0, 0, 1, 1, 2, 2].map(HostId));
        for alone in ["127.0.0.1:5432", "localhost:8080", "[::1]:6379", "/run/postgresql:5432"] {
            assert!(asking(&names(&["api.example.org:443", alone]), &consumers).is_empty(), "{alone}");
        }
        assert_eq!(pairs(1, &[]), [LOCAL]);
    }

    #[test]
    fn a_host_that_is_answered_otherwise_refuses_the_plan_by_name() {
        let unreached = || Probe::Unknown("connection refused".to_owned());
        let both =
            vec![answer("web-1", Probe::Alive), answer("web-2", unreached()), answer("web-3", Probe::Dead)];
        let refused = judge(Acceptance::Alive, both).unwrap_err();
        assert_eq!(refused.attempted, "see the current value accepted at api.example.org:443 from web-2");
        assert_eq!(
            refused.causes,
            [
                "connection refused",
                "also api.example.org:443 from web-3: it is refused there, and accepted from this machine"
            ]
        );
        assert!(judge(Acceptance::Dead, vec![answer("web-1", Probe::Alive)]).is_err());
        assert!(judge(Acceptance::Dead, vec![answer("web-1", unreached())]).is_err());
    }

    #[test]
    fn hosts_that_are_answered_alike_change_nothing_but_a_missing_permission_is_kept() {
        let of = |here, probe| judge(here, vec![answer("web-1", probe)]).ok();
        assert_eq!(of(Acceptance::Alive, Probe::Alive), Some(Acceptance::Alive));
        assert_eq!(of(Acceptance::Alive, Probe::Denied), Some(Acceptance::Denied));
        assert_eq!(of(Acceptance::Denied, Probe::Alive), Some(Acceptance::Denied));
        assert_eq!(of(Acceptance::Dead, Probe::Dead), Some(Acceptance::Dead));
    }
}
