//! The machines that a consumer runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use toml_edit::Key;

use crate::at::At;
use crate::host_words::{fits, hosts_meant, is_pattern};
use crate::mistake::Mistake;
use crate::shape::ConsumerShape;
use crate::suggest::nearest;
use crate::{Connect, Host, Kind, LOCAL, Name};

/// A consumer on one machine.
pub(crate) struct Site<'a> {
    /// The consumer's name there.
    pub(crate) name: Name,
    /// The machine.
    pub(crate) host: Name,
    /// The folder that the consumer's relative paths are resolved against.
    pub(crate) folder: &'a Path,
    /// Whether it is the machine that keyroll runs on.
    pub(crate) is_here: bool,
}

/// The machines that a consumer runs on, at least one, in the order of its words.
pub(crate) fn sites<'a>(
    shape: &ConsumerShape,
    hosts: &'a BTreeMap<Name, Host>,
    folder: &'a Path,
) -> Result<Vec<Site<'a>>, Mistake> {
    let name = Name::read("a consumer", &shape.name)?;
    let Some(words) = &shape.hosts else {
        let at = shape.host.as_ref().unwrap_or(&shape.name);
        let host = read_host(shape.host.as_ref(), hosts)?;
        return Ok(vec![site(name, host, folder, &at.span)?]);
    };
    if shape.host.is_some() {
        return Err(Mistake::new(Kind::BadCombination, "`host` and `hosts` do not go together")
            .at(&words.span)
            .help("leave out `host`, and name its machine in `hosts`"));
    }
    let mut sites: Vec<Site<'_>> = Vec::new();
    for word in &words.value {
        for host in read_word("hosts", word, hosts)? {
            let on_it = site(name.clone(), host, folder, &word.span)?;
            if sites.iter().any(|other| other.host == on_it.host) {
                continue;
            }
            if let Some(here) = sites.iter().find(|other| other.is_here && on_it.is_here) {
                let why = format!(
                    "`hosts` names the machine that keyroll runs on twice: `{}` and `{}`",
                    here.host, on_it.host
                );
                return Err(Mistake::new(Kind::Duplicate, why).at(&word.span).help("keep one of them"));
            }
            sites.push(Site { name: name.on_host(&on_it.host), ..on_it });
        }
    }
    match sites.is_empty() {
        true => Err(Mistake::new(Kind::WrongForm, "`hosts` names no machine")
            .at(&words.span)
            .help(
                "write names, groups or patterns, `hosts = [\"web-1\", \"workers\", \"db-*\"]`; or leave out `hosts`: the \
                 consumer is then on the machine that keyroll runs on",
            )),
        false => Ok(sites),
    }
}

/// The consumer on one machine; `None` = `local`, which nobody declared. `at` = where the machine is named.
fn site<'a>(
    name: Name,
    host: Option<&'a Host>,
    folder: &'a Path,
    at: &Range<usize>,
) -> Result<Site<'a>, Mistake> {
    let Some(host) = host else {
        return Ok(Site { name, host: Name::local(), folder, is_here: true });
    };
    let (folder, is_here) = match (&host.connect, &host.folder) {
        (Connect::Local, _) => (folder, true),
        (Connect::Kube(_), _) => return Err(no_machine("hosts", host, at)),
        (Connect::Ssh(_), Some(own)) => (own.as_path(), false),
        (Connect::Ssh(_), None) => {
            let why = format!("the consumer is on `{}`, a host by ssh without `folder`", host.name);
            return Err(Mistake::new(Kind::BadCombination, why).at(at).help(format!(
                "write `folder = \"/srv/app\"` under [hosts.{}]: the folder that the consumer's paths are relative to",
                Key::new(host.name.as_str())
            )));
        }
    };
    Ok(Site { name, host: host.name.clone(), folder, is_here })
}

/// The mistake of a word that names a cluster where machines are named.
fn no_machine(key: &str, host: &Host, at: &Range<usize>) -> Mistake {
    let name = &host.name;
    let help = match key {
        "hosts" => format!(
            "a consumer in a cluster is in this one alone: write `host = \"{name}\"`; or name machines, and groups and patterns \
             without clusters"
        ),
        _ => format!(
            "a rotation searches machines only: name those; keyroll scan --host {name} shows what the cluster has"
        ),
    };
    let why = format!("`{key}` names `{name}`, which is a cluster and no machine");
    Mistake::new(Kind::BadCombination, why).at(at).help(help)
}

