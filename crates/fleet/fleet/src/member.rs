use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_host::{LOCAL, place_digest};
use keyroll_http::via;
use keyroll_port::{
    Class, CopySeen, Described, Downtime, Evidence, Failure, Holder, Host, Looked, Named, Numbers,
    PendingChange, PendingChanges, Proved, RefusedCalls, Residue, Surveyor, Swept,
};
use keyroll_rotation::{
    BystanderSeen, ConsumerId, Enumeration, FileId, Holds, HostId, Incarnation, InstanceIdentity,
    ObservedInstance, Proof, SessionSeen, Unsearched, digest_of_life,
};

/// What rotations are driven on: surveyed before a rotation is open, and changed by it.
pub trait Machine: Host + Surveyor {}

impl<T: Host + Surveyor> Machine for T {}

/// One machine of a fleet. It speaks its own numbers, which begin with 0, and names itself host 0.
pub struct Member {
    /// Its number in the plan.
    pub id: HostId,
    /// Its name in the configuration.
    pub name: String,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// The plan's number of each of its consumers and files, by its own number.
    pub numbers: Numbers,
    /// keyroll itself runs on it.
    pub is_here: bool,
    /// Opens connections that leave from it; `None` = none can be made from there, or keyroll itself runs on it.
    pub dialer: Option<Arc<dyn via::Dial>>,
}

impl Member {
    /// It has no part in the plan, and is only searched.
    pub(crate) fn is_searched_only(&self) -> bool {
        !self.is_here && self.numbers.files.is_empty() && self.numbers.consumers.is_empty()
    }
}

/// The digest of a place on another machine than this one: equal paths of two machines are two places.
pub fn place_digest_of(name: &str, digest: u64) -> u64 {
    place_digest(Path::new(&format!("{name}:{digest:016x}")))
}

/// A failure on another machine, with the name of that machine once.
pub fn failure_on(name: &str, mut failure: Failure) -> Failure {
    if failure.attempted.ends_with(&format!(" {name}")) {
        return failure;
    }
    // As the host itself says it.
    if let Some(attempted) = failure.attempted.strip_suffix(" on this host") {
        failure.attempted = attempted.to_owned();
    }
    failure.attempted = format!("{} on {name}", failure.attempted);
    failure
}

