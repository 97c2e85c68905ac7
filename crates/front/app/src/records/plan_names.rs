//! The names of a rotation's consumers, paths and files, by the plan in its journal.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use keyroll_config::{Bystander, Secret};
use keyroll_fleet::place_digest_of;
use keyroll_host::{LOCAL, place_digest};
use keyroll_port::{Described, Named, Recorded, digest_of_failure, digest_of_outside};
use keyroll_rotation::{
    BystanderId, ConsumerId, FileId, HostId, Incarnation, InstanceIdentity, Phase, digest_of_life,
};
use keyroll_served::version_file;
use keyroll_setup::bystander_id;

use super::blocking_pods::key_freed;
use super::files_here::{Fault, FilesHere};
use super::log_keeper::keeps_logs;
use super::missing_proof::has_ended;
use super::saved_plan::{Apart, Family, LeftOut, Saved, on_host};
use super::seen_from::was_begun_elsewhere;
use super::store_process::accepts_at;
use crate::configured::{place_of, without_host};
use crate::wiring::served::served_name;
use crate::wiring::vault::vault_here;

/// The names behind a rotation's numbers; a number without one is shown as such.
#[derive(Debug, Default)]
pub struct Called {
    id: String,
    secret: String,
    /// The configuration has other secrets too.
    has_others: bool,
    consumers: Vec<String>,
    /// The names of the instances of each consumer, if it has several.
    instances: Vec<Vec<String>>,
    /// The host of each consumer, if that is not this machine.
    elsewhere: Vec<Option<String>>,
    files: Vec<String>,
    /// What lets a key of a Secret have its own value again, by the number of its file.
    keys: BTreeMap<usize, String>,
    /// The copies and pid files of this machine.
    pub(super) here: FilesHere,
    /// The consumers in clusters.
    in_clusters: Vec<bool>,
    paths: Vec<Vec<String>>,
    /// The consumers that ask keyroll's socket for the value.
    served: Vec<bool>,
    apart: Vec<Apart>,
    /// The hosts, by their numbers; none if there is only this machine.
    hosts: Vec<String>,
    gate: bool,
    attributes: bool,
    /// The hosts for which that is not so.
    unattributed: Vec<String>,
    /// The hosts that the plan left out.
    left_out: Vec<LeftOut>,
    /// The undeclared copies that the plan saw, by digest. Only an emergency goes on with any.
    undeclared: BTreeMap<u64, String>,
    /// What inspections found, by digest: names of copies, and descriptions of processes.
    remembered: BTreeMap<u64, String>,
    /// The declared bystanders: the name and the reason of each.
    pub(super) bystanders: BTreeMap<BystanderId, (String, String)>,
    /// Where the store of the secret accepts connections, if that is on this machine.
    store_at: Option<SocketAddr>,
    /// The rotation was begun in a PID namespace whose processes are not visible from here.
    unseen: bool,
}