/// The machine of a consumer without `hosts`, as for [`site`]; none is written: `local`.
pub(crate) fn read_host<'a>(
    text: Option<&At<String>>,
    hosts: &'a BTreeMap<Name, Host>,
) -> Result<Option<&'a Host>, Mistake> {
    let wanted = text.map_or(LOCAL, |text| text.value.as_str());
    if let Some(host) = hosts.get(wanted) {
        return Ok(Some(host));
    }
    let Some(text) = text.filter(|text| text.value != LOCAL) else { return Ok(None) };
    let fault = Mistake::new(Kind::BadHost, "`host` names a host that is not defined").at(&text.span);
    let every: Vec<&Host> = hosts.values().collect();
    // A group, or a pattern.
    let several = hosts_meant(wanted, &every);
    if let Some(first) = several.first() {
        let group = first.group.as_ref().filter(|group| group.as_str() == wanted);
        let word = group.map_or("…", Name::as_str);
        return Err(
            fault.help(format!("a group or a pattern names several hosts: write `hosts = [\"{word}\"]`"))
        );
    }
    let names = hosts.keys().map(Name::as_str);
    Err(fault.help(near_or_known(wanted, names)))
}

/// The hosts by ssh that a rotation searches besides those of consumers, if the file names them. The machine that keyroll
/// runs on is searched anyway.
pub(crate) fn read_searched(
    words: Option<&At<Vec<At<String>>>>,
    hosts: &BTreeMap<Name, Host>,
) -> Result<Option<BTreeSet<Name>>, Mistake> {
    let Some(words) = words else { return Ok(None) };
    let mut all = BTreeSet::new();
    for word in &words.value {
        for host in read_word("searched_hosts", word, hosts)?.into_iter().flatten() {
            match host.connect {
                Connect::Local => {}
                Connect::Ssh(_) => {
                    all.insert(host.name.clone());
                }
                Connect::Kube(_) => return Err(no_machine("searched_hosts", host, &word.span)),
            }
        }
    }
    Ok(Some(all))
}

/// The machines that one word of `hosts`, or of another key, names, as for [`site`].
fn read_word<'a>(
    key: &str,
    word: &At<String>,
    hosts: &'a BTreeMap<Name, Host>,
) -> Result<Vec<Option<&'a Host>>, Mistake> {
    let every: Vec<&Host> = hosts.values().collect();
    let meant = hosts_meant(&word.value, &every);
    let here = meant.iter().find(|host| host.connect == Connect::Local);
    if let Some(here) = here.filter(|_| is_pattern(&word.value)) {
        let why = format!("a pattern in `{key}` fits `{}`, the machine that keyroll runs on", here.name);
        return Err(Mistake::new(Kind::BadHost, why).at(&word.span).help(format!(
            "patterns name hosts by ssh only: write a pattern that does not fit it, and add \"{}\" if the consumer is on \
             it, too",
            here.name
        )));
    }
    if !meant.is_empty() {
        return Ok(meant.into_iter().map(Some).collect());
    }
    if word.value == LOCAL {
        return Ok(vec![None]);
    }
    let why = format!("a word in `{key}` is the name of no host and no group, and fits the name of no host");
    let fault = Mistake::new(Kind::BadHost, why).at(&word.span);
    if is_pattern(&word.value) && fits(&word.value, LOCAL) {
        return Err(fault.help("the machine that keyroll runs on is named without a pattern: \"local\""));
    }
    let groups = hosts.values().filter_map(|host| host.group.as_ref());
    Err(fault.help(near_or_known(&word.value, hosts.keys().chain(groups).map(Name::as_str))))
}

/// The known name that is nearest to what was written, or all of them.
fn near_or_known<'n>(written: &str, names: impl Iterator<Item = &'n str>) -> String {
    let mut known: Vec<&str> = names.filter(|name| *name != LOCAL).collect();
    known.sort_unstable();
    known.dedup();
    known.push(LOCAL);
    match nearest(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("define it as `[hosts.<name>]`; known: {}", known.join(", ")),
    }
}
