//! Answers that the fake does not give, from a server that says one thing.

use std::sync::{Arc, Mutex};

use keyroll_port::{Class, FailureKind, Truth};
use keyroll_secret::Credential;
use keyroll_testkit::{TempDir, alphanumeric};
use keyroll_truth::{VaultLogin, VaultSettings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::aws_answers::request;
use crate::sample::{KEY, by, credential, failed, shown, value};
use crate::vault_sample::{is, open, private_file};

const MOUNT: &str = r#"{"data":{"path":"kv/","type":"kv","options":{"version":"2"}}}"#;
const READ: &str = "GET /v1/kv/data/agents/openai ";
const WRITE: &str = "POST /v1/kv/data/agents/openai ";
const LOGIN: &str = "POST /v1/auth/approle/login ";

/// A server that says one thing, with a secret of version 3.
struct Says {
    port: u16,
    held: Credential,
    requests: Arc<Mutex<Vec<String>>>,
    home: TempDir,
}

impl Says {
    /// To requests that begin so, it says this status, header and body; without a status, nothing, and it hangs up. In the
    /// body `@HELD@` is the value there and `@ASKED@` what was asked, without quotation marks.
    async fn start(begins: &'static str, status: u16, header: &'static str, body: &str) -> Self {
        let (held, requests) = (credential(), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (canary, seen, body) =
            (value(&held), Arc::clone(&requests), body.replace("@HELD@", &value(&held)));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let Some(asked) = request(&mut client).await else { continue };
                let asked = String::from_utf8_lossy(&asked).into_owned();
                seen.lock().unwrap().push(asked.clone());
                let (status, header, body) = if asked.starts_with(begins) {
                    (status, header, body.replace("@ASKED@", &asked.replace(['"', '\\', '\r', '\n'], " ")))
                } else {
                    (200, "", known(&asked, &canary))
                };
                if status > 0 {
                    let head =
                        format!("HTTP/1.1 {status} Said\r\n{header}content-length: {}\r\n\r\n", body.len());
                    let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
                }
            }
        });
        Self { port, held, requests, home: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> VaultSettings {
        let token = private_file(self.home.path(), &alphanumeric(24));
        VaultSettings {
            address: Some(format!("http://127.0.0.1:{}", self.port)),
            login: Some(VaultLogin::Token(token)),
            ..VaultSettings::default()
        }
    }

    fn truth(&self) -> Box<dyn Truth> {
        open("kv/agents/openai", &self.settings())
    }

    fn with_approle(&self) -> Box<dyn Truth> {
        let secret_id = private_file(self.home.path(), &alphanumeric(24));
        let login =
            VaultLogin::AppRole { mount: "approle".to_owned(), role_id: "role".to_owned(), secret_id };
        open("kv/agents/openai", &VaultSettings { login: Some(login), ..self.settings() })
    }

    fn count(&self, begins: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| request.starts_with(begins)).count()
    }
}

/// The fair answer.
fn known(asked: &str, canary: &str) -> String {
    if asked.starts_with("GET /v1/sys/internal/ui/mounts/") {
        MOUNT.to_owned()
    } else if asked.starts_with("POST /v1/sys/capabilities-self") {
        r#"{"capabilities":["root"]}"#.to_owned()
    } else if asked.starts_with(LOGIN) {
        r#"{"auth":{"client_token":"hvs.token","lease_duration":5}}"#.to_owned()
    } else {
        version(canary, "", "2018-03-22T02:24:06.945319214Z")
    }
}

fn version(canary: &str, deletion: &str, made: &str) -> String {
    format!(
        "{{\"data\":{{\"data\":{{\"{KEY}\":\"{canary}\"}},\"metadata\":{{\"created_time\":\"{made}\",\
         \"deletion_time\":\"{deletion}\",\"destroyed\":false,\"version\":3}}}}}}"
    )
}

fn error(message: &str) -> String {
    format!("{{\"errors\":[\"{message}\"]}}")
}

