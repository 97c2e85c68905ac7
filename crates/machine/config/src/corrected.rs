//! The commands of a consumer, as another text has them.

use toml_edit::{Item, Table, TableLike, Value};

use crate::edit::{checked, open};
use crate::split::{named, table, tables, take, unplaced_item};
use crate::{Config, ConfigError, Kind, Name};

/// The keys of a consumer's table that say what runs, and what shows that it works.
const COMMANDS: [&str; 5] = ["runs", "fetch", "log", "check", "paths"];

/// The text with the commands that a consumer's table has in another text: how its processes are found and take a value, and
/// its checks. Every other key stays, and so do comments, order and spacing of all that is not replaced. The result is checked
/// whole before it is returned. `consumer`: as its table names it, without a host.
///
/// # Errors
/// [`Kind::BadEdit`] if one of the texts has no such consumer in a table; any other kind if the result would be refused.
pub fn correct_consumer(
    text: &str,
    now: &str,
    file_name: &str,
    secret: &Name,
    consumer: &Name,
) -> Result<String, ConfigError> {
    let missing = || {
        let why = format!("secret `{secret}` has no table of a consumer `{consumer}`");
        ConfigError::new(Kind::BadEdit, file_name, why, None, None)
    };
    Config::parse(now, file_name)?;
    let mut newer = open(now, file_name)?;
    let taken = table(&mut newer, secret).and_then(|own| take(own, consumer)).map(tables);
    let taken = taken.and_then(|all| all.into_iter().next()).ok_or_else(missing)?;
    let mut document = open(text, file_name)?;
    let own = table(&mut document, secret).ok_or_else(missing)?;
    let is_meant = |one: &dyn TableLike| named(one.get("name"), consumer);
    match own.get_mut("consumers") {
        Some(Item::ArrayOfTables(all)) => {
            let one = all.iter_mut().find(|one| is_meant(*one)).ok_or_else(missing)?;
            put(one, taken, |mut item| {
                unplaced_item(&mut item);
                item
            });
        }
        Some(Item::Value(Value::Array(all))) => {
            let mut inline = all.iter_mut().filter_map(Value::as_inline_table_mut);
            let one = inline.find(|one| is_meant(*one)).ok_or_else(missing)?;
            put(one, taken, |item| item.into_value().map_or(Item::None, Item::Value));
        }
        Some(Item::None | Item::Table(_) | Item::Value(_)) | None => return Err(missing()),
    }
    checked(document, file_name)
}

/// Puts the commands of one table into another one, each in the form that fits there.
fn put(one: &mut dyn TableLike, mut taken: Table, fitted: impl Fn(Item) -> Item) {
    for key in COMMANDS {
        match taken.remove(key) {
            Some(item) => one.insert(key, fitted(item)),
            None => one.remove(key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/srv/keyroll.toml";

    /// A secret with two consumers, the second with this text in its table.
    fn with(second: &str) -> String {
        format!(
            "version = 1\n\n[secrets.acme]\nissuer = \"openrouter\"\n\n[[secrets.acme.consumers]]\nname = \"one\"\n\
             runs = {{ at_rest = true }} # stays\nreads = {{ file = \"./1\" }}\n\n[[secrets.acme.consumers]]\nname = \
             \"two\"\n{second}\n[secrets.other]\nissuer = \"openrouter\"\n\n[[secrets.other.consumers]]\nname = \
             \"two\"\nruns = {{ at_rest = true }}\nreads = {{ file = \"./3\" }}\n"
        )
    }

    fn corrected(before: &str, now: &str) -> Result<String, ConfigError> {
        let (acme, two) = (Name::new("acme").unwrap(), Name::new("two").unwrap());
        correct_consumer(before, now, FILE, &acme, &two)
    }

    #[test]
    fn the_commands_come_from_the_other_text_and_all_else_stays() {
        let before = with(
            "reads = { file = \"./2\" }\nruns = { restart = [\"./wrong.sh\"], pid_file = \"./a.pid\" }\ncheck = { exec = \
             [\"./old-check\", \"{copy}\"] }\n",
        );
        let now = with(
            "reads = { file = \"./elsewhere\" }\nwave = 3\n[secrets.acme.consumers.runs]\nrestart = [\"./right.sh\"]\n\
             pid_file = \"./a.pid\"\n",
        )
        .replace("./1", "./another");
        let text = corrected(&before, &now).unwrap();
        let config = Config::parse(&text, FILE).unwrap();
        let after = config.secret("acme").unwrap();
        let then = Config::parse(&before, FILE).unwrap();
        let before = then.secret("acme").unwrap();
        assert_eq!(after.consumer("one"), before.consumer("one"));
        let (two, wrong) = (after.consumer("two").unwrap(), before.consumer("two").unwrap());
        assert_eq!((&two.reads, two.wave, &two.check), (&wrong.reads, 0, &None));
        let newer = Config::parse(&now, FILE).unwrap();
        assert_eq!(two.runs, newer.secret("acme").unwrap().consumer("two").unwrap().runs);
        assert_ne!(two.runs, wrong.runs);
        assert_eq!(config.secret("other").unwrap(), then.secret("other").unwrap());
        assert!(text.contains("# stays"), "{text}");
    }

    #[test]
    fn a_list_in_one_line_takes_them_too() {
        let listed = |command: &str| {
            format!(
                "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\nconsumers = [{{ name = \"two\", runs = {{ restart = \
                 [\"{command}\"], pid_file = \"./a.pid\" }}, reads = {{ file = \"./2\" }} }}]\n"
            )
        };
        let now = with(
            "reads = { file = \"./2\" }\nruns = { restart = [\"./right.sh\"], pid_file = \"./a.pid\" }\n",
        );
        assert_eq!(corrected(&listed("./wrong.sh"), &now).unwrap(), listed("./right.sh"));
    }

    #[test]
    fn a_consumer_that_one_of_them_does_not_have_is_refused() {
        let now = with("reads = { file = \"./2\" }\nruns = { at_rest = true }\n");
        let without = "version = 1\n[secrets.acme]\nissuer = \"openrouter\"\n";
        for (before, after) in [(without, now.as_str()), (now.as_str(), without)] {
            assert!(
                corrected(before, after).unwrap_err().to_string().contains("no table of a consumer `two`")
            );
        }
    }
}
