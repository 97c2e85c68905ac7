//! Answers that moto does not give, from a server that says one thing.

use std::time::Duration;

use keyroll_port::conformance::{PATIENT_MS, SILENT_MS};
use keyroll_port::{Class, FailureKind, Issuer as _, Probe};
use keyroll_secret::{Credential, CredentialId};
use keyroll_testkit::alphanumeric;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::sample::{Opened, PROFILE, credential, failed, open, shown};

const USER: &str = "app";
const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const OTHER_ID: &str = "AKIAI44QH8DHBEXAMPLE";
const OWN_ID: &str = "AKIAKEYROLLSOWNKEY00";
/// What the ids of all keys of keyroll's own login begin with.
const OWN: &str = "AKIAKEYROLLSOWNKEY";
const ARN: &str = "arn:aws:iam::123456789012:user/division/app";
const ADMIN: &str = "arn:aws:sts::123456789012:assumed-role/rotator/host-1";

/// The status with which the server says nothing, and hangs up.
const HANGS_UP: u16 = 0;
/// The status with which the server says nothing, and keeps the connection.
const SILENT: u16 = 1;

/// What the server says to a request of an action: status and body.
type Says = fn(&str) -> (u16, String);

async fn request(client: &mut TcpStream) -> Option<String> {
    let (mut all, mut part) = (Vec::new(), vec![0; 65_536]);
    loop {
        match client.read(&mut part).await.ok()? {
            0 => return None,
            count => all.extend_from_slice(part.get(..count)?),
        }
        let text = String::from_utf8_lossy(&all);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text.into_owned());
        }
    }
}

/// A server that answers fairly, and says `says` to the action of this name, or to every one where it is empty. AWS's answers
/// have the id of the request in a header; those of `says` have it only where `of_aws`.
async fn server(action: &'static str, of_aws: bool, says: Says) -> u16 {
    slow_server(action, of_aws, says, Duration::ZERO).await
}

/// The same; each answer comes after this time.
async fn slow_server(action: &'static str, of_aws: bool, says: Says, after: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let Some(asked) = request(&mut client).await else { continue };
            let its = |name: &str| asked.contains(&format!("Action={name}&"));
            let ((status, body), signed) = if action.is_empty() || its(action) {
                (says(&asked), of_aws)
            } else {
                ((200, fair(&asked)), true)
            };
            tokio::time::sleep(after).await;
            if status == SILENT {
                kept.push(client);
            } else if status > HANGS_UP {
                let id = if signed { "x-amzn-requestid: 1\r\n" } else { "" };
                let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: text/xml\r\n{id}");
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                let _ = client.write_all(answer.as_bytes()).await;
            }
        }
    });
    port
}

fn result(action: &str, content: &str) -> String {
    format!(
        "<{action}Response><{action}Result>{content}</{action}Result><ResponseMetadata><RequestId>1</RequestId>\
         </ResponseMetadata></{action}Response>"
    )
}

fn identity(arn: &str) -> String {
    let account = arn.split(':').nth(4).unwrap();
    result("GetCallerIdentity", &format!("<Arn>{arn}</Arn><UserId>1</UserId><Account>{account}</Account>"))
}

