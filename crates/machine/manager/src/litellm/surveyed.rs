use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use keyroll_agents::NEW_WORKERS;
use keyroll_observe::Process;

use super::{LITELLM, LiteLlm};
use crate::listening::is_listening;
use crate::{AgentDraft, AgentService, DraftValue, SurveyedAgent, SurveyedConsumer};

/// The fewest workers with which one can restart while another one answers.
const WORKERS_MIN: usize = 2;

/// How long a connection attempt on this machine may take until the address counts as unused.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// A LiteLLM proxy that a survey found.
#[derive(Debug)]
pub struct LiteLlmProxy {
    /// The configuration file that it was started with.
    pub config: PathBuf,
}

impl SurveyedAgent for LiteLlmProxy {
    fn key(&self) -> &'static str {
        LITELLM.key()
    }

    /// A proxy with several workers, each of which reads the key when it starts.
    fn draft(&self, service: &AgentService<'_>) -> Option<AgentDraft> {
        let check = self.check(service);
        let (at, workers) = address(service).filter(|_| !check.is_empty())?;
        let sources = &service.sources;
        let reads = sources.iter().all(|one| one.known && one.applied_by == Some(NEW_WORKERS));
        if workers < WORKERS_MIN || sources.is_empty() || !reads {
            return None;
        }
        let notes = vec![
            "keyroll replaces its workers one at a time, about 30 s each: with many workers set unit_deadline = \
             \"10m\" for the secret",
        ];
        let runs = vec![(LITELLM.key(), DraftValue::text(format!("http://{at}")))];
        Some(AgentDraft { runs, notes, check })
    }

    fn check(&self, service: &AgentService<'_>) -> Vec<String> {
        let normal: PathBuf = self.config.components().collect();
        let (Some((at, _)), Some(config)) = (address(service), (service.written)(&normal)) else {
            return Vec::new();
        };
        vec![
            format!(
                "check = {{ litellm = \"http://{at}\", config = \"{config}\", key = \"file:./proxy.key\" }}"
            ),
            "write the file proxy.key, mode 0600: the proxy's own key, or a virtual key that may use its \
             models; omit `key` if the proxy has no key"
                .to_owned(),
        ]
    }
}

/// The local address at which a proxy accepts requests, and how many workers of one master share it.
fn address(service: &AgentService<'_>) -> Option<(SocketAddr, usize)> {
    let sockets = service.sockets?;
    let own = service.processes.iter();
    let own: Vec<(&Process, BTreeSet<SocketAddr>)> =
        own.map(|one| (*one, sockets.listening_of(&one.id).into_iter().filter_map(near).collect())).collect();
    let mut all: BTreeMap<SocketAddr, usize> = BTreeMap::new();
    for (one, listens) in &own {
        for at in listens {
            // A master keeps open the socket that it gave to its workers.
            let shared = |(other, places): &(&Process, BTreeSet<SocketAddr>)| {
                other.id.pid == one.ppid && places.contains(at)
            };
            *all.entry(*at).or_default() += usize::from(own.iter().any(shared));
        }
    }
    all.into_iter().max_by_key(|(_, workers)| *workers)
}

/// The loopback address at which this machine reaches a listener; `None` if it does not listen on loopback.
fn near(at: SocketAddr) -> Option<SocketAddr> {
    if at.ip().is_unspecified() {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())));
    }
    at.ip().is_loopback().then_some(at)
}

impl LiteLlm {
    /// Whether a found consumer is this proxy, perhaps at another address.
    pub(super) fn is_same_agent(&self, found: &SurveyedConsumer<'_>) -> bool {
        let at = &self.address;
        let there =
            |own: &SocketAddr| own.port() == at.port() && (own.ip() == at.ip() || own.ip().is_unspecified());
        // If something still answers at the configured address, the found proxy is another one.
        let moved = || !is_listening(*at, ANSWER_TIME_MAX);
        let is_proxy = found.agent.is_some_and(|agent| agent.key() == LITELLM.key());
        found.listens.iter().any(there) || found.reads_same && is_proxy && moved()
    }
}
