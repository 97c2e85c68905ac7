//! A secret without its consumers on one host.

use toml_edit::{Array, Item, TableLike, Value};

use crate::edit::{checked, open};
use crate::split::table;
use crate::{Config, ConfigError, Kind, Name, Secret};

/// The text without the secret's consumers on a host, for a plan that leaves the host out: a consumer that is on other hosts
/// too is on those alone. Comments, order and spacing stay. The result is checked whole before it is returned.
///
/// # Errors
/// [`Kind::BadEdit`] if there is no such secret, or it is not a table; any other kind if the result would be refused.
pub fn leave_out(text: &str, file_name: &str, secret: &str, host: &str) -> Result<String, ConfigError> {
    let refuse =
        |why: String, help: Option<String>| ConfigError::new(Kind::BadEdit, file_name, why, None, help);
    let config = Config::parse(text, file_name)?;
    let known =
        config.secret(secret).map_err(|help| refuse(format!("there is no secret `{secret}`"), Some(help)))?;
    let mut document = open(text, file_name)?;
    let own = table(&mut document, &known.name)
        .ok_or_else(|| refuse(format!("secret `{secret}` is not written as a table of its own"), None))?;
    match own.get_mut("consumers") {
        Some(Item::ArrayOfTables(all)) => {
            all.retain(|one| rest(one, known, host) != Rest::Nothing);
            all.iter_mut().for_each(|one| put(one, known, host));
        }
        Some(Item::Value(Value::Array(all))) => {
            let is_left = |value: &Value| {
                value.as_inline_table().is_none_or(|one| rest(one, known, host) != Rest::Nothing)
            };
            all.retain(is_left);
            all.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|one| put(one, known, host));
        }
        Some(Item::None | Item::Table(_) | Item::Value(_)) | None => {}
    }
    checked(document, file_name)
}

/// What is left of a consumer's table without a host.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// It is not on the host.
    All,
    /// It is on these hosts too.
    On(Vec<String>),
    /// It is on no other host.
    Nothing,
}

fn rest(one: &dyn TableLike, secret: &Secret, host: &str) -> Rest {
    let word = |key: &str| one.get(key).and_then(Item::as_str);
    if !one.contains_key("hosts") {
        return if word("host") == Some(host) { Rest::Nothing } else { Rest::All };
    }
    let Some(name) = word("name").and_then(Name::new) else { return Rest::All };
    let on_each = secret.consumers.iter().filter(|it| it.name == name.on_host(&it.host));
    let hosts: Vec<String> = on_each.map(|it| it.host.to_string()).collect();
    let others: Vec<String> = hosts.iter().filter(|it| *it != host).cloned().collect();
    match (others.is_empty(), others.len() == hosts.len()) {
        (_, true) => Rest::All,
        (true, false) => Rest::Nothing,
        (false, false) => Rest::On(others),
    }
}

/// Writes what is left.
fn put(one: &mut dyn TableLike, secret: &Secret, host: &str) {
    if let Rest::On(others) = rest(one, secret, host) {
        one.insert("hosts", Item::Value(Value::Array(others.into_iter().collect::<Array>())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "version = 1\n[hosts.web-1]\nconnect = \"ssh://web-1\"\ngroup = \"web\"\nfolder = \"/srv\"\n\
        [hosts.web-2]\nconnect = \"ssh://web-2\"\ngroup = \"web\"\nfolder = \"/srv\"\n[secrets.acme]\n\
        issuer = \"openrouter\"\n";

    const REST: &str = "runs = { at_rest = true }\nreads = { file = \"./key\" }\n";

    /// The names of the consumers that are left without web-2.
    fn left(consumers: &str) -> Vec<String> {
        let text = format!("{HOSTS}{consumers}");
        let left = leave_out(&text, "keyroll.toml", "acme", "web-2").unwrap();
        assert!(left.contains("[hosts.web-2]"), "it can still be looked at: {left}");
        let config = Config::parse(&left, "keyroll.toml").unwrap();
        config.secret("acme").unwrap().consumers.iter().map(|it| it.name.to_string()).collect()
    }

    #[test]
    fn consumers_on_the_host_are_left_out_and_those_on_others_keep_their_names() {
        let table = |name: &str, on: &str| {
            format!(
                "[[secrets.acme.consumers]]\nname = \"{name}\"\n{on}\n{}",
                REST.replace("./key", &format!("./{name}"))
            )
        };
        let all = [
            table("here", ""),
            table("api", "hosts = [\"web\"] # both"),
            table("job", "host = \"web-2\""),
            table("one", "hosts = [\"*-2\"]"),
            table("last", "host = \"web-1\""),
        ];
        assert_eq!(left(&all.concat()), ["here", "api@web-1", "last"]);
        assert_eq!(left(&all[2]), [] as [String; 0]);
        let inline = "consumers = [{ name = \"api\", hosts = [\"web\"], runs = { at_rest = true }, reads = { file = \"./a\" } }, \
            { name = \"job\", host = \"web-2\", runs = { at_rest = true }, reads = { file = \"./b\" } }]\n";
        assert_eq!(left(inline), ["api@web-1"]);
    }

    #[test]
    fn a_secret_that_is_not_there_is_named() {
        let refused = leave_out(HOSTS, "keyroll.toml", "acne", "web-2").unwrap_err();
        assert!(refused.to_string().contains("acne"), "{refused}");
    }
}