fn listed(ids: &[&str], more: Option<&str>) -> String {
    let member = |id: &&str| {
        format!(
            "<member><UserName>{USER}</UserName><AccessKeyId>{id}</AccessKeyId><Status>Active</Status>\
             <CreateDate>2026-11-27T17:16:18Z</CreateDate></member>"
        )
    };
    let members: String = ids.iter().map(member).collect();
    let end = match more {
        Some(marker) => format!("<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    result("ListAccessKeys", &format!("<AccessKeyMetadata>{members}</AccessKeyMetadata>{end}"))
}

/// The fair answer; keyroll's own login has another identity than the key.
fn fair(asked: &str) -> String {
    let its = |name: &str| asked.contains(&format!("Action={name}&"));
    if its("GetCallerIdentity") {
        identity(if asked.contains(OWN) { ADMIN } else { ARN })
    } else if its("ListAccessKeys") {
        listed(&[ID], None)
    } else {
        "<Response><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></Response>".to_owned()
    }
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    )
}

fn opened(port: u16) -> Opened {
    opened_for(port, PATIENT_MS)
}

fn opened_for(port: u16, limit_ms: u64) -> Opened {
    open(&profile(OWN_ID), port, USER, limit_ms)
}

/// AWS's configuration with this key for keyroll's own login.
fn profile(own: &str) -> String {
    format!("[profile {PROFILE}]\naws_access_key_id = {own}\naws_secret_access_key = none\n")
}

fn current() -> Credential {
    credential(&(ID.to_owned(), alphanumeric(40)))
}

#[tokio::test]
async fn only_one_refusal_reads_dead_and_only_the_users_own_arn_reads_alive() {
    let dead: Says =
        |_| (403, error("InvalidClientTokenId", "The security token included in the request is invalid."));
    let elsewhere: Says = |_| (200, identity("arn:aws:iam::210987654321:user/another"));
    let alive: Says = |_| (200, identity(ARN));
    let key = current();
    let probe = |says: Says| {
        let key = key.duplicate();
        async move {
            let opened = opened(server("GetCallerIdentity", true, says).await);
            opened.keys.probe("", &key).await
        }
    };
    assert_eq!(probe(dead).await, Probe::Dead);
    assert_eq!(probe(alive).await, Probe::Alive);
    let Probe::Unknown(why) = probe(elsewhere).await else { panic!("it is not the user's") };
    assert!(why.contains("210987654321"), "the account is named: {why}");

    let signature: Says = |_| (403, error("SignatureDoesNotMatch", "Signature expired: 20261127T171618Z"));
    let expired: Says =
        |_| (403, error("ExpiredToken", "The security token included in the request is expired"));
    let skewed: Says = |_| (400, error("RequestExpired", "Request has expired"));
    let denied: Says = |_| (403, error("AccessDenied", "with an explicit deny in a service control policy"));
    let throttled: Says = |_| (400, error("Throttling", "Rate exceeded"));
    let broken: Says = |_| (500, error("InternalFailure", "InternalFailure"));
    let renamed: Says = |_| (403, error("InvalidAccessKeyId", "does not exist in our records"));
    let moved: Says = |_| (200, error("InvalidClientTokenId", "not with this status"));
    let page: Says = |_| (200, "<html><body>Log in to the network</body></html>".to_owned());
    let gateway: Says = |_| (503, String::new());
    let silent: Says = |_| (HANGS_UP, String::new());
    let same_name: Says = |_| (200, identity("arn:aws:iam::210987654321:user/app"));
    for (says, word) in [
        (same_name, "210987654321"),
        (signature, "SignatureDoesNotMatch"),
        (expired, "ExpiredToken"),
        (skewed, "RequestExpired"),
        (denied, "AccessDenied"),
        (throttled, "Throttling"),
        (broken, "InternalFailure"),
        (renamed, "InvalidAccessKeyId"),
        (moved, "status 200"),
        (page, "status 200"),
        (gateway, "status 503"),
        (silent, "connection closed"),
    ] {
        let Probe::Unknown(why) = probe(says).await else { panic!("'{word}' shows nothing") };
        assert!(why.contains(word), "'{word}' is not said: {why}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_of_aws_changed_perhaps_something_and_never_certainly() {
    let page: Says = |_| (200, "<html><body>Log in to the network</body></html>".to_owned());
    let id = CredentialId::new(ID);
    for action in ["UpdateAccessKey", "DeleteAccessKey"] {
        let keys = opened(server(action, false, page).await);
        let outcome =
            if action == "UpdateAccessKey" { keys.disable(&id).await } else { keys.revoke(&id).await };
        let failure = failed(outcome, &[]);
        assert_eq!((failure.class, failure.kind), (Class::Unknown, FailureKind::AnswerUnclear), "{action}");
    }
    let keys = opened(server("CreateAccessKey", false, page).await);
    let failure = failed(keys.mint("keyroll/r/1", &current(), None).await, &[]);
    assert_eq!(failure.class, Class::Unknown);
}

#[tokio::test]
async fn every_error_of_a_change_has_its_class() {
    let limit: Says = |_| (409, error("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"));
    let denied: Says = |_| (403, error("AccessDenied", "not authorized to perform: iam:CreateAccessKey"));
    let throttled: Says = |_| (400, error("Throttling", "Rate exceeded"));
    let failed_there: Says = |_| (500, error("ServiceFailure", "an unknown error"));
    let gateway: Says = |_| (504, "<html>Gateway Timeout</html>".to_owned());
    let silent: Says = |_| (HANGS_UP, String::new());
    let other: Says = |_| (400, error("SomethingNew", "what nobody has seen yet"));
    for (says, class, code) in [
        (limit, Class::Permanent, "K0107"),
        (denied, Class::Permanent, "K0103"),
        (throttled, Class::Retryable, "K0105"),
        (failed_there, Class::Unknown, "K0105"),
        (gateway, Class::Unknown, "K0105"),
        (silent, Class::Unknown, "K0105"),
        (other, Class::Permanent, "K0105"),
    ] {
        let keys = opened(server("CreateAccessKey", true, says).await);
        let failure = failed(keys.mint("keyroll/r/1", &current(), None).await, &[]);
        assert_eq!((failure.class, failure.code.as_str()), (class, code), "{}", shown(&failure));
    }
}

#[tokio::test]
async fn a_list_is_complete_only_with_all_of_its_pages() {
    let pages: Says = |asked| {
        if asked.contains("Marker=next") {
            (200, listed(&[OTHER_ID], None))
        } else {
            (200, listed(&[ID], Some("next")))
        }
    };
    let listing = opened(server("ListAccessKeys", true, pages).await).list(&current()).await.unwrap();
    let ids: Vec<&str> = listing.entries.iter().map(|entry| entry.id.as_str()).collect();
    assert!(listing.complete && ids == [ID, OTHER_ID], "{listing:?}");
    let endless: Says = |_| (200, listed(&[ID], Some("next")));
    let cut: Says = |_| (200, listed(&[ID], None).replace("<IsTruncated>false", "<IsTruncated>true"));
    let odd: Says = |_| (200, listed(&["AKIA; rm -rf ......."], None));
    for says in [endless, cut, odd] {
        let keys = opened(server("ListAccessKeys", true, says).await);
        assert!(!keys.list(&current()).await.unwrap().complete);
        let failure = failed(keys.preflight(&current()).await, &[]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0107"));
    }
}

#[tokio::test]
async fn what_a_simulation_of_policies_denies_is_refused_and_what_it_leaves_open_is_said() {
    fn simulated(decision: &str, missing: &str) -> String {
        let one = |action: &str| {
            format!(
                "<member><EvalActionName>iam:{action}</EvalActionName><EvalDecision>{decision}</EvalDecision>\
                 <MissingContextValues>{missing}</MissingContextValues></member>"
            )
        };
        let all: String = ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"].map(one).concat();
        result(
            "SimulatePrincipalPolicy",
            &format!("<EvaluationResults>{all}</EvaluationResults><IsTruncated>false</IsTruncated>"),
        )
    }
    let denied: Says = |_| (200, simulated("implicitDeny", ""));
    let depends: Says = |_| (200, simulated("implicitDeny", "<member>aws:SourceIp</member>"));
    let allowed: Says = |asked| {
        // The role of the session, and the user with its path.
        let role = "PolicySourceArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Frotator";
        let user = "arn%3Aaws%3Aiam%3A%3A123456789012%3Auser%2Fdivision%2Fapp";
        match asked.contains(role) && asked.contains(user) {
            true => (200, simulated("allowed", "")),
            false => (200, simulated("explicitDeny", "")),
        }
    };
    let keys = |port| opened(port);
    let failure =
        failed(keys(server("SimulatePrincipalPolicy", true, denied).await).preflight(&current()).await, &[]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0103"), "{}", shown(&failure));
    let notes =
        keys(server("SimulatePrincipalPolicy", true, depends).await).preflight(&current()).await.unwrap();
    assert!(notes.iter().any(|note| note.contains("conditions")), "{notes:?}");
    let notes =
        keys(server("SimulatePrincipalPolicy", true, allowed).await).preflight(&current()).await.unwrap();
    assert!(notes.iter().all(|note| !note.contains("conditions")), "{notes:?}");
    assert!(notes.iter().any(|note| note.contains("assumed with")), "the role is named: {notes:?}");
}

#[tokio::test]
async fn a_key_of_another_account_than_keyrolls_login_is_refused() {
    let elsewhere: Says = |asked| {
        let own = asked.contains(OWN_ID);
        (200, identity(if own { ADMIN } else { "arn:aws:iam::210987654321:user/app" }))
    };
    let keys = opened(server("GetCallerIdentity", true, elsewhere).await);
    let failure = failed(keys.preflight(&current()).await, &[]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
    let text = shown(&failure);
    assert!(text.contains("210987654321") && text.contains("123456789012"), "{text}");
}

#[tokio::test]
async fn nothing_is_made_where_iam_does_not_list_a_key_that_works() {
    let none: Says = |_| (200, listed(&[], None));
    let keys = opened(server("ListAccessKeys", true, none).await);
    let failure = failed(keys.mint("keyroll/r/1", &current(), None).await, &[]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0107"));
    assert!(shown(&failure).contains("does not list"), "{}", shown(&failure));
}

/// A refused key, which a recovery replaces: its account is not known by a probe, so that of the login decides.
#[tokio::test]
async fn a_refused_key_is_not_replaced_in_another_account() {
    let elsewhere: Says = |asked| {
        let own = asked.contains(OWN_ID);
        if own { (200, identity("arn:aws:sts::210987654321:assumed-role/rotator/host-1")) } else { dead() }
    };
    let keys = opened(server("GetCallerIdentity", true, elsewhere).await);
    let id = CredentialId::new(ID);
    for outcome in [
        keys.preflight(&current()).await.map(drop),
        keys.mint("keyroll/r/1", &current(), None).await.map(drop),
        keys.revoke(&id).await,
    ] {
        let failure = failed(outcome, &[]);
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
        let text = shown(&failure);
        assert!(text.contains("210987654321") && text.contains("123456789012"), "{text}");
    }
}

fn dead() -> (u16, String) {
    (403, error("InvalidClientTokenId", "The security token included in the request is invalid."))
}

/// The path of the user is not known then, and a policy may name it.
#[tokio::test]
async fn what_a_simulation_denies_is_a_note_where_the_key_is_refused() {
    let denied: Says = |asked| {
        if asked.contains("Action=SimulatePrincipalPolicy") {
            let one = |action: &str| {
                format!(
                    "<member><EvalActionName>iam:{action}</EvalActionName>\
                     <EvalDecision>implicitDeny</EvalDecision></member>"
                )
            };
            let all: String = ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"].map(one).concat();
            let content =
                format!("<EvaluationResults>{all}</EvaluationResults><IsTruncated>false</IsTruncated>");
            return (200, result("SimulatePrincipalPolicy", &content));
        }
        let refused = asked.contains("Action=GetCallerIdentity") && !asked.contains(OWN_ID);
        if refused { dead() } else { (200, fair(asked)) }
    };
    let notes = opened(server("", true, denied).await).preflight(&current()).await.unwrap().join("\n");
    assert!(notes.contains("iam:CreateAccessKey") && notes.contains("a path"), "{notes}");
    assert!(notes.contains(ADMIN), "the login is named: {notes}");
}

#[tokio::test]
async fn temporary_credentials_are_refused_and_never_read_dead() {
    let keys = opened(server("", true, |asked| (200, fair(asked))).await);
    let session = credential(&("ASIAIOSFODNN7EXAMPLE".to_owned(), alphanumeric(40)));
    let Probe::Unknown(why) = keys.probe("", &session).await else { panic!("nothing shows it dead") };
    assert!(why.contains("temporary"), "{why}");
    let failure = failed(keys.preflight(&session).await, &[&session]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));
}

#[tokio::test]
async fn a_delete_of_a_key_that_iam_does_not_know_is_done_only_if_the_user_is_there_without_it() {
    let no_key: Says = |asked| match asked.contains("Action=DeleteAccessKey") {
        true => (404, error("NoSuchEntity", "cannot be found")),
        false if asked.contains("Action=ListAccessKeys") => (200, listed(&[OTHER_ID], None)),
        false => (200, fair(asked)),
    };
    let id = CredentialId::new(ID);
    opened(server("", true, no_key).await).revoke(&id).await.unwrap();

    let no_user: Says = |asked| {
        let about = asked.contains("Action=DeleteAccessKey") || asked.contains("Action=ListAccessKeys");
        if about { (404, error("NoSuchEntity", "cannot be found")) } else { (200, fair(asked)) }
    };
    let failure = failed(opened(server("", true, no_user).await).revoke(&id).await, &[]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0140"));

    // A list that has the key contradicts it.
    let gone: Says = |_| (404, error("NoSuchEntity", "cannot be found"));
    let keys = opened(server("DeleteAccessKey", true, gone).await);
    assert_eq!(failed(keys.revoke(&id).await, &[]).class, Class::Retryable);
}

/// What is over before the change begins had no effect; what is over while it is under way may have had one.
#[tokio::test]
async fn a_verb_has_one_limit_and_nothing_is_changed_after_it() {
    let silent: Says = |_| (SILENT, String::new());
    let id = CredentialId::new(ID);
    let enabled = |port: u16| {
        let id = id.clone();
        async move { failed(opened_for(port, SILENT_MS).enable(&id).await, &[]).class }
    };
    assert_eq!(enabled(server("GetCallerIdentity", true, silent).await).await, Class::Retryable);
    assert_eq!(enabled(server("UpdateAccessKey", true, silent).await).await, Class::Unknown);

    // Each answer comes in time, and all of them together do not.
    let fairly: Says = |asked| (200, fair(asked));
    let slow = Duration::from_millis(SILENT_MS * 2 / 5);
    let keys = opened_for(slow_server("", true, fairly, slow).await, SILENT_MS);
    let failure = failed(keys.mint("keyroll/r/1", &current(), None).await, &[]);
    assert_eq!(failure.class, Class::Retryable, "{}", shown(&failure));
}

/// A login that cannot be told at the moment does not end an enable for good.
#[tokio::test]
async fn an_enable_is_retried_while_the_login_cannot_be_told() {
    let throttled: Says = |_| (400, error("Throttling", "Rate exceeded"));
    let broken: Says = |_| (503, String::new());
    for says in [throttled, broken] {
        let keys = opened(server("GetCallerIdentity", true, says).await);
        let failure = failed(keys.enable(&CredentialId::new(ID)).await, &[]);
        assert_eq!(failure.class, Class::Retryable, "{}", shown(&failure));
    }
}

/// The key of keyroll's own login is replaced in its file during a long rotation.
#[tokio::test]
async fn a_refused_login_is_read_anew() {
    let replaced: Says = |asked| {
        let changes = asked.contains("Action=UpdateAccessKey");
        if changes && asked.contains(OWN_ID) { dead() } else { (200, fair(asked)) }
    };
    let keys = opened(server("", true, replaced).await);
    let id = CredentialId::new(ID);
    let failure = failed(keys.enable(&id).await, &[]);
    assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "K0103"));
    keys.configure(&profile(&format!("{OWN}01")));
    keys.enable(&id).await.unwrap();
}
