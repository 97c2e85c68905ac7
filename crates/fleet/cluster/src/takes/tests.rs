use keyroll_testkit::alphanumeric;
use serde_json::{Value, json};

use super::*;

fn pod(spec: Value) -> PodSpec {
    serde_json::from_value(spec).unwrap()
}

/// A pod with one container that has these fields.
fn one(mut container: Value, volumes: Value) -> PodSpec {
    container["name"] = json!("app");
    let mut spec = json!({"containers": [container]});
    spec["volumes"] = volumes;
    pod(spec)
}

/// Knows the keys of these objects only.
fn known<'a>(objects: &'a [(&'a str, &'a [&'a str])]) -> impl Fn(&From) -> Option<Vec<String>> + 'a {
    move |from: &From| {
        let (From::Secret { name, .. } | From::Map { name, .. }) = from else { return None };
        let object = objects.iter().find(|(object, _)| *object == name.as_str())?;
        Some(object.1.iter().map(|key| (*key).to_owned()).collect())
    }
}

/// One line for each taking. A text of the template is only counted.
fn lines(takes: &[Taking]) -> Vec<String> {
    takes.iter().map(line).collect()
}

fn line(taking: &Taking) -> String {
    let object = |kind: &str, name: &str, key: Option<&String>| {
        format!("{kind} {name}/{}", key.map_or("*", String::as_str))
    };
    let from = match &taking.from {
        From::Secret { name, key } => object("secret", name, key.as_ref()),
        From::Map { name, key } => object("map", name, key.as_ref()),
        From::Text(_) => "text".to_owned(),
        From::Class(name) => format!("class {name}"),
    };
    let init = if taking.init { " init" } else { "" };
    let optional = if taking.optional { " optional" } else { "" };
    let shadowed = if taking.shadowed { " shadowed" } else { "" };
    format!("{}: {from} {:?}{init}{optional}{shadowed}", taking.container, taking.way)
}

/// The texts of the template that are taken.
fn texts(takes: &[Taking]) -> Vec<&[u8]> {
    let exposed = takes.iter().filter_map(|taking| match &taking.from {
        From::Text(text) => Some(text.expose()),
        From::Secret { .. } | From::Map { .. } | From::Class(_) => None,
    });
    exposed.collect()
}

fn secret_variable(name: &str, secret: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

#[test]
fn a_variable_takes_a_key_of_a_secret_or_of_a_config_map_or_a_text() {
    let text = alphanumeric(24);
    let spec = one(
        json!({"env": [
            secret_variable("KEY", "api", "key"),
            {"name": "SALT", "valueFrom": {"configMapKeyRef": {"name": "app", "key": "salt", "optional": true}}},
            {"name": "TOKEN", "value": text},
            {"name": "EMPTY", "value": ""},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}),
        json!([]),
    );
    let takes = takes(&spec, &known(&[]));
    let expected = [
        r#"app: secret api/key Env("KEY")"#,
        r#"app: map app/salt Env("SALT") optional"#,
        r#"app: text Env("TOKEN")"#,
    ];
    assert_eq!(lines(&takes), expected);
    assert!(texts(&takes) == [text.as_bytes()]);
}

#[test]
fn all_keys_of_a_source_are_named_if_they_are_known() {
    let spec = one(
        json!({"envFrom": [
            {"prefix": "A_", "secretRef": {"name": "api", "optional": true}},
            {"configMapRef": {"name": "app"}},
        ]}),
        json!([]),
    );
    let expected = [
        r#"app: secret api/* EnvFrom("A_") optional"#.to_owned(),
        r#"app: map app/* EnvFrom("")"#.to_owned(),
    ];
    assert_eq!(lines(&takes(&spec, &known(&[]))), expected);
    let expected = [
        r#"app: secret api/1st Env("A_1st") optional"#,
        r#"app: secret api/key Env("A_key") optional"#,
        r#"app: map app/* EnvFrom("")"#,
    ];
    assert_eq!(lines(&takes(&spec, &known(&[("api", &["1st", "key"])]))), expected);
}

#[test]
fn a_variable_wins_over_a_source_and_the_later_of_two_wins() {
    let spec = one(
        json!({
            "envFrom": [{"secretRef": {"name": "old"}}, {"secretRef": {"name": "new"}}],
            "env": [secret_variable("B", "one", "b"), secret_variable("B", "two", "b")],
        }),
        json!([]),
    );
    let takes = takes(&spec, &known(&[("old", &["A", "B", "C"]), ("new", &["A"])]));
    let expected = [
        r#"app: secret old/A Env("A") shadowed"#,
        r#"app: secret old/B Env("B") shadowed"#,
        r#"app: secret old/C Env("C")"#,
        r#"app: secret new/A Env("A")"#,
        r#"app: secret one/b Env("B") shadowed"#,
        r#"app: secret two/b Env("B")"#,
    ];
    assert_eq!(lines(&takes), expected);
}

#[test]
fn a_field_of_the_pod_or_an_empty_text_wins_over_a_source_too() {
    let spec = one(
        json!({
            "envFrom": [{"secretRef": {"name": "api"}}],
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
        }),
        json!([]),
    );
    let takes = takes(&spec, &known(&[("api", &["A", "B", "C"])]));
    let shadowed: Vec<bool> = takes.iter().map(|taking| taking.shadowed).collect();
    assert_eq!(shadowed, [true, true, false]);
}

#[test]
fn an_optional_variable_wins_only_if_its_key_exists() {
    let optional =
        json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "new", "key": "a", "optional": true}}});
    let spec = one(json!({"env": [secret_variable("A", "old", "a"), optional]}), json!([]));
    let shadowed =
        |keys: &Keys<'_>| -> Vec<bool> { takes(&spec, keys).iter().map(|taking| taking.shadowed).collect() };
    assert_eq!(shadowed(&known(&[("new", &["a"])])), [true, false]);
    assert_eq!(shadowed(&known(&[("new", &["b"])])), [false, false]);
    assert_eq!(shadowed(&known(&[])), [false, false]);
}

#[test]
fn a_variable_that_refers_to_another_holds_its_value_too() {
    let text = alphanumeric(24);
    let spec = one(
        json!({"env": [
            {"name": "EARLY", "value": "$(PASSWORD)"},
            secret_variable("PASSWORD", "db", "password"),
            {"name": "TOKEN", "value": text},
            {"name": "URL", "value": "postgres://app:$(PASSWORD)@db"},
            {"name": "COPY", "value": "$(URL)"},
            {"name": "BEARER", "value": "Bearer $(TOKEN)"},
            {"name": "ESCAPED", "value": "$$(PASSWORD)"},
        ]}),
        json!([]),
    );
    let takes = takes(&spec, &known(&[]));
    let expected = [
        r#"app: secret db/password Env("PASSWORD")"#,
        r#"app: text Env("TOKEN")"#,
        r#"app: secret db/password Env("URL")"#,
        r#"app: text Env("URL")"#,
        r#"app: secret db/password Env("COPY")"#,
        r#"app: text Env("COPY")"#,
        r#"app: text Env("BEARER")"#,
        r#"app: text Env("ESCAPED")"#,
    ];
    assert_eq!(lines(&takes), expected);
    let bearer = format!("Bearer {text}");
    let url: &[u8] = b"postgres://app:$(PASSWORD)@db";
    assert!(texts(&takes) == [text.as_bytes(), url, url, bearer.as_bytes(), b"$(PASSWORD)"]);
}

#[test]
fn a_reference_to_a_key_of_a_source_is_found() {
    let spec = one(
        json!({
            "envFrom": [{"prefix": "DB_", "secretRef": {"name": "db"}}],
            "env": [{"name": "COPY", "value": "$(DB_PASSWORD)"}],
            "args": ["--user=$(OTHER)", "--password=$(DB_PASSWORD)"],
        }),
        json!([]),
    );
    let expected = [
        r#"app: secret db/PASSWORD Env("DB_PASSWORD")"#,
        r#"app: secret db/PASSWORD Env("COPY")"#,
        "app: secret db/PASSWORD Argument",
    ];
    assert_eq!(lines(&takes(&spec, &known(&[("db", &["PASSWORD"])]))), expected);
    // Keys that are not known may be the ones.
    let expected = [
        r#"app: secret db/* EnvFrom("DB_")"#,
        r#"app: secret db/PASSWORD Env("COPY") optional"#,
        "app: secret db/PASSWORD Argument optional",
    ];
    assert_eq!(lines(&takes(&spec, &known(&[]))), expected);
    let without = [r#"app: secret db/USER Env("DB_USER")"#];
    assert_eq!(lines(&takes(&spec, &known(&[("db", &["USER"])]))), without);
}

#[test]
fn arguments_take_what_their_references_stand_for_and_texts_with_a_name() {
    let (first, second) = (alphanumeric(24), alphanumeric(24));
    let spec = one(
        json!({
            "command": ["serve", format!("--token={first}"), "--key"],
            "args": [second, "--api-key=$(KEY)", "$(KEY)", "$$(KEY)", "--verbose"],
            "env": [secret_variable("KEY", "api", "key")],
        }),
        json!([]),
    );
    let takes = takes(&spec, &known(&[]));
    let expected = [
        r#"app: secret api/key Env("KEY")"#,
        "app: text Argument",
        "app: text Argument",
        "app: secret api/key Argument",
    ];
    assert_eq!(lines(&takes), expected);
    assert!(texts(&takes) == [first.as_bytes(), second.as_bytes()]);
}

#[test]
fn a_volume_has_the_keys_that_it_names_at_their_paths_or_all() {
    let spec = one(
        json!({"volumeMounts": [
            {"name": "some", "mountPath": "/some/"},
            {"name": "all", "mountPath": "/all"},
            {"name": "all", "mountPath": "/again"},
            {"name": "map", "mountPath": "/map"},
        ]}),
        json!([
            {"name": "some", "secret": {"secretName": "api", "items": [{"key": "key", "path": "deep/key.txt"}]}},
            {"name": "all", "secret": {"secretName": "api", "optional": true, "items": []}},
            {"name": "map", "configMap": {"name": "app"}},
            {"name": "unused", "secret": {"secretName": "unused"}},
        ]),
    );
    let expected = [
        r#"app: secret api/key File("/some/deep/key.txt")"#,
        r#"app: secret api/* File("/all") optional"#,
        r#"app: secret api/* File("/again") optional"#,
        r#"app: map app/* File("/map")"#,
    ];
    assert_eq!(lines(&takes(&spec, &known(&[]))), expected);
    let expected = [
        r#"app: secret api/key File("/some/deep/key.txt")"#,
        r#"app: secret api/id File("/all/id") optional"#,
        r#"app: secret api/key File("/all/key") optional"#,
        r#"app: secret api/id File("/again/id") optional"#,
        r#"app: secret api/key File("/again/key") optional"#,
        r#"app: map app/* File("/map")"#,
    ];
    assert_eq!(lines(&takes(&spec, &known(&[("api", &["id", "key"])]))), expected);
}

#[test]
fn a_projected_volume_has_the_keys_of_all_its_sources() {
    let spec = one(
        json!({"volumeMounts": [{"name": "all", "mountPath": "/all"}]}),
        json!([{"name": "all", "projected": {"sources": [
            {"secret": {"name": "api", "items": [{"key": "key", "path": "api/key"}]}},
            {"configMap": {"name": "app", "optional": true}},
            {"serviceAccountToken": {"path": "token"}},
        ]}}]),
    );
    let expected = [
        r#"app: secret api/key Projected("/all/api/key")"#,
        r#"app: map app/salt Projected("/all/salt") optional"#,
    ];
    assert_eq!(lines(&takes(&spec, &known(&[("app", &["salt"])]))), expected);
}

#[test]
fn a_mount_of_a_path_within_a_volume_shows_that_alone_and_does_not_follow() {
    let mount =
        |name: &str, field: &str, path: &str| json!({"name": name, "mountPath": "/etc/x", field: path});
    let spec = one(
        json!({
            "env": [
                {"name": "NAME", "value": "id"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "volumeMounts": [
                mount("all", "subPath", "./key"),
                mount("all", "subPathExpr", "$(NAME)"),
                mount("all", "subPathExpr", "$(POD)"),
                mount("some", "subPath", "deep"),
                mount("some", "subPath", "deep/key"),
                mount("some", "subPath", "dee"),
            ],
        }),
        json!([
            {"name": "all", "secret": {"secretName": "api"}},
            {"name": "some", "projected": {"sources": [
                {"secret": {"name": "api", "items": [{"key": "key", "path": "deep/key"}, {"key": "id", "path": "id"}]}},
            ]}},
        ]),
    );
    let expected = [
        r#"app: secret api/key SubPath("/etc/x")"#,
        r#"app: secret api/id SubPath("/etc/x")"#,
        r#"app: secret api/* SubPath("/etc/x")"#,
        r#"app: secret api/key SubPath("/etc/x/key")"#,
        r#"app: secret api/key SubPath("/etc/x")"#,
    ];
    let texts_apart = |takes: &[Taking]| -> Vec<String> {
        lines(takes).into_iter().filter(|line| !line.contains("text")).collect()
    };
    assert_eq!(texts_apart(&takes(&spec, &known(&[("api", &["id", "key"])]))), expected);
}

#[test]
fn a_driver_s_volume_takes_what_its_class_says_and_the_secret_that_mounts_it() {
    let spec = one(
        json!({"volumeMounts": [{"name": "store", "mountPath": "/store"}, {"name": "other", "mountPath": "/other"}]}),
        json!([
            {"name": "store", "csi": {
                "driver": "secrets-store.csi.k8s.io",
                "volumeAttributes": {"secretProviderClass": "vault"},
                "nodePublishSecretRef": {"name": "login"},
            }},
            {"name": "other", "csi": {"driver": "other", "volumeAttributes": {"secretProviderClass": "vault"}}},
        ]),
    );
    let expected = [r#"app: class vault Csi("/store")"#, r#"app: secret login/* Csi("/store")"#];
    assert_eq!(lines(&takes(&spec, &known(&[("login", &["a", "b"])]))), expected);
}

#[test]
fn a_volume_of_elsewhere_takes_the_secret_that_mounts_it() {
    let login = json!({"name": "login"});
    let volumes = [
        json!({"cephfs": {"monitors": ["m"], "secretRef": login}}),
        json!({"cinder": {"volumeID": "v", "secretRef": login}}),
        json!({"flexVolume": {"driver": "d", "secretRef": login}}),
        json!({"iscsi": {"iqn": "i", "lun": 0, "targetPortal": "p", "secretRef": login}}),
        json!({"rbd": {"image": "i", "monitors": ["m"], "secretRef": login}}),
        json!({"scaleIO": {"gateway": "g", "system": "s", "secretRef": login}}),
        json!({"storageos": {"volumeName": "v", "secretRef": login}}),
        json!({"azureFile": {"secretName": "login", "shareName": "s"}}),
    ];
    for mut volume in volumes {
        volume["name"] = json!("data");
        let spec = one(json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}), json!([volume]));
        assert_eq!(lines(&takes(&spec, &known(&[]))), [r#"app: secret login/* File("/data")"#], "{volume}");
    }
}

#[test]
fn every_container_takes_for_itself_and_a_sidecar_initialises_nothing() {
    let container = |name: &str| {
        json!({"name": name, "env": [secret_variable("KEY", "api", "key")],
            "volumeMounts": [{"name": "api", "mountPath": "/api"}]})
    };
    let mut sidecar = container("sidecar");
    sidecar["restartPolicy"] = json!("Always");
    let spec = pod(json!({
        "initContainers": [container("setup"), sidecar],
        "containers": [container("app"), {"name": "other"}],
        "ephemeralContainers": [container("debug")],
        "imagePullSecrets": [{"name": "registry"}, {}],
        "volumes": [{"name": "api", "secret": {"secretName": "api"}}],
    }));
    let expected = [
        r#"setup: secret api/key Env("KEY") init"#,
        r#"setup: secret api/* File("/api") init"#,
        r#"sidecar: secret api/key Env("KEY")"#,
        r#"sidecar: secret api/* File("/api")"#,
        r#"app: secret api/key Env("KEY")"#,
        r#"app: secret api/* File("/api")"#,
        r#"debug: secret api/key Env("KEY")"#,
        r#"debug: secret api/* File("/api")"#,
        ": secret registry/* PullImage optional",
    ];
    assert_eq!(lines(&takes(&spec, &known(&[]))), expected);
}

#[test]
fn one_container_s_variables_do_not_shadow_another_s() {
    let container =
        |name: &str, secret: &str| json!({"name": name, "env": [secret_variable("KEY", secret, "key")]});
    let spec = pod(json!({"containers": [container("first", "old"), container("second", "new")]}));
    assert!(takes(&spec, &known(&[])).iter().all(|taking| !taking.shadowed));
}
