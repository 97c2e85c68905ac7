//! What to write where a value has the wrong type, or a key is missing.

use toml::de::{DeInteger, DeValue};

use crate::aws::ACCOUNT_HELP;
use crate::mistake::is_plain;
use crate::schedule::WINDOW_HELP;
use crate::shipped::meant;

/// A longer number may be a value that was pasted, and is not repeated: of what is no length of time, one of more digits than a
/// user or a port has.
const ECHO_DIGITS_MAX: usize = 6;
const ECHO_OTHER_DIGITS_MAX: usize = 5;

/// The keys that take a length of time, each with the unit in which a bare number is most likely meant.
const PERIODS: [(&str, &str); 12] = [
    ("soak", "s"),
    ("old_idle_for", "s"),
    ("unit_deadline", "s"),
    ("phase_deadline", "s"),
    ("bake", "s"),
    ("pause_between", "s"),
    ("drain", "s"),
    ("deadline", "s"),
    ("rotate_every", "d"),
    ("warn_before", "d"),
    ("overdue_after", "d"),
    ("remind_every", "d"),
];

/// What to write for a value of the wrong type behind this key of the table with these keys. `expected`: the type that it must
/// have, in serde's words.
pub(crate) fn for_wrong_type(
    (table, key): (&[String], &str),
    value: &DeValue<'_>,
    expected: &str,
) -> Option<String> {
    let is_table = expected.starts_with("struct ") || ["a map", "a table"].contains(&expected);
    if is_table
        && let [of] = table
        && let Some(help) = for_named(of)
    {
        return Some(help.to_owned());
    }
    if !is_plain(key) {
        return None;
    }
    if is_table {
        return for_table(key);
    }
    if key == "window" {
        return Some(WINDOW_HELP.to_owned());
    }
    if key == "account" {
        return Some(ACCOUNT_HELP.to_owned());
    }
    match (value, expected) {
        (DeValue::Table(_) | DeValue::Array(_), "a string") if key == "issuer" => Some(for_issuer(value)),
        (DeValue::Integer(number), "a string") => Some(for_number(key, number)),
        (DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_), "a string") => {
            Some(for_text(key, "10"))
        }
        (DeValue::Array(_), "a string") if key == "unit" => Some(
            "the instances of a template unit are one consumer: `unit = \"worker@{instance}.service\", instances = \
             [\"1\", \"2\"]`"
                .to_owned(),
        ),
        (DeValue::String(_), "a boolean") => {
            Some(format!("write `{key} = true` or `{key} = false`, without quotes"))
        }
        (DeValue::String(_), "u8" | "u16" | "u32" | "f64") => {
            Some(format!("write the number without quotes, as in `{key} = 1`"))
        }
        (DeValue::String(_) | DeValue::Table(_), "a sequence") | (DeValue::Array(_), "a string") => for_list(key),
        (
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_),
            _,
        ) => None,
    }
}

/// The name of an issuer in place of a table or a list; the one that is meant, if a word of it names one.
fn for_issuer(value: &DeValue<'_>) -> String {
    let named = |word: &str| meant(word).first().copied();
    let mut all = value.as_array().into_iter().flatten();
    let in_list = all.find_map(|one| named(one.get_ref().as_str()?));
    let mut tables = value.as_table().into_iter().flatten();
    let in_table =
        tables.find_map(|(key, one)| one.get_ref().as_str().and_then(named).or_else(|| named(key.get_ref())));
    let name = in_table.or(in_list).unwrap_or("openrouter");
    format!("write its name in quotes: `issuer = \"{name}\"`; keyroll issuers list shows the issuers")
}

/// A text in place of a number.
fn for_number(key: &str, number: &DeInteger<'_>) -> String {
    let digits = number.as_str();
    let is_quantity = key == "max_memory" || PERIODS.iter().any(|(period, _)| *period == key);
    let most = if is_quantity { ECHO_DIGITS_MAX } else { ECHO_OTHER_DIGITS_MAX };
    let short =
        number.radix() == 10 && digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_digit());
    for_text(key, if short { digits } else { "10" })
}

