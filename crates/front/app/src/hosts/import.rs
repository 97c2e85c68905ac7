mod ansible;
mod listed;
mod ssh_config;

use std::path::PathBuf;

use keyroll_config::{Config, Name, NewHost, SshAddress, with_hosts};
use keyroll_secret::SecretBytes;

use self::listed::Listed;
use super::shown::HostShown;
use crate::config_file;
use crate::installation::Installation;
use crate::problem::Problem;

/// Hosts of another list, checked and not written yet.
pub struct Imported {
    /// The new ones.
    pub hosts: Vec<HostShown>,
    /// Those that the configuration already has.
    pub known: Vec<String>,
    /// Those that keyroll cannot name or reach, each with the reason.
    pub left_out: Vec<(String, String)>,
    /// The configuration.
    pub path: PathBuf,
    /// Its whole new text.
    pub text: String,
    /// What is added to it.
    pub added: String,
    old: String,
}

/// The hosts of an ssh_config, or of what `ansible-inventory --list` prints. Only names, addresses, users, ports and whether
/// to become root are read: an inventory may hold passwords.
///
/// # Errors
/// The text is neither, or the configuration cannot be read.
pub fn import(text: &SecretBytes, installation: &Installation) -> Result<Imported, Problem> {
    let listed = match text.expose().iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => ansible::read(text)?,
        Some(_) | None => ssh_config::read(text)?,
    };
    let path = installation.config_path();
    let old = config_file::read(&path)?;
    let shown = path.display().to_string();
    let config = Config::parse(&old, &shown)?;
    let (mut new, mut known, mut left_out): (Vec<NewHost>, Vec<String>, Vec<(String, String)>) =
        (Vec::new(), Vec::new(), Vec::new());
    for listed in listed {
        let name = listed.name.clone();
        match new_host(listed) {
            Ok(host) if config.hosts.contains_key(&host.name) => known.push(name),
            Ok(host) if new.iter().any(|other| other.name == host.name) => {
                left_out.push((name, format!("another host is called {} too", host.name)));
            }
            Ok(host) if config.hosts.values().any(|other| other.group.as_ref() == Some(&host.name)) => {
                left_out.push((name, format!("a group is called {}", host.name)));
            }
            Ok(host) => new.push(host),
            Err(why) => left_out.push((name, why.to_owned())),
        }
    }
    without_ambiguous_groups(&mut new, &config);
    let text = if new.is_empty() { old.clone() } else { with_hosts(&old, &shown, &new)? };
    let added = text.strip_prefix(old.as_str()).unwrap_or_default().to_owned();
    let hosts = new.iter().map(shown_as).collect();
    Ok(Imported { hosts, known, left_out, path, text, added, old })
}

/// Writes them into the configuration.
///
/// # Errors
/// It cannot be written, or was changed meanwhile.
pub fn save(imported: &Imported, installation: &Installation) -> Result<(), Problem> {
    config_file::replace(&installation.config_path(), &imported.old, &imported.text)
}

/// The host as keyroll.toml has it; else why it cannot.
fn new_host(listed: Listed) -> Result<NewHost, &'static str> {
    let Listed { name, host, user, port, sudo, group } = listed;
    let name = Name::new(name.to_ascii_lowercase())
        .filter(|name| name.as_str() != keyroll_config::LOCAL)
        .ok_or("its name does not fit: a name is 1 to 64 of a-z 0-9 . _ -, and local is this machine")?;
    let address = SshAddress { user, host, port, sudo: false, program: None };
    let connect = address.to_string();
    // Read again, so that only what keyroll.toml may hold gets there.
    if SshAddress::parse(&connect)? != address {
        return Err("its address could also be read as another one");
    }
    Ok(NewHost { name, connect, sudo, group: group.and_then(Name::new) })
}

/// `--host NAME` must name a host or a group.
fn without_ambiguous_groups(new: &mut [NewHost], config: &Config) {
    let names: Vec<Name> = new.iter().map(|host| &host.name).chain(config.hosts.keys()).cloned().collect();
    for host in new {
        let is_host = |group: &Name| group.as_str() == keyroll_config::LOCAL || names.contains(group);
        host.group = host.group.take().filter(|group| !is_host(group));
    }
}