#[tokio::test]
async fn every_answer_to_a_read_has_its_code_its_class_and_its_help() {
    let sealed = error("error performing token check: Vault is sealed");
    let (none, no_active) = (
        error("no active Vault instance found"),
        error("local node not active but active cluster node not found"),
    );
    let secondary = error("path disabled in replication DR secondary mode");
    let forever = version("@HELD@", "2999-01-01T00:00:00Z", "2018-03-22T02:24:06Z");
    for (status, body, class, code, word) in [
        (503, sealed.as_str(), Class::Retryable, "K0640", "vault operator unseal"),
        (503, none.as_str(), Class::Retryable, "K0640", "standby"),
        (500, no_active.as_str(), Class::Retryable, "K0640", "standby"),
        (400, secondary.as_str(), Class::Permanent, "K0640", "primary"),
        (472, "", Class::Permanent, "K0640", "primary"),
        (473, "", Class::Retryable, "K0640", "performance standby"),
        (501, "", Class::Retryable, "K0640", "vault operator init"),
        (
            412,
            error("required index state not present").as_str(),
            Class::Retryable,
            "K0640",
            "not up to date",
        ),
        (429, error("lease count quota exceeded").as_str(), Class::Retryable, "K0640", "limits the rate"),
        (500, error("internal error").as_str(), Class::Retryable, "K0640", "status 500"),
        (502, "<html>Bad Gateway</html>", Class::Retryable, "K0640", "status 502"),
        (0, "", Class::Retryable, "K0640", "the connection closed"),
        (403, error("permission denied").as_str(), Class::Permanent, "K0641", "kv/data/agents/openai"),
        (400, error("something else @HELD@").as_str(), Class::Permanent, "K0642", "invalid (400)"),
        (404, "<html>not found</html>", Class::Retryable, "K0640", "not Vault's"),
        (200, "<html>@HELD@</html>", Class::Retryable, "K0640", "not Vault's"),
        (200, "{\"data\":{\"data\":{\"a\":\"@HELD@\"", Class::Retryable, "K0640", "not Vault's"),
        (200, "{\"data\":null}", Class::Retryable, "K0640", "not Vault's"),
        (200, forever.as_str(), Class::Permanent, "K0642", "will be deleted at 2999"),
    ] {
        let server = Says::start(READ, status, "", body).await;
        let failure = failed(server.truth().current().await, &[&server.held]);
        is(&failure, class, code, &[word]);
        assert_eq!(server.count(READ), 1, "one attempt");
    }
}

#[tokio::test]
async fn after_a_write_was_sent_its_outcome_is_unknown_unless_it_was_refused() {
    let moved = "location: https://ada:secret@active.example:8200/v1/kv/data/@\r\n";
    for (status, header, body, class, code) in [
        // The active node may have written it, and its answer was lost on the way to the standby node.
        (307, moved, String::new(), Class::Unknown, "K0640"),
        (503, "", error("no active Vault instance found"), Class::Unknown, "K0640"),
        (500, "", error("internal error"), Class::Unknown, "K0640"),
        (504, "", "<html>Gateway Timeout @ASKED@</html>".to_owned(), Class::Unknown, "K0640"),
        (0, "", String::new(), Class::Unknown, "K0640"),
        (503, "", error("Vault is sealed"), Class::Retryable, "K0640"),
        (429, "", error("rate limit quota exceeded"), Class::Retryable, "K0640"),
        (403, "", error("1 error occurred: permission denied @ASKED@"), Class::Permanent, "K0641"),
        (400, "", error("error parsing check-and-set parameter @ASKED@"), Class::Permanent, "K0642"),
        (404, "", error("no handler for route"), Class::Permanent, "K0642"),
        (405, "", error("unsupported operation"), Class::Permanent, "K0642"),
        (413, "", error("http: request body too large"), Class::Permanent, "K0304"),
    ] {
        let server = Says::start(WRITE, status, header, &body).await;
        let (truth, new) = (server.truth(), credential());
        truth.stage(&by(4), &server.held, &new).await.unwrap();
        let failure = failed(truth.give_out(&by(4), &server.held, &new).await, &[&server.held, &new]);
        is(&failure, class, code, &[]);
        assert!(!shown(&failure).contains("ada:secret"), "more of a redirect is shown than host and port");
        assert_eq!(server.count(WRITE), 1, "one attempt");
    }
}

#[tokio::test]
async fn a_write_that_is_accepted_and_not_given_out_is_unknown() {
    let server = Says::start(WRITE, 200, "", "{}").await;
    let (truth, new) = (server.truth(), credential());
    let failure = failed(truth.give_out(&by(4), &server.held, &new).await, &[&server.held, &new]);
    assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear));
}

#[tokio::test]
async fn the_version_is_named_in_the_write_and_its_time_is_read() {
    let server =
        Says::start(WRITE, 400, "", &error("check-and-set parameter did not match the current version"))
            .await;
    let (truth, new) = (server.truth(), credential());
    let given = truth.current().await.unwrap();
    assert_eq!((given.id.as_str(), given.unix_ms), ("3", Some(1_521_685_446_945)));
    let failure = failed(truth.give_out(&by(4), &server.held, &new).await, &[&server.held, &new]);
    assert_eq!(failure.class, Class::Retryable, "overtaken, and the value is as it was");
    let requests = server.requests.lock().unwrap().clone();
    let write = requests.iter().find(|request| request.starts_with(WRITE)).unwrap();
    assert!(write.contains("\r\n\r\n{\"options\":{\"cas\":3},\"data\":{"), "the version is not named");
}

