//! Requests of keyroll's form, at issuers of small specs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::proof::tests::signed;
use super::super::{Issuer, sha256_hex};
use super::Described;

/// The status and the body of an answer.
fn ask(issuer: &Issuer, first: &str, header: &str, body: &str) -> (u16, Value) {
    let mut socket = TcpStream::connect(("127.0.0.1", issuer.port())).unwrap();
    let length = body.len();
    let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
    write!(socket, "{first} HTTP/1.1\r\n{header}Content-Length: {length}\r\n\r\n{body}").unwrap();
    let mut said = String::new();
    loop {
        if let Some((head, body)) = said.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (status, serde_json::from_str(body).unwrap_or_default());
            }
        }
        let mut piece = [0; 512];
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "{said}");
        said += &String::from_utf8_lossy(&piece[..count]);
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

const EXCHANGED: &str = r#"
minted_by = "api"
id_form = "last-segment"
overlap = { kind = "independent" }

[fields.value]
prefix = "acme_"
length_max = 24

[fields.account]
secret = false

[auth.admin]
hosts = ["api.acme.example", "login.acme.example"]
header = { Authorization = "Bearer {token}" }
[auth.admin.token]
ok = [{ status = [200], json_has = ["/access_token"] }]
take = "/access_token"
lasts = "/expires_in"
basic = { user = "{admin/client/id}", password = "{admin/client/secret}" }
[auth.admin.token.request]
method = "POST"
url = "https://login.acme.example/token"
form = { grant_type = "client_credentials" }

[auth.self]
hosts = ["api.acme.example"]

[op.verify]
alive = [{ status = [200] }]
dead = [{ status = [400], json = { "/error" = ["invalid_client"] } }]
[op.verify.request]
method = "POST"
url = "https://api.acme.example/token"
form = { client_id = "{cred.account}", client_secret = "{cred.value}" }

[op.mint]
as = "admin"
ok = [{ status = [201] }]
take = { id = "/data/0/name", fields = { value = "/data/0/key" }, base64 = ["value"] }
[op.mint.request]
method = "POST"
url = "https://api.acme.example/keys"
json = { data = { attributes = { name = "keyroll {label}" } } }

[op.list]
as = "admin"
request = { method = "GET", url = "https://api.acme.example/keys" }
ok = [{ status = [200] }]
items = "/rows"
id = "/0"
label = "/2"
page = { kind = "none" }

[op.revoke]
request = { method = "DELETE", url = "https://api.acme.example/keys/{cred.id}" }
ok = [{ status = [204] }]

[propagation]
birth_max = "60s"
death_max = "60s"

[provenance]
sources = [{ at = "https://api.acme.example/docs", says = ["op.mint"] }]
"#;

