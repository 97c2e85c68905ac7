use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use keyroll_logins::Table;

use crate::around::Around;
use crate::at::At;
use crate::broken::Broken;
use crate::bystander::read_bystanders;
use crate::consumer::Shared;
use crate::consumers::read_consumers;
use crate::defaults::read_parallel;
use crate::follows::{first_follower, refuse_unfollowed};
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::period::read_period;
use crate::reading::Reading;
use crate::schedule::{Window, read_windows};
use crate::secret_parts::{Access, Parts};
use crate::secret_shape::SecretShape;
use crate::secret_store::{read_store, refuse_store_as_copy, refuse_store_as_key};
use crate::shape::{RevokeShape, SecretKeys};
use crate::site::read_searched;
use crate::{
    AwsUser, Bystander, Consumer, Deadlines, FieldSpec, Gate, InCluster, IssuerRef, Kind, LOCAL, Name,
    OnFailure, Reference, Roll, StoreRef, Template, Vault, is_unseen,
};

/// The default time for which the old value must have been unused.
const OLD_IDLE_DEFAULT_S: u64 = 1_800;
/// The default time for which the old value stays disabled.
const SOAK_DEFAULT_S: u64 = 600;
/// The longest `owner`, in bytes.
const OWNER_BYTES_MAX: usize = 256;

/// A kind of evidence that a configuration may ask for besides the gate's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EvidenceKind {
    /// The copy was read back in the consumer's own mount namespace.
    Delivered,
    /// The process opened the file after the write.
    Read,
    /// The process started with the new value, or holds it.
    Loaded,
    /// The process said so itself.
    Reported,
    /// A separate process with the same user, environment and files succeeded.
    Checked,
    /// The issuer accepted this version from this instance.
    Exercised,
}

/// How the operator consents to revoking the old value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decide {
    /// The operator is asked each time.
    Ask,
    /// The configuration consents; valid only without waivers, and if both values can be valid at the same time.
    Standing,
}

/// What must be observed before the old value is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// Kinds of evidence besides the gate's own.
    pub require: BTreeSet<EvidenceKind>,
    /// How long the old value must have been unused.
    pub old_idle_for: Duration,
    /// How long it stays disabled before it is revoked.
    pub soak: Duration,
    /// How the operator consents.
    pub decide: Decide,
}

/// A key at the issuer that another keyroll made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKey {
    /// The issuer's id.
    pub id: String,
    /// The whole label.
    pub label: String,
}

/// One secret with all its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its name.
    pub name: Name,
    /// Its issuer.
    pub issuer: IssuerRef,
    /// The host of a shipped issuer, if it is not the one in the spec.
    pub issuer_host: Option<String>,
    /// The credential that makes and revokes others at the issuer.
    pub admin: Option<Reference>,
    /// The source of truth.
    pub store: StoreRef,
    /// How Vault or OpenBao is reached, for a store there.
    pub vault: Vault,
    /// Who is responsible; free text.
    pub owner: Option<String>,
    /// The highest age of the value.
    pub rotate_every: Option<Duration>,
    /// When a rotation may begin without an operator, if it is not as the schedule says.
    pub windows: Option<Vec<Window>>,
    /// Whether it may be rotated without an operator.
    pub unattended: bool,
    /// Whether an emergency revokes the old value without asking.
    pub emergency_revoke: bool,
    /// How many emergencies alerts may begin by themselves within 24 hours.
    pub emergencies_per_day: u32,
    /// Whether revoked values stay sealed, to be searched for.
    pub keep_retired: bool,
    /// Hosts moved at the same time.
    pub max_parallel: u32,
    /// What happens when a host fails.
    pub on_failure: OnFailure,
    /// How long a rotation waits.
    pub deadlines: Deadlines,
    /// Its parts; at least one is secret.
    pub fields: BTreeMap<Name, FieldSpec>,
    /// Texts rendered from the parts.
    pub derived: BTreeMap<Name, Template>,
    /// The server's table; set exactly when `issuer` is [`IssuerRef::Server`].
    pub server: Option<Table>,
    /// The IAM user; set exactly when `issuer` is [`IssuerRef::AwsAccessKey`].
    pub aws: Option<AwsUser>,
    /// What must be observed before the old value is revoked.
    pub revoke: Revoke,
    /// How a roll is paced.
    pub roll: Roll,
    /// An error rate above which the rotation does not continue.
    pub gate: Option<Gate>,
    /// Keys at the issuer that another keyroll made.
    pub other_keys: Vec<OtherKey>,
    /// The hosts by ssh that a rotation searches besides those of consumers; `None` = the default, see
    /// [`Config::searched_hosts`](crate::Config::searched_hosts).
    pub searched_hosts: Option<BTreeSet<Name>>,
    /// The services on machines and in clusters that use it, in the order of the file.
    pub consumers: Vec<Consumer>,
    /// The processes that hold it and are no consumers, in the order of the file.
    pub bystanders: Vec<Bystander>,
    /// It is called as that of a `SecretRotation` object is, see [`Config::is_of_object`](crate::Config::is_of_object): what it
    /// names was written by somebody who may not reach keyroll's own machine.
    pub of_object: bool,
}

