use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use keyroll_manager::Served;

use crate::at::At;
use crate::broken::Broken;
use crate::check::{read_check, read_path, refuse_check};
use crate::follows::{refuse_manager, refuse_unfit};
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::reads_shape::ReadsShape;
use crate::roll::read_wave;
use crate::runs::holes;
use crate::runs_shape::RunsShape;
use crate::secret_parts::Parts;
use crate::serves::{on_other_host, read_trusts, refuse_strays};
use crate::shape::{CheckShape, ConsumerShape, ReadShape, ServesShape};
use crate::site::Site;
use crate::{Argv, Check, Copy, InCluster, Kind, LOCAL, Log, Name, PathCheck, Runs, Serves};

/// The placeholders of which nothing is known while `runs` has a mistake.
const EVERY_HOLE: [&str; 2] = ["instance", "port"];

/// What the consumers of a secret have in common.
pub(crate) struct Shared<'a> {
    /// The secret.
    pub(crate) secret: &'a Name,
    /// Its parts.
    pub(crate) parts: Read<&'a Parts>,
}

/// One service that uses a secret, on one machine or in one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, unique within the secret; `NAME@HOST` if the file names several machines for it.
    pub name: Name,
    /// The machine or the cluster as the file names it, `local` by default.
    pub host: Name,
    /// Whether that is the machine that keyroll runs on; otherwise it is a host by ssh or a cluster.
    pub is_here: bool,
    /// The wave in which it is moved, 0 to 99.
    pub wave: u8,
    /// Its processes, and the manager that runs them.
    pub runs: Runs,
    /// The copies that it starts from; at least one, unless it is served or reads the store itself.
    pub reads: Vec<Copy>,
    /// It reads the store itself; `reads` is empty.
    pub follows: bool,
    /// The process that keyroll's socket gives the value to; `None` if the consumer reads copies.
    pub serves: Option<Serves>,
    /// Whether the operator trusts what its processes say over the socket; only with `serves`.
    pub trusts_word: bool,
    /// A command that regenerates the copies from the store: makes it a pull consumer, whose copies are never written.
    pub fetch: Option<Argv>,
    /// Its log.
    pub log: Option<Log>,
    /// The check of its main flow.
    pub check: Option<Check>,
    /// Its further flows.
    pub paths: Vec<PathCheck>,
    /// Its pods, if it is in a cluster.
    pub in_cluster: Option<InCluster>,
}

impl Consumer {
    /// `broken`: the keys of its table with a mistake of form, which is noted already.
    pub(crate) fn build(
        shape: &At<ConsumerShape>,
        site: &Site<'_>,
        shared: &Shared<'_>,
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let At { value: shape, span } = shape;
        let Site { folder, is_here, .. } = *site;
        let wave = all.note(read_wave(shape.wave.as_ref()));
        let trusts_word = all.note_unless(broken.has("serves"), || read_trusts(shape));
        let unknown = ["runs", "reads", "serves"].into_iter().any(|key| broken.has(key));
        let supply = match unknown {
            // The key that is left out is not missing.
            true => Supply::of(shape).ok(),
            false => all.note(Supply::of(shape).map_err(|fault| fault.at(span))),
        };
        let supplied = Supplied::read(supply.as_ref(), site, shared, broken, all);
        let holes = supplied.holes.as_slice();
        let fetch = shape.fetch.as_ref().map(|words| Argv::read(folder, "fetch", words, holes));
        let fetch = all.note(fetch.transpose());
        let log = shape.log.as_ref().filter(|_| !broken.has("log"));
        let log = all.note(log.map(|log| Log::read(log, folder, holes)).transpose());
        let read = |shape: &At<CheckShape>| supplied.read_check(shape, folder);
        let check = shape.check.as_ref().filter(|_| !broken.has("check"));
        let check = all.note(check.map(read).transpose());
        let mut paths: Vec<PathCheck> = Vec::new();
        for path in shape.paths.iter().filter(|_| !broken.has("paths")) {
            let read = all.note(read_path(path, &paths, &read));
            paths.extend(read);
        }
        let (runs, serves, reads) = (supplied.runs?, supplied.serves?, supplied.reads?);
        let turn_of = |check: &Check| matches!(check, Check::Turn { .. });
        let is_asked = runs.workload().agent_state().is_some();
        let mut checks = check.iter().flatten().chain(paths.iter().map(|path| &path.check));
        if !is_asked && checks.any(turn_of) {
            let why = "`check.turn` asks an agent: it goes with `runs.openclaw`";
            let at = shape.runs.as_ref().map_or(span, |runs| &runs.span);
            all.push(Mistake::new(Kind::BadCombination, why).at(at));
        }
        Some(Self {
            name: site.name.clone(),
            host: site.host.clone(),
            is_here,
            wave: wave?,
            runs,
            reads,
            follows: supplied.follows,
            serves,
            trusts_word: trusts_word?,
            fetch: fetch?,
            log: log?,
            check: check?,
            paths,
            in_cluster: None,
        })
    }