impl Called {
    /// The names of a recorded rotation, including adopted consumers.
    pub fn of(recorded: &Recorded) -> Self {
        let secret = recorded.opening.secret.clone();
        let mut called = Self { id: recorded.id.to_string(), secret, ..Self::default() };
        called.attributes = recorded.opening.plan.capabilities.attributes;
        let Ok(saved) = Saved::of(recorded) else { return called };
        called.hosts.clone_from(&saved.hosts);
        called.unattributed.clone_from(&saved.seen.unattributed);
        called.left_out.clone_from(&saved.left_out);
        called.unseen = was_begun_elsewhere(&saved);
        for path in &saved.seen.unexplained {
            let there = path.split_once(':').filter(|(host, _)| saved.host_id(host).is_some());
            let digest = match there {
                Some((host, path)) => place_digest_of(host, place_digest(Path::new(path))),
                None => {
                    let at = Path::new(path);
                    place_digest(&at.canonicalize().unwrap_or_else(|_| at.to_owned()))
                }
            };
            called.undeclared.insert(digest, path.clone());
        }
        let Ok(config) = saved.config() else { return called };
        called.has_others = config.secrets.len() > 1;
        let Ok(secret) = config.secret(&saved.secret) else { return called };
        called.gate = secret.gate.is_some();
        called.store_at = vault_here(secret);
        let named = |it: &Bystander| (bystander_id(it), (it.name.to_string(), it.reason.clone()));
        called.bystanders = secret.bystanders.iter().map(named).collect();
        let mut known = Vec::new();
        let own = match &saved.family {
            Some(Family::End { own, .. }) => own.clone(),
            Some(Family::Member { .. } | Family::Leaked { .. }) | None => BTreeMap::new(),
        };
        if let Some(Family::Leaked { apart }) = &saved.family {
            called.apart.clone_from(apart);
        }
        for consumer in &secret.consumers {
            called.consumers.push(consumer.name.to_string());
            let all = consumer.runs.instances();
            let several = all.iter().filter(|_| all.len() > 1);
            called.instances.push(several.map(|instance| instance.name.to_string()).collect());
            called.elsewhere.push((!consumer.is_here).then(|| consumer.host.to_string()));
            called.paths.push(consumer.paths.iter().map(|path| path.name.to_string()).collect());
            called.served.push(consumer.serves.is_some());
            called.in_clusters.push(consumer.in_cluster.is_some());
            if consumer.serves.is_some() {
                // As the machine's setup numbers them: a file of its own for each.
                known.push((
                    version_file(secret.name.as_str(), consumer.name.as_str()).display().to_string(),
                    None,
                ));
                called.files.push(served_name(consumer));
            }
            for copy in &consumer.reads {
                let host = (!consumer.is_here).then(|| consumer.host.as_str());
                let path = on_host(host, copy.place.path()).display().to_string();
                let file = (path.clone(), own.get(consumer.name.as_str()));
                if !known.contains(&file) {
                    known.push(file);
                    if let Some(pods) = &consumer.in_cluster {
                        let address = config.cluster(consumer.host.as_str());
                        called.keys.insert(called.files.len(), key_freed(pods, address));
                        called.files.push(place_of(consumer, copy));
                    } else {
                        called.files.push(path);
                    }
                }
            }
        }
        called.with_files_here(&saved, secret)
    }

    /// The same with the files of this machine.
    fn with_files_here(mut self, saved: &Saved, secret: &Secret) -> Self {
        let here = (0..).map(ConsumerId).zip(&secret.consumers).filter(|(_, consumer)| consumer.is_here);
        for (id, consumer) in here {
            self.here.add_consumer(id, consumer);
            for path in consumer.reads.iter().map(|copy| copy.place.path()) {
                let planned = saved.seen.files.get(path).map(|seen| seen.real.as_path());
                let is_it = |(_, name): &(usize, &String)| Path::new(name) == path;
                for (at, _) in self.files.iter().enumerate().filter(is_it) {
                    self.here.add_copy(at, path, planned);
                }
            }
        }
        self
    }

