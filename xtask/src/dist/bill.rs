//! The bill of materials: every crate whose code is in the programs, as CycloneDX 1.5.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::files::{at, sha256, write};
use super::programs::TARGET;
use super::release::Release;
use crate::run::{output, root};

/// The package whose programs are shipped.
const OWN: &str = "keyroll";

/// A crate, by name and version.
type Crate = (String, String);

/// What a bill is made of.
struct Sources {
    /// What `cargo metadata` prints: licences, and which crate uses which.
    metadata: Value,
    /// What `cargo tree` prints: the crates that are linked. The metadata join the features of all packages of the workspace.
    tree: String,
    /// Cargo.lock, and its SHA-256.
    lock: String,
    lock_sha256: String,
}

/// The name of the file.
pub(super) fn name(release: &Release) -> String {
    format!("keyroll-{}.cdx.json", release.version)
}

/// Writes the bill; its name.
pub(super) fn make(release: &Release, out: &Path) -> Result<String, String> {
    let fixed = ["--locked", "--offline"];
    let metadata = ["metadata", "--format-version", "1", "--filter-platform", TARGET];
    let metadata = output("cargo", &[&metadata[..], &fixed].concat())?;
    let linked = "normal,no-proc-macro";
    let tree = ["tree", "-p", OWN, "-e", linked, "--target", TARGET, "--prefix", "none", "--no-dedupe"];
    let lock = root().join("Cargo.lock");
    let sources = Sources {
        metadata: serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?,
        tree: output("cargo", &[&tree[..], &fixed].concat())?,
        lock: fs::read_to_string(&lock).map_err(at(&lock))?,
        lock_sha256: sha256(&lock)?,
    };
    let bill = sources.bill(&release.stamp()?)?;
    let name = name(release);
    write(&out.join(&name), format!("{bill:#}\n").as_bytes(), 0o644)?;
    Ok(name)
}

impl Sources {
    fn bill(&self, stamp: &str) -> Result<Value, String> {
        let linked = linked(&self.tree);
        let checksums = checksums(&self.lock);
        let mut by_id: BTreeMap<&str, Crate> = BTreeMap::new();
        let (mut own, mut components) = (None, BTreeMap::new());
        for package in list(&self.metadata, "/packages") {
            let one = (text(package, "name")?.to_owned(), text(package, "version")?.to_owned());
            if !linked.contains(&one) {
                continue;
            }
            by_id.insert(text(package, "id")?, one.clone());
            let component = component(package, &one, checksums.get(&one).copied());
            match one.0 == OWN {
                true => own = Some(component),
                false => drop(components.insert(one, component)),
            }
        }
        let own = own.ok_or("cargo metadata does not have keyroll")?;
        if let Some(lost) = linked.iter().find(|one| one.0 != OWN && !components.contains_key(*one)) {
            return Err(format!("cargo metadata does not have {} {}", lost.0, lost.1));
        }
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in list(&self.metadata, "/resolve/nodes") {
            let Some(one) = by_id.get(text(node, "id")?) else { continue };
            let used = list(node, "/deps").iter().filter(|dep| is_normal(dep));
            let used = used.filter_map(|dep| by_id.get(dep.get("pkg")?.as_str()?)).map(purl);
            uses.entry(purl(one)).or_default().extend(used);
        }
        let uses: Vec<Value> =
            uses.into_iter().map(|(one, used)| json!({ "ref": one, "dependsOn": used })).collect();
        Ok(json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": {
                "timestamp": stamp,
                "tools": { "components": [{ "type": "application", "name": "cargo xtask dist" }] },
                "component": own,
                "properties": [{ "name": "keyroll:Cargo.lock:sha256", "value": self.lock_sha256 }],
            },
            "components": components.into_values().collect::<Vec<Value>>(),
            "dependencies": uses,
        }))
    }
}

/// The crates in the lines `name v1.2.3 (…)` of a tree.
fn linked(tree: &str) -> BTreeSet<Crate> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    tree.lines().filter_map(one).collect()
}

/// The checksums of a Cargo.lock.
fn checksums(lock: &str) -> BTreeMap<Crate, &str> {
    let mut all = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum")) {
            all.insert((name.to_owned(), version.to_owned()), sum);
        }
    }
    all
}

