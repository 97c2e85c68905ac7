//! The composed configuration: the base file, and a table for every object that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::slice;

use keyroll_codes::Code;
use keyroll_config::{CONFIG_BYTES_MAX, Config, Secret};
use toml::{Table, Value};

use crate::base::{BadBase, Base, one_line};
use crate::bounds::Bounds;
use crate::fit::fit;
use crate::object::{Id, SecretRotation};
use crate::refusal::Refusal;
use crate::share::{Shares, full, namespace_of};
use crate::standing::Accepted;

/// What the parser calls the text, which nobody wrote.
const FILE_NAME: &str = "keyroll.toml";

/// A composed configuration.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Its text.
    pub text: String,
    /// Whether the `spec` of each object counts.
    pub each: BTreeMap<Id, Accepted>,
    /// What it says.
    pub config: Config,
}

/// The tables of objects in the composed file that is there now, as text, by the names of their secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Former(BTreeMap<String, String>);

impl Former {
    /// Reads the text of a composed file; secrets of the base file are not of objects.
    ///
    /// # Errors
    /// It is not TOML: it was changed by somebody else, and what counted is not known.
    pub fn read(text: &str, base: &Base) -> Result<Self, BadBase> {
        let whole: Table = toml::from_str(text).map_err(|_| BadBase {
            code: Code::ConfigInvalid,
            sentence: "the composed configuration is not TOML: somebody else changed it".to_owned(),
            help: Some(
                "restore it; or remove it, if no rotation is open: keyroll then composes it from the objects alone".to_owned(),
            ),
        })?;
        let secrets = whole.get("secrets").and_then(Value::as_table).into_iter().flatten();
        let of_objects = secrets.filter(|(name, _)| !base.config().secrets.contains_key(name.as_str()));
        let tables = of_objects
            .filter_map(|(name, table)| Some((name.clone(), written(name, table.as_table()?).ok()?)));
        Ok(Self(tables.collect()))
    }

    /// The names of the secrets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Secrets whose former table stays though no object that was read asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stays {
    /// A rotation of it is open.
    pub open: BTreeSet<String>,
    /// Its object is there, or may be, and was not read.
    pub unseen: BTreeSet<String>,
}

/// Composes the configuration that is written to `file`. Of two objects that exclude each other the one with an open rotation
/// counts, or else the older one. An object whose `spec` cannot be used keeps the table that it had, if that can still be
/// used. The table of a deleted object stays while a rotation of its secret is open. What an open rotation began with is not
/// refused for what it reaches: the rotation must be able to end. It never reaches another namespace. Each followed namespace
/// has an equal share of the room that the base file leaves: what counted before keeps its place in it, whatever others ask.
pub fn compose(
    base: &Base,
    file: &Path,
    objects: &[SecretRotation],
    former: &Former,
    stays: &Stays,
) -> Composed {
    let (composed, is_short) = compose_once(base, file, objects, former, stays);
    // What a table gave up is room for another one.
    if is_short
        && let Ok(now) = Former::read(&composed.text, base)
        && now != *former
    {
        return compose_once(base, file, objects, &now, stays).0;
    }
    composed
}

/// The same, and whether a table was refused because there was no room for it beside those of before.
fn compose_once(
    base: &Base,
    file: &Path,
    objects: &[SecretRotation],
    former: &Former,
    stays: &Stays,
) -> (Composed, bool) {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let (alone, mut kept) = (Kept::new(base, folder), Kept::new(base, folder));
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let seen: BTreeSet<String> = objects.iter().map(SecretRotation::secret).collect();
    for (secret, table) in former.0.iter().filter(|(secret, _)| !seen.contains(*secret)) {
        let (open, unseen) = (stays.open.contains(secret), stays.unseen.contains(secret));
        if open || unseen {
            let entry = Entry { open, unseen, ..Entry::nothing(secret.clone()) };
            entries.push(Entry::without_object(base, table, entry));
        }
    }
    let mut ordered: Vec<(bool, &SecretRotation)> =
        objects.iter().map(|object| (stays.open.contains(&object.secret()), object)).collect();
    ordered.sort_by(|(open, one), (others, other)| {
        (!open, one.made_s, &one.id).cmp(&(!others, other.made_s, &other.id))
    });
    for (open, object) in ordered {
        let secret = object.secret();
        let table = former.0.get(&secret).cloned();
        entries.push(Entry::of(base, object, Entry { former: table, open, ..Entry::nothing(secret) }));
    }
    kept.reserve(&entries);
    for entry in entries.iter_mut().filter(|entry| entry.object.is_some()) {
        alone.refuse_out_of_place(entry);
        kept.refuse_without_room(entry);
        // A mistake of its own shows without the others.
        if let Err(refusal) = alone.with(slice::from_ref(&*entry)) {
            entry.refuse(refusal);
        }
    }
    kept.add(&mut entries);
    let each = entries.iter().filter_map(|entry| Some((entry.object?.clone(), entry.accepted()))).collect();
    (Composed { text: kept.text, each, config: kept.config }, kept.is_short)
}