#[tokio::test]
async fn an_engine_that_is_none_of_version_2_is_refused() {
    let mounts = "GET /v1/sys/internal/ui/mounts/kv/agents/openai ";
    let pki = r#"{"data":{"path":"kv/","type":"pki","options":null}}"#;
    let first = r#"{"data":{"path":"kv/","type":"kv","options":{"version":"1"}}}"#;
    let silent = r#"{"data":{"path":"kv/","type":"kv","options":null}}"#;
    let other = r#"{"data":{"path":"elsewhere/","type":"kv","options":{"version":"2"}}}"#;
    for (status, body, class, code, word) in [
        (200, pki, Class::Permanent, "K0642", "no key/value engine"),
        (200, first, Class::Permanent, "K0642", "version 1"),
        (200, silent, Class::Permanent, "K0642", "version 1"),
        (200, other, Class::Permanent, "K0642", "not that of a secret"),
        (200, "{}", Class::Retryable, "K0640", "not Vault's"),
        (404, "", Class::Permanent, "K0642", "404"),
        (404, "{\"errors\":[\"namespace not found\"]}", Class::Permanent, "K0642", "no such namespace"),
        (403, "", Class::Permanent, "K0641", "no secrets engine"),
    ] {
        let server = Says::start(mounts, status, "", body).await;
        is(&failed(server.truth().current().await, &[&server.held]), class, code, &[word]);
        assert_eq!(server.count(READ), 0, "nothing is guessed");
    }
    let below = r#"{"data":{"path":"team-a/kv/","type":"kv","options":{"version":"2"}}}"#;
    let server = Says::start(mounts, 200, "", below).await;
    server.truth().current().await.unwrap();
}

#[tokio::test]
async fn every_request_has_the_namespace_and_the_token() {
    let server = Says::start("nothing", 200, "", "").await;
    let namespace = Some("team-a/".to_owned());
    let truth = open("kv/agents/openai", &VaultSettings { namespace, ..server.settings() });
    truth.stage(&by(4), &server.held, &credential()).await.unwrap();
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 3);
    for request in requests {
        for header in ["x-vault-namespace: team-a\r\n", "x-vault-request: true\r\n", "x-vault-token: "] {
            assert!(request.contains(header), "{header} is missing");
        }
    }
}

#[tokio::test]
async fn a_login_is_made_anew_when_its_lease_is_about_to_end_and_shows_nothing() {
    // The lease lasts for five seconds, which is less than keyroll needs.
    let server = Says::start("nothing", 200, "", "").await;
    let truth = server.with_approle();
    truth.current().await.unwrap();
    assert_eq!(server.count(LOGIN), 2, "one for each request");
    for (status, body, class, code) in [
        (400, error("invalid secret_id @ASKED@"), Class::Permanent, "K0641"),
        (403, error("permission denied @ASKED@"), Class::Permanent, "K0641"),
        (404, error("no handler for route @ASKED@"), Class::Permanent, "K0641"),
        (200, "{\"auth\":null}".to_owned(), Class::Retryable, "K0640"),
        (
            200,
            "{\"auth\":{\"client_token\":\"\",\"lease_duration\":0}}".to_owned(),
            Class::Permanent,
            "K0641",
        ),
        (503, error("Vault is sealed"), Class::Retryable, "K0640"),
        (0, String::new(), Class::Retryable, "K0640"),
    ] {
        let server = Says::start(LOGIN, status, "", &body).await;
        let failure = failed(server.with_approle().current().await, &[&server.held]);
        is(&failure, class, code, &["AppRole"]);
        let requests = server.requests.lock().unwrap().clone();
        let (_, secret_id) = requests[0].split_once("secret_id\":\"").unwrap();
        assert!(!shown(&failure).contains(secret_id.trim_end_matches("\"}")), "the secret id is shown");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_told_apart_from_a_missing_right() {
    // OpenBao says the same for both.
    let denied = error("permission denied");
    let server = Says::start("GET /v1/", 403, "", &denied).await;
    let failure = failed(server.with_approle().current().await, &[&server.held]);
    is(&failure, Class::Retryable, "K0641", &["has ended", "logs in again"]);
    assert_eq!(server.count("GET /v1/auth/token/lookup-self "), 1);

    let server = Says::start(READ, 403, "", &denied).await;
    let failure = failed(server.with_approle().current().await, &[&server.held]);
    is(&failure, Class::Permanent, "K0641", &["kv/data/agents/openai"]);
}
