//! Which objects count, with what, and why others do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use keyroll_config::{CONFIG_BYTES_MAX, Config, StoreRef};
use serde_json::{Value, json};

use crate::base::tests::{BASE, base, base_of};
use crate::sample::at_rest;
use crate::{Accepted, Base, Composed, Former, Id, SecretRotation, Standing, Status, Stays, compose};

const FILE: &str = "/var/lib/keyroll/config/keyroll.toml";

/// An object of a followed namespace, made at this second.
fn object(host: &str, name: &str, made_s: i64, spec: Value) -> SecretRotation {
    let Value::Object(spec) = spec else { panic!("no object") };
    let namespace = if host == "ops" { "ops-team" } else { host };
    SecretRotation {
        id: Id { host: host.to_owned(), name: name.to_owned() },
        namespace: namespace.to_owned(),
        uid: format!("uid-{name}"),
        resource_version: "1".to_owned(),
        generation: 1,
        made_s,
        annotations: BTreeMap::new(),
        spec,
        status: Status::default(),
    }
}

/// A `spec` whose consumer takes this key of a Secret.
fn spec(key: &str) -> Value {
    json!({
        "issuer": "openrouter",
        "admin": "file:./openrouter.key",
        "consumers": [{
            "name": "agent",
            "runs": { "deployment": "agent" },
            "reads": { "secret": "anthropic", "key": key },
        }],
    })
}

/// The same with other keys beside; null takes one away.
fn with(changed: Value) -> Value {
    let mut spec = spec("api-key");
    for (key, value) in changed.as_object().unwrap() {
        spec[key.as_str()] = value.clone();
    }
    spec
}

/// The same with other keys beside in its consumer.
fn with_consumer(changed: Value) -> Value {
    let mut spec = spec("api-key");
    for (key, value) in changed.as_object().unwrap() {
        spec["consumers"][0][key.as_str()] = value.clone();
    }
    spec
}

fn composed(base: &Base, objects: &[SecretRotation], former: &Former, open: &[&str]) -> Composed {
    let open = open.iter().map(|secret| (*secret).to_owned()).collect();
    composed_with(base, objects, former, &Stays { open, ..Stays::default() })
}

fn composed_with(base: &Base, objects: &[SecretRotation], former: &Former, stays: &Stays) -> Composed {
    let composed = compose(base, Path::new(FILE), objects, former, stays);
    assert_eq!(Config::parse(&composed.text, FILE).unwrap(), composed.config, "{}", composed.text);
    assert!(composed.text.contains(base.beginning().as_str()));
    let ids: BTreeSet<&Id> = objects.iter().map(|object| &object.id).collect();
    assert_eq!(composed.each.keys().collect::<BTreeSet<_>>(), ids);
    composed
}

/// What is composed from these objects alone.
fn fresh(objects: &[SecretRotation]) -> Composed {
    composed(&base(), objects, &Former::default(), &[])
}

fn secrets(composed: &Composed) -> Vec<&str> {
    composed.config.secrets.keys().map(keyroll_config::Name::as_str).collect()
}

fn accepted<'c>(composed: &'c Composed, object: &SecretRotation) -> &'c Accepted {
    &composed.each[&object.id]
}

/// Why an object does not count, if it has no former table.
fn why(composed: &Composed, object: &SecretRotation) -> String {
    let Accepted::No(why) = accepted(composed, object) else { panic!("{:?}", accepted(composed, object)) };
    why.clone()
}

/// An object with this `spec` in `shop` does not count, and nothing of it is in the text.
#[track_caller]
fn refused(spec: Value, says: &str) {
    refused_on("shop", spec, says);
}

#[track_caller]
fn refused_on(host: &str, spec: Value, says: &str) {
    let one = object(host, "one", 1, spec);
    let composed = fresh(slice(&one));
    let why = why(&composed, &one);
    assert!(why.contains(says), "{why}");
    assert_eq!(composed.text, base().beginning());
}

fn slice(one: &SecretRotation) -> &[SecretRotation] {
    std::slice::from_ref(one)
}

#[track_caller]
fn counts(host: &str, spec: Value) -> Composed {
    let one = object(host, "one", 1, spec);
    let composed = fresh(slice(&one));
    assert_eq!(accepted(&composed, &one), &Accepted::Yes, "{}", composed.text);
    composed
}

