//! What `ansible-inventory --list` prints. Everything that is not named here is skipped without being kept: variables of
//! hosts and groups may hold passwords.

use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_secret::SecretBytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::listed::Listed;
use crate::problem::Problem;

/// Groups that every inventory has.
const USUAL: [&str; 2] = ["all", "ungrouped"];

/// `_meta`, or a group.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    hostvars: BTreeMap<String, Vars>,
    #[serde(default)]
    hosts: Vec<String>,
}

/// The variables of a host that are read.
#[derive(Deserialize)]
struct Vars {
    ansible_host: Option<Word>,
    ansible_user: Option<Word>,
    ansible_port: Option<Word>,
    ansible_become: Option<Word>,
}

/// A variable; one of another form, such as an encrypted one, is passed over.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(u64),
    Flag(bool),
    Other(#[allow(dead_code, reason = "it is passed over")] IgnoredAny),
}

impl Word {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Flag(_) | Self::Other(_) => None,
        }
    }

    /// As Ansible reads a truth.
    fn is_true(&self) -> bool {
        match self {
            Self::Flag(flag) => *flag,
            Self::Number(number) => *number == 1,
            Self::Text(text) => {
                ["1", "true", "t", "yes", "y", "on"].iter().any(|word| text.eq_ignore_ascii_case(word))
            }
            Self::Other(_) => false,
        }
    }
}

/// The hosts of an inventory. The group of a host is the one that names it, if only one does.
///
/// # Errors
/// It is no such inventory. The error repeats nothing of it.
pub(super) fn read(text: &SecretBytes) -> Result<Vec<Listed>, Problem> {
    let parts: BTreeMap<String, Part> = serde_json::from_slice(text.expose()).map_err(|error| {
        Problem::new(Code::UsageWrong, "read the inventory")
            .because(format!(
                "it has another form than ansible-inventory --list prints, at line {}, column {}",
                error.line(),
                error.column()
            ))
            .help("ansible-inventory --list | keyroll hosts import -")
    })?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut hosts: BTreeMap<String, Option<Vars>> = BTreeMap::new();
    for (name, part) in parts {
        for (host, vars) in part.hostvars {
            hosts.insert(host, Some(vars));
        }
        for host in part.hosts {
            hosts.entry(host.clone()).or_default();
            if !USUAL.contains(&name.as_str()) {
                groups.entry(host).or_default().push(name.clone());
            }
        }
    }
    let of = |(name, vars): (String, Option<Vars>)| {
        let group = match groups.get(&name).map(Vec::as_slice) {
            Some([only]) => Some(only.clone()),
            Some(_) | None => None,
        };
        listed(&name, vars, group)
    };
    Ok(hosts.into_iter().map(of).collect())
}

fn listed(name: &str, vars: Option<Vars>, group: Option<String>) -> Listed {
    let own = Listed { group, ..Listed::named(name) };
    let Some(Vars { ansible_host, ansible_user, ansible_port, ansible_become }) = vars else { return own };
    Listed {
        host: ansible_host.and_then(Word::text).unwrap_or_else(|| own.host.clone()),
        user: ansible_user.and_then(Word::text),
        port: ansible_port.and_then(Word::text).and_then(|port| port.parse().ok()),
        sudo: ansible_become.is_some_and(|word| word.is_true()),
        ..own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Listed> {
        read(&SecretBytes::from(text.to_owned())).unwrap()
    }

    #[test]
    fn a_host_has_its_own_address_and_one_group() {
        let all = of(
            "{\"_meta\": {\"hostvars\": {\"a\": {\"ansible_port\": \"2222\", \"ansible_become\": \"Yes\"}, \
             \"b\": {\"ansible_host\": {\"__ansible_vault\": \"x\"}, \"ansible_become\": false}}}, \
             \"all\": {\"children\": [\"one\", \"two\", \"ungrouped\"]}, \"ungrouped\": {\"hosts\": [\"c\"]}, \
             \"one\": {\"hosts\": [\"a\", \"b\"]}, \"two\": {\"hosts\": [\"b\"]}}",
        );
        let first =
            Listed { port: Some(2222), sudo: true, group: Some("one".to_owned()), ..Listed::named("a") };
        assert_eq!(all, [first, Listed::named("b"), Listed::named("c")]);
    }

    #[test]
    fn what_is_no_inventory_is_not_repeated() {
        let password = keyroll_testkit::alphanumeric(20);
        for text in [
            format!("{{\"_meta\": {{\"hostvars\": \"{password}\"}}}}"),
            format!("{{\"_meta\": \"{password}\"}}"),
            format!("{{\"a\": {{\"hosts\": [\"{password}\", 1]}}}}"),
            format!("{{ {password}"),
        ] {
            let problem = read(&SecretBytes::from(text)).unwrap_err();
            assert!(problem.code == "K0802" && !format!("{problem:?}").contains(&password), "{problem:?}");
        }
    }
}