fn for_text(key: &str, number: &str) -> String {
    match PERIODS.iter().find(|(period, _)| *period == key) {
        Some((_, unit)) => {
            format!("write a length of time with its unit, in quotes: `{key} = \"{number}{unit}\"`")
        }
        None if key == "max_memory" => {
            format!("write a size with its unit, in quotes: `{key} = \"{number}GiB\"`")
        }
        None => format!("write it in quotes: `{key} = \"{number}\"`"),
    }
}

/// A list in place of a text.
fn for_list(key: &str) -> Option<String> {
    match key {
        "restart" | "exec" | "reload" | "fetch" | "generated" => {
            Some(format!("write the words of the command as a list: `{key} = [\"./PROGRAM\", \"ARGUMENT\"]`"))
        }
        "consumers" => Some("write each of them as a table, [[secrets.NAME.consumers]]".to_owned()),
        "instances" | "hosts" | "searched_hosts" | "require" | "roots" | "on" | "to" | "stores" => {
            Some(format!("write a list: `{key} = [\"…\"]`"))
        }
        _ => None,
    }
}

/// Anything else in place of one of the tables by name in this table.
fn for_named(of: &str) -> Option<&'static str> {
    match of {
        "secrets" => Some("write the table [secrets.NAME] with `issuer = \"openrouter\"`"),
        "hosts" => Some("write the table [hosts.NAME] with `connect = \"ssh://USER@HOST\"`"),
        _ => None,
    }
}

/// Anything else in place of a table.
fn for_table(key: &str) -> Option<String> {
    match key {
        "check" | "emergency" => for_missing(key).map(str::to_owned),
        "runs" => Some("write how it runs as a table: `runs = { unit = \"app.service\" }`".to_owned()),
        "consumers" | "bystanders" => Some(format!("write each of them as a table, [[secrets.NAME.{key}]]")),
        "other_keys" => {
            Some("write each of them as a table: `other_keys = [{ id = \"…\", label = \"…\" }]`".to_owned())
        }
        "secrets" | "hosts" => Some(format!("write a table for each of them: [{key}.NAME]")),
        "server" | "search" | "schedule" | "defaults" | "vault" => Some(format!("write the table [{key}]")),
        "revoke" | "roll" | "gate" | "fields" | "derived" | "aws" | "kubernetes" | "postgres" | "redis"
        | "mariadb" | "rabbitmq" => Some(format!("write the table [secrets.NAME.{key}]")),
        _ => None,
    }
}