impl Secret {
    /// `broken`: the keys of its table with a mistake of form, which is noted already.
    pub(crate) fn build(
        name: Name,
        shape: At<SecretShape>,
        around: &Around<'_>,
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let SecretShape { keys: shape, servers } = shape.value;
        let folder = around.folder;
        let issuer = || IssuerRef::read(folder, &shape.issuer, around.reading);
        let issuer = all.note_unless(broken.has("issuer"), issuer);
        let admin = shape.admin.as_ref().map(|text| Reference::read(folder, "admin", text));
        let admin = all.note(admin.transpose());
        let parts = Parts::read(&shape, issuer.as_ref(), broken, all);
        let consumers = {
            let shared = Shared { secret: &name, parts: parts.as_ref() };
            read_consumers(&shape.consumers, around, &shared, &broken.below("consumers"), all)
        };
        let consumers = consumers.filter(|_| !broken.has("consumers"));
        let store = issuer.as_ref().zip(parts.as_ref()).and_then(|(issuer, parts)| {
            let unknown = broken.has("store") || broken.has("kubernetes");
            all.note_unless(unknown, || read_store(folder, &shape, issuer, &parts.fields))
        });
        if let (Some(store), Some(consumers)) = (&store, &consumers) {
            all.note(refuse_store_as_copy(store, shape.store.as_ref(), consumers));
            all.note(refuse_store_as_key(store, shape.store.as_ref(), consumers, around.hosts));
            all.note(refuse_no_store(&shape, consumers, store));
        }
        let access =
            issuer.as_ref().and_then(|issuer| Access::read(&shape, issuer, (folder, &servers), broken, all));
        let bystanders = read_bystanders(&shape.bystanders, around, consumers.as_deref(), broken, all);
        let pace = Pace::read(&shape, consumers.as_deref(), around, broken, all);
        let rules = Rules::read(&shape, around, broken, all);
        let (parts, access, pace, rules) = (parts?, access?, pace?, rules?);
        Some(Self {
            store: store?,
            vault: around.vault?.clone(),
            max_parallel: pace.max_parallel,
            on_failure: pace.on_failure,
            deadlines: pace.deadlines,
            unattended: shape.unattended,
            emergency_revoke: shape.emergency_revoke,
            emergencies_per_day: shape.emergencies_per_day.as_ref().map_or(1, |most| most.value),
            keep_retired: shape.keep_retired,
            name,
            issuer: issuer?,
            issuer_host: access.host,
            admin: admin?,
            owner: rules.owner,
            rotate_every: rules.rotate_every,
            windows: rules.windows,
            fields: parts.fields,
            derived: parts.derived,
            server: access.server,
            aws: access.aws,
            revoke: rules.revoke,
            roll: pace.roll,
            gate: rules.gate,
            other_keys: rules.other_keys,
            searched_hosts: rules.searched_hosts,
            consumers: consumers?,
            bystanders: bystanders?,
            // Known once the whole file is read.
            of_object: false,
        })
    }

