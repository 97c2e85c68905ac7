//! The hosts that a secret's consumers run on, composed from its configuration: this machine alone, or this machine and
//! hosts by ssh as one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_fleet::{Bystander, Fleet, Member, Remote, failure_on};
use keyroll_host::{LOCAL, Local, SystemClock, read, resolve};
use keyroll_http::via;
use keyroll_link::FileNow;
use keyroll_port::{Class, Failure, Host as _, Numbers};
use keyroll_rotation::{self as rotation, HostId};
use keyroll_secret::FingerprintKey;
use keyroll_setup::{Composed, Composition, Folders, IssuerFacts, Layout, Placing, compose, layout};
use tokio::task::JoinSet;

use super::each_host::{in_cluster, opening};
use super::open::fingerprint_key;
use super::served::served_by;
use super::wanted::{Planned, Wanted};
use crate::hosts::{Ways, dial, dialer};
use crate::problem::Problem;
use crate::records::host_epoch::{self, Epoch};
use crate::records::saved_plan::{SeenFile, on_host};

pub(crate) use keyroll_fleet::Machine;

/// How long hosts are waited for before a rotation goes on.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// The hosts of a secret, and its files and consumers by number.
pub(crate) struct Hosts {
    /// All hosts, as one.
    pub(crate) machine: Arc<dyn Machine>,
    /// Each consumer as the protocol knows it.
    pub(crate) consumers: Vec<rotation::Consumer>,
    /// The host of each file.
    pub(crate) files: Vec<HostId>,
    /// The path of each file on its host.
    pub(crate) paths: Vec<PathBuf>,
    /// Each file as it is now, with [`Planned::Now`]; empty otherwise.
    pub(crate) seen: BTreeMap<PathBuf, SeenFile>,
    /// The hosts by their numbers, `local` first; empty if there is only this machine.
    pub(crate) names: Vec<String>,
    /// The hosts of which the issuer does not show which process made a call.
    pub(crate) unattributed: Vec<String>,
    /// The hosts by ssh.
    remotes: Vec<(String, Arc<Remote>)>,
    /// The secret's name.
    secret: String,
    /// Those of them without a consumer, which are only searched.
    searched: BTreeSet<String>,
    /// Those that are clusters.
    clusters: BTreeSet<String>,
    /// What opens connections that leave from a host by ssh, by its name.
    dialers: BTreeMap<String, Arc<dyn via::Dial>>,
    /// Those that the plan leaves out as long as they are away.
    left_out: BTreeSet<String>,
    /// What cannot be reached is not waited for.
    waits_for_none: bool,
}

impl Hosts {
    /// Opens connections that leave from a host by ssh.
    pub(crate) fn dialer_of(&self, name: &str) -> Option<Arc<dyn via::Dial>> {
        self.dialers.get(name).cloned()
    }

    /// Whether a host is a cluster: no call of the issuer's leaves from there.
    pub(crate) fn is_cluster(&self, host: HostId) -> bool {
        self.names.get(host.index()).is_some_and(|name| self.clusters.contains(name))
    }

    /// Adds the files of hosts by ssh as they are now. The hosts are connected at the same time.
    ///
    /// # Errors
    /// A host cannot be reached, or a file there cannot be read or replaced safely. All such hosts are named.
    pub(crate) async fn see_elsewhere(&mut self) -> Result<(), Problem> {
        let mut asked = self.asked(|_| true);
        // By name, whichever answers first.
        let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
        while let Some(ended) = asked.join_next().await {
            if let Ok((name, answer)) = ended {
                answers.insert(name, answer);
            }
        }
        for (name, _) in &self.remotes {
            answers.entry(name.clone()).or_insert_with(|| Err(stopped(name)));
        }
        if self.waits_for_none {
            answers.retain(|_, answer| !matches!(answer, Err(failure) if failure.class != Class::Permanent));
        }
        let is_awaited = |name: &String| {
            !(self.left_out.contains(name) || self.waits_for_none && self.searched.contains(name))
        };
        answers.retain(|name, answer| answer.is_ok() || is_awaited(name));
        for (name, files) in all_answered(answers, &self.searched, &self.secret)? {
            for file in files {
                let path = on_host(Some(&name), Path::new(&file.path));
                self.seen.insert(path, SeenFile { real: PathBuf::from(file.real), digest: file.digest });
            }
        }
        Ok(())
    }

