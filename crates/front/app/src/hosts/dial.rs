//! Connections to hosts on which a rotation runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_config::{Config, LOCAL, Name};
use keyroll_fleet::{Dial, Dialled, FromHost};
use keyroll_http::via;
use keyroll_port::{Class, Failure};
use keyroll_ssh::{Sudo, Verb};
use tokio::sync::Semaphore;

use super::at_once::{AT_ONCE_MAX, Telling};
use super::chosen::Remote;
use super::reach::Way;
use super::unreached::not_root;
use crate::places::Places;
use crate::problem::Problem;

/// How the declared hosts are reached.
#[derive(Clone)]
pub(crate) struct Ways {
    way: Arc<Way>,
    hosts: Arc<BTreeMap<String, Remote>>,
    /// How many more hosts may be connected now: a bastion refuses too many logins at once.
    free: Arc<Semaphore>,
}

impl Ways {
    /// Those of a configuration.
    ///
    /// # Errors
    /// hosts.json cannot be read.
    pub(crate) fn of(places: &Places, config: Option<&Config>) -> Result<Self, Problem> {
        let declared = config.map(|config| config.hosts.keys().map(Name::to_string).collect());
        let all = config.into_iter().flat_map(|config| config.hosts.values()).filter_map(Remote::of);
        let hosts = all.map(|remote| (remote.name.clone(), remote)).collect();
        let free = Arc::new(Semaphore::new(AT_ONCE_MAX));
        Ok(Self { way: Arc::new(Way::at(places, declared)?), hosts: Arc::new(hosts), free })
    }
}

/// How one host is reached for a rotation.
pub(crate) fn dial(ways: &Ways, name: &str) -> Arc<dyn Dial> {
    Arc::new(Dialling { ways: ways.clone(), name: name.to_owned(), verb: Verb::Serve })
}

/// Opens connections that leave from a host.
pub(crate) fn dialer(ways: &Ways, name: &str) -> Arc<dyn via::Dial> {
    let start = Dialling { ways: ways.clone(), name: name.to_owned(), verb: Verb::Reach };
    FromHost::dialer(Arc::new(start))
}

struct Dialling {
    ways: Ways,
    name: String,
    /// What keyroll-host does there.
    verb: Verb,
}

#[async_trait]
impl Dial for Dialling {
    /// Only a machine that was accepted is given values, and carries what is said to an issuer. Where root is asked for, nobody
    /// else is.
    async fn dial(&self) -> Result<Dialled, Failure> {
        let Ways { way, hosts, free } = &self.ways;
        let remote = hosts.get(&self.name).ok_or_else(|| {
            let attempted = format!("reach {}", self.name);
            Failure::new(Class::Retryable, Code::HostUnreachable, attempted)
                .because("keyroll.toml does not declare it any more")
                .help(format!("declare [hosts.{}] again until the rotation has ended", self.name))
        })?;
        // Nobody closes it.
        let _turn = free.acquire().await;
        let reached = way.start(remote, self.verb, &Telling::nobody(&self.name)).await.map_err(failure)?;
        let new = way.refuse_other(&self.name, &reached.hello).map_err(failure)?;
        if new {
            let (name, attempted) = (&self.name, format!("trust {}", self.name));
            return Err(Failure::new(Class::Retryable, Code::HostChanged, attempted)
                .because("no machine was accepted under this name yet, and values go only to accepted ones")
                .help(format!("keyroll hosts check {name}, then keyroll hosts accept {name}")));
        }
        if way.machine_here().is_some() && way.machine_here() == reached.hello.machine {
            return Err(Failure::new(Class::Retryable, Code::HostChanged, format!("trust {}", self.name))
                .because("it is the machine that keyroll runs on")
                .help(format!("write host = \"{LOCAL}\" for its consumers")));
        }
        // As the user of the login it would not see what others run, and would not meet the fence that root keeps.
        if reached.started.sudo == Sudo::Refused {
            return Err(failure(not_root(remote)));
        }
        let (link, hello, keeps) = reached.into_parts();
        Ok(Dialled { link, hello, keeps: Box::new(keeps) })
    }
}

/// Nothing was done on the host.
fn failure(problem: Problem) -> Failure {
    let Problem { code, attempted, causes, help, .. } = problem;
    let failure = Failure::new(Class::Retryable, code, attempted);
    let failure = match causes.is_empty() {
        true => failure,
        false => failure.because(causes.join(": ")),
    };
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
