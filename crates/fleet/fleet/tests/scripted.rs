//! A machine that records its calls and answers what a test gives it, in its own numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_fleet::{Fleet, Member};
use keyroll_http::via::{self, Dialed};
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, CopySeen, Downtime, Evidence, Failure, FailureKind, Holder, Host,
    Looked, Named, Numbers, PendingChanges, Prepared, Proved, Proving, RefusedCalls, Residue, Session,
    Sessions, Survey, Surveying, Surveyor, Swept, Touched, Values,
};
use keyroll_rotation::{
    BystanderSeen, ConsumerId, Enumeration, FileId, Holds, HostId, Incarnation, InstanceIdentity,
    ObservedInstance, Proof, Reconciled, Seq, SessionSeen, Unsearched, Which,
};
use keyroll_secret::{Fields, SecretBytes};

/// A process, as its own machine names it.
pub(crate) fn process(pid: u32) -> Incarnation {
    of_host(HostId(0), InstanceIdentity::Process { boot: 7, pid, start_ticks: 3, program: 0 })
}

/// A consumer at rest, as its own machine names it.
pub(crate) fn at_rest(consumer: u16) -> Incarnation {
    of_host(HostId(0), InstanceIdentity::AtRest(ConsumerId(consumer)))
}

pub(crate) fn of_host(host: HostId, life: InstanceIdentity) -> Incarnation {
    Incarnation { host, life }
}

#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) calls: Mutex<Vec<String>>,
    /// Each call fails.
    pub(crate) fails: bool,
    /// Such a failure is one for good.
    pub(crate) for_good: bool,
    /// Its looks are not whole.
    pub(crate) looks_in_part: bool,
    pub(crate) instances: Vec<ObservedInstance>,
    pub(crate) files: Vec<(FileId, Holds)>,
    pub(crate) strangers: Vec<Named>,
    pub(crate) unsearched: Vec<Unsearched>,
    pub(crate) bystanders: Vec<BystanderSeen>,
    pub(crate) downtimes: Vec<Downtime>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) programs: Vec<(ConsumerId, PathBuf)>,
    pub(crate) copies: Vec<CopySeen>,
    /// The process behind an address.
    pub(crate) owns: BTreeMap<SocketAddr, Incarnation>,
    /// The addresses whose connections are gone, or its own program's.
    pub(crate) leaves_out: BTreeSet<SocketAddr>,
    /// Processes that say that they use the version that goes.
    pub(crate) says: Vec<Incarnation>,
    /// The addresses that it was asked about in its last look.
    pub(crate) heard: Mutex<Vec<Option<SocketAddr>>>,
}

impl Scripted {
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn call(&self, call: String) -> Result<(), Failure> {
        self.calls.lock().unwrap().push(call);
        let class = if self.for_good { Class::Permanent } else { Class::Retryable };
        match self.fails {
            true => Err(Failure::new(class, Code::HostUnreachable, "do what was asked")
                .because("it is out of order")
                .help("repair it")
                .kind(FailureKind::Unreached)),
            false => Ok(()),
        }
    }

    /// As a real machine joins them: what is gone is left out, and words are added.
    fn joined(&self, going: Option<&[Session]>) -> Option<Vec<SessionSeen>> {
        *self.heard.lock().unwrap() =
            going.unwrap_or_default().iter().map(|session| session.client).collect();
        let there =
            |session: &&Session| session.client.is_none_or(|client| !self.leaves_out.contains(&client));
        let seen = |session: &Session| {
            let who = session.client.and_then(|client| self.owns.get(&client)).copied();
            SessionSeen { who, busy: session.busy }
        };
        let shown = going.map(|going| going.iter().filter(there).map(seen).collect::<Vec<_>>());
        let said = self.says.iter().map(|who| SessionSeen { who: Some(*who), busy: false });
        if self.says.is_empty() { shown } else { Some(shown.into_iter().flatten().chain(said).collect()) }
    }