    /// Connects these hosts at the same time, and asks each for its files.
    fn asked(&self, is_meant: impl Fn(&str) -> bool) -> JoinSet<(String, Answer)> {
        let mut asked = JoinSet::new();
        for (name, remote) in self.remotes.iter().filter(|(name, _)| is_meant(name)) {
            let (name, remote) = (name.clone(), Arc::clone(remote));
            asked.spawn(async move { (name, remote.files_now().await) });
        }
        asked
    }

    /// Connects the hosts, and refuses where one of them was changed by a driver that this state folder does not know: nothing
    /// could be changed there. One that does not answer soon refuses by itself when it does.
    ///
    /// # Errors
    /// K0964, with the name of the host.
    pub(crate) async fn refuse_overtaken(&self) -> Result<(), Problem> {
        let mut asked = self.asked(|name| !self.searched.contains(name));
        let until = tokio::time::Instant::now() + CONNECTED_WITHIN;
        while let Ok(Some(ended)) = tokio::time::timeout_at(until, asked.join_next()).await {
            if let Ok((name, Err(failure))) = ended
                && failure.code == Code::HostFenced.as_str()
            {
                return Err(Problem::from(failure_on(&name, failure)));
            }
        }
        asked.detach_all();
        Ok(())
    }
}

/// The answer of a host: its files as they are now.
type Answer = Result<Vec<FileNow>, Failure>;

/// The answers of all hosts; or the first failure by the names of the hosts, with a cause for each other one: a person wants
/// to hear at once of all that are away.
fn all_answered(
    answers: BTreeMap<String, Answer>,
    searched: &BTreeSet<String>,
    secret: &str,
) -> Result<Vec<(String, Vec<FileNow>)>, Problem> {
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Ok(files) => all.push((name, files)),
            Err(failure) => {
                let problem = Problem::from(failure_on(&name, failure));
                let problem = if searched.contains(&name) { without_search(problem) } else { problem };
                let problem = without_it(&name, secret, problem);
                failed.push((name, problem));
            }
        }
    }
    let mut failed = failed.into_iter();
    let Some((_, first)) = failed.next() else { return Ok(all) };
    Err(failed.fold(first, |first, (name, other)| {
        first.because(format!("also {name}: {} ({})", other.sentence(), other.code))
    }))
}

/// What can be done for a host that is gone.
fn without_it(name: &str, secret: &str, problem: Problem) -> Problem {
    if !matches!(problem.code, Code::HostUnreachable | Code::HostProgramUnusable) {
        return problem;
    }
    problem.or_instead(format!(
        "if {name} is gone, leave it out: keyroll plan {secret} --without {name} --reason WHY"
    ))
}

/// What can be done for a host that is only searched.
fn without_search(problem: Problem) -> Problem {
    let before = problem.help.as_ref().map(|help| format!("{help}; ")).unwrap_or_default();
    problem.mend(format!(
        "{before}no consumer of the secret is declared there: to plan without a look at it ever, name the other hosts in \
         `searched_hosts` of the secret in keyroll.toml (none: searched_hosts = [])"
    ))
}

/// The task that asked a host ended without an answer: it has a defect.
fn stopped(name: &str) -> Failure {
    Failure::new(Class::Retryable, Code::InternalError, format!("inspect {name}"))
        .because("the call was stopped")
}

