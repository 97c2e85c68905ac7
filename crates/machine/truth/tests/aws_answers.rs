//! Answers that moto does not give, from a server that says one thing.

use keyroll_port::{Class, FailureKind, Truth as _};
use keyroll_testkit::MOTO_REGION;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::sample::{KEY, Opened, PROFILE, by, credential, failed, open, shown, value};

/// One whole request.
pub(crate) async fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut all, mut part) = (Vec::new(), vec![0; 65_536]);
    while !is_whole(&all) {
        match client.read(&mut part).await.ok()? {
            0 => return None,
            count => all.extend_from_slice(part.get(..count)?),
        }
    }
    Some(all)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.len() >= length.map_or(0, |length| length.parse().unwrap())
    })
}

/// What the server says to a request: status and body; without a status, nothing, and it hangs up.
type Says = fn(&str, &str) -> (u16, String);

/// A server that knows one version, and says `says` to the operation of this name. `canary` is the value there.
async fn server(operation: &'static str, canary: String, says: Says) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let Some(asked) = request(&mut client).await else { continue };
            let asked = String::from_utf8_lossy(&asked).into_owned();
            let (status, body) = if asked.contains(&format!("secretsmanager.{operation}\r\n")) {
                says(&asked, &canary)
            } else {
                (200, known(&asked, &canary))
            };
            if status > 0 {
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: application/x-amz-json-1.1\r\n");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                let _ = client.write_all(answer.as_bytes()).await;
            }
        }
    });
    port
}

/// The fair answer.
fn known(asked: &str, canary: &str) -> String {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/x-AbCdEf";
    let version = "\"VersionId\":\"11111111-1111-1111-1111-111111111111\",\"VersionStages\":[\"AWSCURRENT\"]";
    if asked.contains("secretsmanager.GetSecretValue") {
        let text = format!("{{\\\"{KEY}\\\":\\\"{canary}\\\"}}");
        format!("{{\"ARN\":\"{arn}\",\"Name\":\"prod/x\",{version},\"SecretString\":\"{text}\"}}")
    } else if asked.contains("secretsmanager.ListSecretVersionIds") {
        format!("{{\"ARN\":\"{arn}\",\"Name\":\"prod/x\",\"Versions\":[{{{version}}}]}}")
    } else {
        format!("{{\"ARN\":\"{arn}\",\"Name\":\"prod/x\"}}")
    }
}

async fn opened(port: u16) -> Opened {
    let config = format!(
        "[profile {PROFILE}]\nregion = {MOTO_REGION}\nendpoint_url = http://127.0.0.1:{port}\n\
         aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none\n"
    );
    open(&config, "prod/x", Some(KEY)).await
}

fn error(code: &str, message: &str) -> String {
    format!("{{\"__type\":\"{code}\",\"message\":\"{message}\"}}")
}

#[tokio::test]
async fn every_error_of_the_service_has_its_code_its_class_and_its_help() {
    let expired: Says =
        |_, _| (400, error("ExpiredTokenException", "The security token included in the request is expired"));
    let unknown: Says = |_, _| (400, error("UnrecognizedClientException", "The security token is invalid."));
    let kms: Says = |_, _| (400, error("AccessDeniedException", "Access to KMS is not allowed"));
    let decrypt: Says = |_, _| (400, error("DecryptionFailure", "can't decrypt the protected secret text"));
    let throttled: Says = |_, _| (400, error("ThrottlingException", "Rate exceeded"));
    let managed: Says =
        |_, _| (400, error("InvalidRequestException", "The secret is managed by another service"));
    let marked: Says = |_, _| (400, error("InvalidRequestException", "it was marked for deletion"));
    let internal: Says = |_, _| (500, error("InternalServiceError", "An error occurred on the server side"));
    let proxy: Says = |_, _| (502, "<html>Bad Gateway</html>".to_owned());
    let silent: Says = |_, _| (0, String::new());
    let other: Says =
        |_, _| (400, error("com.amazonaws.secretsmanager#SomethingNew", "what nobody has seen yet"));
    for (says, class, code, word) in [
        (expired, Class::Permanent, "K0641", "aws sso login"),
        (unknown, Class::Permanent, "K0641", "get-caller-identity"),
        (kms, Class::Permanent, "K0641", "kms:Decrypt"),
        (decrypt, Class::Permanent, "K0641", "KMS key of this secret is enabled"),
        (throttled, Class::Retryable, "K0640", "limits the rate"),
        (managed, Class::Permanent, "K0642", "that service"),
        (marked, Class::Permanent, "K0642", "restore-secret"),
        (internal, Class::Retryable, "K0640", "InternalServiceError"),
        (proxy, Class::Retryable, "K0640", "status 502"),
        (silent, Class::Retryable, "K0640", "the connection closed"),
        (other, Class::Permanent, "K0642", "SomethingNew"),
    ] {
        let held = credential();
        let port = server("GetSecretValue", value(&held), says).await;
        let failure = failed(opened(port).await.truth.current().await, &[&held]);
        let text = shown(&failure);
        assert_eq!((failure.class, failure.code.as_str()), (class, code), "{text}");
        assert!(text.contains(word), "'{word}' is not said: {text}");
    }
}