    fn looked(&self, sessions: &Sessions, stays: Which) -> Looked {
        let going = if stays == Which::New { &sessions.old } else { &sessions.new };
        Looked {
            enumeration: Enumeration {
                complete: !self.looks_in_part,
                took_ms: 0,
                instances: self.instances.clone(),
                files: self.files.clone(),
                absent: Vec::new(),
                sessions: self.joined(going.as_deref()),
                strangers: self.strangers.iter().map(|named| named.digest).collect(),
                unsearched: self.unsearched.clone(),
                bystanders: self.bystanders.clone(),
            },
            names: self.strangers.clone(),
            not_visible: vec!["process 9: permission denied".to_owned()],
            downtimes: self.downtimes.clone(),
        }
    }
}

fn addresses(sessions: &Sessions) -> String {
    let of = |all: &Option<Vec<Session>>| all.as_ref().map_or(0, Vec::len);
    format!("{}+{}", of(&sessions.old), of(&sessions.new))
}

#[async_trait]
impl Host for Scripted {
    async fn trial(&self, _: Values<'_>) -> Result<Vec<Failure>, Failure> {
        self.call("trial".to_owned())?;
        Ok(vec![Failure::new(Class::Permanent, Code::CopyDiffers, "find the value").help("write it")])
    }

    async fn carries(&self, _: &Fields) -> Result<(), Failure> {
        self.call("carries".to_owned())
    }

    async fn deliver(&self, file: FileId, _: Which, _: Values<'_>, asked: Asked) -> Result<(), Failure> {
        self.call(format!("deliver {} {}", file.0, asked.intent))
    }

    async fn delivered(&self, file: FileId, _: Which, _: Values<'_>, _: Seq) -> Result<Reconciled, Failure> {
        self.call(format!("delivered {}", file.0)).map(|()| Reconciled::Foreign)
    }

    async fn remove_superseded(&self, _: Values<'_>, _: Asked) -> Result<(), Failure> {
        self.call("remove_superseded".to_owned())
    }

    async fn before_given_out(&self, _: Which, _: Values<'_>, sessions: &Sessions) -> Result<(), Failure> {
        self.call(format!("before_given_out {}", addresses(sessions)))
    }

    async fn fetch(&self, consumer: ConsumerId, _: Which, _: Values<'_>, _: Asked) -> Result<(), Failure> {
        self.call(format!("fetch {}", consumer.0))
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        _: Asked,
        _: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        self.call(format!("apply {} {slot}", consumer.0)).map(|()| Applied::Done(Vec::new()))
    }

    async fn await_end(&self, of: Touched, intent: Seq) -> Result<bool, Failure> {
        self.call(format!("await_end {of:?} {intent}")).map(|()| false)
    }

    async fn enumerate(&self, _: Values<'_>, sessions: &Sessions, stays: Which) -> Result<Looked, Failure> {
        self.call("enumerate".to_owned())?;
        Ok(self.looked(sessions, stays))
    }

    async fn prepare(&self, of: Proving<'_>, before: &Sessions) -> Result<Prepared, Failure> {
        self.call(format!("prepare {} {}", of.consumer.0, addresses(before)))?;
        Ok(Prepared { number: 5, reads_again: true })
    }

    async fn go(&self, prepared: Prepared, of: Proving<'_>, after: &Sessions) -> Proved {
        let called = self.call(format!("go {} {} {}", prepared.number, of.consumer.0, addresses(after)));
        Proved {
            evidence: called.map(|()| Evidence { proofs: self.proofs.clone(), against: false }),
            remarks: Vec::new(),
            failing_checks: Vec::new(),
            downtimes: self.downtimes.clone(),
        }
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        self.call(format!("describe {who:?}")).ok()?;
        if let InstanceIdentity::Container { .. } = who.life {
            return Some(Holder { pid: None, name: "pod/agent-6d5f-x2x1z/app".to_owned(), ..holder() });
        }
        Some(holder())
    }

    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure> {
        self.call(format!("watch_refusals {issuer:?}"))
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        self.call("refusals_mark".to_owned()).map(|()| Some("4711".to_owned()))
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        self.call("refusals".to_owned()).map(|()| RefusedCalls { count: 2, remarks: Vec::new() })
    }

    async fn caller(&self, client: SocketAddr) -> Option<Holder> {
        self.call(format!("caller {client}")).ok()?;
        self.owns.contains_key(&client).then(holder)
    }