#[test]
fn an_object_becomes_the_table_of_a_secret() {
    let composed = counts("shop", spec("api-key"));
    assert_eq!(secrets(&composed), ["shop.one"]);
    let secret = composed.config.secret("shop.one").unwrap();
    assert_eq!(secret.clusters(), BTreeSet::from(["shop"]));
    assert_eq!(
        secret.admin,
        Some(keyroll_config::Reference::File("/etc/keyroll/namespaces/shop/openrouter.key".into()))
    );
    let (beginning, table) = composed.text.split_once(BASE).unwrap();
    assert_eq!(
        beginning,
        "# Written by keyroll serve --kubernetes, from /etc/keyroll/base.toml and the SecretRotation objects. Changes here are \
         overwritten.\n"
    );
    assert!(table.starts_with("\n# secretrotation one on shop\n[secrets.\"shop.one\"]\n"), "{table}");
    assert_eq!(composed.config.folder, Path::new("/var/lib/keyroll/config"));
    let of_objects = ["shop.one", "ops-team.one", "one", "keyroll.one", "ops.one"]
        .map(|secret| composed.config.is_of_object(secret));
    assert_eq!(of_objects, [true, true, false, false, false]);
    assert!(secret.of_object, "what its names lead to is judged");
}

#[test]
fn a_null_is_left_out_and_tables_in_lists_of_tables_stay() {
    let spec = with(json!({
        "owner": null,
        "keep_retired": true,
        "emergencies_per_day": 2,
        "window": ["Mon 09:00-10:00", null, "Tue 09:00-10:00"],
        "other_keys": [{ "id": "9f31", "label": "keyroll/01J8/4" }, { "id": "9f32", "label": "keyroll/01J8/5" }],
        "searched_hosts": [],
        "consumers": [
            {
                "name": "agent",
                "host": "shop",
                "runs": { "deployment": "agent", "container": "app" },
                "reads": [{ "secret": "anthropic", "key": "a" }],
                "check": { "exec": ["/bin/check"] },
                "paths": [
                    { "name": "first", "check": { "exec": ["/bin/check", "--first"] } },
                    { "name": "second", "check": { "exec": ["/bin/check", ""] } },
                ],
            },
            { "name": "job", "runs": { "cronjob": "nightly" }, "reads": { "secret": "anthropic", "key": "b" } },
        ],
    }));
    let composed = counts("shop", spec);
    let secret = composed.config.secret("shop.one").unwrap();
    assert_eq!((secret.owner.as_ref(), secret.keep_retired, secret.emergencies_per_day), (None, true, 2));
    assert_eq!(secret.other_keys.len(), 2);
    assert_eq!(secret.consumers.iter().map(|it| it.paths.len()).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(secret.windows.as_ref().map(Vec::len), Some(2));
}

#[test]
fn a_number_of_another_kind_is_not_made_to_fit() {
    refused(with(json!({ "emergencies_per_day": 1.0 })), "`emergencies_per_day` has the wrong form");
    refused(with(json!({ "emergencies_per_day": u64::MAX })), "a number in its `spec` is too large");
}

#[test]
fn consumers_are_in_the_namespace_of_the_object() {
    refused(with_consumer(json!({ "host": "keyroll" })), "`host` or `hosts` of its own");
    refused(with_consumer(json!({ "host": "local" })), "`host` or `hosts` of its own");
    refused(with_consumer(json!({ "host": ["shop"] })), "`host` or `hosts` of its own");
    refused(with_consumer(json!({ "hosts": ["shop"] })), "`host` or `hosts` of its own");
    refused(with(json!({ "consumers": [] })), "names no consumer");
    refused(with(json!({ "consumers": null })), "names no consumer");
    refused(with(json!({ "consumers": spec("a")["consumers"][0] })), "names no consumer");
    refused(with(json!({ "consumers": ["agent"] })), "an item of `consumers` has the wrong form: a table");
    refused(json!({}), "");
}

#[test]
fn what_runs_or_reads_on_keyrolls_machine_is_refused() {
    for changed in [
        json!({ "runs": { "unit": "agent.service" } }),
        json!({ "runs": { "restart": ["/bin/true"], "process": "/bin/agent" } }),
        json!({ "runs": { "at_rest": true } }),
        json!({ "reads": { "file": "/etc/keyroll/tokens/admin" } }),
        json!({ "reads": { "env_file": "/a", "variable": "A" } }),
        json!({ "reads": "store" }),
        json!({ "serves": { "uid": "0", "exe": "/bin/sh" } }),
        json!({ "fetch": ["/bin/sh", "-c", "id"] }),
        json!({ "log": { "file": "/var/log/app.log" } }),
        json!({ "check": { "http": "http://127.0.0.1:9090/" } }),
        json!({ "check": { "litellm": "http://127.0.0.1:4000", "config": "/a", "key": "file:/etc/keyroll/tokens/admin" } }),
        json!({ "check": { "turn": "openai/gpt-5.4" } }),
        json!({ "paths": [{ "name": "a", "check": { "http": "http://127.0.0.1:9090/" } }] }),
    ] {
        refused(with_consumer(changed), "");
    }
    refused(with_consumer(json!({ "fetch": ["/bin/sh"] })), "`fetch` is for a consumer on a machine");
}

#[test]
fn a_file_is_in_the_folder_of_the_namespace() {
    let file = |key: &str, path: &str| with(json!({ key: path }));
    for key in ["admin", "issuer"] {
        for outside in [
            "file:/etc/keyroll/tokens/admin",
            "file:../ops/a",
            "file:./a/../../b",
            "file:a/..",
            "file:/",
            "file:..",
        ] {
            refused(file(key, outside), &format!("`{key}` names a file outside of the folder"));
        }
        refused(file(key, "file:"), &format!("`{key}` is empty"));
        refused(file(key, "file:."), &format!("`{key}` names a file outside of the folder"));
        refused(file(key, "file:a\nb"), &format!("`{key}` holds a control character"));
        let mut without_folder = with(json!({ "admin": null }));
        without_folder[key] = json!("file:./a");
        refused_on("ops", without_folder, &format!("`{key}` names a file, and its namespace has no folder"));
    }
    let own = counts("shop", file("issuer", "file:specs/./own.toml"));
    assert_eq!(
        own.config.secret("shop.one").unwrap().issuer.to_string(),
        "file:/etc/keyroll/namespaces/shop/specs/own.toml"
    );
}

#[test]
fn a_store_is_keyrolls_own_or_of_the_namespace_or_allowed() {
    let store = |text: &str| with(json!({ "store": text }));
    for text in [
        "file:./a",
        "file:/etc/keyroll/tokens/admin",
        "exec:./program#a",
        "aws-sm:other/a#b",
        "aws-sm:shop",
        "vault:shop/a#b",
        "k8s:keyroll/tokens#admin",
        "k8s:ops-team/a#b",
    ] {
        refused(store(text), "`store` names a store that an object of this namespace may not name");
    }
    let narrow = base_of(&BASE.replace("aws-sm:shop/", "aws-sm:shop")).unwrap();
    for (text, may) in [("aws-sm:shop-admin#b", false), ("aws-sm:shop#b", true), ("aws-sm:shop/a#b", true)] {
        let one = object("shop", "one", 1, store(text));
        let composed = composed(&narrow, slice(&one), &Former::default(), &[]);
        assert_eq!(accepted(&composed, &one) == &Accepted::Yes, may, "{text}");
    }
    refused(store("sops:a"), "`store` names a store that keyroll does not know");
    counts("shop", store("keyroll"));
    counts("shop", store("aws-sm:shop/anthropic#key"));
    let cluster = |host: &str, text: &str| {
        let mut spec = store(text);
        spec["admin"] = Value::Null;
        let composed = counts(host, spec);
        let secret = composed.config.secrets.values().next().unwrap();
        let StoreRef::Kubernetes { cluster, .. } = &secret.store else { panic!("{}", secret.store) };
        cluster.clone()
    };
    for text in ["k8s:shop/source#key", "k8s:vault-of-shop/source#key"] {
        assert!(cluster("shop", text).in_cluster);
    }
    let other = cluster("ops", "k8s:ops-team/source#key");
    assert_eq!((other.in_cluster, other.context.as_deref()), (false, Some("prod")));
    assert_eq!(other.kubeconfig.as_deref(), Some(Path::new("/etc/keyroll/kubeconfig")));
    refused_on("ops", with(json!({ "admin": null, "store": "aws-sm:shop/a#b" })), "`store` names a store");
    refused(
        store("k8s:shop/anthropic#api-key"),
        "`store` is a key of a Secret that the consumer `agent` reads",
    );
}

#[test]
fn keyrolls_own_logins_and_its_pod_are_not_for_an_object() {
    let aws = json!({ "user": "app", "account": "123456789012", "region": "eu-west-1" });
    refused(
        with(json!({ "issuer": "aws-access-key", "aws": aws, "admin": null })),
        "`aws` is not for an object",
    );
    refused(with(json!({ "issuer": "aws-access-key", "admin": null })), "access keys of AWS");
    refused(with(json!({ "aws": aws })), "`aws` is not for an object");
    for table in [json!({}), json!({ "in_cluster": true }), json!({ "kubeconfig": "/root/.kube/config" })] {
        refused(
            with(json!({ "kubernetes": table, "store": "k8s:shop/a#b" })),
            "`kubernetes` is not for an object",
        );
    }
    let gate = json!({ "url": "http://127.0.0.1:9090", "query": "up", "max": 0.5, "bearer": "file:./token" });
    refused(with(json!({ "gate": gate })), "`gate` is not for an object");
    let gateway =
        json!([{ "name": "gateway", "executable": "/usr/bin/gateway", "reason": "it holds headers" }]);
    refused(with(json!({ "bystanders": gateway })), "`bystanders` is not for an object");
    refused(with(json!({ "searched_hosts": ["*"] })), "`searched_hosts` is not for an object");
    refused(with(json!({ "issuer": "gitlab", "issuer_host": "localhost:8443" })), "`issuer_host` is the pod");
    refused(with(json!({ "issuer": "gitlab", "issuer_host": "127.0.0.2" })), "`issuer_host` is the pod");
    refused(with(json!({ "issuer": "gitlab", "issuer_host": "2852039166:80" })), "`issuer_host` is the pod");
}

#[test]
fn a_database_is_one_in_the_cluster_and_its_login_is_in_the_folder() {
    let postgres = |changed: Value| {
        let mut table = json!({
            "host": "db.shop.svc", "dbname": "orders", "owner_role": "orders", "slots": ["orders_a", "orders_b"],
        });
        for (key, value) in changed.as_object().unwrap() {
            table[key.as_str()] = value.clone();
        }
        let spec = json!({ "issuer": "postgres", "admin": "file:./db.login", "postgres": table });
        let mut spec = with(spec);
        spec["consumers"][0]["reads"]["field"] = json!("password");
        spec
    };
    counts("shop", postgres(json!({ "port": 5433, "log": "/var/log/postgresql.log" })));
    for own in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "localhost",
        "/run/postgresql",
        "LOCALHOST.",
        "0x7f.1",
    ] {
        refused(postgres(json!({ "host": own })), "`host` is the pod that keyroll runs in");
    }
    let roles = json!({ "vault_roles": ["database/a", "database/b"] });
    refused(postgres(roles), "`vault_roles` is not for an object");
    let poolers = json!({ "poolers": [{ "host": "127.0.0.1", "admin": "file:/etc/keyroll/tokens/admin" }] });
    refused(postgres(poolers), "`poolers` is not for an object");
    refused(postgres(json!({ "ca": "/etc/keyroll/ca.pem" })), "unknown key `ca`");
}