/// A table that may count, with the one that counts if it does not.
#[derive(Debug)]
struct Entry<'a> {
    /// The name of its secret.
    secret: String,
    /// Its object; none: it was deleted, or is not seen.
    object: Option<&'a Id>,
    /// What it may reach.
    bounds: Option<Bounds<'a>>,
    /// A rotation of the secret is open.
    open: bool,
    /// Its object is there, or may be, and was not read.
    unseen: bool,
    /// The table of the object's `spec`, until it was refused.
    fresh: Option<String>,
    /// The table that counted before, until it was refused.
    former: Option<String>,
    /// Why the `spec` was refused; beside a fresh table, why it is about to be.
    why: Option<Refusal>,
}

impl<'a> Entry<'a> {
    fn nothing(secret: String) -> Self {
        Self {
            secret,
            object: None,
            bounds: None,
            open: false,
            unseen: false,
            fresh: None,
            former: None,
            why: None,
        }
    }

    /// The same with the table of an object that was deleted, or is not seen.
    fn without_object(base: &'a Base, table: &str, entry: Self) -> Self {
        let bounds = namespace_of(&entry.secret).and_then(|namespace| Bounds::of_namespace(base, namespace));
        Self { bounds, former: Some(table.to_owned()), ..entry }
    }

    /// The same with the table of an object's `spec`, or why there is none.
    fn of(base: &'a Base, object: &'a SecretRotation, entry: Self) -> Self {
        let bounds = Bounds::of(base, &object.id.host);
        let fitted = match bounds {
            None => Err(unfollowed()),
            Some(_) if base.config().secrets.contains_key(entry.secret.as_str()) => Err(taken()),
            Some(bounds) => fit(object, &bounds)
                .and_then(|(table, mistakes)| Ok((written(&entry.secret, &table)?, mistakes))),
        };
        let (fresh, why) = match fitted {
            Ok((table, mistakes)) => (Some(table), Refusal::of_all(mistakes).err()),
            Err(refusal) => (None, Some(refusal)),
        };
        Self { object: Some(&object.id), bounds, fresh, why, ..entry }
    }

    /// The table to try next.
    fn table(&self) -> Option<&str> {
        self.fresh.as_deref().or(self.former.as_deref())
    }

    /// That table is refused.
    fn refuse(&mut self, refusal: Refusal) {
        match self.fresh.take() {
            Some(_) => self.why = Some(refusal),
            None => self.former = None,
        }
    }

    /// Refuses its secret if that reaches further than it may.
    fn check(&self, config: &Config) -> Result<(), Refusal> {
        let Some(secret) = config.secrets.get(self.secret.as_str()) else { return Ok(()) };
        let goes_on = self.fresh.is_none() && self.open;
        match &self.bounds {
            _ if self.table().is_none() => Ok(()),
            _ if !self.is_at_home(secret, config) => Err(moved()),
            _ if goes_on => Ok(()),
            Some(bounds) => bounds.check(secret),
            None => Err(unfollowed()),
        }
    }

    /// Whether every consumer is in the namespace that the secret is called after. A table names a host, which may be another
    /// namespace by now: its pods must not get this value.
    fn is_at_home(&self, secret: &Secret, config: &Config) -> bool {
        let Some(own) = namespace_of(&self.secret) else { return true };
        secret.consumers.iter().all(|consumer| {
            let address = config.cluster(consumer.host.as_str());
            address.is_none_or(|address| address.namespace.as_deref() == Some(own))
        })
    }

    /// A table behind a comment that says where it is from.
    fn comment(&self, table: &str) -> String {
        match self.object {
            Some(id) => format!("\n# {}\n{table}", one_line(&id.to_string())),
            None if self.unseen => format!("\n# its object is not read now\n{table}"),
            None => format!("\n# its object was deleted, and its rotation is open\n{table}"),
        }
    }

    /// How much one of its tables takes.
    fn bytes(&self, table: &str) -> u64 {
        self.comment(table).len() as u64
    }

    fn accepted(&self) -> Accepted {
        let why = || self.why.as_ref().map(Refusal::to_string).unwrap_or_default();
        match (&self.fresh, &self.former) {
            (Some(_), _) => Accepted::Yes,
            (None, Some(_)) => Accepted::Former(why()),
            (None, None) => Accepted::No(why()),
        }
    }
}

