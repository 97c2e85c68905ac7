//! The part of a configuration that one host gets: what concerns one secret's consumers there, and nothing else.

use toml::{Table, Value};

use crate::host_words::hosts_meant;
use crate::{Config, ConfigError, Connect, Host, Kind, LOCAL, Secret};

/// What a slice has of the top of the file, besides its hosts and secrets.
const TOP: [&str; 3] = ["version", "defaults", "search"];

/// What a host has no use for in a secret's table: how keys are made and revoked, and when and in which order a rotation
/// takes its steps. keyroll decides that, and not the host.
const DECIDED_ELSEWHERE: [&str; 14] = [
    "admin",
    "owner",
    "rotate_every",
    "window",
    "unattended",
    "emergency_revoke",
    "emergencies_per_day",
    "keep_retired",
    "max_parallel",
    "on_failure",
    "revoke",
    "roll",
    "other_keys",
    "searched_hosts",
];

/// The text that a host gets for one secret, without comments: no other secret, no other host, no server, and of the secret
/// only the consumers and bystanders there. With [`Config::parse_in_folder`] it gives the consumers of [`crate::Secret::on`], in the same
/// order; that was checked before it is returned. `host` = `local`: the machine that keyroll runs on.
///
/// The secret's `store`, and `[vault]`, are part of it only if a consumer there reads the store itself: on a host, the path
/// of a store that is a file would name another file.
///
/// # Errors
/// [`Kind::BadEdit`] if there is no such secret or host; any other kind if the text is refused.
pub fn slice(text: &str, file: &str, secret: &str, host: &str) -> Result<String, ConfigError> {
    let refuse = |why: String, help: Option<String>| ConfigError::new(Kind::BadEdit, file, why, None, help);
    let config = Config::parse(text, file)?;
    let wanted =
        config.secret(secret).map_err(|help| refuse(format!("there is no secret `{secret}`"), Some(help)))?;
    let wanted = wanted.on(host);
    if config.cluster(host).is_some() {
        return Err(refuse(format!("`{host}` is a cluster, which gets no slice"), None));
    }
    let named = Names::of(host, &config);
    if named.own.is_empty() {
        return Err(refuse(format!("there is no host `{host}`"), None));
    }
    let mut whole: Table =
        toml::from_str(text).map_err(|_| refuse("it cannot be sliced: not TOML".to_owned(), None))?;
    let own = named.sliced(table(table(whole.remove("secrets")).remove(secret)));
    let vault = own.contains_key("store").then_some("vault");
    let mut part = Table::new();
    for key in TOP.into_iter().chain(vault) {
        part.extend(whole.remove(key).map(|value| (key.to_owned(), value)));
    }
    let mut hosts = table(whole.remove("hosts"));
    hosts.retain(|name, _| named.own.contains(&name));
    part.insert("hosts".to_owned(), Value::Table(hosts));
    let secrets = Table::from_iter([(secret.to_owned(), Value::Table(own))]);
    part.insert("secrets".to_owned(), Value::Table(secrets));
    let sliced =
        toml::to_string(&part).map_err(|_| refuse("its slice cannot be written".to_owned(), None))?;
    let own_folder = config.hosts.get(host).and_then(|host| host.folder.as_ref());
    let read = Config::parse_in_folder(&sliced, own_folder.unwrap_or(&config.folder))?;
    let is_same =
        |read: &Secret| (&read.consumers, &read.bystanders) == (&wanted.consumers, &wanted.bystanders);
    match read.secrets.get(secret).is_some_and(is_same) {
        true => Ok(sliced),
        false => {
            Err(refuse("its slice would have other consumers or bystanders than the file".to_owned(), None))
        }
    }
}

/// A table of the file; an empty one if it is not there.
fn table(value: Option<Value>) -> Table {
    if let Some(Value::Table(table)) = value { table } else { Table::new() }
}

/// The names that the file has for a machine.
struct Names<'a> {
    /// One of a host by ssh; of the machine that keyroll runs on, `local` and every declared one. Empty: there is none.
    own: Vec<&'a str>,
    /// The declared hosts.
    every: Vec<&'a Host>,
}

impl<'a> Names<'a> {
    fn of(host: &'a str, config: &'a Config) -> Self {
        let every: Vec<&Host> = config.hosts.values().collect();
        let is_own =
            |other: &Host| other.name.as_str() == host || host == LOCAL && other.connect == Connect::Local;
        let hosts = every.iter().copied().filter(|other| is_own(other));
        let mut own: Vec<&str> = hosts.map(|host| host.name.as_str()).collect();
        if host == LOCAL && !own.contains(&LOCAL) {
            own.push(LOCAL);
        }
        Self { own, every }
    }

    /// The table of a secret with only what the machine needs of it.
    fn sliced(&self, mut secret: Table) -> Table {
        let all = if let Some(Value::Array(all)) = secret.remove("consumers") { all } else { Vec::new() };
        let kept: Vec<Value> = all.into_iter().filter_map(|consumer| self.consumer(consumer)).collect();
        if !kept.iter().any(|consumer| consumer.get("reads").is_some_and(Value::is_str)) {
            secret.remove("store");
            secret.remove("kubernetes");
        }
        if let Some(Value::Array(all)) = secret.remove("bystanders") {
            let kept: Vec<Value> = all.into_iter().filter_map(|one| self.consumer(one)).collect();
            if !kept.is_empty() {
                secret.insert("bystanders".to_owned(), Value::Array(kept));
            }
        }
        secret.retain(|key, _| !DECIDED_ELSEWHERE.contains(&key));
        if !kept.is_empty() {
            secret.insert("consumers".to_owned(), Value::Array(kept));
        }
        secret
    }

    /// A consumer's or bystander's table with only this machine; `None` if it does not run here.
    fn consumer(&self, consumer: Value) -> Option<Value> {
        let Value::Table(mut consumer) = consumer else { return None };
        let Some(Value::Array(words)) = consumer.get("hosts") else {
            let host = consumer.get("host").and_then(Value::as_str).unwrap_or(LOCAL);
            return self.own.contains(&host).then_some(Value::Table(consumer));
        };
        let own = self.own.iter().filter(|name| words.iter().any(|word| self.means(word, name)));
        let own: Vec<Value> = own.map(|name| Value::from(*name)).collect();
        if own.is_empty() {
            return None;
        }
        consumer.insert("hosts".to_owned(), Value::Array(own));
        Some(Value::Table(consumer))
    }

    /// Whether a word of `hosts` names this host.
    fn means(&self, word: &Value, name: &str) -> bool {
        let Some(word) = word.as_str() else { return false };
        word == name || hosts_meant(word, &self.every).iter().any(|host| host.name.as_str() == name)
    }
}