#[test]
fn a_name_must_be_one_of_keyroll() {
    let long = object("shop", &"x".repeat(60), 1, spec("a"));
    let taken = object("keyroll", "one", 1, spec("a"));
    let both = fresh(&[long.clone(), taken.clone()]);
    assert!(why(&both, &long).contains("1 to 64 of a-z 0-9 . _ -"));
    assert!(why(&both, &taken).contains("keyroll does not follow its namespace"));
    let mut moved = object("shop", "one", 1, spec("a"));
    moved.namespace = "ops-team".to_owned();
    assert!(why(&fresh(slice(&moved)), &moved).contains("not in the namespace of the host `shop`"));
    let own =
        base_of(&format!("{BASE}[secrets.\"shop.one\"]\nissuer = \"openrouter\"\nadmin = \"file:/a\"\n"))
            .unwrap();
    let one = object("shop", "one", 1, spec("a"));
    let composed = composed(&own, slice(&one), &Former::default(), &[]);
    assert!(why(&composed, &one).contains("another secret has this name already"));
    assert_eq!(composed.config.secrets, own.config().secrets);
}

#[test]
fn all_that_an_object_may_not_say_is_refused_at_once() {
    let mistakes = with(json!({
        "admin": "file:../ops/a",
        "aws": { "user": "a" },
        "gate": { "url": "http://127.0.0.1/" },
        "consumers": [],
    }));
    let one = object("shop", "one", 1, mistakes);
    let all = why(&fresh(slice(&one)), &one);
    for part in ["`aws` is not for", "`gate` is not for", "`admin` names a file outside", "names no consumer"]
    {
        assert_eq!(all.matches(part).count(), 1, "{part}: {all}");
    }
    assert_eq!(all.matches("; also: ").count(), 3, "{all}");
    // What the parser takes, and goes too far.
    let far =
        with(json!({ "issuer": "gitlab", "issuer_host": "localhost", "store": "k8s:keyroll/tokens#admin" }));
    let one = object("shop", "one", 1, far);
    let all = why(&fresh(slice(&one)), &one);
    assert!(
        all.starts_with("`issuer_host` is the pod") && all.contains("; also: `store` names a store"),
        "{all}"
    );
}