/// One crate as a component.
fn component(package: &Value, one: &Crate, sum: Option<&str>) -> Value {
    let kind = if one.0 == OWN { "application" } else { "library" };
    let reference = purl(one);
    let mut component = json!({
        "type": kind, "bom-ref": reference, "purl": reference, "name": one.0, "version": one.1,
    });
    let licence = match (text(package, "license"), text(package, "license_file")) {
        // The older form of an alternative.
        (Ok(expression), _) => Some(json!([{ "expression": expression.replace('/', " OR ") }])),
        (Err(_), Ok(file)) => Some(json!([{ "license": { "name": file } }])),
        (Err(_), Err(_)) => None,
    };
    let hashes = sum.map(|sum| json!([{ "alg": "SHA-256", "content": sum }]));
    if let Some(object) = component.as_object_mut() {
        object.extend(
            [("licenses", licence), ("hashes", hashes)]
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?))),
        );
    }
    component
}

/// The package URL of a crate. A plus would be a space there.
fn purl(one: &Crate) -> String {
    format!("pkg:cargo/{}@{}", one.0, one.1.replace('+', "%2B"))
}

/// Whether a dependency is one of the program, and not only of its tests or its build.
fn is_normal(dependency: &Value) -> bool {
    list(dependency, "/dep_kinds").iter().any(|kind| kind.get("kind").is_some_and(Value::is_null))
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| format!("cargo metadata: a package has no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: &Value) -> Value {
        json!({ "id": format!("{name}#{version}"), "name": name, "version": version, "license": license,
                "license_file": if license.is_null() { json!("COPYING") } else { Value::Null } })
    }

    fn dep(id: &str, kind: &Value) -> Value {
        json!({ "pkg": id, "dep_kinds": [{ "kind": kind, "target": null }] })
    }

    fn sources() -> Sources {
        let own =
            [dep("a#1.0.0+x", &Value::Null), dep("tests#1.0.0", &json!("dev")), dep("b#2.0.0", &Value::Null)];
        let metadata = json!({
            "packages": [
                package("keyroll", "0.1.0", &json!("Apache-2.0")),
                package("a", "1.0.0+x", &json!("MIT/Apache-2.0")),
                package("b", "2.0.0", &Value::Null),
                package("b", "1.0.0", &json!("MIT")),
                package("tests", "1.0.0", &json!("MIT")),
            ],
            "resolve": { "nodes": [
                { "id": "keyroll#0.1.0", "deps": own },
                { "id": "a#1.0.0+x", "deps": [dep("b#2.0.0", &json!("build"))] },
                { "id": "b#2.0.0", "deps": [] },
                { "id": "tests#1.0.0", "deps": [] },
            ] },
        });
        Sources {
            metadata,
            tree: "keyroll v0.1.0 (/work)\na v1.0.0+x\nb v2.0.0\na v1.0.0+x\n".to_owned(),
            lock: "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nsource = \"registry\"\nchecksum = \
                   \"aa\"\n\n[[package]]\nname = \"keyroll\"\nversion = \"0.1.0\"\n"
                .to_owned(),
            lock_sha256: "5d".to_owned(),
        }
    }

    #[test]
    fn the_bill_has_what_is_linked_and_nothing_else() {
        let bill = sources().bill("2026-11-30T00:00:00Z").unwrap();
        let names: Vec<&Value> = list(&bill, "/components").iter().map(|one| &one["purl"]).collect();
        assert_eq!(names, [&json!("pkg:cargo/a@1.0.0%2Bx"), &json!("pkg:cargo/b@2.0.0")]);
        let a = &bill["components"][0];
        assert_eq!(a["licenses"], json!([{ "expression": "MIT OR Apache-2.0" }]));
        assert_eq!(a["hashes"], json!([{ "alg": "SHA-256", "content": "aa" }]));
        let b = &bill["components"][1];
        assert_eq!(b["licenses"], json!([{ "license": { "name": "COPYING" } }]));
        assert!(b.get("hashes").is_none(), "{b}");
        assert_eq!(bill["metadata"]["component"]["purl"], "pkg:cargo/keyroll@0.1.0");
        assert_eq!(bill["metadata"]["properties"][0]["value"], "5d");
        // A dependency of a build script or of tests is none of the program.
        let uses = json!([
            { "ref": "pkg:cargo/a@1.0.0%2Bx", "dependsOn": [] },
            { "ref": "pkg:cargo/b@2.0.0", "dependsOn": [] },
            { "ref": "pkg:cargo/keyroll@0.1.0", "dependsOn": ["pkg:cargo/a@1.0.0%2Bx", "pkg:cargo/b@2.0.0"] },
        ]);
        assert_eq!(bill["dependencies"], uses);
    }

    #[test]
    fn a_crate_without_metadata_is_an_error() {
        let mut sources = sources();
        sources.tree.push_str("c v3.0.0\n");
        assert_eq!(sources.bill("").unwrap_err(), "cargo metadata does not have c 3.0.0");
    }
}
