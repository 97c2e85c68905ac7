//! The specs that come with the program.

use std::fs;
use std::path::{Path, PathBuf};

use keyroll_issuer::{ISSUER_FACTS, Spec, issuers_markdown, spec_schema};
use keyroll_rotation::{LastUsed, MintedBy, Overlap};

#[test]
fn shipped_specs_are_read() {
    for name in Spec::names() {
        let spec = Spec::shipped(name).unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
        assert!(!spec.sources().is_empty(), "{name}");
        let capabilities = spec.capabilities();
        // A key that cannot be found by its label is found by its slot, ends by itself, or an operator made it. Google's
        // call takes no label: of a lost answer an operator must end the key.
        let slot = capabilities.overlap == Overlap::TwoSlots;
        let grace = matches!(capabilities.overlap, Overlap::Grace { .. });
        let found = capabilities.label || slot || grace || name == "gcp-service-account-key";
        match capabilities.minted_by {
            MintedBy::Human => assert!(spec.by_hand().is_some_and(|hand| !hand.steps.is_empty()), "{name}"),
            MintedBy::Api | MintedBy::Us => {
                assert!(spec.needs_admin() && (capabilities.list || grace) && found, "{name}")
            }
        }
        assert_eq!(capabilities.last_used, LastUsed::NotVisible, "{name}");
    }
    assert!(Spec::shipped("openrouter").unwrap().capabilities().disable);
    let sendgrid = Spec::shipped("sendgrid").unwrap().capabilities();
    assert_eq!(sendgrid.overlap, Overlap::Independent { max: 100 });
    assert!(!sendgrid.disable);
}

#[test]
fn an_unknown_name_gets_a_suggestion() {
    let error = Spec::shipped("openruter").unwrap_err();
    assert_eq!(error.code, "K0140");
    assert!(error.help.unwrap().contains("did you mean `openrouter`"));
}

/// The schema in the reference is generated. `cargo xtask codegen` writes it anew.
#[test]
fn the_schema_in_the_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/reference/issuer-spec.schema.json");
    let mut text = serde_json::to_string_pretty(&spec_schema()).unwrap();
    text.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "{path} is not current: cargo xtask codegen");
}

/// The page of issuers is generated. `cargo xtask codegen` writes it anew.
#[test]
fn the_page_of_issuers_is_current() {
    let file = root().join("docs/reference/issuers.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, issuers_markdown()).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == issuers_markdown(), "docs/reference/issuers.md is not current: cargo xtask codegen");
}

/// Each shipped spec has its row, and each test that the page names is there.
#[test]
fn the_page_of_issuers_names_tests_that_there_are() {
    let names: Vec<&str> = ISSUER_FACTS.iter().map(|fact| fact.name).collect();
    assert_eq!(names, Spec::names());
    let mut all = String::new();
    for room in ["front/cli/tests", "issuers/issuer/tests"] {
        sources(&root().join("crates").join(room), &mut all);
    }
    let page = issuers_markdown();
    let tests = page.split('`').skip(1).step_by(2).filter(|word| word.contains('_') && !word.contains('/'));
    let tests: Vec<&str> = tests.collect();
    assert!(tests.len() >= 14, "{tests:?}");
    for test in tests {
        assert!(all.contains(&format!("fn {test}()")), "there is no test `{test}`");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|it| it == "rs") {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every key of the shipped specs stands in the schema, so that an editor does not call a good spec wrong.
#[test]
fn the_schema_knows_every_key_of_the_shipped_specs() {
    let schema = spec_schema();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../issuers");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        let spec: serde_json::Value = toml::from_str(&text).unwrap();
        known(&spec, &schema, &schema, "");
    }
    names.sort();
    assert_eq!(names, Spec::names(), "every spec of the folder is shipped");
}

fn known(value: &serde_json::Value, schema: &serde_json::Value, root: &serde_json::Value, path: &str) {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#")) {
        return known(value, root.pointer(name).unwrap(), root, path);
    }
    // A page of `sources` is a text or a table.
    let may =
        |one: &&serde_json::Value| one["type"] != "null" && (one["type"] != "string" || value.is_string());
    if let Some(some) = schema["anyOf"].as_array().and_then(|any| any.iter().find(may)) {
        return known(value, some, root, path);
    }
    if let Some(items) = value.as_array() {
        return items.iter().for_each(|item| known(item, &schema["items"], root, path));
    }
    // A JSON body may have anything in it.
    if *schema == true {
        return;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        let own = &schema["properties"][key];
        let rest = &schema["additionalProperties"];
        assert!(
            own.is_object() || rest.is_object() || rest.as_bool() == Some(true),
            "{path} is not in the schema"
        );
        known(inner, if own.is_object() { own } else { rest }, root, &path);
    }
}

#[test]
fn a_name_that_is_begun_is_told_before_one_that_is_only_near() {
    let help = |name: &str| Spec::shipped(name).err().and_then(|error| error.help).unwrap();
    assert!(help("github").starts_with(
        "did you mean `github-app-key` or `github-app-token` or `github-classic` or `github-fine-grained`? "
    ));
    assert!(help("stripe").starts_with("did you mean `stripe-restricted` or `stripe-secret`? "));
    assert!(help("githlab").starts_with("did you mean `gitlab`? "));
    assert!(
        help("").starts_with("keyroll issuers list")
            && help("nothing-of-it").starts_with("keyroll issuers list")
    );
}

#[test]
fn a_rule_leads_to_the_spec_that_names_it() {
    for name in Spec::names() {
        for id in Spec::shipped(name).unwrap().rules() {
            assert_eq!(Spec::of_rule(id), Some(name), "{id}");
        }
    }
    // The last two occur in specs, but name no rule there.
    for id in ["connection-password", "", "github-classic", "Authorization"] {
        assert_eq!(Spec::of_rule(id), None, "{id}");
    }
}

#[test]
fn a_host_of_ones_own_replaces_the_only_host_and_nothing_else() {
    let at = |name: &str, host: &str| Spec::shipped(name).unwrap().at_host(name, host);
    let reach = |name: &str, host: &str| at(name, host).map(|spec| spec.reach());
    let moved = reach("grafana", "grafana.acme.net").unwrap();
    assert_eq!(moved, ["grafana.acme.net:443", "grafana.acme.net:443 (admin)"]);
    assert_eq!(reach("gitlab", "git.acme.net:8443").unwrap().len(), 2);
    let page = |spec: &Spec| spec.by_hand().map(|hand| hand.url.to_owned());
    let (own, moved) = (Spec::shipped("hugging-face").unwrap(), at("hugging-face", "hf.acme.net").unwrap());
    assert_eq!((page(&moved), moved.reach()), (page(&own), vec!["hf.acme.net:443".to_owned()]));
    for name in ["gcp-service-account-key", "entra-client-secret", "twilio"] {
        let error = reach(name, "login.acme.net").unwrap_err();
        assert!(error.message.contains("several hosts"), "{name}: {error}");
    }
    for wrong in ["", "https://acme.net", "acme.net/x", "ACME", "a\"b"] {
        assert!(reach("grafana", wrong).is_err(), "{wrong}");
    }
    for name in Spec::names() {
        let spec = Spec::shipped(name).unwrap();
        let example = spec.reach().iter().any(|host| host.contains(".example:"));
        assert_eq!(spec.host_to_name().is_some(), example, "{name}");
    }
    let templates: Vec<&str> =
        Spec::names().into_iter().filter(|name| Spec::shipped(name).unwrap().is_template()).collect();
    assert_eq!(templates, ["hmac-set", "oauth2-client-secret", "snowflake"]);
}