/// What is not for an object, and what the parser finds, come together.
#[test]
fn every_mistake_of_an_object_is_shown_at_once_with_its_field() {
    let mut spec = with(json!({
        "issuer": "openruter", "owner": 7, "stoer": "keyroll", "admin": "file:../a", "gate": { "url": 1 },
    }));
    spec["consumers"][0]["runs"] = json!({ "deploymet": "agent" });
    spec["consumers"][0]["host"] = json!("keyroll");
    let one = object("shop", "one", 1, spec);
    let all = why(&fresh(slice(&one)), &one);
    for part in [
        "`gate` is not for an object",
        "`admin` names a file outside",
        "a consumer has a `host` or `hosts` of its own",
        "`issuer`: keyroll has no issuer of this name · did you mean `openrouter`?",
        "`owner` has the wrong form: a string must stand here · write it in quotes",
        "unknown key `stoer` · did you mean `store`?",
        "unknown key `deploymet` (in `consumers[0].runs`) · did you mean `deployment`?",
    ] {
        assert_eq!(all.matches(part).count(), 1, "{part}: {all}");
    }
    assert_eq!(all.matches("; also: ").count(), 6, "{all}");
}

#[test]
fn a_long_list_of_mistakes_is_cut_off_and_counted() {
    let consumer = |at: u32| {
        json!({
            "name": "A b", "runs": { "deployment": "agent" }, "reads": { "secret": "s", "key": format!("k{at}") },
        })
    };
    let consumers: Vec<Value> = (0..25).map(consumer).collect();
    let one = object("shop", "one", 1, with(json!({ "consumers": consumers })));
    let all = why(&fresh(slice(&one)), &one);
    assert_eq!(all.matches("; also: ").count(), 19, "{all}");
    assert!(all.contains("(in `consumers[19].name`)") && all.ends_with("; and 5 more"), "{all}");
    // Each names every key.
    let keys: serde_json::Map<String, Value> =
        ('a'..='y').map(|end| (format!("zzzz{end}"), json!(1))).collect();
    let one = object("shop", "one", 1, with(Value::Object(keys)));
    let all = why(&fresh(slice(&one)), &one);
    let shown = 1 + all.matches("; also: ").count();
    assert!(all.len() <= 4_000 && all.ends_with(&format!("; and {} more", 25 - shown)), "{shown}: {all}");
    let shown = crate::status(&one, &Standing { accepted: Accepted::No(all.clone()), ..at_rest() });
    assert!(shown.conditions[0].message.ends_with(&all), "the condition has all of it");
}