fn shown_as(host: &NewHost) -> HostShown {
    HostShown {
        name: host.name.as_str().to_owned(),
        group: host.group.as_ref().map(|group| group.as_str().to_owned()),
        connect: host.connect.clone(),
        sudo: Some(host.sudo),
        folder: None,
        accepted: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Locations;

    const OLD: &str = "version = 1 # ours\n[hosts.db-1]\nconnect = \"ssh://db-1\"\n";

    fn installation(folder: &std::path::Path) -> Installation {
        let config = folder.join("keyroll.toml");
        std::fs::write(&config, OLD).unwrap();
        Installation::new(Locations { config: Some(config), ..Locations::default() })
    }

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::from(text.to_owned())
    }

    #[test]
    fn hosts_of_an_inventory_are_added_once_and_none_of_its_passwords() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation(folder.path());
        let password = keyroll_testkit::alphanumeric(20);
        let inventory = format!(
            "{{\"_meta\": {{\"hostvars\": {{\
             \"Web-1\": {{\"ansible_host\": \"10.0.0.7\", \"ansible_user\": \"deploy\", \"ansible_port\": 2222,\
               \"ansible_become\": true, \"ansible_password\": \"{password}\", \"ansible_become_pass\": \"{password}\"}},\
             \"db-1\": {{\"ansible_password\": \"{password}\"}},\
             \"odd name\": {{}},\
             \"web-2\": {{\"ansible_host\": \"{{{{ lookup('{password}') }}}}\"}}}}}},\
             \"all\": {{\"children\": [\"front\"]}},\
             \"front\": {{\"hosts\": [\"Web-1\"], \"vars\": {{\"ansible_password\": \"{password}\"}}}}}}"
        );
        let found = import(&secret(&inventory), &installation).unwrap();
        assert_eq!(
            found.added,
            "\n[hosts.web-1]\nconnect = \"ssh://deploy@10.0.0.7:2222\"\ngroup = \"front\"\nsudo = true\n"
        );
        assert_eq!(found.text, format!("{OLD}{}", found.added));
        assert_eq!(found.known, ["db-1"]);
        let left_out: Vec<&str> = found.left_out.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left_out, ["odd name", "web-2"]);
        let all = format!("{:?} {:?} {:?} {}", found.hosts, found.known, found.left_out, found.text);
        assert!(!all.contains(&password), "a password of the inventory is shown");
        assert_eq!(
            std::fs::read_to_string(&found.path).unwrap(),
            OLD,
            "nothing is written before it is saved"
        );
        save(&found, &installation).unwrap();
        assert_eq!(std::fs::read_to_string(&found.path).unwrap(), found.text);
        assert!(save(&found, &installation).is_err(), "the file has changed since it was read");
        let again = import(&secret(&inventory), &installation).unwrap();
        assert_eq!((again.hosts.len(), again.known.len(), again.added.as_str()), (0, 2, ""));
    }

    #[test]
    fn a_group_that_is_called_like_a_host_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation(folder.path());
        let inventory = "{\"_meta\": {\"hostvars\": {\"a\": {}, \"b\": {}}}, \"db-1\": {\"hosts\": [\"a\"]}, \
                         \"a\": {\"hosts\": [\"b\"]}}";
        let found = import(&secret(inventory), &installation).unwrap();
        assert!(
            found.hosts.len() == 2 && found.hosts.iter().all(|host| host.group.is_none()),
            "{:?}",
            found.hosts
        );
    }

    #[test]
    fn hosts_of_an_ssh_config_keep_everything_else_there() {
        let folder = tempfile::tempdir().unwrap();
        let installation = installation(folder.path());
        let config =
            "Host web-1\n  HostName 10.0.0.7\n  User deploy\n  IdentityFile ~/.ssh/k\nHost *\n  Port 2222\n";
        let found = import(&secret(config), &installation).unwrap();
        assert_eq!(found.added, "\n[hosts.web-1]\nconnect = \"ssh://web-1\"\n");
    }
}