    /// Whether its processes are those of another consumer: on the same machine, by the same file, executable or unit.
    pub fn finds_as(&self, other: &Self) -> bool {
        self.machine() == other.machine() && self.runs.finds_as(&other.runs)
    }

    /// The name of its table: a table with `hosts` makes one consumer for each machine, `NAME@HOST`.
    pub fn table(&self) -> &str {
        let name = self.name.as_str();
        name.split_once('@').map_or(name, |(table, _)| table)
    }

    /// The machine that it runs on: `local` for the machine that keyroll runs on, whatever the file calls it; otherwise the
    /// name of a host by ssh or of a cluster. The same path on two machines is two places.
    pub fn machine(&self) -> &str {
        if self.is_here { LOCAL } else { self.host.as_str() }
    }

    /// Whether it runs on this host; `local` is the machine that keyroll runs on, whatever the file calls it.
    pub fn is_on(&self, host: &str) -> bool {
        self.machine() == host || self.host.as_str() == host
    }

    /// Whether it takes the value from the store, by its command, by External Secrets or by itself. Otherwise keyroll writes its
    /// copies.
    pub fn is_pull(&self) -> bool {
        self.fetch.is_some() || self.follows || self.in_cluster.as_ref().is_some_and(|pods| pods.synced)
    }

    /// Whether it is on a host by ssh.
    pub fn is_by_ssh(&self) -> bool {
        !self.is_here && self.in_cluster.is_none()
    }
}