#[test]
fn a_refusal_repeats_no_text_of_the_object() {
    let value = format!("sk-{}", std::process::id());
    for spec in [
        with(json!({ "admin": value })),
        with(json!({ "admin": format!("file:/{value}") })),
        with(json!({ "issuer": format!("{value}!") })),
        with(json!({ "store": value })),
        with(json!({ "store": format!("aws-sm:{value}") })),
        with(json!({ "store": format!("k8s:shop/{value}") })),
        with(json!({ "rotate_every": value })),
        with(json!({ "unattended": format!("{value}, expected {value}") })),
        with(json!({ "gate": { "url": value } })),
        with(json!({ "searched_hosts": [value] })),
        with(json!({ "owner": format!("{value}\n") })),
        with(json!({ "fields": value })),
        with(json!({ "value": value })),
        with_consumer(json!({ "host": value })),
        with_consumer(json!({ "reads": value })),
        with_consumer(json!({ "reads": { "secret": format!("{value}!"), "key": "a" } })),
        with_consumer(json!({ "check": { "exec": [], "http": value } })),
    ] {
        let one = object("shop", "one", 1, spec);
        let composed = fresh(slice(&one));
        let why = why(&composed, &one);
        assert!(!why.contains(&value) && !composed.text.contains(&value), "{why}");
        assert!(!why.contains(".toml:"), "{why}");
    }
}

#[test]
fn keys_and_texts_of_an_object_stay_in_its_table() {
    let evil = "x\"]\n[secrets.own]\nissuer = \"openrouter\"\n[hosts.evil]\nconnect = \"local\"\n\u{7f}\u{1}'''\"\"\" \\ # é";
    let clean = "]\" ''' \"\"\" \\ # [[x]] é = {}";
    let composed = counts("shop", with(json!({ "owner": clean })));
    assert_eq!(composed.config.secret("shop.one").unwrap().owner.as_deref(), Some(clean));
    let check = counts(
        "shop",
        with_consumer(json!({ "check": { "exec": ["/bin/check", clean.replace(['{', '}'], "")] } })),
    );
    assert_eq!(secrets(&check), ["shop.one"]);
    refused(with(json!({ evil: "x" })), "unknown key");
    refused(with(json!({ "owner": evil })), "`owner` must be at most");
    refused(with(json!({ "derived": { evil: "{value}" } })), "the name of a derived text");
    refused(with(json!({ "revoke": { evil: { evil: [{ evil: evil }] } } })), "unknown key");
    let named = object("shop", "a\n[secrets.own]\nissuer = \"openrouter\"\n#", 1, spec("a"));
    let composed = fresh(slice(&named));
    assert!(why(&composed, &named).contains("make an object of a shorter name"));
    assert_eq!(composed.text, base().beginning());
    let hosts: Vec<&str> = composed.config.hosts.keys().map(keyroll_config::Name::as_str).collect();
    assert_eq!(hosts, ["keyroll", "ops", "shop"]);
}

