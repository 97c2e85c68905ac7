//! The schema of `spec`: that of the table `[secrets.NAME]`, in the form that Kubernetes takes.
//!
//! Source: <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>.

use serde_json::{Map, Value, json};

/// Keeps the keys that the schema does not name.
pub(super) const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
/// The longest description, in bytes.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 300;
/// How deep the tables are nested at most.
const DEPTH_MAX: usize = 24;
/// The formats that Kubernetes knows, of those that a schema of ours may have.
const FORMATS: [&str; 5] = ["int32", "int64", "float", "double", "date-time"];
/// What both forms of a schema say in the same way.
const KEPT: [&str; 6] = ["minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];
/// What a reference to another table begins with.
const REFERENCE: &str = "#/$defs/";

const SECRET: &str = "SecretShape";
const CONSUMER: &str = "ConsumerShape";
const CHECK: &str = "CheckShape";
const READ: &str = "ReadShape";
const RUNS: &str = "RunsShape";

/// The keys of a table that the objects do not have, each with the reason.
pub(super) const LEFT_OUT: [(&str, &str, &str); 13] = [
    (SECRET, "aws", "keyroll's own login at AWS makes the keys"),
    (SECRET, "bystanders", "they are processes of a machine"),
    (SECRET, "gate", "its server is on loopback, and that is in keyroll's pod"),
    (SECRET, "kubernetes", "the cluster is the one that the object is in"),
    (SECRET, "mariadb", "its server is on loopback, and that is in keyroll's pod"),
    (SECRET, "searched_hosts", "machines by ssh are no matter of a namespace"),
    ("postgres", "poolers", "their console is on loopback, and that is in keyroll's pod"),
    ("postgres", "vault_roles", "keyroll's own login at Vault changes the passwords"),
    (CONSUMER, "fetch", "it is a command on a machine"),
    (CONSUMER, "host", "it is the cluster that the object is in"),
    (CONSUMER, "hosts", "it is the cluster that the object is in"),
    (CONSUMER, "log", "it is a file of a machine"),
    (CONSUMER, "serves", "it is a process of a machine"),
];

/// The only keys of a table that the objects have: all others are for machines.
pub(super) const ONLY: [(&str, &[&str]); 3] = [
    (CHECK, &["exec"]),
    (READ, &["secret", "key", "field", "derived"]),
    (
        RUNS,
        &[
            "deployment",
            "statefulset",
            "daemonset",
            "cronjob",
            "job",
            "pod",
            "container",
            "rereads",
            "canary",
        ],
    ),
];

/// What a key means here, where its description begins with what it means on machines.
pub(super) const SAID: [(&str, &str, &str); 9] = [
    (
        SECRET,
        "store",
        "The source of truth for the value: `keyroll` (default), which is keyroll's own sealed store; or, as far as keyroll's \
         configuration allows it to this namespace, `aws-sm:NAME#KEY`, `vault:MOUNT/PATH#KEY` or `k8s:NAMESPACE/NAME#KEY`.",
    ),
    (
        CONSUMER,
        "check",
        "A check that the pods work with the new value: keyroll runs it in a pod of its own, which has the image, the \
         environment and the files of the consumer's container.",
    ),
    (
        CONSUMER,
        "reads",
        "The key of a Secret that the pods take: `secret` with `key`, and `field` or `derived`.",
    ),
    (
        CONSUMER,
        "runs",
        "What runs the pods: exactly one of `deployment`, `statefulset`, `daemonset`, `cronjob`, `job`, `pod`; `container`, \
         `rereads` and `canary` may stand beside it.",
    ),
    (
        CONSUMER,
        "trusts",
        "`rereads`, required with `runs.rereads`: you know that the program reads the mounted file at each call.",
    ),
    (
        CHECK,
        "exec",
        "A command that succeeds (exit code 0) only with a working credential. It must not print the value, and it must fail \
         with a wrong one.",
    ),
    (READ, "key", "The key in the Secret, `api-key`."),
    (RUNS, "container", "The container of the pods that takes the value. Default: each container that does."),
    (
        RUNS,
        "rereads",
        "`true`: the program reads the mounted file again by itself, so that no pod is replaced.",
    ),
];

/// The schema of `spec`.
pub(super) fn spec() -> Value {
    let mut root = keyroll_config::schema();
    let tables = root.get_mut("$defs").map(Value::take);
    let tables = Tables(tables.and_then(|all| all.as_object().cloned()).unwrap_or_default());
    let mut spec = tables.table(SECRET, DEPTH_MAX);
    spec.insert("description".to_owned(), "The table `[secrets.NAME]` of keyroll.toml.".into());
    // Without consumers there would be nothing in the cluster.
    spec.insert("required".to_owned(), json!(["issuer", "consumers"]));
    let consumers = spec.get_mut("properties").and_then(|all| all.get_mut("consumers"));
    if let Some(consumers) = consumers.and_then(Value::as_object_mut) {
        consumers.insert("minItems".to_owned(), 1.into());
    }
    spec.into()
}

/// A part of a schema.
type Part = Map<String, Value>;

/// The tables of keyroll.toml by their names.
struct Tables(Part);

impl Tables {
    /// A table; `depth`: how many levels it may have.
    fn table(&self, name: &str, depth: usize) -> Part {
        match self.0.get(name) {
            Some(written) => self.described(name, written, depth),
            None => anything(),
        }
    }

    /// A part with its description. `name`: that of the table, if it is one.
    fn described(&self, name: &str, written: &Value, depth: usize) -> Part {
        let mut made = self.part(name, written, depth);
        if let Some(text) = written.get("description").and_then(Value::as_str) {
            made.insert("description".to_owned(), shortened(text).into());
        }
        made
    }

    fn part(&self, name: &str, written: &Value, depth: usize) -> Part {
        // A table that has itself in it would never end.
        let Some(depth) = depth.checked_sub(1) else { return anything() };
        if let Some(of) = written.get("$ref").and_then(Value::as_str) {
            return self.table(of.strip_prefix(REFERENCE).unwrap_or_default(), depth);
        }
        if let Some(all) = written.get("anyOf").or_else(|| written.get("oneOf")).and_then(Value::as_array) {
            let mut all = all.iter().filter(|one| !is_null(one));
            return match (all.next(), all.next()) {
                (Some(one), None) => self.described("", one, depth),
                _ => anything(),
            };
        }
        match kind(written) {
            Some("object") => self.object(name, written, depth),
            Some("array") => self.array(written, depth),
            Some(kind) => scalar(kind, written),
            None => constant(written),
        }
    }

    fn object(&self, name: &str, written: &Value, depth: usize) -> Part {
        let mut made = typed("object");
        if let Some(each) = written.get("additionalProperties").filter(|each| each.is_object()) {
            made.insert("additionalProperties".to_owned(), self.described("", each, depth).into());
            return made;
        }
        let all = written.get("properties").and_then(Value::as_object).into_iter().flatten();
        let kept = all.filter(|(key, _)| has(name, key));
        let kept: Part =
            kept.map(|(key, of)| (key.clone(), Value::Object(self.key(name, key, of, depth)))).collect();
        let required = written.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: Vec<&str> =
            required.filter_map(Value::as_str).filter(|key| kept.contains_key(*key)).collect();
        if !required.is_empty() {
            made.insert("required".to_owned(), json!(required));
        }
        if !kept.is_empty() {
            made.insert("properties".to_owned(), kept.into());
        }
        made.insert(PRESERVE.to_owned(), true.into());
        made
    }

    /// One key of a table.
    fn key(&self, table: &str, key: &str, written: &Value, depth: usize) -> Part {
        let mut made = match (table, key) {
            // Only consumers on machines have several copies, or none.
            (CONSUMER, "reads") => self.table(READ, depth),
            _ => self.described("", written, depth),
        };
        if let Some((.., text)) = SAID.iter().find(|(of, said, _)| (*of, *said) == (table, key)) {
            made.insert("description".to_owned(), (*text).into());
        }
        made
    }

    fn array(&self, written: &Value, depth: usize) -> Part {
        let mut made = typed("array");
        let items = written.get("items").map_or_else(anything, |items| self.described("", items, depth));
        made.insert("items".to_owned(), items.into());
        keep(&mut made, written);
        made
    }
}

/// Whether the objects have a key of a table.
fn has(table: &str, key: &str) -> bool {
    let left_out = LEFT_OUT.iter().any(|(of, left, _)| (*of, *left) == (table, key));
    let only = ONLY.iter().find(|(of, _)| *of == table);
    !left_out && only.is_none_or(|(_, keys)| keys.contains(&key))
}

/// The one type of a part, besides null.
fn kind(written: &Value) -> Option<&str> {
    let kind = written.get("type")?;
    let Some(kinds) = kind.as_array() else { return kind.as_str() };
    let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
    let one = kinds.next();
    one.filter(|_| kinds.next().is_none())
}

fn is_null(written: &Value) -> bool {
    written.get("type").is_some_and(|kind| kind == "null")
}

/// What has one of several types, or none that is written.
fn anything() -> Part {
    [(PRESERVE.to_owned(), Value::Bool(true))].into_iter().collect()
}

fn typed(kind: &str) -> Part {
    [("type".to_owned(), Value::from(kind))].into_iter().collect()
}

fn scalar(kind: &str, written: &Value) -> Part {
    let mut made = typed(kind);
    keep(&mut made, written);
    if let Some(format) = written.get("format").and_then(Value::as_str).filter(|one| FORMATS.contains(one)) {
        made.insert("format".to_owned(), format.into());
    }
    if let Some(words) = written.get("enum").and_then(Value::as_array) {
        let words: Vec<&Value> = words.iter().filter(|word| !word.is_null()).collect();
        made.insert("enum".to_owned(), json!(words));
    }
    made
}

/// A single word, which Kubernetes writes as a choice of one.
fn constant(written: &Value) -> Part {
    let Some(word) = written.get("const").and_then(Value::as_str) else { return anything() };
    let mut made = typed("string");
    made.insert("enum".to_owned(), json!([word]));
    made
}

/// Takes over what both forms have.
fn keep(made: &mut Part, written: &Value) {
    for word in KEPT {
        if let Some(value) = written.get(word) {
            made.insert(word.to_owned(), value.clone());
        }
    }
}

/// A description in one line: its first two sentences, or one, or the words that fit.
pub(super) fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = text.match_indices(". ").map(|(at, _)| at.saturating_add(1)).chain([text.len()]);
    let ends: Vec<usize> = ends.take(2).collect();
    let end = ends.into_iter().rev().find(|end| *end <= DESCRIPTION_BYTES_MAX);
    if let Some(sentences) = end.and_then(|end| text.get(..end)) {
        return sentences.to_owned();
    }
    let spaces = text.match_indices(' ').map(|(at, _)| at);
    let end = spaces.take_while(|at| at.saturating_add('…'.len_utf8()) <= DESCRIPTION_BYTES_MAX).last();
    format!("{}…", text.get(..end.unwrap_or_default()).unwrap_or_default())
}
