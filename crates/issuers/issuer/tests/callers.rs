//! How a spec may say that a caller authenticates: what contradicts itself, or would show a secret, is refused.

use keyroll_issuer::Spec;

/// A spec with every form of a caller.
const GOOD: &str = r#"
spec = 1
id = "acme-key"
title = "Acme key"
minted_by = "api"
overlap = { kind = "independent" }
id_in = "{cred.value/key_id}"
[fields.value]
form = "json"
length_max = 8192
[fields.account]
secret = false
[auth.admin]
hosts = ["api.acme.test", "login.acme.test"]
header = { Authorization = "Bearer {token}" }
[auth.admin.jwt]
key = "{admin/private_key}"
claims = { iss = "{admin/email}", sub = "{current.account}" }
lasts = "10m"
[auth.admin.token]
basic = { user = "{admin/email}", password = "{admin/secret}" }
ok = [{ status = [200] }]
take = "/access_token"
request = { method = "POST", url = "https://login.acme.test/token", form = { assertion = "{jwt}" } }
[auth.self]
hosts = ["login.acme.test"]
header = { X-Sign = "{hmac}", X-Time = "{time}" }
[auth.self.jwt]
key = "{cred.value/private_key}"
header = { kid = "{cred.value/key_id}" }
claims = { iss = "{cred.account}" }
lasts = "10m"
[auth.self.hmac]
key = "{cred.value/mac}"
text = "{time}.{cred.account}"
hash = "sha256"
form = "hex"
[op.verify]
request = { method = "POST", url = "https://login.acme.test/token", form = { assertion = "{jwt}" } }
alive = [{ status = [200] }]
dead = [{ status = [400], json = { "/error" = ["invalid_grant"] } }]
[op.mint]
as = "admin"
ok = [{ status = [200] }]
take = { id = "/id", fields = { value = "/key" }, base64 = ["value"] }
request = { method = "POST", url = "https://api.acme.test/keys", json = { name = "{label}" } }
[op.list]
as = "admin"
ok = [{ status = [200] }]
items = ""
id = "/id"
label = "/name"
disabled = { at = "/off", is = [true], absent = false }
page = { kind = "address", next = "/next" }
request = { method = "GET", url = "https://api.acme.test/keys" }
[op.disable]
ok = [{ status = [200] }]
request = { method = "POST", url = "https://api.acme.test/keys/{cred.id}/off" }
[op.enable]
ok = [{ status = [200] }]
request = { method = "POST", url = "https://api.acme.test/keys/{cred.id}/on" }
[op.revoke]
after_disable = true
ok = [{ status = [200] }]
request = { method = "DELETE", url = "https://api.acme.test/keys/{cred.id}" }
[propagation]
birth_max = "1m"
death_max = "1m"
[provenance]
checked = "2026-11-28"
sources = ["https://docs.acme.test/keys"]
"#;

#[test]
fn every_form_of_a_caller_is_read() {
    let spec = Spec::parse(GOOD, "acme.toml").unwrap_or_else(|error| panic!("{error} ({:?})", error.help));
    assert_eq!(spec.admin_places(), ["/email", "/private_key", "/secret"]);
    assert_eq!(
        spec.reach(),
        ["api.acme.test:443 (admin)", "login.acme.test:443", "login.acme.test:443 (admin)"]
    );
}