#[test]
fn of_two_objects_with_one_key_the_older_counts() {
    let (old, new) = (object("shop", "z-old", 1, spec("k")), object("shop", "a-new", 2, spec("k")));
    let other = object("shop", "other", 3, spec("another"));
    // A Secret of another namespace is another one.
    let elsewhere = object("ops", "same", 4, {
        let mut it = spec("k");
        it["admin"] = Value::Null;
        it
    });
    let all = [new.clone(), other.clone(), elsewhere, old.clone()];
    let composed = fresh(&all);
    assert_eq!(secrets(&composed), ["ops-team.same", "shop.other", "shop.z-old"]);
    assert!(why(&composed, &new).contains("claim the same place"), "{}", why(&composed, &new));
    let (one, two) = (object("shop", "a", 1, spec("k")), object("shop", "b", 1, spec("k")));
    assert_eq!(secrets(&fresh(&[two, one])), ["shop.a"]);
}

#[test]
fn of_two_objects_with_one_key_one_with_an_open_rotation_counts() {
    let (old, new) = (object("shop", "old", 1, spec("k")), object("shop", "new", 2, spec("k")));
    let composed = composed(&base(), &[old.clone(), new], &Former::default(), &["shop.new"]);
    assert_eq!(secrets(&composed), ["shop.new"]);
    assert!(why(&composed, &old).contains("claim the same place"));
}

#[test]
fn an_object_that_was_broken_keeps_what_counted() {
    let good = object("shop", "one", 1, spec("k"));
    let before = fresh(slice(&good));
    let former = Former::read(&before.text, &base()).unwrap();
    let broken = SecretRotation { spec: json!({ "issuer": 1 }).as_object().unwrap().clone(), ..good.clone() };
    let after = composed(&base(), slice(&broken), &former, &[]);
    let Accepted::Former(why) = accepted(&after, &broken) else { panic!("{:?}", after.each) };
    assert!(why.contains("names no consumer"), "{why}");
    assert_eq!(after.text, before.text);
    let again = Former::read(&after.text, &base()).unwrap();
    assert_eq!(again, former);
    let mended = object("shop", "one", 1, spec("other"));
    assert_eq!(accepted(&composed(&base(), slice(&mended), &former, &[]), &mended), &Accepted::Yes);
}

#[test]
fn what_counted_is_refused_when_its_key_was_taken_or_its_base_file_was_changed() {
    let younger = object("shop", "younger", 2, spec("k"));
    let former = Former::read(&fresh(slice(&younger)).text, &base()).unwrap();
    let older = object("shop", "older", 1, spec("k"));
    let broken = SecretRotation { spec: serde_json::Map::new(), ..younger.clone() };
    let both = composed(&base(), &[older, broken.clone()], &former, &[]);
    assert!(why(&both, &broken).contains("names no consumer"));
    assert_eq!(secrets(&both), ["shop.older"]);
    // The folder is another one.
    let narrowed = base_of(&BASE.replace("/namespaces/shop", "/namespaces/shop-2")).unwrap();
    let closed = composed(&narrowed, slice(&broken), &former, &[]);
    assert!(why(&closed, &broken).contains("names no consumer"));
    assert!(secrets(&closed).is_empty());
    // An open rotation must be able to end.
    let open = composed(&narrowed, slice(&broken), &former, &["shop.younger"]);
    assert!(matches!(accepted(&open, &broken), Accepted::Former(_)));
    // Without the host it is no configuration.
    let (hosts, rest) = BASE.split_once("[hosts.shop]\nconnect = \"kube://in-cluster/shop\"\n").unwrap();
    let (rest, _) = rest.split_once("[server.kubernetes.namespaces.shop]").unwrap();
    let gone = base_of(&format!("{hosts}{rest}")).unwrap();
    let gone = composed(&gone, slice(&broken), &former, &["shop.younger"]);
    assert!(why(&gone, &broken).contains("does not follow its namespace"));
}

#[test]
fn the_table_of_a_deleted_object_stays_while_its_rotation_is_open() {
    let one = object("shop", "one", 1, spec("k"));
    let former = Former::read(&fresh(slice(&one)).text, &base()).unwrap();
    let open = composed(&base(), &[], &former, &["shop.one"]);
    assert_eq!(secrets(&open), ["shop.one"]);
    assert!(
        open.text.contains("\n# its object was deleted, and its rotation is open\n[secrets.\"shop.one\"]\n")
    );
    assert_eq!(Former::read(&open.text, &base()).unwrap(), former);
    // Another object waits for its key.
    let next = object("shop", "next", 0, spec("k"));
    let waits = composed(&base(), slice(&next), &former, &["shop.one"]);
    assert!(why(&waits, &next).contains("claim the same place"));
    let closed = composed(&base(), slice(&next), &former, &[]);
    assert_eq!(secrets(&closed), ["shop.next"]);
}

