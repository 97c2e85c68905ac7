use keyroll_codes::Code;
use keyroll_config::{Connect, Host, KubeAddress, LOCAL, Name, SshAddress, hosts_meant, nearest};

use crate::exit::Exit;
use crate::installation::Installation;
use crate::problem::Problem;

/// The machines and clusters that a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// This machine is among them.
    pub here: bool,
    /// The others, and the clusters, in the order of their names.
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
            Connect::Local | Connect::Kube(_) => None,
        }
    }
}

impl Chosen {
    /// Those that are reached by ssh.
    pub(super) fn remotes(&self) -> Vec<Remote> {
        self.hosts.iter().filter_map(Remote::of).collect()
    }

    /// The clusters, each with its name.
    pub fn clusters(&self) -> Vec<(&str, &KubeAddress)> {
        let all = self.hosts.iter();
        all.filter_map(|host| Some((host.name.as_str(), host.connect.cluster()?))).collect()
    }

    /// Refuses clusters, for a command that is about hosts by ssh alone. `named` = the words that chose these: a cluster of a
    /// group or a pattern is passed over if machines are left.
    ///
    /// # Errors
    /// A cluster is named, or nothing but clusters is meant. `help` says what is done about a cluster instead.
    pub fn refuse_clusters(&self, named: &[String], attempted: &str, help: &str) -> Result<(), Problem> {
        let is_named = |name: &str| named.iter().any(|word| word == name);
        let is_machine = |host: &Host| host.connect.cluster().is_none();
        let nothing_else = !named.is_empty() && !self.here && !self.hosts.iter().any(is_machine);
        match self.clusters().iter().find(|(name, _)| nothing_else || is_named(name)) {
            None => Ok(()),
            Some((name, _)) => Err(Problem::new(Code::UsageWrong, attempted)
                .because(format!("{name} is a cluster, and this is about hosts by ssh"))
                .help(help)
                .exits(Exit::Usage)),
        }
    }
}

/// The machines and clusters that are named: by name, by group, or by a pattern such as `web-*`. With `all`, this machine and
/// every declared one; without either, this machine. Errors do not repeat what was typed.
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

    const CLUSTERS: &str = "[hosts.prod]\nconnect = \"kube://eks/agents\"\n\
        [hosts.stage]\nconnect = \"kube://in-cluster\"\ngroup = \"clusters\"\n\
        [hosts.web-3]\nconnect = \"kube://eks/web\"\ngroup = \"front\"\n";

    fn installation(folder: &std::path::Path) -> Installation {
        installation_of(folder, FLEET)
    }

    fn installation_of(folder: &std::path::Path, text: &str) -> Installation {
        let config = folder.join("keyroll.toml");
        std::fs::write(&config, text).unwrap();
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
    fn clusters_are_among_the_hosts_and_are_not_reached_by_ssh() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation_of(folder.path(), &format!("{FLEET}{CLUSTERS}"));
        let of = |named: &[&str], all: bool| {
            let named: Vec<String> = named.iter().map(|word| (*word).to_owned()).collect();
            let chosen = chosen(&named, all, &installation).unwrap();
            let remotes: Vec<String> = chosen.remotes().into_iter().map(|remote| remote.name).collect();
            let clusters: Vec<String> =
                chosen.clusters().iter().map(|(name, address)| format!("{name}={address}")).collect();
            assert_eq!(chosen.hosts.len(), remotes.len() + clusters.len());
            (remotes.join(" "), clusters.join(" "))
        };
        let is = |remotes: &str, clusters: &str| (remotes.to_owned(), clusters.to_owned());
        assert_eq!(of(&[], false), is("", ""));
        assert_eq!(
            of(&[], true),
            is("db-1 web-1 web-2", "prod=kube://eks/agents stage=kube://in-cluster web-3=kube://eks/web")
        );
        assert_eq!(of(&["prod", "web-1"], false), is("web-1", "prod=kube://eks/agents"));
        assert_eq!(of(&["clusters"], false), is("", "stage=kube://in-cluster"));
        assert_eq!(of(&["web-*"], false), is("web-1 web-2", "web-3=kube://eks/web"));
    }

    #[test]
    fn a_cluster_is_refused_by_name_where_only_hosts_by_ssh_are_meant() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation_of(folder.path(), &format!("{FLEET}{CLUSTERS}"));
        let of = |named: &[&str], all: bool| {
            let named: Vec<String> = named.iter().map(|word| (*word).to_owned()).collect();
            let chosen = chosen(&named, all, &installation).unwrap();
            let refused = chosen.refuse_clusters(&named, "check hosts", "x").err();
            refused.map(|problem| (problem.exit(), problem.causes.join(" ")))
        };
        assert_eq!(of(&[], true), None);
        assert_eq!(of(&["front"], false), None, "a cluster among machines is passed over");
        assert_eq!(of(&["local"], false), None);
        for (words, cluster) in [(["web-1", "prod"], "prod"), (["clusters", "stag?"], "stage")] {
            let (exit, why) = of(&words, false).unwrap();
            assert_eq!(exit, Exit::Usage);
            assert!(why.contains(&format!("{cluster} is a cluster")), "{why}");
        }
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