    /// The files of this machine in which the value stands: the copies of its consumers here, and a file that is its store.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let here = self.consumers.iter().filter(|consumer| consumer.is_here);
        let reads = here.flat_map(|consumer| &consumer.reads);
        reads.map(|copy| copy.place.path()).chain(self.store.file())
    }

    /// The same secret with those of its consumers that run on this machine, in the same order. Their numbers may be others
    /// than in the whole secret.
    #[must_use]
    pub fn here(&self) -> Self {
        self.on(LOCAL)
    }

    /// One consumer by name.
    pub fn consumer(&self, name: &str) -> Option<&Consumer> {
        self.consumers.iter().find(|consumer| consumer.name.as_str() == name)
    }

    /// The secret with only the consumers and bystanders on this host, in their order; `local` is the machine that keyroll
    /// runs on, whatever the file calls it. A host may be a cluster.
    #[must_use]
    pub fn on(&self, host: &str) -> Self {
        let mut secret = self.clone();
        secret.consumers.retain(|consumer| consumer.is_on(host));
        secret.bystanders.retain(|bystander| bystander.is_on(host));
        secret
    }

    /// The hosts by ssh that its consumers run on.
    pub fn ssh_hosts(&self) -> BTreeSet<&str> {
        let by_ssh = self.consumers.iter().filter(|consumer| consumer.is_by_ssh());
        by_ssh.map(|consumer| consumer.host.as_str()).collect()
    }

    /// The clusters that its consumers are in.
    pub fn clusters(&self) -> BTreeSet<&str> {
        self.in_clusters().map(|(consumer, _)| consumer.host.as_str()).collect()
    }

    /// The hosts that its consumers are on besides this machine: those by ssh, and clusters.
    pub fn other_hosts(&self) -> BTreeSet<&str> {
        let elsewhere = self.consumers.iter().filter(|consumer| !consumer.is_here);
        elsewhere.map(|consumer| consumer.host.as_str()).collect()
    }

    /// Its consumers in clusters, with their pods, in the order of the file.
    pub fn in_clusters(&self) -> impl Iterator<Item = (&Consumer, &InCluster)> {
        self.consumers.iter().filter_map(|consumer| Some((consumer, consumer.in_cluster.as_ref()?)))
    }
}

impl Revoke {
    fn build(shape: &RevokeShape, unattended: bool, all: &mut Mistakes) -> Read<Self> {
        let period = |key, text: &Option<At<String>>, seconds| {
            read_period(key, text.as_ref(), Duration::from_secs(seconds))
        };
        let require = all.note_all(shape.require.iter().map(EvidenceKind::read));
        let old_idle_for = all.note(period("revoke.old_idle_for", &shape.old_idle_for, OLD_IDLE_DEFAULT_S));
        let soak = all.note(period("revoke.soak", &shape.soak, SOAK_DEFAULT_S));
        let decide = all.note(Decide::read(shape.decide.as_ref(), unattended));
        Some(Self {
            require: require?.into_iter().collect(),
            old_idle_for: old_idle_for?,
            soak: soak?,
            decide: decide?,
        })
    }
}

impl Decide {
    fn read(text: Option<&At<String>>, unattended: bool) -> Result<Self, Mistake> {
        let Some(text) = text else { return Ok(Self::Ask) };
        match text.value.as_str() {
            "ask" => Ok(Self::Ask),
            "standing" if unattended => Ok(Self::Standing),
            "standing" => {
                let why = "a standing consent needs `unattended = true`";
                Err(Mistake::new(Kind::BadCombination, why).at(&text.span))
            }
            _ => Err(Mistake::one_of("revoke.decide", text, &["ask", "standing"])),
        }
    }
}

impl EvidenceKind {
    /// Every kind with its word in the file.
    pub const ALL: [(&str, Self); 6] = [
        ("delivered", Self::Delivered),
        ("read", Self::Read),
        ("loaded", Self::Loaded),
        ("reported", Self::Reported),
        ("checked", Self::Checked),
        ("exercised", Self::Exercised),
    ];

    fn read(text: &At<String>) -> Result<Self, Mistake> {
        let found = Self::ALL.iter().find(|(word, _)| *word == text.value);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let words: Vec<&str> = Self::ALL.iter().map(|(word, _)| *word).collect();
            Mistake::one_of("revoke.require", text, &words)
        })
    }
}