/// That objects of these secrets are there, and were not read.
fn unseen(secrets: &[&str]) -> Stays {
    Stays { unseen: secrets.iter().map(|secret| (*secret).to_owned()).collect(), ..Stays::default() }
}

#[test]
fn the_table_of_an_object_that_cannot_be_read_stays() {
    let one = object("shop", "one", 1, spec("k"));
    let former = Former::read(&fresh(slice(&one)).text, &base()).unwrap();
    let kept = composed_with(&base(), &[], &former, &unseen(&["shop.one", "shop.never"]));
    assert_eq!(secrets(&kept), ["shop.one"]);
    assert!(kept.text.contains("\n# its object is not read now\n[secrets.\"shop.one\"]\n"), "{}", kept.text);
    assert_eq!(Former::read(&kept.text, &base()).unwrap(), former);
    // One that was read counts by itself.
    let changed = object("shop", "one", 1, spec("other"));
    let read = composed_with(&base(), slice(&changed), &former, &unseen(&["shop.one"]));
    assert_eq!(accepted(&read, &changed), &Accepted::Yes);
    // Nothing waits for it, so it reaches no further than its namespace may by now.
    let narrowed = base_of(&BASE.replace("/namespaces/shop", "/namespaces/shop-2")).unwrap();
    assert!(secrets(&composed_with(&narrowed, &[], &former, &unseen(&["shop.one"]))).is_empty());
    let (followed, rest) = BASE.split_once("[server.kubernetes.namespaces.shop]").unwrap();
    let (_, rest) = rest.split_once("[server.kubernetes.namespaces.ops]").unwrap();
    let unfollowed = base_of(&format!("{followed}[server.kubernetes.namespaces.ops]{rest}")).unwrap();
    assert!(secrets(&composed_with(&unfollowed, &[], &former, &unseen(&["shop.one"]))).is_empty());
}

#[test]
fn what_counted_in_one_namespace_never_counts_in_another() {
    let one = object("shop", "one", 1, spec("k"));
    let former = Former::read(&fresh(slice(&one)).text, &base()).unwrap();
    let moved = base_of(&BASE.replace("in-cluster/shop", "in-cluster/shop-2")).unwrap();
    // The object was read in the namespace of before.
    let none: &[&str] = &[];
    for open in [none, &["shop.one"]] {
        let both = composed(&moved, slice(&one), &former, open);
        assert!(why(&both, &one).contains("not in the namespace of the host `shop`"));
        assert!(secrets(&both).is_empty());
        assert!(secrets(&composed(&moved, &[], &former, open)).is_empty());
    }
    assert!(secrets(&composed_with(&moved, &[], &former, &unseen(&["shop.one"]))).is_empty());
}

#[test]
fn what_is_no_composed_file_has_no_former_tables() {
    let error = Former::read("version = [", &base()).unwrap_err();
    assert!(error.to_string().contains("somebody else changed it") && error.help.is_some());
    for text in ["", "version = 1", "secrets = 1", "[secrets]\na = 1", BASE] {
        assert_eq!(Former::read(text, &base()).unwrap(), Former::default(), "{text}");
    }
    let own = "[secrets.own]\nissuer = \"openrouter\"\nadmin = \"file:/a\"\n";
    let own = base_of(&format!("{BASE}{own}")).unwrap();
    assert_eq!(Former::read(&own.beginning(), &own).unwrap(), Former::default());
}

/// A `spec` that takes somewhat more than this part of the whole room.
fn large(key: &str, part: u64) -> Value {
    let mut spec = spec(key);
    spec["admin"] = Value::Null;
    let derived = "x".repeat(usize::try_from(CONFIG_BYTES_MAX / part).unwrap());
    spec["derived"] = json!({ "long": format!("{{value}}{derived}") });
    spec
}

#[test]
fn the_youngest_objects_above_the_share_are_refused() {
    let all: Vec<SecretRotation> = (1..=4_i64)
        .map(|at| object("shop", &format!("at-{}", 5 - at), at, large(&format!("k{at}"), 6)))
        .collect();
    let composed = fresh(&all);
    assert_eq!(secrets(&composed), ["shop.at-3", "shop.at-4"]);
    for refused in &all[2..] {
        let why = why(&composed, refused);
        assert!(why.contains("the share of each followed namespace is 52"), "{why}");
        assert!(why.contains("its table takes 17") && why.contains("leave 17"), "{why}");
        assert!(why.contains("shorten it, or shorten or delete another object of this namespace"), "{why}");
    }
}

