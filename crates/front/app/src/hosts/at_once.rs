use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_link::Note;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::chosen::Remote;
use crate::operator::{Event, Operator, plain};
use crate::problem::Problem;
use crate::wiring::open;

/// How many hosts are connected at the same time.
pub(super) const AT_ONCE_MAX: usize = 8;

/// The result of each host, in the order of the hosts.
pub(crate) type OfEach<T> = Vec<(String, Result<T, Problem>)>;

/// What a host's task says while it works.
enum Told {
    Progress(String),
    Waiting { what: String, seconds_max: u64 },
}

/// Says for one host what is done there.
#[derive(Clone)]
pub(super) struct Telling {
    host: String,
    to: UnboundedSender<Told>,
}

impl Telling {
    /// What is done now; the next call of any host replaces it.
    pub(super) fn progress(&self, text: &str) {
        self.tell(Told::Progress(format!("{}: {}", self.host, plain(text))));
    }

    /// What keyroll-host says while it works.
    pub(super) fn note(&self, note: Note) {
        match note {
            Note::Progress(text) => self.progress(&text),
            Note::Waiting { what, seconds_max } => {
                self.tell(Told::Waiting { what: format!("{} on {}", plain(&what), self.host), seconds_max });
            }
            Note::Alive => {}
        }
    }

    /// Nobody listens any more if the command is about to end.
    fn tell(&self, told: Told) {
        drop(self.to.send(told));
    }
}

impl Telling {
    /// Nobody listens.
    pub(super) fn nobody(host: &str) -> Self {
        Self { host: host.to_owned(), to: unbounded_channel().0 }
    }
}

/// Does the same for each host, for a few at the same time. A host that fails does not end the others.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn at_once<T, F>(
    remotes: Vec<Remote>,
    operator: &mut dyn Operator,
    work: impl Fn(Remote, Telling) -> F,
) -> Result<OfEach<T>, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    if remotes.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = remotes.iter().map(|remote| remote.name.clone()).collect();
    // A runtime of its own: its tasks end with it, and with them the connections that are still open.
    let runtime = open::new_runtime()?;
    let mut done = runtime.block_on(all(remotes, operator, work));
    operator.settle();
    let result = |name: String| {
        let ended = done.remove(&name).unwrap_or_else(|| Err(lost(&name)));
        (name, ended)
    };
    Ok(names.into_iter().map(result).collect())
}

async fn all<T, F>(
    remotes: Vec<Remote>,
    operator: &mut dyn Operator,
    work: impl Fn(Remote, Telling) -> F,
) -> BTreeMap<String, Result<T, Problem>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let (to, mut told) = unbounded_channel();
    let mut running = JoinSet::new();
    let mut done = BTreeMap::new();
    let mut ahead = remotes.into_iter();
    loop {
        while running.len() < AT_ONCE_MAX
            && let Some(remote) = ahead.next()
        {
            let host = remote.name.clone();
            let doing = work(remote, Telling { host: host.clone(), to: to.clone() });
            running.spawn(async move { (host, doing.await) });
        }
        tokio::select! {
            // `to` is kept here: this ends only with the loop.
            Some(one) = told.recv() => show(one, operator),
            ended = running.join_next() => match ended {
                Some(Ok((host, result))) => drop(done.insert(host, result)),
                // The bug in its task is told as the problem of the host that has no result.
                Some(Err(_)) => {}
                None => return done,
            },
        }
    }
}

fn show(told: Told, operator: &mut dyn Operator) {
    match told {
        Told::Progress(text) => operator.progress(&text),
        Told::Waiting { what, seconds_max } => {
            operator.event(Event::waiting(what, Some(seconds_max)));
        }
    }
}

fn lost(name: &str) -> Problem {
    Problem::new(Code::InternalError, format!("look at {name}"))
        .because("the part of keyroll that asked it failed")
        .help("report this with the message above, and run the command again")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use keyroll_config::SshAddress;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::hosts::nobody::Nobody;

    fn remotes(count: usize) -> Vec<Remote> {
        let address = SshAddress::parse("ssh://web").unwrap();
        (0..count).map(|at| Remote { name: format!("web-{at:02}"), address: address.clone() }).collect()
    }

    #[test]
    fn a_host_that_fails_does_not_end_the_others_and_the_order_stays() {
        let work = |remote: Remote, telling: Telling| async move {
            telling.progress("looking");
            match remote.name.as_str() {
                "web-01" => Err(Problem::new(Code::HostUnreachable, "reach web-01")),
                "web-02" => panic!("a planted bug"),
                name => Ok(name.len()),
            }
        };
        let mut operator = Nobody::default();
        let all = at_once(remotes(12), &mut operator, work).unwrap();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_sorted() && names.len() == 12, "{names:?}");
        let failed: Vec<String> = all
            .iter()
            .filter_map(|(name, result)| Some(format!("{name} {}", result.as_ref().err()?.code)))
            .collect();
        assert_eq!(failed, ["web-01 K0960", "web-02 K0801"]);
    }

    /// Each task waits until as many run as may run at once: with fewer, this would not end.
    #[test]
    fn several_hosts_are_asked_at_the_same_time_and_not_more() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let full = Arc::new(Semaphore::new(0));
        let work = |_: Remote, _: Telling| {
            let (running, most, full) = (running.clone(), most.clone(), full.clone());
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                if now == AT_ONCE_MAX {
                    full.add_permits(100);
                }
                drop(full.acquire().await);
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        };
        let all = at_once(remotes(3 * AT_ONCE_MAX), &mut Nobody::default(), work).unwrap();
        assert_eq!((all.len(), most.load(Ordering::SeqCst)), (3 * AT_ONCE_MAX, AT_ONCE_MAX));
    }
}
