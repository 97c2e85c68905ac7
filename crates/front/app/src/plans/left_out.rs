//! Hosts that a plan leaves out because they are away: their consumers are not part of it, and keep the old key.

use std::path::Path;

use keyroll_codes::Code;
use keyroll_config::{Config, Secret, leave_out};

use crate::configured::refuse_undeclared;
use crate::problem::Problem;
use crate::records::saved_plan::{LeftConsumer, LeftOut};
use crate::records::waivers::reason_given;
use crate::shell_words::quoted;

/// What a plan is asked to leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Without {
    /// The names of the hosts.
    pub hosts: Vec<String>,
    /// Why their consumers may lose access.
    pub reason: String,
}

impl Without {
    /// The flags that ask for the same again, each after a space; none if nothing is left out.
    pub(crate) fn flags(&self) -> String {
        let hosts: String = self.hosts.iter().map(|host| format!(" --without {}", quoted(host))).collect();
        match hosts.is_empty() {
            true => hosts,
            false => format!("{hosts} --reason {}", quoted(&self.reason)),
        }
    }

    /// The hosts with their consumers.
    ///
    /// # Errors
    /// A name is that of no other host, or nothing would be left of the secret's consumers.
    pub(crate) fn of(&self, config: &Config, secret: &Secret) -> Result<Vec<LeftOut>, Problem> {
        if self.hosts.is_empty() {
            return Ok(Vec::new());
        }
        let reason = reason_given(&self.reason)?;
        let mut all: Vec<LeftOut> = Vec::new();
        for host in &self.hosts {
            refuse_undeclared(host, config)?;
            if all.iter().any(|one| one.host == *host) {
                continue;
            }
            let there = secret.consumers.iter().filter(|it| it.is_on(host));
            let consumers = there.map(|it| LeftConsumer {
                name: it.name.to_string(),
                copies: it.reads.iter().map(|copy| copy.place.path().to_owned()).collect(),
            });
            let consumers = consumers.collect();
            all.push(LeftOut { host: host.clone(), reason: reason.clone(), consumers });
        }
        match secret.consumers.iter().all(|it| all.iter().any(|one| it.is_on(&one.host))) {
            true => Err(nothing_left(secret)),
            false => Ok(all),
        }
    }
}

fn nothing_left(secret: &Secret) -> Problem {
    let name = &secret.name;
    Problem::new(Code::NotPlannable, format!("plan a rotation of {name} without these hosts"))
        .because("all of its consumers are on them: nothing could prove that a new key works")
        .help(format!(
            "if the key leaked and those hosts are gone, revoke it at its issuer (keyroll issuers show {} says where)",
            secret.issuer
        ))
}

/// The configuration without the secret's consumers on these hosts.
///
/// # Errors
/// It cannot be edited so.
pub(crate) fn text_without(
    text: String,
    file: &Path,
    secret: &str,
    left_out: &[LeftOut],
) -> Result<String, Problem> {
    let file = file.display().to_string();
    left_out.iter().try_fold(text, |text, one| Ok(leave_out(&text, &file, secret, &one.host)?))
}

/// What a plan says about them, a line for each.
pub(super) fn notes(left_out: &[LeftOut], config: &Config) -> Vec<String> {
    let line = |one: &LeftOut| {
        let LeftOut { host, reason, .. } = one;
        let is_cluster = config.cluster(host).is_some();
        let keep = match one.names().as_slice() {
            [] if is_cluster => "it is not looked at".to_owned(),
            [] => "it is not searched as long as it is away".to_owned(),
            [one] => format!("{one} keeps the old key, and breaks when that is revoked"),
            all => format!("{} keep the old key, and break when that is revoked", all.join(", ")),
        };
        if is_cluster {
            return format!(
                "{host} is left out ({reason}): {keep}\n  what else holds the old key there is not looked at"
            );
        }
        format!(
            "{host} is left out ({reason}): {keep}\n  if it answers before that, it is searched, and what holds the old key \
             there holds up the revocation"
        )
    };
    left_out.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn config() -> Config {
        let consumer = |name: &str, host: &str| {
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\nhost = \"{host}\"\nruns = {{ at_rest = true }}\n\
                 reads = {{ file = \"./{name}\" }}\n"
            )
        };
        let host = |name: &str| format!("[hosts.{name}]\nconnect = \"ssh://{name}\"\nfolder = \"/srv\"\n");
        let hosts = ["web-1", "web-2", "db-1"].map(host).concat();
        let hosts = format!("{hosts}[hosts.prod]\nconnect = \"kube://eks/agents\"\n");
        let consumers = [consumer("api", "web-1"), consumer("job", "web-2")].concat();
        let text = format!("version = 1\n{hosts}[secrets.acme]\nissuer = \"openrouter\"\n{consumers}");
        Config::parse(&text, "/srv/keyroll.toml").unwrap()
    }

    fn asked(hosts: &[&str]) -> Result<Vec<LeftOut>, Problem> {
        let config = config();
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let without = Without { hosts, reason: "its disk is dead".to_owned() };
        without.of(&config, config.secret("acme").unwrap())
    }

    #[test]
    fn each_host_is_left_out_with_its_consumers() {
        let all = asked(&["web-2", "db-1", "web-2"]).unwrap();
        let hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
        assert_eq!(hosts, ["web-2", "db-1"]);
        assert_eq!((all[0].names(), all[1].names()), (vec!["job"], Vec::new()));
        assert_eq!(all[0].consumers[0].copies, [Path::new("/srv/job")]);
        let lines = notes(&all, &config());
        assert!(lines[0].contains("job keeps the old key") && lines[1].contains("not searched"), "{lines:?}");
        let lines = notes(&asked(&["prod"]).unwrap(), &config());
        assert!(lines[0].contains("it is not looked at") && !lines[0].contains("searched"), "{lines:?}");
        let text = text_without(
            "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\nfolder = \"/srv\"\n[secrets.acme]\nissuer = \"openrouter\"\n"
                .to_owned(),
            Path::new("keyroll.toml"),
            "acme",
            &all,
        );
        assert!(text.is_ok(), "{text:?}");
        assert_eq!(Without::default().of(&config(), config().secret("acme").unwrap()).unwrap(), []);
    }

    #[test]
    fn what_is_no_host_or_would_leave_nothing_is_refused() {
        for word in ["web-9", "web-*", "local"] {
            assert_eq!(asked(&[word]).unwrap_err().exit(), Exit::Usage, "{word}");
        }
        let refused = asked(&["web-1", "web-2"]).unwrap_err();
        assert_eq!(refused.code, Code::NotPlannable);
    }
}