#[test]
fn objects_of_one_namespace_take_no_room_of_another() {
    let flood: Vec<SecretRotation> =
        (0..20).map(|at| object("shop", &format!("flood-{at}"), 1, large(&format!("k{at}"), 15))).collect();
    let alone = fresh(&flood);
    assert_eq!(secrets(&alone).len(), 7, "as many as the share of the namespace has room for");
    let other: Vec<SecretRotation> =
        (0..7).map(|at| object("ops", &format!("late-{at}"), 2, large(&format!("k{at}"), 15))).collect();
    let all: Vec<SecretRotation> = flood.iter().chain(&other).cloned().collect();
    for former in [Former::default(), Former::read(&alone.text, &base()).unwrap()] {
        let composed = composed(&base(), &all, &former, &[]);
        for one in &other {
            assert_eq!(accepted(&composed, one), &Accepted::Yes);
        }
        for one in &flood {
            assert_eq!(accepted(&composed, one), accepted(&alone, one));
        }
        assert!(composed.text.len() as u64 <= CONFIG_BYTES_MAX);
    }
}

#[test]
fn what_was_accepted_keeps_its_place_until_its_own_spec_is_another() {
    let younger = object("shop", "younger", 2, large("a", 3));
    let former = Former::read(&fresh(slice(&younger)).text, &base()).unwrap();
    let older = object("shop", "older", 1, large("b", 3));
    let both = composed(&base(), &[older.clone(), younger.clone()], &former, &[]);
    assert_eq!(secrets(&both), ["shop.younger"]);
    assert!(why(&both, &older).contains("bytes, and the other objects of this one leave 17"));
    // Without anything that counted before the older one counts.
    assert_eq!(secrets(&fresh(&[older.clone(), younger.clone()])), ["shop.older"]);
    // One that grows is refused, and what it had counts on.
    let grown = object("shop", "younger", 2, large("a", 1));
    let after = composed(&base(), slice(&grown), &former, &[]);
    let Accepted::Former(why) = accepted(&after, &grown) else { panic!("{:?}", accepted(&after, &grown)) };
    assert!(why.contains("its table takes 104"), "{why}");
    assert_eq!(Former::read(&after.text, &base()).unwrap(), former);
    // One that shrinks leaves room for another one at once, also for an older one.
    let shrunk = object("shop", "younger", 2, large("a", 20));
    let after = composed(&base(), &[older.clone(), shrunk.clone()], &former, &[]);
    assert_eq!((accepted(&after, &older), accepted(&after, &shrunk)), (&Accepted::Yes, &Accepted::Yes));
}

#[test]
fn a_smaller_share_takes_nothing_that_counted() {
    let (before, rest) = BASE.split_once("[server.kubernetes.namespaces.ops]").unwrap();
    let one = base_of(&format!("{before}{rest}")).unwrap();
    let old = object("shop", "old", 1, large("a", 2));
    let also = object("shop", "also", 2, large("b", 4));
    let all = [old.clone(), also.clone()];
    let former = Former::read(&composed(&one, &all, &Former::default(), &[]).text, &base()).unwrap();
    let composed = composed(&base(), &all, &former, &[]);
    assert_eq!(secrets(&composed), ["shop.also", "shop.old"]);
    // Alone they would be too large by now.
    assert_eq!(secrets(&fresh(&all)), ["shop.also"]);
    let shorter = object("shop", "old", 1, large("a", 3));
    let after = composed_with(&base(), &[shorter.clone(), also], &former, &Stays::default());
    assert_eq!(accepted(&after, &shorter), &Accepted::Yes, "it is shorter, though above the share");
}

#[test]
fn the_same_objects_make_the_same_text_in_any_order() {
    let all: Vec<SecretRotation> = ["c", "a", "d", "b", "a.b"]
        .iter()
        .zip(1..)
        .map(|(name, at)| object("shop", name, at, spec(name)))
        .collect();
    let composed = fresh(&all);
    let reversed: Vec<SecretRotation> = all.iter().rev().cloned().collect();
    assert_eq!(fresh(&reversed).text, composed.text);
    assert_eq!(secrets(&composed), ["shop.a", "shop.a.b", "shop.b", "shop.c", "shop.d"]);
    let tables = composed.text.lines().filter(|line| line.starts_with("[secrets.") && line.ends_with("\"]"));
    let expected = ["a", "a.b", "b", "c", "d"].map(|name| format!("[secrets.\"shop.{name}\"]"));
    assert_eq!(tables.collect::<Vec<_>>(), expected);
    let former = Former::read(&composed.text, &base()).unwrap();
    let open = former.names().map(str::to_owned).collect();
    let same = composed_with(&base(), &all, &former, &Stays { open, ..Stays::default() });
    assert_eq!(same.text, composed.text);
}

#[test]
fn no_object_is_the_base_file_alone() {
    let none = fresh(&[]);
    assert_eq!(none.text, base().beginning());
    assert!(none.each.is_empty());
}