/// What to write for a key that is missing.
pub(crate) fn for_missing(key: &str) -> Option<&'static str> {
    match key {
        "account" => Some(ACCOUNT_HELP),
        "user" => Some("write the name of the IAM user: `user = \"ci-deploy\"`"),
        "version" => Some("write `version = 1` at the top of the file"),
        "issuer" => Some("write `issuer = \"openrouter\"`; keyroll issuers list shows the issuers"),
        "name" => Some("give it a name of its own: `name = \"api\"`"),
        "connect" => Some(
            "write `connect = \"ssh://USER@HOST\"`, `connect = \"kube://CONTEXT/NAMESPACE\"` for a cluster, or `connect = \
             \"local\"`",
        ),
        "listen" => Some("write `listen = \"127.0.0.1:9090\"`"),
        "emergency" => Some("write the table [server.emergency] with `admin_token = \"file:./admin-token\"`"),
        "admin_token" => Some("write `admin_token = \"file:./admin-token\"`"),
        "uid" | "exe" => Some("write `serves = { uid = \"app\", exe = \"/usr/local/bin/app\" }`"),
        "url" | "query" | "max" => Some(
            "a gate has `url`, `query` and `max`: an address on loopback, a query, and its highest value",
        ),
        "check" => Some("write `check = { exec = [\"./check.sh\", \"{copy}\"] }`"),
        "role_id" | "secret_id" => {
            Some("write `approle = { role_id = \"ROLE\", secret_id = \"file:./secret-id\" }`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn said(line: &str, expected: &str) -> Option<String> {
        let table = DeTable::parse(line).unwrap().into_inner();
        let (key, value) = table.iter().next().unwrap();
        for_wrong_type((&["secrets".to_owned(), "acme".to_owned()], key.get_ref()), value.get_ref(), expected)
    }

    #[test]
    fn a_bare_number_gets_the_unit_that_was_most_likely_meant() {
        for (line, wanted) in [
            ("soak = 300", "`soak = \"300s\"`"),
            ("drain = 5", "`drain = \"5s\"`"),
            ("rotate_every = 90", "`rotate_every = \"90d\"`"),
            ("max_memory = 4", "`max_memory = \"4GiB\"`"),
            ("uid = 1001", "`uid = \"1001\"`"),
            ("bake = 1.5", "`bake = \"10s\"`"),
            ("window = 09:00:00", "Europe/Berlin"),
        ] {
            let help = said(line, "a string").unwrap();
            assert!(help.contains(wanted), "{line}: {help}");
        }
    }

    #[test]
    fn a_long_number_is_not_repeated() {
        for line in ["soak = 4815162342", "owner = -1234567", "soak = 0xdeadbeef", "admin = 482913"] {
            let help = said(line, "a string").unwrap();
            let number = line.split(" = ").nth(1).unwrap();
            assert!(!help.contains(number.trim_start_matches("0x")), "{line}: {help}");
        }
    }

    /// In a table of names, a key may be anything.
    #[test]
    fn a_key_that_is_none_of_the_format_is_not_repeated() {
        for line in ["\"sk-4f1d0c9b\" = 1", "PASSWORD4F1D = 1.5", "correct_horse_battery_staple = true"] {
            assert_eq!(said(line, "a string"), None, "{line}");
        }
    }

    #[test]
    fn a_table_in_place_of_an_issuer_leads_to_the_name_that_it_has() {
        for (line, name) in [
            ("issuer = { kind = \"postgress\" }", "postgres"),
            ("issuer = { opnrouter = { admin = \"a\" } }", "openrouter"),
            ("issuer = [\"slack\"]", "slack"),
            ("issuer = { kind = \"sk-live-4f1d0c9b\" }", "openrouter"),
        ] {
            let help = said(line, "a string").unwrap();
            assert!(help.contains(&format!("`issuer = \"{name}\"`")), "{line}: {help}");
            assert!(!help.contains("4f1d0c9b"), "{help}");
        }
    }

    #[test]
    fn what_is_no_table_leads_to_the_table_that_is_meant() {
        for (line, wanted) in [
            ("check = \"./c.sh\"", "`check = { exec = "),
            ("runs = \"app.service\"", "`runs = { unit = "),
            ("consumers = [\"api\"]", "[[secrets.NAME.consumers]]"),
            ("revoke = true", "[secrets.NAME.revoke]"),
            ("postgres = \"postgres://u:4f1d0c9b@h/d\"", "[secrets.NAME.postgres]"),
        ] {
            let help = said(line, "struct AnyShape").unwrap();
            assert!(help.contains(wanted) && !help.contains("4f1d0c9b"), "{line}: {help}");
        }
        let top = DeTable::parse("web = \"ssh://web\"").unwrap().into_inner();
        let (key, value) = top.iter().next().unwrap();
        let of = |table: &str| {
            for_wrong_type((&[table.to_owned()], key.get_ref()), value.get_ref(), "struct AnyShape")
        };
        assert!(of("hosts").unwrap().contains("[hosts.NAME] with `connect"));
        assert!(of("secrets").unwrap().contains("[secrets.NAME] with `issuer"));
    }

    #[test]
    fn a_list_of_units_leads_to_the_instances_of_a_template_unit() {
        let help = said("unit = [\"worker@1.service\", \"worker@2.service\"]", "a string").unwrap();
        assert!(help.contains("worker@{instance}.service"), "{help}");
        assert!(said("unit = \"a\"", "a string").is_none());
    }
}
