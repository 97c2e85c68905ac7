//! Each warning of `lint` on a spec that deserves it, and none on its neighbour that is good.

use jiff::civil::{Date, date};
use keyroll_issuer::{KnownRule, LintContext, Origin, Spec, SpecWarning, lint};

/// A spec without any warning.
const GOOD: &str = r#"spec = 1
id = "acme-api-key"
title = "Acme API key"
minted_by = "api"
overlap = { kind = "independent" }

[fields.value]
prefix = "acme_"
alphabet = "A-Za-z0-9"
length_min = 37
length_max = 37

[auth.admin]
hosts = ["api.acme.test"]
header = { Authorization = "Bearer {admin}" }

[auth.self]
hosts = ["api.acme.test"]
header = { Authorization = "Bearer {cred.value}" }

[op.verify]
request = { method = "GET", url = "https://api.acme.test/whoami" }
alive = [{ status = [200], json_has = ["/account"] }]
denied = [{ status = [403], json = { "/code" = ["missing_scope"] } }]
dead = [{ status = [401], json = { "/code" = ["invalid_key", "revoked_key"] } }]
rules = ["acme-api-key"]

[op.mint]
as = "admin"
ok = [{ status = [201] }]
take = { id = "/id", fields = { value = "/secret" } }
[op.mint.request]
method = "POST"
url = "https://api.acme.test/keys"
header = { X-Version = "2026-01-01" }
json = { name = "{label}", scopes = ["read"] }

[op.list]
as = "admin"
request = { method = "GET", url = "https://api.acme.test/keys" }
ok = [{ status = [200] }]
items = "/keys"
id = "/id"
label = "/name"
page = { kind = "none" }

[op.revoke]
request = { method = "DELETE", url = "https://api.acme.test/keys/{cred.id}" }
ok = [{ status = [204] }]
already = [{ status = [404] }]

[propagation]
birth_max = "30s"
death_max = "5m"

[provenance]
checked = "2026-11-20"
sources = [
  { at = "https://docs.acme.test/keys", says = ["overlap", "fields", "op.mint", "op.list", "op.revoke"] },
  { at = "https://docs.acme.test/errors", says = ["op.verify"], checked = "2026-11-21" },
]
assumed = ["propagation: a new key works within half a minute"]
"#;

const TODAY: Date = date(2026, 11, 28);

