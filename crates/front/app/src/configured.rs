//! Finds a secret in the configuration.

use std::collections::BTreeSet;

use keyroll_codes::Code;
use keyroll_config::{Config, Connect, Consumer, Copy, Host, LOCAL, Secret, hosts_meant};

use crate::exit::Exit;
use crate::problem::Problem;

/// One secret of the configuration, or a problem with a suggestion.
pub fn secret<'a>(config: &'a Config, name: &str) -> Result<&'a Secret, Problem> {
    config.secret(name).map_err(|help| {
        Problem::new(Code::NameNotFound, "find the secret in the configuration")
            .because("no secret has this name")
            .help(help)
    })
}

/// Every host by ssh of the configuration.
pub(crate) fn ssh_hosts(config: &Config) -> BTreeSet<&str> {
    let by_ssh = config.hosts.values().filter(|host| host.connect.is_ssh());
    by_ssh.map(|host| host.name.as_str()).collect()
}

/// Every host of the configuration that is not this machine: those by ssh, and clusters.
pub(crate) fn other_hosts(config: &Config) -> BTreeSet<&str> {
    let others = config.hosts.values().filter(|host| host.connect != Connect::Local);
    others.map(|host| host.name.as_str()).collect()
}

/// Refuses every word that is not the name of one other host, by ssh or a cluster, and says what it is instead.
pub(crate) fn refuse_undeclared(word: &str, config: &Config) -> Result<(), Problem> {
    let every: Vec<&Host> = config.hosts.values().collect();
    let meant = hosts_meant(word, &every);
    let why = match meant.as_slice() {
        [one] if one.name.as_str() == word && one.connect != Connect::Local => return Ok(()),
        [one] if one.name.as_str() == word => "it is this machine, which is never away".to_owned(),
        [] if word == LOCAL => "it is this machine, which is never away".to_owned(),
        [] => "keyroll.toml has no host of this name".to_owned(),
        several => {
            let names: Vec<&str> = several.iter().map(|host| host.name.as_str()).collect();
            format!("it is a group or a pattern ({}), and one host is waived at a time", names.join(", "))
        }
    };
    Err(Problem::new(Code::NotPossibleNow, format!("go on without the host {word}"))
        .because(why)
        .help("keyroll hosts list shows the hosts; name one that is not this machine")
        .exits(Exit::Usage))
}

/// What runs on a host, by its name there: `mailer` of `mailer on web-2`.
pub(crate) fn without_host<'n>(name: &'n str, host: &str) -> &'n str {
    name.strip_suffix(host).and_then(|rest| rest.strip_suffix(" on ")).unwrap_or(name)
}

/// A copy of a consumer; elsewhere with its host: `web-1:/srv/api.env (ACME_KEY)`, `prod:secret/acme api-key`.
pub(crate) fn place_of(consumer: &Consumer, copy: &Copy) -> String {
    match consumer.is_here {
        true => copy.place.to_string(),
        false => format!("{}:{}", consumer.host, copy.place),
    }
}

/// Hosts as a sentence names them: `web-1, web-2`.
pub(crate) fn listed(hosts: &BTreeSet<&str>) -> String {
    hosts.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The flags by which a command looks at these hosts: ` --host web-1 --host web-2`.
pub(crate) fn host_flags(hosts: &BTreeSet<&str>) -> String {
    hosts.iter().map(|host| format!(" --host {host}")).collect()
}

/// The hosts of the file that a rotation of a secret does not look at. None if it takes place on this machine alone.
pub(crate) fn not_looked_at(config: &Config, secret: &Secret) -> Option<String> {
    let left_out = config.unsearched_hosts(secret);
    let over_hosts = secret.searched_hosts.is_some() || !secret.ssh_hosts().is_empty();
    (over_hosts && !left_out.is_empty()).then(|| {
        let (all, name) = (listed(&left_out), &secret.name);
        format!("not looked at: {all} (`searched_hosts` of {name} leaves this out); a process there may have the old key")
    })
}

/// The flag by which a command about what holds a secret names it, behind a blank; nothing where no other is configured.
pub(crate) fn secret_flag(config: &Config, secret: &str) -> String {
    if config.secrets.len() > 1 { format!(" --secret {secret}") } else { String::new() }
}

/// The only configured secret, or the named one.
pub fn only_secret<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Secret, Problem> {
    let mut all = config.secrets.values();
    match (name, all.next(), all.next()) {
        (Some(name), _, _) => secret(config, name),
        (None, Some(only), None) => Ok(only),
        (None, None, _) => {
            Err(Problem::new(Code::NameNotFound, "find the secret").because("none is configured"))
        }
        (None, Some(_), Some(_)) => {
            let names: Vec<&str> = config.secrets.keys().map(keyroll_config::Name::as_str).collect();
            Err(Problem::new(Code::NameNotFound, "find the secret")
                .because("there are several")
                .help(format!("choose one with --secret: {}", names.join(", "))))
        }
    }
}

/// Refuses a consent that names another secret.
pub fn consent(confirm: Option<&str>, name: &str) -> Result<(), Problem> {
    match confirm {
        Some(given) if given != name => {
            Err(Problem::new(Code::UsageWrong, "accept the consent to revoke the old key")
                .because("--confirm names another secret")
                .help(format!("--confirm={name}"))
                .exits(Exit::Usage))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_on_another_machine_is_named_with_its_host() {
        let text = "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv/app\"\n\
                    [hosts.desk]\nconnect = \"local\"\n[hosts.prod]\nconnect = \"kube://eks/agents\"\n[secrets.acme]\nissuer = \"openrouter\"\n\
                    [[secrets.acme.consumers]]\nname = \"api\"\nhosts = [\"web-1\", \"desk\"]\n\
                    runs = { unit = \"api.service\" }\nreads = { env_file = \"./api.env\", variable = \"KEY\" }\n";
        let config = Config::parse(text, "/etc/keyroll/keyroll.toml").unwrap();
        let secret = config.secret("acme").unwrap();
        let places = secret.consumers.iter().map(|consumer| place_of(consumer, &consumer.reads[0]));
        let places: Vec<String> = places.collect();
        assert_eq!(places, ["web-1:/srv/app/api.env (KEY)", "/etc/keyroll/api.env (KEY)"]);
        assert_eq!(secret.ssh_hosts(), ssh_hosts(&config));
        assert_eq!(host_flags(&ssh_hosts(&config)), " --host web-1");
        assert_eq!(host_flags(&other_hosts(&config)), " --host prod --host web-1");
    }
}