#[test]
fn a_caller_that_contradicts_itself_or_shows_a_secret_is_refused() {
    let whole = "claims = { iss = \"{cred.account}\" }";
    let cases = [
        // A secret in a claim, in an id, in a signed text, in a spec.
        (whole, "claims = { iss = \"{cred.value}\" }", "a claim takes its value"),
        (whole, "claims = { iss = \"{cred.value/private_key}\" }", "a claim takes its value"),
        (whole, "claims = { iss = \"{admin/email}\" }", "a claim takes its value"),
        (whole, "claims = { exp = \"1\" }", "keyroll sets alg, typ, iat and exp itself"),
        ("id_in = \"{cred.value/key_id}\"", "id_in = \"{cred.value}\"", "`id_in` is {cred.FIELD}"),
        ("text = \"{time}.{cred.account}\"", "text = \"{cred.value/mac}\"", "`text` may contain {time}"),
        ("password = \"{admin/secret}\"", "password = \"hunter2\"", "takes its value from a placeholder"),
        // A key that is no key of the caller's.
        ("key = \"{cred.value/private_key}\"", "key = \"{admin/private_key}\"", "`key` is one placeholder"),
        ("key = \"{cred.value/private_key}\"", "key = \"-----BEGIN\"", "`key` is one placeholder"),
        ("key = \"{cred.value/mac}\"", "key = \"x{cred.value/mac}\"", "`key` is one placeholder"),
        // Placeholders of somebody else.
        ("Bearer {token}", "Bearer {admin}", "the only placeholder here is {token}"),
        ("Bearer {token}", "Bearer {jwt}", "the only placeholder here is {token}"),
        ("X-Sign = \"{hmac}\"", "X-Sign = \"{token}\"", "the only placeholder here is {cred.FIELD}"),
        (
            "assertion = \"{jwt}\" } }\n[auth.self]",
            "assertion = \"{cred.value/mac}\" } }\n[auth.self]",
            "here are {admin}",
        ),
        (
            "json = { name = \"{label}\" }",
            "json = { name = \"{label}{admin/email}\" }",
            "allowed in [auth] only",
        ),
        ("json = { name = \"{label}\" }", "json = { name = \"{label}{jwt}\" }", "no value in this operation"),
        // Hosts and headers.
        (
            "https://login.acme.test/token\", form = { assertion = \"{jwt}\" } }\n[auth.self]",
            "https://evil.test/token\", form = { assertion = \"{jwt}\" } }\n[auth.self]",
            "not in auth.admin.hosts",
        ),
        ("X-Time = \"{time}\"", "x-sign = \"{time}\"", "a header stands here twice"),
        (
            "basic = { user = \"{admin/email}\"",
            "header = { authorization = \"{admin/email}\" }\nbasic = { user = \"{admin/email}\"",
            "a header stands here twice",
        ),
        // Parts that need each other.
        (
            "lasts = \"10m\"\n[auth.admin.token]",
            "lasts = \"2h\"\n[auth.admin.token]",
            "`lasts` is between 1m and 1h",
        ),
        ("form = \"json\"\n", "form = \"json\"\nprefix = \"{\"\n", "go with form = \"text\""),
        ("base64 = [\"value\"]", "base64 = [\"other\"]", "`base64` names fields"),
        ("take = { id = \"/id\", ", "take = { ", "`id` may be omitted only with"),
        ("next = \"/next\" }", "query = \"page\" }", "address has `next`"),
    ];
    for (from, to, why) in cases {
        assert!(GOOD.contains(from), "{from}");
        let error = Spec::parse(&GOOD.replacen(from, to, 1), "acme.toml")
            .err()
            .unwrap_or_else(|| panic!("{to} is read"));
        assert!(error.message.contains(why), "{to}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let without = GOOD.replacen("[auth.self.jwt]", "[auth.self.hmac2]", 1);
    assert!(Spec::parse(&without, "acme.toml").is_err());
    let (before, rest) = GOOD.split_once("[auth.self.jwt]").unwrap();
    let (_, after) = rest.split_once("[auth.self.hmac]").unwrap();
    let unsigned = format!("{before}[auth.self.hmac]{after}").replacen(
        "assertion = \"{jwt}\" } }\nalive",
        "a = \"b\" } }\nalive",
        1,
    );
    let error = Spec::parse(&unsigned, "acme.toml").unwrap_err();
    assert!(error.message.contains("a document needs [auth.self.jwt]"), "{error}");
    let chosen = GOOD.replacen("minted_by = \"api\"", "minted_by = \"us\"", 1);
    assert!(Spec::parse(&chosen, "acme.toml").is_err(), "keyroll chooses no document");
    let text = GOOD.replacen("form = \"json\"", "alphabet = \"a-z\"", 1).replacen(
        "minted_by = \"api\"",
        "minted_by = \"us\"",
        1,
    );
    let error = Spec::parse(&text, "acme.toml").unwrap_err();
    assert!(error.message.contains("the request sends every secret field"), "{error}");
}
