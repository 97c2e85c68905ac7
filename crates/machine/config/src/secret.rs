use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use keyroll_logins::Table;

use crate::at::At;
use crate::consumer::Shared;
use crate::consumers::read_consumers;
use crate::defaults::read_parallel;
use crate::follows::{first_follower, refuse_unfollowed};
use crate::login_table::{self, WrittenTable};
use crate::mistake::Mistake;
use crate::other_key_shape::OtherKeyShape;
use crate::period::read_period;
use crate::schedule::{Window, read_windows};
use crate::secret_shape::SecretShape;
use crate::shape::{RevokeShape, SecretKeys};
use crate::site::read_searched;
use crate::{
    AwsUser, Consumer, Deadlines, Defaults, FieldSpec, Gate, Host, InCluster, IssuerRef, Kind, LOCAL, Name,
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
}

impl Secret {
    pub(crate) fn build(
        name: Name,
        shape: At<SecretShape>,
        folder: &Path,
        defaults: &Defaults,
        hosts: &BTreeMap<Name, Host>,
        vault: &Vault,
    ) -> Result<Self, Mistake> {
        let SecretShape { keys: shape, servers } = shape.value;
        let issuer = IssuerRef::read(folder, &shape.issuer)?;
        let issuer_host = issuer.host(shape.issuer_host.as_ref())?;
        let admin = shape.admin.as_ref().map(|text| Reference::read(folder, "admin", text)).transpose()?;
        let fields = read_fields(&shape, &issuer)?;
        let derived = read_derived(&shape, &fields)?;
        let server = read_server(&shape.issuer, &issuer, &servers, folder)?;
        let aws = read_aws(&shape, &issuer)?;
        let revoke = Revoke::build(&shape.revoke, shape.unattended)?;
        let max_parallel = read_parallel(shape.max_parallel.as_ref(), defaults.max_parallel)?;
        let gate = shape.gate.as_ref().map(|gate| Gate::read(gate, folder)).transpose()?;
        let owner = read_owner(shape.owner.as_ref())?;
        let rotate_every = match &shape.rotate_every {
            None => None,
            Some(_) => Some(read_period("rotate_every", shape.rotate_every.as_ref(), Duration::ZERO)?),
        };
        let windows = read_windows("window", shape.window.as_ref())?;
        let other_keys = shape.other_keys.iter().map(OtherKey::read).collect::<Result<_, Mistake>>()?;
        let follower = first_follower(&shape.consumers);
        let shared = Shared { secret: &name, fields: &fields, derived: &derived };
        let consumers = read_consumers(&shape.consumers, folder, hosts, &shared)?;
        let searched_hosts = read_searched(shape.searched_hosts.as_ref(), hosts)?;
        let store = read_store(folder, &shape, &issuer, &fields)?;
        refuse_store_as_copy(&store, shape.store.as_ref(), &consumers)?;
        refuse_store_as_key(&store, shape.store.as_ref(), &consumers, hosts)?;
        let first = consumers.iter().find(|consumer| consumer.follows).zip(follower.as_ref());
        if let Some((consumer, at)) = first {
            refuse_unfollowed((&consumer.name, at), &store, &shape.revoke)?;
        }
        Ok(Self {
            store,
            vault: vault.clone(),
            max_parallel,
            on_failure: OnFailure::read(shape.on_failure.as_ref(), defaults.on_failure)?,
            deadlines: Deadlines::of_secret(&shape, &consumers, defaults.deadlines)?,
            unattended: shape.unattended,
            emergency_revoke: shape.emergency_revoke,
            emergencies_per_day: shape.emergencies_per_day.as_ref().map_or(1, |most| most.value),
            keep_retired: shape.keep_retired,
            name,
            issuer,
            issuer_host,
            admin,
            owner,
            rotate_every,
            windows,
            fields,
            derived,
            server,
            aws,
            revoke,
            roll: Roll::read(shape.roll.as_ref(), max_parallel)?,
            gate,
            other_keys,
            searched_hosts,
            consumers,
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

    /// The secret with only the consumers on this host, in their order; `local` is the machine that keyroll runs on, whatever
    /// the file calls it. A host may be a cluster.
    #[must_use]
    pub fn on(&self, host: &str) -> Self {
        let mut secret = self.clone();
        secret.consumers.retain(|consumer| consumer.is_on(host));
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

impl OtherKey {
    fn read(shape: &OtherKeyShape) -> Result<Self, Mistake> {
        let plain = |text: &str| !text.is_empty() && !text.chars().any(is_unseen);
        if !plain(&shape.id.value) {
            let why = "`other_keys.id` must not be empty, and have no characters that are not seen";
            return Err(Mistake::new(Kind::WrongForm, why).at(&shape.id.span));
        }
        let parts: Vec<&str> = shape.label.value.split('/').collect();
        let numbered = matches!(parts.as_slice(), ["keyroll", rotation, step] if plain(rotation) && step.bytes().all(|byte| byte.is_ascii_digit()) && step.parse::<u64>().is_ok());
        if !numbered {
            let why = "`other_keys.label` must be a whole label: keyroll/ROTATION/STEP";
            return Err(Mistake::new(Kind::WrongForm, why).at(&shape.label.span));
        }
        Ok(Self { id: shape.id.value.clone(), label: shape.label.value.clone() })
    }
}

impl Revoke {
    fn build(shape: &RevokeShape, unattended: bool) -> Result<Self, Mistake> {
        let mut require = BTreeSet::new();
        for text in &shape.require {
            require.insert(EvidenceKind::read(text)?);
        }
        let decide = match &shape.decide {
            None => Decide::Ask,
            Some(text) => match text.value.as_str() {
                "ask" => Decide::Ask,
                "standing" if unattended => Decide::Standing,
                "standing" => {
                    return Err(Mistake::new(
                        Kind::BadCombination,
                        "a standing consent needs `unattended = true`",
                    )
                    .at(&text.span));
                }
                _ => return Err(Mistake::one_of("revoke.decide", text, &["ask", "standing"])),
            },
        };
        Ok(Self {
            require,
            old_idle_for: read_period(
                "revoke.old_idle_for",
                shape.old_idle_for.as_ref(),
                Duration::from_secs(OLD_IDLE_DEFAULT_S),
            )?,
            soak: read_period("revoke.soak", shape.soak.as_ref(), Duration::from_secs(SOAK_DEFAULT_S))?,
            decide,
        })
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

/// The parts of the credential: as written, or the usual ones of its issuer.
fn read_fields(shape: &SecretKeys, issuer: &IssuerRef) -> Result<BTreeMap<Name, FieldSpec>, Mistake> {
    let mut fields = BTreeMap::new();
    let Some(written) = &shape.fields else {
        let usual = issuer.usual_fields();
        for (name, secret) in usual {
            fields.extend(Name::new(*name).map(|name| (name, FieldSpec { secret: *secret })));
        }
        return Ok(fields);
    };
    for (key, field) in written {
        let name = Name::read("a field", key)?;
        fields.insert(name, FieldSpec { secret: field.secret.unwrap_or(true) });
    }
    if !fields.values().any(|field| field.secret) {
        let fault = Mistake::new(Kind::BadCombination, "none of the fields is secret");
        return Err(written.keys().fold(fault, |fault, key| fault.at(&key.span)));
    }
    Ok(fields)
}

fn read_derived(
    shape: &SecretKeys,
    fields: &BTreeMap<Name, FieldSpec>,
) -> Result<BTreeMap<Name, Template>, Mistake> {
    let mut derived = BTreeMap::new();
    for (key, text) in &shape.derived {
        let name = Name::read("a derived text", key)?;
        if fields.contains_key(&name) {
            return Err(Mistake::new(Kind::Duplicate, format!("`{name}` is a field already")).at(&key.span));
        }
        derived.insert(name, Template::read(&text.value, &text.span, fields)?);
    }
    Ok(derived)
}

/// The source of truth. One outside of keyroll holds one value of the secret.
fn read_store(
    folder: &Path,
    shape: &SecretKeys,
    issuer: &IssuerRef,
    fields: &BTreeMap<Name, FieldSpec>,
) -> Result<StoreRef, Mistake> {
    let text = shape.store.as_ref();
    let store = StoreRef::read(folder, text)?.in_cluster(shape.kubernetes.as_ref(), folder)?;
    let Some(text) = text.filter(|_| store != StoreRef::Keyroll) else { return Ok(store) };
    let refuse = |why: String, help: &str| {
        Err(Mistake::new(Kind::BadCombination, format!("`store`: {why}")).at(&text.span).help(help))
    };
    if let Some(server) = issuer.server() {
        return refuse(
            format!(
                "rotations on `{}` alternate between two logins, and this store would hold the password without its user",
                server.word
            ),
            "write `store = \"keyroll\"`",
        );
    }
    if *issuer == IssuerRef::AwsAccessKey {
        let why = "every rotation changes the access key id too, and this store would hold the secret access key without it";
        return refuse(why.to_owned(), "write `store = \"keyroll\"`");
    }
    match fields.values().filter(|field| field.secret).count() {
        1 => Ok(store),
        several => refuse(
            format!("it holds one value, and this secret has {several} secret fields"),
            "make each secret field a secret of its own, or write `store = \"keyroll\"`",
        ),
    }
}

/// A copy that consumers start from is delivered to; what the store holds is given out. One place cannot be both. The store
/// is a file of this machine.
fn refuse_store_as_copy(
    store: &StoreRef,
    text: Option<&At<String>>,
    consumers: &[Consumer],
) -> Result<(), Mistake> {
    let (StoreRef::File { path, .. }, Some(text)) = (store, text) else { return Ok(()) };
    let reads = |consumer: &&Consumer| {
        consumer.is_here && consumer.reads.iter().any(|copy| copy.place.path() == path)
    };
    let Some(consumer) = consumers.iter().find(reads) else { return Ok(()) };
    let why = format!("`store` is a file that the consumer `{}` reads", consumer.name);
    Err(Mistake::new(Kind::BadCombination, why).at(&text.span).help(
        "leave out `store`: keyroll then seals the value itself, and delivers it to this file; or name another file, \
         from which `fetch` makes this one",
    ))
}

/// The same for a key of a Secret, where the store and the consumer can be in one cluster.
fn refuse_store_as_key(
    store: &StoreRef,
    text: Option<&At<String>>,
    consumers: &[Consumer],
    hosts: &BTreeMap<Name, Host>,
) -> Result<(), Mistake> {
    let (StoreRef::Kubernetes { namespace, name, key, cluster }, Some(text)) = (store, text) else {
        return Ok(());
    };
    let reads = |consumer: &&Consumer| {
        let address = hosts.get(&consumer.host).and_then(|host| host.connect.cluster());
        let (Some(pods), Some(address)) = (&consumer.in_cluster, address) else { return false };
        (&pods.secret, &pods.key, address.namespace.as_ref()) == (name, key, Some(namespace))
            && cluster.in_cluster == address.is_in_cluster()
            && (cluster.context.is_none() || cluster.context == address.context)
    };
    let Some(consumer) = consumers.iter().find(reads) else { return Ok(()) };
    let why = format!("`store` is a key of a Secret that the consumer `{}` reads", consumer.name);
    Err(Mistake::new(Kind::BadCombination, why)
        .at(&text.span)
        .help("leave out `store`: keyroll then seals the value itself, and delivers it to this Secret"))
}

fn read_owner(text: Option<&At<String>>) -> Result<Option<String>, Mistake> {
    let Some(text) = text else { return Ok(None) };
    if text.value.len() > OWNER_BYTES_MAX || text.value.chars().any(char::is_control) {
        let why = format!("`owner` must be at most {OWNER_BYTES_MAX} bytes without control characters");
        return Err(Mistake::new(Kind::WrongForm, why).at(&text.span));
    }
    Ok(Some(text.value.clone()))
}

/// The IAM user, if the issuer is AWS. keyroll's own login there stands in no file of its own.
fn read_aws(shape: &SecretKeys, issuer: &IssuerRef) -> Result<Option<AwsUser>, Mistake> {
    let fault = |why: &str, at: &At<String>| Mistake::new(Kind::BadCombination, why).at(&at.span);
    if *issuer != IssuerRef::AwsAccessKey {
        let Some(table) = &shape.aws else { return Ok(None) };
        let why = "`aws` goes with `issuer = \"aws-access-key\"` only";
        return Err(Mistake::new(Kind::BadCombination, why).at(&table.span));
    }
    if let Some(admin) = &shape.admin {
        return Err(fault("`admin` does not go with `issuer = \"aws-access-key\"`", admin).help(
            "keyroll's login is that of a profile (`aws.profile`), or of the usual AWS configuration: a role, SSO, the \
             environment",
        ));
    }
    let Some(table) = &shape.aws else {
        let why = "`issuer = \"aws-access-key\"` needs a `[secrets.<name>.aws]` table";
        return Err(fault(why, &shape.issuer).help(
            "with `user`, the name of the IAM user, `account`, the number of its account (`account = \"123456789012\"`), and \
             `region`",
        ));
    };
    AwsUser::read(table).map(Some)
}

/// The table of the issuer, if it is a server. A table of another server is refused.
fn read_server(
    text: &At<String>,
    issuer: &IssuerRef,
    servers: &BTreeMap<&'static str, At<WrittenTable>>,
    folder: &Path,
) -> Result<Option<Table>, Mistake> {
    let own = issuer.server();
    let other = servers.iter().find(|(word, _)| own.is_none_or(|server| server.word != **word));
    if let Some((word, table)) = other {
        let why = format!("`{word}` goes with `issuer = \"{word}\"` only");
        return Err(Mistake::new(Kind::BadCombination, why).at(&table.span));
    }
    let Some(server) = own else { return Ok(None) };
    let Some(table) = servers.get(server.word) else {
        let why = format!("`issuer = \"{0}\"` needs a `[secrets.<name>.{0}]` table", server.word);
        return Err(Mistake::new(Kind::BadCombination, why)
            .at(&text.span)
            .help(format!("with {}", login_table::required(server))));
    };
    login_table::read(server, table, folder).map(Some)
}