/// The rules of `keyroll leaks`, as far as these tests need them.
fn judged(text: &str, origin: Origin, today: Date) -> Vec<SpecWarning> {
    let begins = ["acme_".to_owned()];
    let rules = [KnownRule { id: "acme-api-key", begins: &begins }];
    let context = LintContext { origin, today, rules: &rules };
    lint(text, "acme.toml", &context).unwrap_or_else(|error| panic!("{error} ({:?})", error.help))
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

/// The only warning after a change, compared by its rule, and by the text at its line and column.
fn warned(from: &str, to: &str, rule: &str, at: &str) -> SpecWarning {
    only(&changed(from, to), rule, at)
}

fn only(text: &str, rule: &str, at: &str) -> SpecWarning {
    only_of(judged(text, Origin::Own, TODAY), text, rule, at)
}

fn only_of(mut warnings: Vec<SpecWarning>, text: &str, rule: &str, at: &str) -> SpecWarning {
    assert_eq!(warnings.len(), 1, "{rule}: {warnings:?}");
    let warning = warnings.remove(0);
    assert_eq!(warning.rule, rule);
    let line = text.lines().nth(warning.line - 1).unwrap();
    let there: String = line.chars().skip(warning.column - 1).collect();
    assert!(there.starts_with(at), "{rule} is at {}:{}: {there}", warning.line, warning.column);
    assert!(!warning.message.is_empty() && !warning.help.is_empty());
    warning
}

fn silent(from: &str, to: &str) {
    let warnings = judged(&changed(from, to), Origin::Own, TODAY);
    assert!(warnings.is_empty(), "{to}: {warnings:?}");
}

#[test]
fn a_good_spec_has_no_warning() {
    assert_eq!(judged(GOOD, Origin::Own, TODAY), []);
}

/// No spec that comes with the program deserves a warning on the day on which it was checked.
#[test]
fn shipped_specs_have_no_warning() {
    let context = LintContext { origin: Origin::Shipped, today: TODAY, rules: &[] };
    let mut all = Vec::new();
    for name in Spec::names() {
        let warnings = lint(Spec::shipped_text(name).unwrap(), name, &context).unwrap();
        all.extend(warnings.into_iter().map(|one| {
            format!("issuers/{name}.toml:{}:{}: {}: {}", one.line, one.column, one.message, one.help)
        }));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn no_shipped_spec_is_longer_than_a_reader_takes_in() {
    for name in Spec::names() {
        let lines = Spec::shipped_text(name).unwrap().lines().count();
        assert!(lines <= 105, "issuers/{name}.toml has {lines} lines");
    }
}

#[test]
fn a_refused_spec_is_an_error_and_no_warning() {
    let context = LintContext { origin: Origin::Own, today: TODAY, rules: &[] };
    let error = lint(&changed("alive =", "alife ="), "acme.toml", &context).unwrap_err();
    assert!(error.to_string().starts_with("acme.toml:23:1: "), "{error}");
}

#[test]
fn a_key_without_source_and_without_assumption() {
    let warning = warned(", \"op.list\"", "", "no-statement", "list]");
    assert_eq!(warning.key, "op.list");
    assert!(warning.message.contains("`op.list`"), "{}", warning.message);
    warned("\"overlap\", ", "", "no-statement", "overlap =");
    warned("[\"op.verify\"]", "[\"op.verify.alive\"]", "no-statement", "dead =");
    let of_verify = warned("[\"op.verify\"]", "[\"auth\"]", "no-statement", "verify]");
    assert_eq!(of_verify.key, "op.verify");
    warned("assumed = [\"propagation: a new", "assumed = [\"a new", "no-statement", "propagation]");
    silent("[\"op.verify\"]", "[\"op.verify.alive\", \"op.verify.dead\"]");
    let assumed = "assumed = [\"op.verify: the vendor's client does the same\", ";
    let text = changed("[\"op.verify\"]", "[\"auth\"]").replacen("assumed = [", assumed, 1);
    assert_eq!(judged(&text, Origin::Own, TODAY), []);
}

/// Of a spec in the form without `says`, one warning names every key.
#[test]
fn addresses_alone_state_nothing() {
    let from = GOOD.find("sources = [").unwrap();
    let to = GOOD.find("assumed = ").unwrap();
    let text = format!("{}sources = [\"https://docs.acme.test/keys\"]\n{}", &GOOD[..from], &GOOD[to..]);
    let warning = only(&text, "no-statement", "sources = [");
    assert!(
        warning.help.ends_with("overlap, fields, op.mint, op.list, op.revoke, op.verify"),
        "{}",
        warning.help
    );
    let spec = Spec::parse(&text, "acme.toml").unwrap();
    assert!(spec.sources().iter().all(|page| page.says.is_empty() && page.checked == "2026-11-20"));
}

#[test]
fn an_assumption_about_a_key_that_does_not_exist() {
    let wrong = "assumed = [\"op.verfy.dead: it is so\", \"propagation: ";
    let warning = warned("assumed = [\"propagation: ", wrong, "unknown-assumed-key", "\"op.verfy");
    assert!(warning.help.contains("`op.verify.dead`"), "{}", warning.help);
    silent(
        "assumed = [",
        "assumed = [\"the vendor says: ask us\", \"note: nothing\", \"op.disable: there is no switch\", ",
    );
}

#[test]
fn facts_that_were_checked_long_ago() {
    let warning =
        warned("checked = \"2026-11-20\"", "checked = \"2025-11-27\"", "checked-long-ago", "checked =");
    assert!(warning.help.contains("checked = \"2026-11-28\""), "{}", warning.help);
    silent("checked = \"2026-11-20\"", "checked = \"2025-11-28\"");
    let page =
        warned("checked = \"2026-11-21\"", "checked = \"2024-01-01\"", "checked-long-ago", "checked =");
    assert_eq!(page.key, "provenance.sources.1.checked");
    let later = judged(GOOD, Origin::Own, date(2027, 11, 21));
    assert_eq!(later.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["provenance.checked"]);
}

#[test]
fn a_status_alone_that_means_dead() {
    let case = "dead = [{ status = [401], json = { \"/code\" = [\"invalid_key\", \"revoked_key\"] } }]";
    let warning = warned(case, "dead = [{ status = [401] }]", "dead-status-alone", "{ status");
    assert_eq!(warning.key, "op.verify.dead.0");
    let second = "dead = [{ status = [401], json_has = [\"/error\"] }, { status = [404] }]";
    assert_eq!(warned(case, second, "dead-status-alone", "{ status = [404]").key, "op.verify.dead.1");
    for good in ["json_has = [\"/error\"]", "body_has = [\"no such key\"]"] {
        silent(case, &format!("dead = [{{ status = [401], {good} }}]"));
    }
    let said = "assumed = [\"op.verify.dead: 401 has no other cause\", ";
    let text = changed(case, "dead = [{ status = [401] }]").replacen("assumed = [", said, 1);
    assert_eq!(judged(&text, Origin::Own, TODAY), []);
}

#[test]
fn a_case_that_an_earlier_list_hides() {
    let from = "json = { \"/code\" = [\"invalid_key\", \"revoked_key\"] }";
    let denied = "denied = [{ status = [403], json = { \"/code\" = [\"missing_scope\"] } }]";
    let wider = "denied = [{ status = [401, 403], json_has = [\"/code\"] }]";
    let warning = warned(denied, wider, "case-never-reached", "{ status = [401]");
    assert!(warning.message.contains("`denied`"), "{}", warning.message);
    let text = changed(denied, wider).replacen(from, "json_has = [\"/code\"], body_has = [\"x\"]", 1);
    only(&text, "case-never-reached", "{ status = [401]");
    // The first list is narrower, or neither contains the other.
    for narrow in
        ["json = { \"/code\" = [\"missing_scope\"] }", "body_has = [\"scope\"]", "json_has = [\"/scope\"]"]
    {
        silent(denied, &format!("denied = [{{ status = [401, 403], {narrow} }}]"));
    }
    silent(denied, "denied = [{ status = [403] }]");
}

#[test]
fn a_mint_whose_answer_may_be_lost() {
    let unread = warned("label = \"/name\"\n", "", "label-not-read", "list]");
    assert_eq!(unread.key, "op.list");
    let text = changed("label = \"/name\"\n", "").replacen("name = \"{label}\", ", "", 1);
    only(&text, "lost-mint", "mint]");
    // The second slot shows an id, and not the value that was lost.
    let slots = text.replacen("{ kind = \"independent\" }", "{ kind = \"two-slots\" }", 1);
    only(&slots, "lost-mint", "mint]");
    let grace = text.replacen("{ kind = \"independent\" }", "{ kind = \"grace\", grace = \"1h\" }", 1);
    only(&grace, "lost-mint", "mint]");
    let said = text.replacen("assumed = [", "assumed = [\"op.mint: a lost answer is the operator's\", ", 1);
    assert_eq!(judged(&said, Origin::Own, TODAY), []);
}

#[test]
fn a_read_that_changes_something() {
    let get = "{ method = \"GET\", url = \"https://api.acme.test/whoami\" }";
    let warning = warned(get, &get.replace("GET", "DELETE"), "read-changes", "method =");
    assert_eq!(warning.key, "op.verify.request.method");
    silent(get, &get.replace("GET", "POST"));
    let list = "{ method = \"GET\", url = \"https://api.acme.test/keys\" }";
    warned(list, &list.replace("GET", "PUT"), "read-changes", "method =");
}

/// Made up here, so that no file contains a text in the form of a credential.
#[test]
fn a_literal_that_looks_like_a_secret() {
    let mixed: String = ["aB3dE6gH9", "jK2mN5pQ8", "sT1vW4yZ7"].concat();
    let hex = "0123456789abcdef".repeat(2);
    let version = "header = { X-Version = \"2026-01-01\" }";
    for secret in [mixed.clone(), hex.clone(), format!("Bearer {}", &hex[..9])] {
        let warning =
            warned(version, &format!("header = {{ X-Key = \"{secret}\" }}"), "secret-in-spec", "X-Key");
        let shown = format!("{warning:?}");
        assert!(!shown.contains(&secret), "{shown}");
    }
    let scopes = "scopes = [\"read\"]";
    let in_json = warned(scopes, &format!("scopes = [\"read\", \"{mixed}\"]"), "secret-in-spec", "\"aB3");
    assert_eq!(in_json.key, "op.mint.request.json.scopes.1");
    warned(scopes, &format!("scopes = [\"{hex}{hex}\"]"), "secret-in-spec", "\"0123");
    // An id, a media type, a scope, a UUID.
    for plain in [
        hex.as_str(),
        "application/vnd.acme.keys.v2+json",
        "https://www.acme.test/auth/cloud-platform.read-only",
        "6f1c0b52-0d1e-4c8e-9a77-3b1f5d2e8c44",
        "ServiceAccountTokenCreatorV2",
    ] {
        silent(scopes, &format!("scopes = [\"{plain}\"]"));
    }
    silent(version, "header = { Accept = \"application/vnd.acme.keys.v2+json\" }");
}

#[test]
fn a_host_of_documents_in_a_spec_of_ones_own() {
    for host in ["api.acme.example", "api.example.com", "acme.invalid"] {
        let text = GOOD.replace("api.acme.test", host);
        let warning = only(&text, "example-host", "\"");
        assert_eq!(warning.key, "auth.admin.hosts.0", "{host}");
        assert_eq!(judged(&text, Origin::Shipped, TODAY), [], "{host}");
    }
    for host in ["none.invalid", "example.acme.test", "anexample.com"] {
        assert_eq!(judged(&GOOD.replace("api.acme.test", host), Origin::Own, TODAY), [], "{host}");
    }
}

#[test]
fn the_rules_of_leaks_are_named_and_known() {
    let line = "rules = [\"acme-api-key\"]\n";
    let missing = warned(line, "", "rule-not-named", "verify]");
    assert!(missing.help.contains("rules = [\"acme-api-key\"]"), "{}", missing.help);
    let unknown = warned(line, "rules = [\"acme-key\"]\n", "unknown-rule", "\"acme-key\"");
    assert_eq!(unknown.key, "op.verify.rules.0");
    let other = changed(line, "").replacen("prefix = \"acme_\"", "prefix = \"acm_\"", 1);
    assert_eq!(judged(&other, Origin::Own, TODAY), []);
    let unjudged = LintContext { origin: Origin::Own, today: TODAY, rules: &[] };
    assert_eq!(lint(&changed(line, ""), "acme.toml", &unjudged).unwrap(), []);
}

/// The guide's whole specs have one flaw: their hosts are examples.
#[test]
fn the_specs_of_the_guide_have_no_other_warning() {
    let guide = include_str!("../../../../docs/guides/write-an-issuer.md");
    let mut blocks = guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let context = LintContext { origin: Origin::Own, today: TODAY, rules: &[] };
    for host in ["\"api.acme.example\"", "\"printer.example\""] {
        let text = blocks.find(|block| block.starts_with("spec = 1")).unwrap();
        only_of(lint(text, "guide.toml", &context).unwrap(), text, "example-host", host);
    }
}
