use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::around::Around;
use crate::at::At;
use crate::broken::Broken;
use crate::copy::Place;
use crate::file_shape::FileShape;
use crate::file_text::{read_text, unreadable};
use crate::host::read_hosts;
use crate::mistake::Mistake;
use crate::mistakes::{Mistakes, Read};
use crate::parse::parse_shape;
use crate::reading::Reading;
use crate::schedule::Schedule;
use crate::search::Search;
use crate::secret::Secret;
use crate::secret_shape::SecretShape;
use crate::server::Server;
use crate::suggest::nearest;
use crate::{ConfigError, Defaults, Host, Kind, KubeAddress, Name, StoreRef, Vault};

/// What a keyroll.toml begins with that a server in a cluster writes: changes of it would be written over, and another file
/// is never written over by it.
pub const COMPOSED: &str = "# Written by keyroll serve --kubernetes,";

/// What messages call a text that is no file.
const FILE_NAME: &str = "keyroll.toml";

/// One keyroll.toml, checked completely: everything that can be refused without inspecting the machine was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder that relative paths refer to, absolute; commands of the file run in it.
    pub folder: PathBuf,
    /// The defaults, which a secret may override.
    pub defaults: Defaults,
    /// When secrets are rotated without an operator.
    pub schedule: Schedule,
    /// Where values are searched for, and how much.
    pub search: Search,
    /// The declared machines and clusters by name; `local` need not be among them.
    pub hosts: BTreeMap<Name, Host>,
    /// The secrets by name.
    pub secrets: BTreeMap<Name, Secret>,
    /// The server that `keyroll serve` runs.
    pub server: Option<Server>,
}