/// A failure with each of its causes, as one sentence.
pub(crate) fn sentence(failure: &Failure) -> String {
    let (mut text, mut next) = (failure.to_string(), failure.source());
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// From the plan's numbers to the member's own.
impl Member {
    /// Its own number of a file.
    pub(crate) fn own_file(&self, file: FileId) -> Option<FileId> {
        own(&self.numbers.files, file).map(FileId)
    }

    /// Its own number of a consumer.
    pub(crate) fn own_consumer(&self, consumer: ConsumerId) -> Option<ConsumerId> {
        own(&self.numbers.consumers, consumer).map(ConsumerId)
    }

    /// What it calls an incarnation on it; `None` if that is not on it.
    pub(crate) fn own_incarnation(&self, who: Incarnation) -> Option<Incarnation> {
        let life = match who.life {
            InstanceIdentity::Process { .. } | InstanceIdentity::Container { .. } => who.life,
            InstanceIdentity::AtRest(consumer) => InstanceIdentity::AtRest(self.own_consumer(consumer)?),
        };
        (who.host == self.id).then_some(Incarnation { host: LOCAL, life })
    }
}

/// The containers of a look, by the digests that their names have.
fn pods_of(instances: &[ObservedInstance]) -> BTreeMap<u64, Incarnation> {
    let all = instances.iter().map(|one| one.who);
    let pods = all.filter(|who| who.life.is_container());
    pods.map(|who| (digest_of_life(who), who)).collect()
}

fn own<Id: PartialEq>(all: &[Id], id: Id) -> Option<u16> {
    all.iter().position(|known| *known == id).and_then(|at| u16::try_from(at).ok())
}

/// From the member's own numbers to the plan's. A number that it does not have is a failure that names it.
impl Member {
    /// The plan's number of a file.
    pub(crate) fn file(&self, own: FileId) -> Result<FileId, Failure> {
        let known = self.numbers.files.get(own.index()).copied();
        known.ok_or_else(|| self.unusable(format!("it named its file {}, which it does not have", own.0)))
    }

    /// The plan's number of a consumer.
    pub(crate) fn consumer(&self, own: ConsumerId) -> Result<ConsumerId, Failure> {
        let known = self.numbers.consumers.get(own.index()).copied();
        known.ok_or_else(|| self.unusable(format!("it named its consumer {}, which it does not have", own.0)))
    }

    /// An incarnation on it.
    fn incarnation(&self, own: Incarnation) -> Result<Incarnation, Failure> {
        if own.host != LOCAL {
            return Err(self.unusable(format!("it named host {} instead of itself", own.host.0)));
        }
        let life = match own.life {
            InstanceIdentity::Process { .. } | InstanceIdentity::Container { .. } => own.life,
            InstanceIdentity::AtRest(consumer) => InstanceIdentity::AtRest(self.consumer(consumer)?),
        };
        Ok(Incarnation { host: self.id, life })
    }

    fn instance(&self, own: ObservedInstance) -> Result<ObservedInstance, Failure> {
        let consumer = own.consumer.map(|consumer| self.consumer(consumer)).transpose()?;
        Ok(ObservedInstance { who: self.incarnation(own.who)?, consumer, ..own })
    }

    fn session(&self, own: SessionSeen) -> Result<SessionSeen, Failure> {
        let who = own.who.map(|who| self.incarnation(who)).transpose()?;
        Ok(SessionSeen { who, ..own })
    }

    fn unsearched(&self, own: Unsearched) -> Result<Unsearched, Failure> {
        Ok(Unsearched { who: self.incarnation(own.who)?, ..own })
    }

    fn bystander(&self, own: BystanderSeen) -> Result<BystanderSeen, Failure> {
        Ok(BystanderSeen { who: self.incarnation(own.who)?, ..own })
    }

    fn proof(&self, own: Proof) -> Result<Proof, Failure> {
        Ok(Proof { who: self.incarnation(own.who)?, ..own })
    }

    fn downtimes(&self, own: Vec<Downtime>) -> Result<Vec<Downtime>, Failure> {
        let one = |own: Downtime| Ok(Downtime { consumer: self.consumer(own.consumer)?, ..own });
        own.into_iter().map(one).collect()
    }

    /// What an inspection found on it, in the plan's numbers.
    pub(crate) fn looked(&self, own: Looked) -> Result<Looked, Failure> {
        let Looked { enumeration, names, not_visible, downtimes } = own;
        let Enumeration {
            complete,
            took_ms,
            absent: _,
            instances,
            files,
            sessions,
            strangers,
            unsearched,
            bystanders,
        } = enumeration;
        let file = |(file, holds): (FileId, Holds)| -> Result<(FileId, Holds), Failure> {
            Ok((self.file(file)?, holds))
        };
        let owned = |all: Vec<SessionSeen>| -> Result<Vec<SessionSeen>, Failure> {
            all.into_iter().map(|one| self.session(one)).collect()
        };
        let pods = pods_of(&instances);
        let named = |one: Named| match pods.get(&one.digest) {
            Some(who) => self.name_of_pod(*who, &one.name),
            None => Ok(Named { digest: self.place(one.digest), name: self.place_name(&one.name) }),
        };
        let names = names.into_iter().map(named).collect::<Result<_, _>>()?;
        Ok(Looked {
            enumeration: Enumeration {
                complete,
                took_ms,
                instances: instances.into_iter().map(|one| self.instance(one)).collect::<Result<_, _>>()?,
                files: files.into_iter().map(file).collect::<Result<_, _>>()?,
                sessions: sessions.map(owned).transpose()?,
                absent: Vec::new(),
                strangers: strangers.into_iter().map(|place| self.place(place)).collect(),
                unsearched: unsearched
                    .into_iter()
                    .map(|one| self.unsearched(one))
                    .collect::<Result<_, _>>()?,
                bystanders: bystanders
                    .into_iter()
                    .map(|one| self.bystander(one))
                    .collect::<Result<_, _>>()?,
            },
            names,
            not_visible: self.lines(not_visible),
            downtimes: self.downtimes(downtimes)?,
        })
    }

    /// The name of one of its containers, by the life that it has in the plan.
    fn name_of_pod(&self, own: Incarnation, name: &str) -> Result<Named, Failure> {
        let digest = digest_of_life(self.incarnation(own)?);
        let name = match Described::read(name) {
            Some(Described { name, found_by }) => {
                Described { name: format!("{name} on {}", self.name), found_by }.text()
            }
            None => self.place_name(name),
        };
        Ok(Named { digest, name })
    }

    /// What a call for evidence on it returned, in the plan's numbers.
    pub(crate) fn proved(&self, own: Proved) -> Proved {
        let Proved { evidence, remarks, failing_checks, downtimes } = own;
        let evidence =
            evidence.map_err(|failure| self.named(failure)).and_then(|Evidence { proofs, against }| {
                let proofs = proofs.into_iter().map(|one| self.proof(one)).collect::<Result<_, _>>()?;
                Ok(Evidence { proofs, against })
            });
        let (evidence, downtimes) = match self.downtimes(downtimes) {
            Ok(downtimes) => (evidence, downtimes),
            Err(foreign) => (evidence.and(Err(foreign)), Vec::new()),
        };
        Proved { evidence, remarks: self.all_named(remarks), failing_checks, downtimes }
    }

    /// What the last search on it found.
    pub(crate) fn swept(&self, own: Swept) -> Result<Swept, Failure> {
        let residue = |one: Residue| Residue { place: self.place_name(&one.place), reason: one.reason };
        Ok(Swept {
            residues: own.residues.into_iter().map(residue).collect(),
            not_visible: self.lines(own.not_visible),
            downtimes: self.downtimes(own.downtimes)?,
        })
    }

    /// Refused uses that its logs show.
    pub(crate) fn refusals(&self, own: RefusedCalls) -> RefusedCalls {
        RefusedCalls { count: own.count, remarks: self.all_named(own.remarks) }
    }

    /// What its files hold, by the plan's numbers. An answer about another number of files says nothing about any of them.
    pub(crate) fn copies(&self, own: Vec<CopySeen>) -> Vec<(FileId, CopySeen)> {
        let fits = own.len() == self.numbers.files.len();
        let mut own = own.into_iter();
        let seen = |file: &FileId| {
            let one = own.next().filter(|_| fits);
            let unread = || CopySeen {
                path: PathBuf::from(format!("file {} of the plan", file.0)),
                holds: Holds::Unreadable,
                unclear: Some("the host answered about another number of files".to_owned()),
            };
            let one = one.unwrap_or_else(unread);
            let path = match self.is_here {
                true => one.path,
                false => PathBuf::from(format!("{}:{}", self.name, one.path.display())),
            };
            (*file, CopySeen { path, ..one })
        };
        self.numbers.files.iter().map(seen).collect()
    }

    /// Pending changes on it. The name of a change begins with its consumer's name: no two hosts have the same one.
    pub(crate) fn pending(&self, own: PendingChanges) -> PendingChanges {
        let change = |one: PendingChange| PendingChange { what: self.line(&one.what), ..one };
        PendingChanges {
            live: own.live.into_iter().map(change).collect(),
            not_visible: self.lines(own.not_visible),
        }
    }
}

/// The member's name in what people read. This machine is not named: what it says is read on it.
impl Member {
    /// A failure there.
    pub(crate) fn named(&self, failure: Failure) -> Failure {
        if self.is_here { failure } else { failure_on(&self.name, failure) }
    }

    /// Failures there.
    pub(crate) fn all_named(&self, failures: Vec<Failure>) -> Vec<Failure> {
        failures.into_iter().map(|failure| self.named(failure)).collect()
    }

    /// A line about it.
    fn line(&self, text: &str) -> String {
        if self.is_here { text.to_owned() } else { format!("{}: {text}", self.name) }
    }

    /// Lines about it.
    pub(crate) fn lines(&self, texts: Vec<String>) -> Vec<String> {
        texts.iter().map(|text| self.line(text)).collect()
    }

    /// A path or a process there.
    fn place_name(&self, name: &str) -> String {
        if self.is_here { name.to_owned() } else { format!("{}:{name}", self.name) }
    }

    /// The digest of a place there.
    fn place(&self, digest: u64) -> u64 {
        if self.is_here { digest } else { place_digest_of(&self.name, digest) }
    }

    /// A process or container there. What another machine says of how to move it is not shown: the operator would run that here.
    pub(crate) fn holder(&self, holder: Holder) -> Holder {
        if self.is_here {
            return holder;
        }
        let Holder { host: _, pid, name, found_by, how_to_move: _ } = holder;
        let host = &self.name;
        let how_to_move = match pid {
            Some(pid) => format!("end it, or keyroll consumer waive {host}:{pid} --reason WHY"),
            None => format!(
                "declare its workload as a consumer, or keyroll consumer waive {host}:{name} --reason WHY"
            ),
        };
        Holder { host: self.id, pid, name: format!("{name} on {host}"), found_by, how_to_move }
    }

    /// The failure of an answer that no keyroll-host of this release gives.
    fn unusable(&self, why: String) -> Failure {
        Failure::new(Class::Permanent, Code::HostAnswerUnusable, format!("use an answer of {}", self.name))
            .because(why)
            .help("see that the keyroll-host there is of this release")
    }
}