#[tokio::test]
async fn after_a_write_was_sent_its_outcome_is_unknown_unless_aws_refused_it() {
    let internal: Says = |_, _| (500, error("InternalServiceError", "An error occurred on the server side"));
    let proxy: Says = |_, _| (504, "<html>Gateway Timeout</html>".to_owned());
    let silent: Says = |_, _| (0, String::new());
    let throttled: Says = |_, _| (400, error("ThrottlingException", "Rate exceeded"));
    let limit: Says = |_, _| (400, error("LimitExceededException", "too many labels"));
    let encrypt: Says = |_, _| (400, error("EncryptionFailure", "can't encrypt the protected secret text"));
    let taken: Says = |_, _| (400, error("ResourceExistsException", "that value is already in use"));
    for (says, class, code) in [
        (internal, Class::Unknown, "K0640"),
        (proxy, Class::Unknown, "K0640"),
        (silent, Class::Unknown, "K0640"),
        (throttled, Class::Retryable, "K0640"),
        (limit, Class::Permanent, "K0642"),
        (encrypt, Class::Permanent, "K0641"),
        (taken, Class::Permanent, "K0642"),
    ] {
        let (held, new) = (credential(), credential());
        let port = server("PutSecretValue", value(&held), says).await;
        let outcome = opened(port).await.truth.stage(&by(4), &held, &new).await;
        let failure = failed(outcome, &[&held, &new]);
        assert_eq!((failure.class, failure.code.as_str()), (class, code), "{}", shown(&failure));
    }
    // The version is written; whether it is pending is open.
    let (held, new) = (credential(), credential());
    let port = server("UpdateSecretVersionStage", value(&held), throttled).await;
    let failure = failed(opened(port).await.truth.stage(&by(4), &held, &new).await, &[&held, &new]);
    assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::RateLimited));
}

#[tokio::test]
async fn no_answer_is_quoted_that_could_hold_a_value() {
    // Whatever is said holds what was asked and what is there.
    let echoed: Says = |asked, canary| {
        let body = asked.split_once("\r\n\r\n").map_or("", |(_, body)| body).replace(['"', '\\'], " ");
        (400, error("InvalidParameterException", &format!("{body} {canary}")))
    };
    let page: Says = |asked, canary| (500, format!("<html>{asked} {canary}</html>"));
    let cut: Says = |_, canary| (200, format!("{{\"SecretString\":\"{canary}"));
    let named: Says = |asked, canary| {
        let body = asked.split_once("\r\n\r\n").map_or("", |(_, body)| body).replace(['"', '\\'], " ");
        (400, error(&format!("{body} {canary}"), "no"))
    };
    let bare: Says = |_, canary| (400, error(canary, "no"));
    let endless: Says = |_, canary| (200, format!("{{\"SecretString\":\"{}\"}}", canary.repeat(100_000)));
    let (held, new) = (credential(), credential());
    for says in [echoed, page, named, bare] {
        let port = server("PutSecretValue", value(&held), says).await;
        drop(failed(opened(port).await.truth.stage(&by(4), &held, &new).await, &[&held, &new]));
    }
    for says in [page, cut, endless] {
        let port = server("GetSecretValue", value(&held), says).await;
        let failure = failed(opened(port).await.truth.current().await, &[&held]);
        assert_eq!(failure.code.as_str(), "K0640", "{}", shown(&failure));
    }
    let long: String = "x".repeat(70_000);
    let port = server("PutSecretValue", value(&held), page).await;
    let beyond = keyroll_secret::Credential {
        id: None,
        fields: keyroll_secret::Fields::single(keyroll_secret::SecretBytes::from(long)),
    };
    let failure = failed(opened(port).await.truth.stage(&by(4), &held, &beyond).await, &[&held, &beyond]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0304"));
}