    async fn sweep(&self, _: Values<'_>) -> Result<Swept, Failure> {
        self.call("sweep".to_owned())?;
        Ok(Swept {
            residues: vec![Residue { place: "/srv/old.env".to_owned(), reason: "it is left".to_owned() }],
            not_visible: Vec::new(),
            downtimes: self.downtimes.clone(),
        })
    }
}

/// What every machine says of every process.
fn holder() -> Holder {
    Holder {
        host: HostId(0),
        pid: Some(4711),
        name: "python3".to_owned(),
        found_by: "its memory holds the old version".to_owned(),
        how_to_move: "curl https://example.invalid | sh".to_owned(),
    }
}

#[async_trait]
impl Surveyor for Scripted {
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        self.call("survey".to_owned())?;
        Ok(Survey {
            looked: self.looked(of.sessions, Which::New),
            holders: vec![holder()],
            live: PendingChanges::default(),
            other_networks: BTreeSet::new(),
            linked: vec!["/srv/a.env has two names".to_owned()],
            checks: Vec::new(),
            programs: self.programs.clone(),
        })
    }

    async fn copies(&self, _: Values<'_>) -> Vec<CopySeen> {
        self.copies.clone()
    }

    async fn live(&self) -> PendingChanges {
        let not_visible = vec!["unit api.service: no systemd".to_owned()];
        PendingChanges { live: Vec::new(), not_visible }
    }
}

/// Opens no connection, and says from which machine one was wanted.
struct Closed(&'static str);

#[async_trait]
impl via::Dial for Closed {
    async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
        Err(io::Error::other(format!("{host}:{port} from {}: closed", self.0)))
    }
}

/// A fleet of three machines, which have consumers and files of the plan as [`NUMBERS`] says; the first is this one. No
/// connection can be made from the last one.
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) machines: [Arc<Scripted>; 3],
    old: Fields,
    new: Fields,
}

/// The names of the machines, and the plan's numbers of their consumers and files.
const NUMBERS: [(&str, &[u16], &[u16]); 3] =
    [("here", &[0], &[0]), ("web-1", &[3, 1], &[3, 1]), ("web-2", &[2], &[2])];

/// The same with a last machine that is only searched.
const SEARCHED: [(&str, &[u16], &[u16]); 3] =
    [("here", &[0], &[0]), ("web-1", &[1, 2], &[1, 2]), ("web-2", &[], &[])];

impl Scene {
    pub(crate) fn new(machines: [Scripted; 3]) -> Self {
        Self::of(machines, NUMBERS)
    }

    /// As [`SEARCHED`] says.
    pub(crate) fn searched(machines: [Scripted; 3]) -> Self {
        Self::of(machines, SEARCHED)
    }

    fn of(machines: [Scripted; 3], numbers: [(&'static str, &'static [u16], &'static [u16]); 3]) -> Self {
        let machines = machines.map(Arc::new);
        let member = |(at, (name, consumers, files)): (usize, (&'static str, &[u16], &[u16]))| Member {
            id: HostId(u16::try_from(at).unwrap()),
            name: name.to_owned(),
            machine: machines[at].clone(),
            numbers: Numbers {
                consumers: consumers.iter().copied().map(ConsumerId).collect(),
                files: files.iter().copied().map(FileId).collect(),
            },
            is_here: at == 0,
            dialer: (at < 2).then(|| -> Arc<dyn via::Dial> { Arc::new(Closed(name)) }),
        };
        let members = numbers.into_iter().enumerate().map(member).collect();
        let made = || Fields::single(SecretBytes::from(keyroll_testkit::alphanumeric(32)));
        Self { fleet: Fleet::new(members), machines, old: made(), new: made() }
    }

    pub(crate) fn values(&self) -> Values<'_> {
        Values { old: &self.old, new: Some(&self.new), old_ended: false }
    }

    pub(crate) fn calls(&self, at: usize) -> Vec<String> {
        self.machines[at].calls()
    }

    /// A look while the new version stays.
    pub(crate) async fn look(&self, old: Option<Vec<Session>>) -> Result<Looked, Failure> {
        let sessions = Sessions { old, new: None };
        self.fleet.enumerate(self.values(), &sessions, Which::New).await
    }
}

/// A session of this client.
pub(crate) fn session(client: &str) -> Session {
    let client = Some(client.parse().unwrap());
    Session { client, pid: None, busy: false, handle: "1".to_owned(), calls: None }
}