/// The tables that count so far.
#[derive(Debug)]
struct Kept<'a> {
    base: &'a Base,
    folder: &'a Path,
    /// By the names of their secrets.
    tables: BTreeMap<String, String>,
    /// What they take, and what is reserved for the tables of before.
    shares: Shares,
    /// A table was refused because there was no room for it.
    is_short: bool,
    /// The whole text.
    text: String,
    /// What it says.
    config: Config,
}

impl<'a> Kept<'a> {
    /// The base file alone.
    fn new(base: &'a Base, folder: &'a Path) -> Self {
        let config = Config { folder: folder.to_path_buf(), ..base.config().clone() };
        let (tables, shares) = (BTreeMap::new(), Shares::new(base));
        Self { base, folder, tables, shares, is_short: false, text: base.beginning(), config }
    }

    /// Reserves the room of the tables that counted before.
    fn reserve(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            if let Some(former) = &entry.former {
                self.shares.put(&entry.secret, entry.bytes(former));
            }
        }
    }

    /// Refuses a table for what is not for an object, together with the other mistakes of it.
    fn refuse_out_of_place(&self, entry: &mut Entry<'_>) {
        let Some(place) = entry.why.take_if(|_| entry.fresh.is_some()) else { return };
        let others = self.with(slice::from_ref(&*entry)).err();
        if let Err(all) = Refusal::of_all(std::iter::once(place).chain(others)) {
            entry.refuse(all);
        }
    }

    /// Refuses a table for which its namespace has no room. The one of before has its own.
    fn refuse_without_room(&mut self, entry: &mut Entry<'_>) {
        let Some(table) = entry.table() else { return };
        if let Err(refusal) = self.shares.check(&entry.secret, entry.bytes(table)) {
            entry.refuse(refusal);
            self.is_short = true;
        }
    }

    /// The shares with these tables, one after the other.
    fn shares_with(&self, entries: &[Entry<'_>]) -> Result<Shares, Refusal> {
        let mut shares = self.shares.clone();
        for entry in entries {
            let bytes = entry.table().map(|table| entry.bytes(table)).unwrap_or_default();
            shares.check(&entry.secret, bytes)?;
            shares.put(&entry.secret, bytes);
        }
        Ok(shares)
    }

    /// The same with more tables.
    fn with(&self, entries: &[Entry<'_>]) -> Result<Self, Refusal> {
        let Self { base, folder, .. } = *self;
        let mut tables = self.tables.clone();
        for entry in entries {
            let Some(table) = entry.table() else { continue };
            if tables.insert(entry.secret.clone(), entry.comment(table)).is_some() {
                return Err(taken());
            }
        }
        let mut text = base.beginning();
        text.extend(tables.values().map(String::as_str));
        if text.len() as u64 > CONFIG_BYTES_MAX {
            return Err(full());
        }
        let config = Config::parse_current(&text, FILE_NAME, folder);
        let config = config.map_err(|error| Refusal::of(&error, &text))?;
        entries.iter().try_for_each(|entry| entry.check(&config))?;
        Ok(Self { base, folder, tables, shares: self.shares.clone(), is_short: self.is_short, text, config })
    }

    /// Adds the tables that can be used together, the older ones first: all at once, or else each half by itself.
    fn add(&mut self, entries: &mut [Entry<'_>]) {
        for entry in entries.iter_mut() {
            self.refuse_without_room(entry);
        }
        if entries.iter().all(|entry| entry.table().is_none()) {
            for entry in entries.iter() {
                self.shares.put(&entry.secret, 0);
            }
            return;
        }
        let more = self.shares_with(entries).and_then(|shares| Ok(Self { shares, ..self.with(entries)? }));
        let refusal = match more {
            Ok(more) => {
                *self = more;
                return;
            }
            Err(refusal) => refusal,
        };
        if let [only] = entries {
            only.refuse(refusal);
            return self.add(slice::from_mut(only));
        }
        let (older, younger) = entries.split_at_mut(entries.len() / 2);
        self.add(older);
        self.add(younger);
    }
}

/// The table of a secret as it stands in the file.
fn written(secret: &str, table: &Table) -> Result<String, Refusal> {
    let secrets = Table::from_iter([(secret.to_owned(), Value::Table(table.clone()))]);
    let whole = Table::from_iter([("secrets".to_owned(), Value::Table(secrets))]);
    // What the writer says could repeat a value.
    toml::to_string(&whole).map_err(|_| Refusal::new("its `spec` cannot be written as TOML", ""))
}

fn moved() -> Refusal {
    Refusal::new(
        "a host that it names is another namespace by now",
        "correct [hosts] in keyroll's base file: a value must not get into another namespace",
    )
}

fn taken() -> Refusal {
    Refusal::new("another secret has this name already", "make an object of another name")
}

fn unfollowed() -> Refusal {
    Refusal::new(
        "keyroll does not follow its namespace",
        "add [server.kubernetes.namespaces.HOST] to keyroll's base file",
    )
}