    /// The rotation and its secret alone: nothing else has a name.
    pub(crate) fn of_rotation(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned(), ..Self::default() }
    }

    /// Adds what an inspection found.
    pub fn learn(&mut self, names: impl IntoIterator<Item = Named>) {
        self.remembered.extend(names.into_iter().map(|named| (named.digest, named.name)));
    }

    /// Why an operation of this phase failed last, if a driver of this rotation said so.
    pub fn failure(&self, phase: Phase) -> Option<&str> {
        self.remembered.get(&digest_of_failure(&self.id, phase)).map(String::as_str)
    }

    /// What was outside of what a driver of this emergency saw.
    pub(crate) fn outside(&self) -> Vec<String> {
        self.remembered.get(&digest_of_outside(&self.id)).cloned().into_iter().collect()
    }

    /// The name of an undeclared copy, if the plan or an inspection saw it.
    pub fn undeclared(&self, digest: u64) -> Option<&str> {
        let remembered = || self.remembered.get(&digest).filter(|name| Described::read(name).is_none());
        self.undeclared.get(&digest).or_else(remembered).map(String::as_str)
    }

    /// The same as commands take it; `None` also for a copy that has no path of its own, such as a row of a database.
    pub fn undeclared_path(&self, digest: u64) -> Option<&str> {
        let name = self.undeclared(digest)?;
        (self.undeclared.contains_key(&digest) || self.digest_of_place(name) == digest).then_some(name)
    }

    /// The digest of a place by its name: `/srv/old.env`, or `web-2:/srv/old.env`.
    fn digest_of_place(&self, name: &str) -> u64 {
        match name.split_once(':').filter(|(host, _)| self.has_host(host)) {
            Some((host, path)) => place_digest_of(host, place_digest(Path::new(path))),
            None => place_digest(Path::new(name)),
        }
    }

    /// The program of a process on another host, or the name of a container, and how it was found, if an inspection
    /// described it.
    pub fn described(&self, who: Incarnation) -> Option<Described> {
        let host = self.host(who.host)?;
        let described = Described::read(self.remembered.get(&digest_of_life(who))?)?;
        let name = without_host(&described.name, &host).to_owned();
        Some(Described { name, ..described })
    }

    /// A process on another host by its number and, if an inspection described it, its program: `4711 (mailer) on web-2`.
    pub fn process_elsewhere(&self, who: Incarnation) -> Option<String> {
        let (host, pid) = (self.host(who.host)?, who.pid()?);
        let program = self.described(who).map(|it| format!(" ({})", it.name)).unwrap_or_default();
        Some(format!("{pid}{program} on {host}"))
    }

    /// A container as it stands in a sentence: `pod/agent-6d5f-x2x1z/app on prod`. Without a description it is a pod of its
    /// consumer, `of`. `None` for what is no container.
    pub fn container(&self, who: Incarnation, of: Option<&str>) -> Option<String> {
        if !who.life.is_container() {
            return None;
        }
        let name = self.described(who).map(|it| it.name);
        let name = name.or_else(|| of.map(|of| format!("a pod of {of}")));
        let name = name.unwrap_or_else(|| "a pod".to_owned());
        Some(match self.host(who.host) {
            Some(host) => format!("{name} on {host}"),
            None => name,
        })
    }

    /// A container by the name of its pod, beside its consumer and its cluster: `pod agent-6d5f-x2x1z`.
    pub fn pod(&self, who: Incarnation) -> String {
        let name = self.described(who).map(|it| it.name).unwrap_or_default();
        let pod = name.strip_prefix("pod/").and_then(|rest| rest.split('/').next());
        pod.map_or_else(|| "a pod".to_owned(), |pod| format!("pod {pod}"))
    }

    /// What runs on another host as it stands in a sentence: `process 4711 (mailer) on web-2`, or as [`Self::container`].
    /// `None` for one of this machine, or at rest.
    pub fn running_elsewhere(&self, who: Incarnation) -> Option<String> {
        let process = || self.process_elsewhere(who).map(|it| format!("process {it}"));
        self.container(who, None).or_else(process)
    }

    /// Where a process accepts connections for the store of the secret: it is the store, or an agent before it. `None` =
    /// it does not.
    pub fn store_of(&self, pid: u32) -> Option<SocketAddr> {
        self.store_at.filter(|place| accepts_at(pid, *place))
    }

    /// Whether a process of this machine is never moved: it is the store of the secret, or keeps logs.
    pub(super) fn stays(&self, pid: u32) -> bool {
        !self.unseen && (self.store_of(pid).is_some() || keeps_logs(pid))
    }

    /// Whether a process is one of another PID namespace that does not show from here: here, another one may have its number.
    pub(super) fn is_unseen(&self, who: Incarnation) -> bool {
        self.unseen && who.host == LOCAL
    }

    /// The number of a process that is unseen from here, as a number of there.
    pub(super) fn unseen_pid(&self, who: Incarnation) -> Option<String> {
        let pid = who.pid().filter(|_| self.is_unseen(who))?;
        Some(format!("{pid} of another PID namespace"))
    }

    /// Whether a process of an inspection has certainly ended.
    pub(super) fn has_ended(&self, who: Incarnation) -> bool {
        !self.is_unseen(who) && has_ended(who)
    }

    /// The names of a rotation that was begun in another PID namespace.
    #[cfg(test)]
    pub(super) fn begun_elsewhere(id: &str, secret: &str) -> Self {
        Self { unseen: true, ..Self::of_rotation(id, secret) }
    }

    /// The names of a rotation over these hosts.
    #[cfg(test)]
    pub(super) fn of_hosts(hosts: &[&str]) -> Self {
        Self { hosts: hosts.iter().map(|&host| host.to_owned()).collect(), ..Self::default() }
    }

    /// The names on the page of waits: two consumers, three other hosts, and a copy that no consumer reads.
    #[cfg(test)]
    pub(super) fn of_waits(copy: u64) -> Self {
        let names = |all: &[&str]| -> Vec<String> { all.iter().map(|&name| name.to_owned()).collect() };
        Self {
            id: "ID".to_owned(),
            secret: "SECRET".to_owned(),
            consumers: names(&["api", "worker"]),
            files: names(&["/srv/api.env", "/srv/worker.env"]),
            hosts: names(&["local", "web-1", "web-2", "prod"]),
            undeclared: BTreeMap::from([(copy, "/srv/old.env".to_owned())]),
            ..Self::default()
        }
    }

    /// The names of a rotation whose store accepts connections there.
    #[cfg(test)]
    pub(super) fn of_store_at(id: &str, place: SocketAddr) -> Self {
        Self { id: id.to_owned(), store_at: Some(place), ..Self::default() }
    }

    /// True if the issuer shows which process made a call.
    pub fn attributes(&self) -> bool {
        self.attributes
    }

    /// The same for a process of another host, `web-2:4711`.
    pub fn attributes_there(&self, process: &str) -> bool {
        let host = process.split_once(':').map_or(process, |(host, _)| host);
        self.attributes && !self.unattributed.iter().any(|name| name == host)
    }

    /// The name of a host, if it is not this machine.
    pub fn host(&self, id: HostId) -> Option<String> {
        (id != LOCAL).then(|| self.hosts.get(id.index()).cloned().unwrap_or_else(|| format!("host {}", id.0)))
    }

    /// The other machine of the rotation whose name ends a text: `write /srv/a.env on web-2`.
    pub fn host_named_last(&self, text: &str) -> Option<(HostId, &str)> {
        let word = text.rsplit(' ').next()?;
        let at = self.hosts.iter().skip(1).position(|host| host == word)?;
        let id = u16::try_from(at.checked_add(1)?).ok()?;
        self.hosts.get(usize::from(id)).map(|name| (HostId(id), name.as_str()))
    }

    /// Whether another machine of the rotation has this name.
    pub fn has_host(&self, name: &str) -> bool {
        self.hosts.iter().skip(1).any(|host| host == name)
    }

    /// The name of the host that a consumer runs on.
    pub fn host_of(&self, consumer: usize) -> &str {
        self.elsewhere.get(consumer).and_then(Option::as_deref).unwrap_or(keyroll_config::LOCAL)
    }

    /// A process or container of another host as commands name it: `web-2:4711`, `prod:pod/agent-6d5f-x2x1z/app`. `None` for
    /// one of this machine, at rest, or a container that no inspection described.
    pub fn elsewhere(&self, who: Incarnation) -> Option<String> {
        let it = match who.life {
            InstanceIdentity::Process { pid, .. } => pid.to_string(),
            InstanceIdentity::Container { .. } => self.described(who)?.name,
            InstanceIdentity::AtRest(_) => return None,
        };
        Some(format!("{}:{it}", self.host(who.host)?))
    }

    /// The rotation and its secret.
    pub fn rotation(&self) -> (&str, &str) {
        (&self.id, &self.secret)
    }

    /// Whether a command about what it moves has to name its secret.
    pub(super) fn has_others(&self) -> bool {
        self.has_others
    }

    /// The consumers that another open rotation moves; none if there are none.
    pub fn apart(&self) -> Option<String> {
        let one = |it: &Apart| format!("`{}` (keyroll status {})", it.consumer, it.rotation);
        let all: Vec<String> = self.apart.iter().map(one).collect();
        (!all.is_empty())
            .then(|| format!("if it is one of these, its own rotation was to move it: {}", all.join(", ")))
    }

    /// A host that the plan left out, by its name.
    pub(crate) fn left_out(&self, host: &str) -> Option<&LeftOut> {
        self.left_out.iter().find(|one| one.host == host)
    }

    /// One consumer.
    pub fn consumer(&self, id: ConsumerId) -> String {
        self.consumers
            .get(id.index())
            .map_or_else(|| format!("consumer {}", id.0), |name| format!("`{name}`"))
    }

    /// One instance of a consumer: `api/2`; the consumer, if it has only one.
    pub fn instance(&self, id: ConsumerId, slot: u8) -> String {
        let instance = self.instances.get(id.index()).and_then(|all| all.get(usize::from(slot)));
        match (instance, self.consumers.get(id.index())) {
            (Some(instance), Some(name)) => format!("`{name}/{instance}`"),
            (_, _) => self.consumer(id),
        }
    }

    /// A consumer as commands name it.
    pub(super) fn name_of(&self, id: ConsumerId) -> Option<&str> {
        self.consumers.get(id.index()).map(String::as_str)
    }

    /// Whether a consumer asks keyroll's socket for the value.
    pub fn is_served(&self, id: ConsumerId) -> bool {
        self.served.get(id.index()).copied().unwrap_or_default()
    }

    /// Whether a consumer is in a cluster.
    pub fn is_in_cluster(&self, id: ConsumerId) -> bool {
        self.in_clusters.get(id.index()).copied().unwrap_or_default()
    }

    /// What lets a key of a Secret have its own value again; `None`: the file is one of a machine.
    pub(super) fn key_freed(&self, id: FileId) -> Option<&str> {
        self.keys.get(&id.index()).map(String::as_str)
    }

    /// Why a copy on this machine cannot be read now; `None`: it can be, or is elsewhere.
    pub(super) fn unread(&self, id: FileId) -> Option<Fault> {
        self.here.unread(id)
    }

    /// Whether a copy on this machine can be read now.
    pub(super) fn can_read(&self, id: FileId) -> bool {
        self.here.can_read(id)
    }

    /// Why a copy on this machine cannot be written now.
    pub(super) fn unwritten(&self, id: FileId) -> Option<Fault> {
        self.here.unwritten(id)
    }

    /// All consumers, in the plan's order.
    pub fn consumers(&self) -> impl Iterator<Item = &str> {
        self.consumers.iter().map(String::as_str)
    }

    /// One flow of a consumer, for the end of a sentence.
    pub fn path(&self, id: ConsumerId, path: u8) -> String {
        let others = self.paths.get(id.index());
        let at = usize::from(path).checked_sub(1);
        match (at, at.zip(others).and_then(|(at, others)| others.get(at))) {
            (None, _) => "its main path".to_owned(),
            (Some(_), Some(name)) => format!("its path `{name}`"),
            (Some(_), None) => format!("its path {path}"),
        }
    }

    /// True if an error rate gates the rotation.
    pub fn has_gate(&self) -> bool {
        self.gate
    }

    /// One file.
    pub fn file(&self, id: FileId) -> String {
        self.files.get(id.index()).cloned().unwrap_or_else(|| format!("file {}", id.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_inspections_remembered_of_a_host_is_named() {
        let mut called = Called::of_hosts(&["local", "web-2"]);
        let who = |pid| Incarnation {
            host: HostId(1),
            life: InstanceIdentity::Process { boot: 7, pid, start_ticks: 90, program: 0 },
        };
        let found_by = "found in its environment; it runs /bin/mailer".to_owned();
        let described = Described { name: "mailer on web-2".to_owned(), found_by: found_by.clone() };
        let copy = place_digest_of("web-2", place_digest(Path::new("/srv/old.env")));
        let row = place_digest(Path::new("a row"));
        called.learn([
            Named { digest: digest_of_life(who(4711)), name: described.text() },
            Named { digest: copy, name: "web-2:/srv/old.env".to_owned() },
            Named { digest: row, name: "the key of `main` in /srv/agent.db".to_owned() },
        ]);
        assert_eq!(called.process_elsewhere(who(4711)).unwrap(), "4711 (mailer) on web-2");
        assert_eq!(called.described(who(4711)), Some(Described { name: "mailer".to_owned(), found_by }));
        assert_eq!(called.process_elsewhere(who(4712)).unwrap(), "4712 on web-2");
        assert_eq!(called.undeclared(copy), Some("web-2:/srv/old.env"));
        assert_eq!(called.undeclared_path(copy), Some("web-2:/srv/old.env"));
        // A name that is no path is shown, and stands in no command.
        assert_eq!(called.undeclared(row), Some("the key of `main` in /srv/agent.db"));
        assert_eq!(called.undeclared_path(row), None);
    }

    #[test]
    fn a_container_is_named_as_an_inspection_described_it_and_is_a_pod_of_its_consumer_without_that() {
        let mut called = Called::of_hosts(&["local", "prod"]);
        let who = |pod| Incarnation { host: HostId(1), life: InstanceIdentity::Container { pod, run: 3 } };
        let described = Described {
            name: "pod/agent-6d5f-x2x1z/app on prod".to_owned(),
            found_by: "it takes the key `token` of Secret agent".to_owned(),
        };
        called.learn([Named { digest: digest_of_life(who(7)), name: described.text() }]);
        assert_eq!(called.container(who(7), None).unwrap(), "pod/agent-6d5f-x2x1z/app on prod");
        assert_eq!(called.running_elsewhere(who(7)).unwrap(), "pod/agent-6d5f-x2x1z/app on prod");
        assert_eq!(called.elsewhere(who(7)).unwrap(), "prod:pod/agent-6d5f-x2x1z/app");
        assert_eq!(called.container(who(8), Some("`agent`")).unwrap(), "a pod of `agent` on prod");
        assert_eq!(called.container(who(8), None).unwrap(), "a pod on prod");
        assert_eq!(
            (called.pod(who(7)).as_str(), called.pod(who(8)).as_str()),
            ("pod agent-6d5f-x2x1z", "a pod")
        );
        assert_eq!(called.elsewhere(who(8)), None);
        let process = InstanceIdentity::Process { boot: 7, pid: 4711, start_ticks: 90, program: 0 };
        let process = Incarnation { life: process, ..who(7) };
        assert_eq!(called.container(process, None), None);
        assert_eq!(called.running_elsewhere(process).unwrap(), "process 4711 on prod");
        let rests = Incarnation { life: InstanceIdentity::AtRest(ConsumerId(0)), ..process };
        assert_eq!((called.running_elsewhere(rests), called.elsewhere(rests)), (None, None));
    }

    #[test]
    fn a_host_is_found_at_the_end_of_what_was_attempted_and_never_as_a_part_of_a_word() {
        let called = Called::of_hosts(&["local", "web-1", "web-2"]);
        assert_eq!(called.host_named_last("write /srv/a.env on web-2"), Some((HostId(2), "web-2")));
        assert_eq!(called.host_named_last("reach web-1"), Some((HostId(1), "web-1")));
        for other in ["reach my-web-2", "reach web-22", "read local", "look at web-2 again", ""] {
            assert_eq!(called.host_named_last(other), None, "{other}");
        }
    }

    #[test]
    fn the_description_of_a_process_is_never_shown_as_a_copy() {
        let mut called = Called::of_hosts(&["local", "web-2"]);
        let described = Described { name: "mailer".to_owned(), found_by: "its memory".to_owned() };
        called.learn([Named { digest: 5, name: described.text() }]);
        assert_eq!((called.undeclared(5), called.undeclared_path(5)), (None, None));
    }
}