/// The hosts of a secret.
///
/// # Errors
/// As [`composed`]; or, with [`Planned::Now`], a file here cannot be read or replaced safely.
pub(crate) fn hosts(of: &Wanted<'_>) -> Result<Hosts, Problem> {
    let all_here = of.secret.consumers.iter().all(|consumer| consumer.is_here);
    if of.names.is_empty() && of.searched.is_empty() && all_here {
        // Without the bystanders of other hosts.
        let secret = of.secret.here();
        return here(&Wanted { secret: &secret, ..*of });
    }
    let names = numbered(of);
    let facts = IssuerFacts::of(of.issuer);
    let placing = Placing { state: &of.places.state, own: of.own };
    let Layout { consumers, files, paths, numbers } =
        layout(of.secret, &facts, &names, placing, of.unattributed)?;
    let secret = of.secret.here();
    let local = here(&Wanted { secret: &secret, ..*of })?;
    let ways = Ways::of(of.places, of.config.map(|(config, _)| config))?;
    let epoch =
        if of.changes { host_epoch::next(of.places, of.secret.name.as_str())? } else { Epoch::default() };
    let key = fingerprint_key(of.places)?;
    let mut machines: Vec<Arc<dyn Machine>> = vec![local.machine];
    let mut dialers = BTreeMap::new();
    let (mut remotes, mut searched, mut clusters) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (name, numbers) in names.iter().zip(&numbers).skip(1) {
        if let Some(address) = of.config.and_then(|(config, _)| config.cluster(name)) {
            machines.push(Arc::new(in_cluster(of, name, address, &facts)?));
            clusters.insert(name.clone());
            continue;
        }
        let is_searched = numbers.consumers.is_empty();
        let open = opening(of, name, &epoch, (&facts, &key), is_searched)?;
        let remote = Remote::new(name.clone(), dial(&ways, name), open, Arc::new(SystemClock::new()));
        let own = numbers.files.iter().filter_map(|file| paths.get(file.index())).cloned().collect();
        let remote = Arc::new(remote.with_paths(own));
        remotes.push((name.clone(), Arc::clone(&remote)));
        if is_searched {
            searched.insert(name.clone());
            let bystander = Bystander::new(remote);
            machines.push(match of.left_out.iter().any(|one| one.host == *name) {
                true => Arc::new(bystander.that_must_be_searched()),
                false => Arc::new(bystander),
            });
        } else {
            machines.push(remote);
            dialers.insert(name.clone(), dialer(&ways, name));
        }
    }
    let fleet = Fleet::new(members(names.iter().zip(machines).zip(numbers), &dialers));
    let left_out = || of.left_out.iter().map(|one| one.host.clone());
    let ids = left_out().filter_map(|name| names.iter().position(|known| *known == name));
    let ids: Vec<HostId> = ids.filter_map(|at| u16::try_from(at).ok().map(HostId)).collect();
    fleet.may_be_away(&ids);
    let machine = Arc::new(if of.waits_for_none { fleet.that_waits_for_none() } else { fleet });
    Ok(Hosts {
        machine,
        consumers,
        files,
        paths,
        seen: local.seen,
        names,
        unattributed: of.unattributed.to_vec(),
        remotes,
        secret: of.secret.name.to_string(),
        searched,
        clusters,
        left_out: left_out().collect(),
        dialers,
        waits_for_none: of.waits_for_none,
    })
}

/// A host of a plan: its name, how it is driven, and its numbers.
type NumberedHost<'n> = ((&'n String, Arc<dyn Machine>), Numbers);

/// The hosts of a plan in the order of their numbers.
fn members<'n>(
    all: impl Iterator<Item = NumberedHost<'n>>,
    dialers: &BTreeMap<String, Arc<dyn via::Dial>>,
) -> Vec<Member> {
    let member = |(id, ((name, machine), numbers)): (u16, NumberedHost<'_>)| Member {
        id: HostId(id),
        name: name.clone(),
        machine,
        numbers,
        is_here: HostId(id) == LOCAL,
        dialer: dialers.get(name).cloned(),
    };
    (0_u16..).zip(all).map(member).collect()
}

/// This machine alone.
fn here(of: &Wanted<'_>) -> Result<Hosts, Problem> {
    let Composed { mut setup, consumers, files } = composed(of)?;
    let paths: Vec<PathBuf> = setup.files.iter().map(|file| file.path.clone()).collect();
    let key = fingerprint_key(of.places)?;
    let mut seen = BTreeMap::new();
    if matches!(of.planned, Planned::Now) {
        seen = files_seen(&paths, &key)?;
        for file in &mut setup.files {
            file.planned = seen.get(&file.path).map(|seen| seen.real.clone());
        }
    }
    let machine = Arc::new(Local::new(setup, key));
    Ok(Hosts {
        machine,
        consumers,
        files,
        paths,
        seen,
        names: Vec::new(),
        unattributed: Vec::new(),
        remotes: Vec::new(),
        secret: of.secret.name.to_string(),
        searched: BTreeSet::new(),
        clusters: BTreeSet::new(),
        left_out: BTreeSet::new(),
        dialers: BTreeMap::new(),
        waits_for_none: false,
    })
}

