use std::fmt::Write as _;

use keyroll_logins::SERVERS;
use serde_json::{Map, Value};

use crate::{login_table, schema};

/// The tables of the page, except those of servers: the name in the schema, and the heading.
const TABLES: &[(&str, &str)] = &[
    ("", "The file"),
    ("DefaultsShape", "[defaults]"),
    ("ScheduleShape", "[schedule]"),
    ("SearchShape", "[search]"),
    ("HostShape", "[hosts.NAME]"),
    ("ServerShape", "[server]"),
    ("EmergencyShape", "[server.emergency]"),
    ("RecipientShape", "[server.notices.NAME]"),
    ("FollowedShape", "[server.kubernetes]"),
    ("FollowedNamespaceShape", "[server.kubernetes.namespaces.HOST]"),
    ("VaultShape", "[vault]"),
    ("AppRoleShape", "[vault.approle]"),
    ("SecretShape", "[secrets.NAME]"),
    ("FieldShape", "[secrets.NAME.fields] FIELD = { … }"),
    ("AwsShape", "[secrets.NAME.aws]"),
    ("KubernetesShape", "[secrets.NAME.kubernetes]"),
    ("RevokeShape", "[secrets.NAME.revoke]"),
    ("RollShape", "[secrets.NAME.roll]"),
    ("GateShape", "[secrets.NAME.gate]"),
    ("ConsumerShape", "[[secrets.NAME.consumers]]"),
    ("RunsShape", "runs = { … }"),
    ("ReadShape", "reads = [ { … } ]"),
    ("ServesShape", "serves = { … }"),
    ("LogShape", "log = { … }"),
    ("CheckShape", "check = { … }"),
    ("BystanderShape", "[[secrets.NAME.bystanders]]"),
];

const HEAD: &str = "# keyroll.toml\n\n\
    Generated from `crates/machine/config/src/shape.rs` and the tables that managers and servers declare; do not edit by hand.\n\n\
    Unknown keys are errors. One reading reports all mistakes of the file, in its order. keyroll resolves relative paths against the folder of keyroll.toml, and runs commands in that \
    folder, without a shell; for a consumer on a host by ssh it is the `folder` of that host. A duration is a whole number and a unit: `500ms`, `10s`, `30m`, `12h`, `90d`, `2w`. A name \
    has 1 to 64 characters of `a-z 0-9 . _ -`, and begins with a letter or digit. keyroll replaces `{instance}` and \
    `{port}` with the name and the port of the instance, and `{copy}` with the path of the consumer's first copy; `{{` and \
    `}}` are single braces. The file never contains a value: `admin`, for example, is a reference to a file, \
    `file:./name`.\n";

const TAIL: &str = "\n## [[secrets.NAME.consumers.paths]]\n\nFurther code paths that use the secret, such as a \
    fallback that is normally idle: `name`, unique within the consumer, and `check`, as above.\n";

/// The table before which the tables of servers are inserted.
const AFTER_SERVERS: &str = "RevokeShape";

/// The tables of the page with those of servers.
fn tables() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, heading) in TABLES {
        if *name == AFTER_SERVERS {
            for (table, _) in SERVERS.iter().flat_map(|server| login_table::definitions(server)) {
                let heading = match table.contains('.') {
                    true => format!("[[secrets.NAME.{table}]]"),
                    false => format!("[secrets.NAME.{table}]"),
                };
                all.push((table, heading));
            }
        }
        all.push(((*name).to_owned(), (*heading).to_owned()));
    }
    all
}

/// The page docs/reference/config.md.
pub fn reference_markdown() -> String {
    let root = schema();
    let mut page = HEAD.to_owned();
    for (name, heading) in tables() {
        let table = match name.as_str() {
            "" => Some(&root),
            name => root.pointer(&format!("/$defs/{name}")),
        };
        if let Some(table) = table {
            write_table(&mut page, &heading, table);
        }
    }
    page.push_str(TAIL);
    page
}

fn write_table(page: &mut String, heading: &str, table: &Value) {
    let empty = Map::new();
    let properties = table.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = table
        .get("required")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = write!(page, "\n## {heading}\n\n{}\n\n", one_line(table));
    page.push_str("| key | form | |\n|---|---|---|\n");
    for (key, property) in properties {
        let star = if required.contains(&key.as_str()) { " *(required)*" } else { "" };
        let text = one_line(property).replace('|', "\\|");
        let _ = writeln!(page, "| `{key}`{star} | {} | {text} |", form(property));
    }
}

fn one_line(value: &Value) -> String {
    value.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

/// The form of a key in a word or two.
fn form(property: &Value) -> String {
    if let Some(target) = property.get("$ref").and_then(Value::as_str) {
        return named(target);
    }
    if let Some(items) = property.get("items") {
        return format!("array of {}", form(items));
    }
    if property.get("additionalProperties").is_some() {
        return "table by name".to_owned();
    }
    let kind = |name: &str| match name {
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    };
    match property.get("type") {
        Some(Value::String(one)) => kind(one),
        Some(Value::Array(many)) => {
            let first = many.iter().filter_map(Value::as_str).find(|name| *name != "null");
            match first {
                Some("array") => "array of strings".to_owned(),
                Some(other) => kind(other),
                None => String::new(),
            }
        }
        _ => property.get("anyOf").and_then(Value::as_array).and_then(|all| all.first()).map_or_else(
            String::new,
            |first| match property.get("anyOf") {
                Some(Value::Array(all)) if all.iter().any(|one| one.get("items").is_some()) => {
                    match all.iter().find_map(|one| one.get("const")) {
                        Some(word) => format!("{}, array or `{word}`", form(first)),
                        None => format!("{} or array", form(first)),
                    }
                }
                _ => form(first),
            },
        ),
    }
}

fn named(target: &str) -> String {
    let name = target.rsplit('/').next().unwrap_or_default();
    tables().iter().find(|(known, _)| known == name).map_or_else(
        || "table".to_owned(),
        |(_, heading)| format!("`{}`", heading.split(" = ").next().unwrap_or(heading)),
    )
}
