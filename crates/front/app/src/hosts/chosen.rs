use keyroll_codes::Code;
use keyroll_config::{Connect, Host, LOCAL, Name, SshAddress, hosts_meant, nearest};

use crate::installation::Installation;
use crate::problem::Problem;

/// The machines that a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// This machine is among them.
    pub here: bool,
    /// The others, in the order of their names.
    pub hosts: Vec<Host>,
}

/// A host by ssh.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) address: SshAddress,
}

impl Remote {
    /// A declared host; `None` if it is not reached by ssh.
    pub(super) fn of(host: &Host) -> Option<Self> {
        match &host.connect {
            Connect::Ssh(address) => {
                Some(Self { name: host.name.as_str().to_owned(), address: address.clone() })
            }
            Connect::Local => None,
        }
    }
}

impl Chosen {
    /// Those that are reached by ssh.
    pub(super) fn remotes(&self) -> Vec<Remote> {
        self.hosts.iter().filter_map(Remote::of).collect()
    }
}

/// The machines that are named: by name, by group, or by a pattern such as `web-*`. With `all`, this machine and every
/// declared one; without either, this machine. Errors do not repeat what was typed.
///
/// # Errors
/// The configuration cannot be read, or nothing has one of the names.
pub fn chosen(named: &[String], all: bool, installation: &Installation) -> Result<Chosen, Problem> {
    if named.is_empty() && !all {
        return Ok(Chosen { here: true, hosts: Vec::new() });
    }
    let hosts = installation.config()?.hosts;
    let every: Vec<&Host> = hosts.values().collect();
    let mut chosen = Chosen { here: all, hosts: Vec::new() };
    for word in named {
        let meant = hosts_meant(word, &every);
        if meant.is_empty() && word != LOCAL {
            return Err(unknown(word, &every));
        }
        chosen.here |= word == LOCAL || meant.iter().any(|host| host.connect == Connect::Local);
        chosen.hosts.extend(meant.into_iter().cloned());
    }
    if all {
        chosen.hosts.extend(every.into_iter().cloned());
    }
    chosen.hosts.retain(|host| host.connect != Connect::Local);
    chosen.hosts.sort_by(|one, other| one.name.cmp(&other.name));
    chosen.hosts.dedup_by(|one, other| one.name == other.name);
    Ok(chosen)
}

fn unknown(word: &str, every: &[&Host]) -> Problem {
    let groups = every.iter().filter_map(|host| host.group.as_ref());
    let mut names: Vec<&str> = every.iter().map(|host| &host.name).chain(groups).map(Name::as_str).collect();
    names.push(LOCAL);
    names.sort_unstable();
    names.dedup();
    let help = match nearest(word, names.iter().copied()) {
        Some(near) => format!("did you mean {near}? keyroll hosts list shows all"),
        None => "keyroll hosts list shows all; [hosts.NAME] in keyroll.toml declares one".to_owned(),
    };
    Problem::new(Code::NameNotFound, "find the host")
        .because("no host and no group has this name, and the name of no host fits it")
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Locations;

    const FLEET: &str = "version = 1\n[hosts.here]\nconnect = \"local\"\n\
        [hosts.web-1]\nconnect = \"ssh://web-1\"\ngroup = \"front\"\n[hosts.web-2]\nconnect = \"ssh://web-2\"\n\
        [hosts.db-1]\nconnect = \"ssh://db-1\"\ngroup = \"front\"\n";

    fn installation(folder: &std::path::Path) -> Installation {
        let config = folder.join("keyroll.toml");
        std::fs::write(&config, FLEET).unwrap();
        let state = Some(folder.join("state"));
        Installation::new(Locations { config: Some(config), state, ..Locations::default() })
    }

    #[test]
    fn hosts_are_named_by_name_group_or_pattern_and_each_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation(folder.path());
        let of = |named: &[&str], all: bool| {
            let named: Vec<String> = named.iter().map(|word| (*word).to_owned()).collect();
            let chosen = chosen(&named, all, &installation).unwrap();
            let names: Vec<String> = chosen.hosts.iter().map(|host| host.name.as_str().to_owned()).collect();
            (chosen.here, names.join(" "))
        };
        let is = |here: bool, names: &str| (here, names.to_owned());
        assert_eq!(of(&[], false), is(true, ""));
        assert_eq!(of(&[], true), is(true, "db-1 web-1 web-2"));
        assert_eq!(of(&["local"], false), is(true, ""));
        assert_eq!(of(&["here", "web-2"], false), is(true, "web-2"));
        assert_eq!(of(&["front", "web-1"], false), is(false, "db-1 web-1"));
        assert_eq!(of(&["web-*"], false), is(false, "web-1 web-2"));
        assert_eq!(of(&["?b-1", "*"], false), is(true, "db-1 web-1 web-2"));
    }

    #[test]
    fn a_name_that_nothing_has_is_told_with_the_nearest_one_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation(folder.path());
        for (word, near) in [("web-", Some("web-1")), ("frnt", Some("front")), ("zzzz-*", None)] {
            let problem = chosen(&[word.to_owned()], false, &installation).unwrap_err();
            assert_eq!(problem.code, "K0805");
            let help = problem.help.clone().unwrap();
            assert_eq!(
                near.map(|near| help.contains(&format!("mean {near}?"))),
                near.map(|_| true),
                "{help}"
            );
            assert!(!format!("{} {help}", problem.sentence()).contains("zzzz"), "{help}");
        }
    }
}