/// The hosts by their numbers: as the plan has them, then those that came later. Without a plan those that are only searched
/// come last.
fn numbered(of: &Wanted<'_>) -> Vec<String> {
    let mut names =
        if of.names.is_empty() { vec![keyroll_config::LOCAL.to_owned()] } else { of.names.to_vec() };
    let searched = if of.names.is_empty() { of.searched } else { &[] };
    let declared = of.secret.ssh_hosts().into_iter().chain(of.secret.clusters());
    let later = declared.chain(searched.iter().map(String::as_str));
    for name in later {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The setup of this machine, and the files and consumers as the protocol knows them.
///
/// # Errors
/// The configuration declares something that cannot be composed, or the sealing key is needed and cannot be read.
pub(crate) fn composed(of: &Wanted<'_>) -> Result<Composed, Problem> {
    let facts = IssuerFacts::of(of.issuer);
    let served = served_by(of.secret, of.places)?;
    Ok(compose(&composition(of, &facts, served.as_ref()))?)
}

fn composition<'a>(
    of: &Wanted<'a>,
    issuer: &'a IssuerFacts,
    served: Option<&'a Arc<FingerprintKey>>,
) -> Composition<'a> {
    Composition {
        secret: of.secret,
        issuer,
        folders: Folders { config: of.folder, state: &of.places.state, keys: Some(&of.places.keys) },
        host: LOCAL,
        rotation: of.rotation,
        search: of.search,
        planned: match of.planned {
            Planned::Known(planned) => Some(planned),
            Planned::Now | Planned::Unknown => None,
        },
        own: of.own,
        served,
    }
}
/// The resolved path of each file, and a keyed digest of its content.
pub(crate) fn files_seen(
    paths: &[PathBuf],
    key: &FingerprintKey,
) -> Result<BTreeMap<PathBuf, SeenFile>, Problem> {
    let mut seen = BTreeMap::new();
    for path in paths {
        let resolved = resolve(path)?;
        let content = read(&resolved)?;
        let digest = key.fingerprint(&content.bytes).to_string();
        seen.insert(path.clone(), SeenFile { real: resolved.real, digest });
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hosts_that_are_away_are_named_and_the_first_by_name_is_the_failure() {
        let away = |name: &str| {
            let failure = Failure::new(Class::Retryable, Code::HostUnreachable, format!("reach {name}"));
            Err(failure.because("no route").help(format!("ssh {name} true")))
        };
        let file = || FileNow { path: "/k".to_owned(), real: "/k".to_owned(), digest: "0f".to_owned() };
        let unread = Failure::new(Class::Permanent, Code::FileUnusable, "read /k");
        let answers: [(&str, Answer); 4] = [
            ("web-4", away("web-4")),
            ("web-1", Ok(vec![file()])),
            ("web-3", Err(unread)),
            ("web-2", away("web-2")),
        ];
        let answers = answers.map(|(name, answer)| (name.to_owned(), answer));
        let problem = all_answered(BTreeMap::from(answers), &BTreeSet::new(), "acme").unwrap_err();
        assert_eq!((problem.attempted.as_str(), problem.code), ("reach web-2", Code::HostUnreachable));
        let help = problem.help.clone().unwrap();
        assert!(
            help.starts_with(
                "ssh web-2 true; if web-2 is gone, leave it out: keyroll plan acme --without web-2"
            ),
            "{help}"
        );
        // The plan without the host is in place of the other one, and not before it.
        assert_eq!(
            problem.clone().then("keyroll plan acme").help.unwrap(),
            "ssh web-2 true; then: keyroll plan acme; if web-2 is gone, leave it out: keyroll plan acme --without web-2 \
             --reason WHY"
        );
        let causes = problem.causes.join("\n");
        assert!(causes.contains("also web-3: could not read /k on web-3"), "{causes}");
        assert!(causes.contains("also web-4: could not reach web-4: no route"), "{causes}");
        assert!(!causes.contains("web-1"), "{causes}");
        let ready = [("web-2".to_owned(), Ok(vec![file()])), ("web-1".to_owned(), Ok(Vec::new()))];
        let names: Vec<String> = all_answered(BTreeMap::from(ready), &BTreeSet::new(), "acme")
            .unwrap()
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(names, ["web-1", "web-2"]);
    }

    #[test]
    fn a_host_that_is_only_searched_can_be_left_out_whatever_is_wrong_with_it() {
        let searched = BTreeSet::from(["web-3".to_owned()]);
        for (code, help) in [(Code::HostUnreachable, Some("ssh web-3 true")), (Code::HostChanged, None)] {
            let failure = Failure::new(Class::Permanent, code, "reach web-3");
            let failure = Failure { help: help.map(str::to_owned), ..failure };
            let answers = BTreeMap::from([("web-3".to_owned(), Err(failure))]);
            let said = all_answered(answers, &searched, "acme").unwrap_err().help.unwrap();
            assert!(said.starts_with(help.unwrap_or("no consumer")), "{said}");
            assert!(
                said.contains("searched_hosts = []") && said.contains("--without") == help.is_some(),
                "{said}"
            );
        }
    }
}