#[test]
fn an_admin_gets_a_token_for_its_credential_and_is_nobody_without_it() {
    let (issuer, admin) = Issuer::described(EXCHANGED);
    let admin: Value = serde_json::from_str(&admin).unwrap();
    let [id, secret] =
        ["/client/id", "/client/secret"].map(|at| admin.pointer(at).unwrap().as_str().unwrap());
    let exchange = |id: &str, secret: &str| {
        let login = format!("authorization: Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        ask(&issuer, "POST /token", &login, "grant_type=client_credentials")
    };
    assert_eq!(exchange(id, "another").0, 401);
    assert_eq!(exchange("another", secret).0, 401);
    let (status, answer) = exchange(id, secret);
    assert_eq!((status, &answer["expires_in"]), (200, &json!(3600)));
    let token = bearer(answer["access_token"].as_str().unwrap());

    let mint = json!({ "data": { "attributes": { "name": "keyroll k-1" } } }).to_string();
    for header in ["", &bearer("another"), &bearer(secret)] {
        assert_eq!(ask(&issuer, "POST /keys", header, &mint).0, 401, "{header}");
    }
    let (status, answer) = ask(&issuer, "POST /keys", &token, &mint);
    let made = answer["data"][0].clone();
    assert_eq!((status, issuer.keys().len()), (201, 1));
    let key = issuer.keys()[0].id.clone();
    assert_eq!(made["name"], format!("accounts/7/keys/{key}"));
    let value = STANDARD.decode(made["key"].as_str().unwrap()).unwrap();
    assert_eq!(issuer.whose(&value), Some(key.clone()));

    let list = ask(&issuer, "GET /keys", &token, "").1;
    assert_eq!(list["rows"], json!([[format!("accounts/7/keys/{key}"), null, "k-1"]]));
    let value = String::from_utf8(value).unwrap();
    let verify = |value: &str| {
        ask(&issuer, "POST /token", "", &format!("client_id=7&client_secret={}", value.replace('_', "%5F")))
    };
    assert_eq!(
        (verify(&value).0, verify("acme_another")),
        (200, (400, json!({ "error": "invalid_client" })))
    );
    assert_eq!(ask(&issuer, &format!("DELETE /keys/{key}"), &bearer("another"), "").0, 401);
    assert_eq!(verify(&value).0, 200);
    assert_eq!(ask(&issuer, &format!("DELETE /keys/{key}"), &token, "").0, 204);
    assert_eq!(verify(&value).0, 400);
}

#[test]
fn a_service_calls_beside_the_spec_where_its_own_call_is_no_plain_one() {
    let (issuer, _) = Issuer::described(EXCHANGED);
    let spec = Described::read(EXCHANGED);
    assert_eq!(spec.call(), ("/v1/me".to_owned(), "X-Service-Key: ".to_owned()));
    let (_, value) = issuer.mint("one");
    let call =
        |value: &str| ask(&issuer, "GET /v1/me", &format!("X-Worker: api-1\r\nx-service-key: {value}"), "").0;
    assert_eq!((call(&value), call("acme_another")), (200, 401));
    assert!(spec.rotates_here());
    let two = EXCHANGED.replace("secret = false", "length_max = 9");
    assert!(!Described::read(&two).rotates_here());
}

#[test]
fn a_spec_is_pointed_at_the_issuer_with_all_its_hosts() {
    let graced = EXCHANGED.replace("\"independent\"", "\"grace\", grace = \"24h\"");
    let spec = Described::read(&Described::pointed_at(&graced, 4711, "3s")).spec;
    assert_eq!(spec["auth"]["admin"]["hosts"], json!(["127.0.0.1:4711", "127.0.0.1:4711"]));
    assert_eq!(spec["auth"]["admin"]["token"]["request"]["url"], "http://127.0.0.1:4711/token");
    assert_eq!(spec["op"]["revoke"]["request"]["url"], "http://127.0.0.1:4711/keys/{cred.id}");
    assert_eq!((&spec["overlap"]["grace"], &spec["propagation"]["death_max"]), (&json!("60s"), &json!("3s")));
    assert_eq!(spec["provenance"]["sources"][0]["at"], "https://api.acme.example/docs");
}

#[test]
fn an_old_value_works_for_the_grace_beside_the_new_one() {
    let graced = EXCHANGED.replace("\"independent\"", "\"grace\", grace = \"24h\"");
    let (issuer, _) = Issuer::described(&graced);
    let [(_, old), (new_id, _)] = ["one", "two"].map(|label| issuer.mint(label));
    assert_eq!(issuer.keys().into_iter().map(|key| key.id).collect::<Vec<_>>(), [new_id]);
    assert_eq!(ask(&issuer, "GET /v1/me", &format!("x-service-key: {}", *old), "").0, 200);
    assert_eq!(Described::read(&graced).grace(), Some(Duration::from_secs(60)));
}

const SIGNED: &str = r#"
minted_by = "api"
overlap = { kind = "independent" }

[fields.value]
form = "json"
length_max = 8192

[auth.admin]
hosts = ["api.acme.example"]
header = { Authorization = "Bearer {token}" }
[auth.admin.jwt]
key = "{admin/private_key}"
claims = { iss = "{admin/client_email}" }
lasts = "10m"
[auth.admin.token]
ok = [{ status = [200] }]
take = "/access_token"
[auth.admin.token.request]
method = "POST"
url = "https://api.acme.example/token"
form = { assertion = "{jwt}" }

[auth.self]
hosts = ["api.acme.example"]
[auth.self.jwt]
key = "{cred.value/private_key}"
claims = { iss = "{cred.value/client_email}" }
lasts = "10m"

[op.verify]
request = { method = "POST", url = "https://api.acme.example/token", form = { assertion = "{jwt}" } }
alive = [{ status = [200] }]
dead = [{ status = [400] }]
"#;

#[test]
fn a_jwt_is_believed_by_the_key_that_it_is_signed_with() {
    let (issuer, admin) = Issuer::described(SIGNED);
    let (id, value) = issuer.mint("one");
    let part = |document: &str, at: &str| {
        let document: Value = serde_json::from_str(document).unwrap();
        document[at].as_str().unwrap().to_owned()
    };
    assert!(!part(&value, "client_email").is_empty() && !part(&admin, "client_email").is_empty());
    let exchange = |pem: &str, ends_s: i64| {
        ask(&issuer, "POST /token", "", &format!("assertion={}", signed(pem, "RS256", ends_s)))
    };
    let (admin, own) = (part(&admin, "private_key"), part(&value, "private_key"));
    assert!(exchange(&admin, 60).1["access_token"].is_string());
    assert_eq!(exchange(&admin, -1).0, 400);
    let (status, answer) = exchange(&own, 60);
    assert!(status == 200 && answer["access_token"].is_null(), "{answer}");
    let other = issuer.mint("two").1;
    assert_eq!(exchange(&part(&other, "private_key"), 60).0, 200);
    issuer.end(&id);
    assert_eq!((exchange(&own, 60).0, exchange(&part(&other, "private_key"), 60).0), (400, 200));

    assert!(Described::read(SIGNED).is_document());
    let call = |shown: &str| ask(&issuer, "GET /v1/me", &format!("x-service-key: {shown}"), "").0;
    assert_eq!((call(&sha256_hex(other.as_bytes())), call(&sha256_hex(value.as_bytes()))), (200, 401));
}

const COMPUTED: &str = r#"
minted_by = "api"
overlap = { kind = "independent" }

[fields.value]
length_max = 24

[auth.self]
hosts = ["api.acme.example"]
header = { X-Time = "{time}", X-Sign = "v1={hmac}" }
[auth.self.hmac]
key = "{cred.value}"
text = "GET /me {time}"
hash = "sha256"
form = "hex"

[op.verify]
request = { method = "GET", url = "https://api.acme.example/me" }
alive = [{ status = [200] }]
dead = [{ status = [401] }]
"#;

#[test]
fn an_hmac_is_computed_from_what_is_kept_of_a_value() {
    let (issuer, _) = Issuer::described(COMPUTED);
    let (_, value) = issuer.mint("one");
    let call = |value: &str, time: &str, signed: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, value.as_bytes());
        let tag = hmac::sign(&key, format!("GET /me {signed}").as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        ask(&issuer, "GET /me", &format!("x-sign: v1={hex}\r\nx-time: {time}"), "").0
    };
    assert_eq!(call(&value, "1795165200", "1795165200"), 200);
    assert_eq!((call(&value, "1795165201", "1795165200"), call("another", "1", "1")), (401, 401));
    assert!(Described::read(COMPUTED).rotates_here());
    for (was, is) in [("\"api\"", "\"us\""), ("X-Time = \"{time}\", ", "")] {
        assert!(!Described::read(&COMPUTED.replace(was, is)).rotates_here(), "{is}");
    }
}