/// It is shown: a character that is not seen could make another text of it.
fn read_owner(text: Option<&At<String>>, reading: Reading) -> Result<Option<String>, Mistake> {
    let Some(text) = text else { return Ok(None) };
    let is_refused = |one: char| one.is_control() || reading == Reading::Current && is_unseen(one);
    if text.value.len() > OWNER_BYTES_MAX || text.value.chars().any(is_refused) {
        let why = format!(
            "`owner` must be at most {OWNER_BYTES_MAX} bytes without control characters and others that are not seen"
        );
        return Err(Mistake::new(Kind::WrongForm, why).at(&text.span));
    }
    Ok(Some(text.value.clone()))
}

/// Refuses a consumer that reads a store which no program can read.
fn refuse_no_store(shape: &SecretKeys, consumers: &[Consumer], store: &StoreRef) -> Result<(), Mistake> {
    let follower = first_follower(&shape.consumers);
    let first = consumers.iter().find(|consumer| consumer.follows).zip(follower.as_ref());
    first.map_or(Ok(()), |(consumer, at)| refuse_unfollowed((&consumer.name, at), store, &shape.revoke))
}

/// How fast a rotation goes.
struct Pace {
    max_parallel: u32,
    on_failure: OnFailure,
    deadlines: Deadlines,
    roll: Roll,
}

impl Pace {
    fn read(
        shape: &SecretKeys,
        consumers: Read<&[Consumer]>,
        around: &Around<'_>,
        broken: &Broken,
        all: &mut Mistakes,
    ) -> Read<Self> {
        let defaults = around.defaults;
        let parallel = defaults.map_or(1, |defaults| defaults.max_parallel);
        let parallel = all.note(read_parallel(shape.max_parallel.as_ref(), parallel));
        let on_failure = defaults.map_or(OnFailure::Rollback, |defaults| defaults.on_failure);
        let on_failure = all.note(OnFailure::read(shape.on_failure.as_ref(), on_failure));
        let unknown = broken.has("unit_deadline") || broken.has("phase_deadline");
        let deadlines = defaults.zip(consumers).filter(|_| !unknown);
        let deadlines = deadlines.and_then(|(defaults, consumers)| {
            all.note(Deadlines::of_secret(shape, consumers, defaults.deadlines))
        });
        let unknown = defaults.is_none() || broken.has("roll") || broken.has("max_parallel");
        let roll = parallel.filter(|_| !unknown);
        let roll = roll.and_then(|parallel| Roll::read(shape.roll.as_ref(), parallel, all));
        Some(Self { max_parallel: parallel?, on_failure: on_failure?, deadlines: deadlines?, roll: roll? })
    }
}

/// When a rotation begins, and when it ends the old value.
struct Rules {
    revoke: Revoke,
    gate: Option<Gate>,
    owner: Option<String>,
    rotate_every: Option<Duration>,
    windows: Option<Vec<Window>>,
    other_keys: Vec<OtherKey>,
    searched_hosts: Option<BTreeSet<Name>>,
}

impl Rules {
    fn read(shape: &SecretKeys, around: &Around<'_>, broken: &Broken, all: &mut Mistakes) -> Read<Self> {
        let revoke = Revoke::build(&shape.revoke, shape.unattended || broken.has("unattended"), all);
        let gate = match shape.gate.as_ref().filter(|_| !broken.has("gate")) {
            Some(gate) => Gate::read(gate, around.folder, all).map(Some),
            None => Some(None),
        };
        let owner = all.note(read_owner(shape.owner.as_ref(), around.reading));
        let every = shape.rotate_every.as_ref();
        let every = every.map(|text| read_period("rotate_every", Some(text), Duration::ZERO));
        let rotate_every = all.note(every.transpose());
        let windows = all.note(read_windows("window", shape.window.as_ref()));
        let other_keys = shape.other_keys.iter().filter(|_| !broken.has("other_keys"));
        let other_keys = all.note_all(other_keys.map(OtherKey::read));
        let searched_hosts = all.note_unless(!around.hosts_are_whole, || {
            read_searched(shape.searched_hosts.as_ref(), around.hosts)
        });
        Some(Self {
            revoke: revoke?,
            gate: gate?,
            owner: owner?,
            rotate_every: rotate_every?,
            windows: windows?,
            other_keys: other_keys?,
            searched_hosts: searched_hosts?,
        })
    }
}