impl Config {
    /// Reads a file. Relative paths in it refer to its folder, with links in the folder's own path resolved.
    ///
    /// # Errors
    /// [`Kind::Unreadable`] if it is missing, not a regular file, not UTF-8 or above [`crate::CONFIG_BYTES_MAX`]; else as
    /// [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = Self::text(path)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = folder
            .canonicalize()
            .map_err(|error| unreadable(path, &format!("its folder cannot be resolved: {error}")))?;
        Self::parse_current(&text, &path.display().to_string(), &folder)
    }

    /// The text of a file, unchecked.
    ///
    /// # Errors
    /// [`Kind::Unreadable`], as for [`Config::load`].
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        read_text(path)
    }

    /// Checks a text that counts from now on, also for what keyroll accepted in former versions: an issuer that it does not
    /// have, or a bystander that could be any program. `file_name` is used in messages only.
    ///
    /// # Errors
    /// Every mistake, the first one first, each with its line and column.
    pub fn parse_current(text: &str, file_name: &str, folder: &Path) -> Result<Self, ConfigError> {
        Self::parse_in(text, file_name, folder, Reading::Current)
    }

    /// Checks a text, which may have been accepted before by another version. `file` is used in messages only, and is not read;
    /// its folder, as written, is the base of relative paths.
    ///
    /// # Errors
    /// Every mistake, the first one first, each with its line and column.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let folder = Path::new(file_name).parent().unwrap_or(Path::new("")).to_path_buf();
        Self::parse_in(text, file_name, &folder, Reading::Former)
    }

    /// Checks a text whose relative paths refer to this folder: a slice, on its host. Messages call the file
    /// `keyroll.toml`.
    ///
    /// # Errors
    /// Every mistake, the first one first, each with its line and column.
    pub fn parse_in_folder(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        Self::parse_in(text, FILE_NAME, folder, Reading::Former)
    }

    fn parse_in(text: &str, file: &str, folder: &Path, reading: Reading) -> Result<Self, ConfigError> {
        let mut all = Mistakes::default();
        let read = parse_shape(text, &mut all);
        let built = read.and_then(|(shape, broken)| Self::build(shape, &broken, (folder, reading), &mut all));
        built.filter(|_| all.is_empty()).ok_or_else(|| all.into_error(text, file))
    }

    /// Checks everything, and notes every mistake. What is `broken` is noted already, and what depends on a mistake is not
    /// checked.
    fn build(
        shape: FileShape,
        broken: &Broken,
        (folder, reading): (&Path, Reading),
        all: &mut Mistakes,
    ) -> Read<Self> {
        if shape.version.value != 1 && !broken.has("version") {
            let message = "this version of keyroll reads version 1 of the format";
            let mistake = Mistake::new(Kind::BadVersion, message).at(&shape.version.span);
            // Another version may have other keys: what seems to be a mistake may be none.
            *all = Mistakes::default();
            all.push(mistake.help("write `version = 1`"));
            return None;
        }
        let defaults = Defaults::build(&shape.defaults, &broken.below("defaults"), all);
        let schedule = Schedule::build(&shape.schedule, all);
        let (hosts, hosts_are_whole) = read_hosts(&shape.hosts, folder, &broken.below("hosts"), all);
        let search = Search::build(&shape.search, folder, all);
        let vault = shape.vault.as_ref().filter(|_| !broken.has("vault"));
        let vault = Vault::build(vault, folder, all);
        let around = Around {
            folder,
            defaults: defaults.as_ref(),
            hosts: &hosts,
            hosts_are_whole: hosts_are_whole && !broken.has("hosts"),
            vault: vault.as_ref(),
            reading,
        };
        let secrets = read_secrets(shape.secrets, &around, &broken.below("secrets"), all);
        let secrets = secrets.filter(|_| !broken.has("secrets"));
        let server = shape.server.filter(|_| !broken.has("server"));
        let server = server.map(|server| Server::build(&server.value, &around, secrets.as_ref(), all));
        let server = match server {
            Some(server) => Some(server?),
            None => None,
        };
        let (defaults, schedule, search, secrets) = (defaults?, schedule?, search?, secrets?);
        let folder = folder.to_path_buf();
        Some(Self { folder, defaults, schedule, search, hosts, secrets, server }.with_objects_marked())
    }

    fn with_objects_marked(mut self) -> Self {
        let names = self.secrets.keys().filter(|name| self.is_of_object(name.as_str()));
        for name in names.cloned().collect::<Vec<_>>() {
            if let Some(secret) = self.secrets.get_mut(&name) {
                secret.of_object = true;
            }
        }
        self
    }

    /// The hosts by ssh that a rotation of a secret searches although no consumer of it is there: those of
    /// `searched_hosts`; without it all of the file, if a consumer is on a host by ssh, and else none.
    pub fn searched_hosts(&self, secret: &Secret) -> BTreeSet<&str> {
        let of_consumers = secret.ssh_hosts();
        let is_meant = |name: &str| match &secret.searched_hosts {
            Some(meant) => meant.contains(name),
            None => !of_consumers.is_empty(),
        };
        self.bystanders(secret).into_iter().filter(|name| is_meant(name)).collect()
    }

    /// The hosts by ssh that a rotation of a secret does not look at.
    pub fn unsearched_hosts(&self, secret: &Secret) -> BTreeSet<&str> {
        self.bystanders(secret).difference(&self.searched_hosts(secret)).copied().collect()
    }

    /// The hosts by ssh without a consumer of a secret.
    pub fn bystanders(&self, secret: &Secret) -> BTreeSet<&str> {
        let of_consumers = secret.ssh_hosts();
        let by_ssh = self.hosts.values().filter(|host| host.connect.is_ssh());
        by_ssh.map(|host| host.name.as_str()).filter(|name| !of_consumers.contains(name)).collect()
    }

    /// The address of a host that is a cluster.
    pub fn cluster(&self, host: &str) -> Option<&KubeAddress> {
        self.hosts.get(host)?.connect.cluster()
    }

    /// The host that is a followed namespace of this name; none: the server follows no such namespace.
    pub fn followed_host(&self, namespace: &str) -> Option<&Name> {
        let is_it = |host: &Name| {
            let address = self.cluster(host.as_str());
            address.is_some_and(|address| address.namespace.as_deref() == Some(namespace))
        };
        let followed = self.server.as_ref()?.kubernetes.as_ref()?;
        followed.namespaces.keys().find(|host| is_it(host))
    }

    /// Whether a secret is called as that of a `SecretRotation` object is: a server that follows the namespace of this name
    /// writes its table.
    pub fn is_of_object(&self, secret: &str) -> bool {
        secret.split_once('.').is_some_and(|(namespace, _)| self.followed_host(namespace).is_some())
    }

    /// One secret by name.
    ///
    /// # Errors
    /// For a name that does not exist: the nearest name, or all names, as a sentence.
    pub fn secret(&self, name: &str) -> Result<&Secret, String> {
        self.secrets.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.secrets.keys().map(Name::as_str).collect();
            match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => {
                    "no secret is configured: keyroll secret add NAME --issuer ISSUER --admin file:./FILE; \
                     keyroll issuers list shows the issuers"
                        .to_owned()
                }
                None => format!("the secrets are: {}", names.join(", ")),
            }
        })
    }
}