/// Where a consumer gets its value from.
enum Supply<'a> {
    /// From copies, which its processes load as `runs` says.
    Copies { runs: &'a At<RunsShape>, reads: (&'a [ReadShape], &'a Range<usize>), fetched: bool },
    /// From the store of the secret, which its processes read themselves.
    Store { runs: &'a At<RunsShape> },
    /// From keyroll's socket.
    Socket(&'a At<ServesShape>),
}

impl<'a> Supply<'a> {
    fn of(shape: &'a ConsumerShape) -> Result<Self, Mistake> {
        if let Some(serves) = &shape.serves {
            refuse_strays(shape)?;
            return Ok(Self::Socket(serves));
        }
        let missing = |key: &str| {
            Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing"))
                .help("a consumer has `runs` and `reads`, or it has `serves`")
        };
        let runs = shape.runs.as_ref().ok_or_else(|| missing("runs"))?;
        let reads = shape.reads.as_ref().ok_or_else(|| missing("reads"))?;
        match &reads.value {
            ReadsShape::Copies(copies) => {
                let fetched = shape.fetch.is_some();
                Ok(Self::Copies { runs, reads: (copies.as_slice(), &reads.span), fetched })
            }
            ReadsShape::Word(word) => {
                let fetch = shape.fetch.as_ref().map(|fetch| &fetch.span);
                refuse_unfit(word, &reads.span, fetch)?;
                Ok(Self::Store { runs })
            }
        }
    }
}

/// What a consumer is supplied by, as far as it could be read.
struct Supplied {
    /// The placeholders that its texts may have.
    holes: Vec<&'static str>,
    /// It reads the store itself.
    follows: bool,
    serves: Read<Option<Serves>>,
    reads: Read<Vec<Copy>>,
    runs: Read<Runs>,
}

impl Supplied {
    fn read(
        supply: Read<&Supply<'_>>,
        site: &Site<'_>,
        shared: &Shared<'_>,
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Self {
        let folder = site.folder;
        let Some(supply) = supply else { return Self::unknown() };
        match *supply {
            Supply::Socket(serves) if !site.is_here => {
                all.push(on_other_host(&serves.span));
                Self::unknown()
            }
            Supply::Socket(serves) => {
                let workload = Arc::new(Served::new(shared.secret.as_str(), site.name.as_str()));
                let serves = all.note_unless(broken.has("serves"), || Serves::read(&serves.value, folder));
                let runs = Some(Runs::served(workload));
                Self {
                    holes: Vec::new(),
                    follows: false,
                    serves: serves.map(Some),
                    reads: Some(Vec::new()),
                    runs,
                }
            }
            Supply::Copies { runs, reads, fetched } => {
                let parts = shared.parts.filter(|_| !broken.has("reads"));
                let reads = parts.and_then(|parts| read_copies(reads, fetched, folder, parts, all));
                let copies = reads.as_deref().unwrap_or_default();
                let built = all.note_unless(broken.has("runs"), || Runs::build(runs, folder, copies));
                let holes = if broken.has("runs") { EVERY_HOLE.to_vec() } else { holes(&runs.value) };
                Self { holes, follows: false, serves: Some(None), reads, runs: built }
            }
            Supply::Store { runs } => {
                let built = all.note_unless(broken.has("runs"), || {
                    let built = Runs::build(runs, folder, &[])?;
                    refuse_manager(&built, &runs.span).map(|()| built)
                });
                let holes = if broken.has("runs") { EVERY_HOLE.to_vec() } else { holes(&runs.value) };
                Self { holes, follows: true, serves: Some(None), reads: Some(Vec::new()), runs: built }
            }
        }
    }

    /// Nothing could be read.
    fn unknown() -> Self {
        Self { holes: EVERY_HOLE.to_vec(), follows: false, serves: None, reads: None, runs: None }
    }

    /// A check of its consumer.
    fn read_check(&self, shape: &At<CheckShape>, folder: &Path) -> Result<Check, Mistake> {
        let at_rest = self.runs.as_ref().is_some_and(|runs| runs.workload().is_job());
        let check = read_check(shape, folder, &self.holes, at_rest)?;
        if self.follows || matches!(self.serves, Some(Some(_))) {
            refuse_check(&check, self.follows).map_err(|fault| fault.at(&shape.span))?;
        }
        Ok(check)
    }
}

/// The copies of `reads`; `fetched` = the consumer has the command `fetch`.
fn read_copies(
    (shapes, at): (&[ReadShape], &Range<usize>),
    fetched: bool,
    folder: &Path,
    parts: &Parts,
    all: &mut Mistakes,
) -> Read<Vec<Copy>> {
    let copies = shapes.iter().map(|read| Copy::build(read, at, folder, &parts.fields, &parts.derived));
    let reads = all.note_all(copies)?;
    all.note(refuse_unfit_copies(&reads, fetched).map_err(|fault| fault.at(at)))?;
    Some(reads)
}

/// Refuses a consumer without a copy, one with the same copy twice, and a file that is generated in part.
fn refuse_unfit_copies(reads: &[Copy], fetched: bool) -> Result<(), Mistake> {
    let before = |index: usize, copy: &Copy| reads.iter().take(index).any(|other| other.place == copy.place);
    if let Some((_, copy)) = reads.iter().enumerate().find(|(index, copy)| before(*index, copy)) {
        return Err(Mistake::new(Kind::Duplicate, format!("the copy {} is named twice", copy.place)));
    }
    if reads.is_empty() {
        let why = "`reads` names no copy: what does the consumer start from?";
        return Err(Mistake::new(Kind::WrongForm, why));
    }
    refuse_half_generated(reads, fetched)
}

/// A file is either generated by one command or written, never both.
fn refuse_half_generated(reads: &[Copy], fetched: bool) -> Result<(), Mistake> {
    let wrong = |why: String| Err(Mistake::new(Kind::BadCombination, why));
    for (at, copy) in reads.iter().enumerate() {
        if fetched && copy.generated.is_some() {
            return wrong("`generated` does not go with `fetch`, which regenerates every copy".to_owned());
        }
        let path = copy.place.path();
        let same = |other: &&Copy| other.place.path() == path;
        if reads.iter().skip(at).filter(same).any(|other| other.generated != copy.generated) {
            return wrong(format!("the copies in {} differ in `generated`", path.display()));
        }
    }
    Ok(())
}
