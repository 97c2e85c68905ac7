//! The LiteLLM proxy: a master, and workers that each read the keys when they start. The behaviour described here was
//! seen with release 1.106.2.

mod ask;
mod ask_model;
mod surveyed;
mod workers;
mod workload;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyroll_codes::Code;
use keyroll_http::Method;
use keyroll_observe::{ProcessId, environment_names};
use keyroll_port::{Class, Failure};
use rustix::process::Signal;

use crate::find::list;
use crate::settle::{Settling, settle};
use crate::signal::send;
use crate::{Applied, InstanceProcess};
pub use ask::ProxyEndpoint;
use ask::{ProxyResponse, Question};
pub use ask_model::{ModelAnswer, ask_model};
pub use surveyed::LiteLlmProxy;
pub use workers::Proxy;
pub(crate) use workload::LITELLM;
pub use workload::{LOOPBACK_FORM, loopback_address};

/// The time between two looks while a worker is replaced, milliseconds.
const STEP_MS: u64 = 500;

/// How many connections are opened for one health question: a worker that does not take requests yet is asked again.
const HEALTH_CONNECTIONS_MAX: usize = 40;

/// How long the answer to one health question may take, milliseconds.
const HEALTH_MS_MAX: u64 = 5_000;

/// A proxy whose workers are replaced one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteLlm {
    /// Where it answers; loopback.
    pub address: SocketAddr,
    /// The variables of the files that the value is written to. If the proxy was started with one of them in its
    /// environment, a new worker uses that one and ignores the file.
    pub variables: Vec<String>,
}

impl LiteLlm {
    fn worker_instances(&self) -> Result<Vec<InstanceProcess>, Failure> {
        let workers = self.look()?.map(|proxy| proxy.workers).unwrap_or_default();
        let instance = |process| InstanceProcess { process, instance: None, main: true };
        Ok(workers.into_iter().map(instance).collect())
    }

    fn replace_workers(&self, deadline: Instant) -> Result<Applied, Failure> {
        let Some(proxy) = self.look()? else {
            return Err(self
                .failed(Class::Retryable)
                .because("no visible process listens there")
                .help("start the proxy"));
        };
        self.refuse(&proxy)?;
        for worker in &proxy.workers {
            // The worker may have ended by itself in the meantime, as a worker does after its share of requests.
            let now = self.workers().map_err(|failure| Failure { class: Class::Unknown, ..failure })?;
            if !now.contains(worker) {
                continue;
            }
            self.until(deadline, "no other worker answers", |now| {
                now.workers.iter().any(|other| other != worker && self.answers(now, other))
            })?;
            send(worker, Signal::TERM).map_err(|error| self.failed(Class::Unknown).because(error))?;
            self.until(deadline, "a worker did not end, or no new one started", |now| {
                now.workers.len() >= proxy.workers.len()
                    && !now.workers.contains(worker)
                    && now.workers.difference(&proxy.workers).all(|new| self.answers(now, new))
            })?;
        }
        let what = format!("the workers of {}", self.address);
        let of = Settling {
            what: &what,
            see: "its log",
            before: &proxy.workers,
            at_least: proxy.workers.len(),
            fewer_after: None,
        };
        settle(&of, deadline, &mut || self.workers())?;
        Ok(Applied::without_output(format!(
            "{} workers of {} replaced one by one",
            proxy.workers.len(),
            self.address
        )))
    }

    /// Why the workers cannot be replaced: nobody would answer meanwhile, or the new workers would have the earlier
    /// value.
    ///
    /// # Errors `K0434`, `K0364`: nothing was done.
    fn refuse(&self, proxy: &Proxy) -> Result<(), Failure> {
        let Some(master) = proxy.master else {
            return Err(self
                .failed(Class::Permanent)
                .because("one process answers alone: no other would answer while it is replaced")
                .help("name what restarts it (`runs.unit`, `runs.compose`, `runs.restart`), or start it with `--num_workers 2`"));
        };
        if proxy.workers.len() < 2 {
            return Err(self
                .failed(Class::Retryable)
                .because(format!("one worker of process {} answers alone now", master.pid))
                .help(
                    "wait until its other workers have started (its log tells), then run the command again",
                ));
        }
        for process in [&master].into_iter().chain(&proxy.workers) {
            let names = environment_names(process).map_err(|why| {
                self.failed(Class::Retryable)
                    .because(format!("the environment of process {} is not visible: {why}", process.pid))
            })?;
            if let Some(name) = self.variables.iter().find(|name| names.contains(*name)) {
                let why = match *process == master {
                    true => format!("process {} was started with {name} in its environment", master.pid),
                    false => format!(
                        "worker {} got {name} from process {}, which has read a file of its own",
                        process.pid, master.pid
                    ),
                };
                return Err(Failure::new(
                    Class::Permanent,
                    Code::OtherSourceWins,
                    format!("make {name} in its file live at {}", self.address),
                )
                .because(format!("{why}: a new worker has that value, and the file is not read"))
                .help("name what restarts the whole proxy: `runs.unit`, `runs.compose`, `runs.restart`"));
            }
        }
        Ok(())
    }

    fn look(&self) -> Result<Option<Proxy>, Failure> {
        let listing = list()?;
        let proxy =
            Proxy::at(self.address, &listing).map_err(|why| self.failed(Class::Retryable).because(why))?;
        match (&proxy, listing.hidden.first()) {
            (None, Some(hidden)) => Err(Failure::new(
                Class::Retryable,
                Code::ProcessesHidden,
                format!("see who listens at {}", self.address),
            )
            .because(hidden.reason.clone())
            .help("run keyroll as root or as the consumer's user")),
            (None, None) | (Some(_), _) => Ok(proxy),
        }
    }

    fn workers(&self) -> Result<BTreeSet<ProcessId>, Failure> {
        Ok(self.look()?.map(|proxy| proxy.workers).unwrap_or_default())
    }

    /// Whether exactly this worker takes requests and reports that it is alive.
    fn answers(&self, proxy: &Proxy, worker: &ProcessId) -> bool {
        let door = ProxyEndpoint { address: self.address, key: None };
        let deadline = Instant::now() + Duration::from_millis(HEALTH_MS_MAX);
        let question = Question { method: Method::GET, path: "/health/liveliness", body: b"" };
        let asked = proxy.ask(&door, worker, &question, HEALTH_CONNECTIONS_MAX, deadline);
        matches!(asked, Ok(ProxyResponse { status: 200, .. }))
    }

    fn until(&self, deadline: Instant, why: &str, holds: impl Fn(&Proxy) -> bool) -> Result<(), Failure> {
        loop {
            let now = self.look().map_err(|failure| Failure { class: Class::Unknown, ..failure });
            if matches!(&now, Ok(Some(proxy)) if holds(proxy)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                // The listening processes may not be visible for a moment.
                let run = now?.map_or(0, |proxy| proxy.workers.len());
                return Err(self
                    .failed(Class::Unknown)
                    .because(format!("{why} in time: {run} run"))
                    .help("see its log"));
            }
            std::thread::sleep(Duration::from_millis(STEP_MS));
        }
    }

    fn failed(&self, class: Class) -> Failure {
        Failure::new(
            class,
            Code::WorkersNotReplaced,
            format!("replace the workers of the proxy at {}", self.address),
        )
    }
}