/// Reads all secrets, and refuses what two of those without a mistake have in common.
fn read_secrets(
    shapes: BTreeMap<At<String>, At<SecretShape>>,
    around: &Around<'_>,
    broken: &Broken,
    all: &mut Mistakes,
) -> Read<BTreeMap<Name, Secret>> {
    let (mut secrets, mut spans) = (BTreeMap::new(), Vec::new());
    let mut is_whole = true;
    for (key, shape) in shapes {
        let name = all.note(Name::read("a secret", &key));
        let secret = name.clone().and_then(|name| {
            let broken = broken.below(name.as_str());
            Secret::build(name, shape, around, &broken, all)
        });
        match name.zip(secret) {
            Some((name, secret)) => {
                spans.push((name.clone(), key.span));
                secrets.insert(name, secret);
            }
            None => is_whole = false,
        }
    }
    all.note(refuse_shared_places(&secrets, &spans));
    all.note(refuse_shared_stores(&secrets, &spans));
    all.note(refuse_shared_roles(&secrets, &spans));
    is_whole.then_some(secrets)
}

/// A place as a secret claims it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Claimed<'a> {
    /// A key of a Secret, whichever workload takes it.
    Key(&'a str, &'a str),
    /// Any other place.
    Place(&'a Place),
}

fn claimed(place: &Place) -> Claimed<'_> {
    match place {
        Place::Key { secret, key, .. } => Claimed::Key(secret, key),
        Place::EnvFile { .. }
        | Place::File { .. }
        | Place::Inside { .. }
        | Place::Userlist { .. }
        | Place::Within { .. } => Claimed::Place(place),
    }
}

/// One place on a machine may hold only one secret: two secrets would overwrite each other.
fn refuse_shared_places(
    secrets: &BTreeMap<Name, Secret>,
    spans: &[(Name, Range<usize>)],
) -> Result<(), Mistake> {
    let mut owners: BTreeMap<(&str, Claimed<'_>), &Name> = BTreeMap::new();
    for secret in secrets.values() {
        let copies =
            secret.consumers.iter().flat_map(|it| it.reads.iter().map(move |copy| (it, &copy.place)));
        for (consumer, place) in copies {
            // A list of logins may hold the logins of several secrets, each found by its name.
            if matches!(place, Place::Userlist { .. }) {
                continue;
            }
            let other = *owners.entry((consumer.machine(), claimed(place))).or_insert(&secret.name);
            if other == &secret.name {
                continue;
            }
            let on = if consumer.is_here { String::new() } else { format!(" on `{}`", consumer.host) };
            let why = format!("secrets `{other}` and `{}` claim the same place: {place}{on}", secret.name);
            return Err(shared(secret, spans, why)
                .help("a place holds one secret: make them one secret, or correct the path"));
        }
    }
    Ok(())
}

/// Two secrets would overwrite each other's value at the same place of a store.
fn refuse_shared_stores(
    secrets: &BTreeMap<Name, Secret>,
    spans: &[(Name, Range<usize>)],
) -> Result<(), Mistake> {
    let mut owners: Vec<(&StoreRef, &Name)> = Vec::new();
    for secret in secrets.values().filter(|secret| secret.store != StoreRef::Keyroll) {
        let Some((_, other)) = owners.iter().find(|(store, _)| store.is_same_place(&secret.store)) else {
            owners.push((&secret.store, &secret.name));
            continue;
        };
        let why = format!("secrets `{other}` and `{}` have the same `store`", secret.name);
        return Err(shared(secret, spans, why)
            .help("it holds one value: make them one secret, or correct the key behind `#`"));
    }
    Ok(())
}

/// The mistake of the second of two secrets that have the same.
fn shared(secret: &Secret, spans: &[(Name, Range<usize>)], why: String) -> Mistake {
    let span = spans.iter().find(|(name, _)| name == &secret.name).map(|(_, span)| span.clone());
    Mistake::new(Kind::Duplicate, why).at(&span.unwrap_or_default())
}

/// The idle static role of one secret would be the one in use of the other.
fn refuse_shared_roles(
    secrets: &BTreeMap<Name, Secret>,
    spans: &[(Name, Range<usize>)],
) -> Result<(), Mistake> {
    let mut owners: BTreeMap<&str, &Name> = BTreeMap::new();
    for secret in secrets.values() {
        let Some(table) = &secret.server else { continue };
        for role in table.static_roles().into_iter().flatten() {
            let other = *owners.entry(role).or_insert(&secret.name);
            if other == &secret.name {
                continue;
            }
            let why = format!(
                "secrets `{other}` and `{}` have the same static role in `vault_roles`: {role}",
                secret.name
            );
            return Err(shared(secret, spans, why)
                .help("a rotation of the one would end the password of the other: make them one secret"));
        }
    }
    Ok(())
}