/// The calls of the shipped specs are those of their own, in plain headers.
#[test]
fn a_plain_call_is_that_of_the_spec() {
    let call = |header: &str, query: &str| {
        let url = "https://api.acme.example/accounts/{cred.account}/me";
        let text = format!(
            "[fields.account]\nsecret = false\n[fields.value]\nlength_max = 9\n[auth.self]\n{header}\n\
             [op.verify.request]\nmethod = \"GET\"\nurl = \"{url}\"\nquery = {{ {query} }}\n"
        );
        Described::read(&text).call()
    };
    let path = "/accounts/7/me".to_owned();
    let own = |header: &str| (path.clone(), header.to_owned());
    let cases = BTreeMap::from([
        ("header = { Authorization = \"Bot {cred.value}\" }", "authorization: bot "),
        ("header = { X-Account = \"{cred.account}\", X-Key = \"{cred.value}\" }", "x-key: "),
        ("basic = { user = \"{cred.account}\", password = \"{cred.value}\" }", "basic:7"),
    ]);
    for (header, wanted) in cases {
        assert_eq!(call(header, ""), own(wanted), "{header}");
    }
    let bot = "header = { Authorization = \"Bot {cred.value}\" }";
    assert_eq!(call(bot, "\"$top\" = \"1, 2\"").0, format!("{path}?%24top=1%2C%202"));
    for (header, query) in [
        ("header = { X-Key = \"{cred.value}!\" }", ""),
        ("header = { X-Key = \"{cred.value}\", X-Sign = \"{hmac}\" }", ""),
        ("header = { X-Key = \"{jwt}\" }", ""),
        (bot, "key = \"{cred.value}\""),
    ] {
        assert_eq!(call(header, query).0, "/v1/me", "{header} {query}");
    }
}
