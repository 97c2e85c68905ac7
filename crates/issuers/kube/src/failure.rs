use std::error::Error;

use hyper_util::client::legacy;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};
use kube::client::AuthError;
use kube::core::Status;

/// The longest words of a server that are shown, bytes.
const WORDS_BYTES_MAX: usize = 300;

/// What a request may have done, if its answer does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    None,
    /// It may have changed an object.
    Maybe,
}

/// The failure of a request, with its class by the status that came back. An API server answers before it changes anything,
/// except after 500, 504 and a lost connection. Without a connection nothing was sent.
/// Source: <https://github.com/kubernetes/community/blob/main/contributors/devel/sig-architecture/api-conventions.md#http-status-codes>.
#[expect(clippy::wildcard_enum_match_arm, reason = "the features of kube decide which others there are")]
pub fn failure(attempted: impl Into<String>, error: kube::Error, effect: Effect) -> Failure {
    let attempted = attempted.into();
    let of = |class: Class, code: Code| Failure::new(class, code, attempted.clone());
    let unsettled = match effect {
        Effect::None => Class::Retryable,
        Effect::Maybe => Class::Unknown,
    };
    match error {
        kube::Error::Api(status) => answered(&status, effect, unsettled, &of),
        kube::Error::Auth(error) => {
            of(Class::Permanent, Code::ClusterAccess).because(of_login(&error)).help(LOGIN)
        }
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => of(unsettled, Code::ClusterUnreachable)
            .because("its answer is not one of a Kubernetes API server")
            .help(REACH),
        kube::Error::Service(error) => match error.downcast_ref::<AuthError>() {
            Some(error) => of(Class::Permanent, Code::ClusterAccess).because(of_login(error)).help(LOGIN),
            None => {
                let class = if was_never_sent(error.as_ref()) { Class::Retryable } else { unsettled };
                unreached(of(class, Code::ClusterUnreachable), deepest(error.as_ref()))
            }
        },
        kube::Error::HyperError(error) => {
            unreached(of(unsettled, Code::ClusterUnreachable), deepest(&error))
        }
        kube::Error::ProxyProtocolDisabled { .. } | kube::Error::ProxyProtocolUnsupported { .. } => {
            of(Class::Permanent, Code::ClusterAccess)
                .because("a proxy is named, by proxy-url of its kubeconfig or by HTTPS_PROXY, which this version does not support")
                .help("reach the server without it, through a tunnel for example: leave out proxy-url, and HTTPS_PROXY and https_proxy")
        }
        _ => of(unsettled, Code::ClusterUnreachable).because("the request could not be made").help(REACH),
    }
}

const REACH: &str = "see that this works from here as the same user: kubectl get --raw /readyz, with the same --kubeconfig and \
                     --context";
const LOGIN: &str = "renew the login of the kubeconfig, and see that this works as the same user: kubectl auth whoami, with the \
                     same --kubeconfig and --context";

/// How each error of rustls about the certificate of the other side begins.
const CERTIFICATE: &str = "invalid peer certificate: ";

/// No answer came, or the server is not the one that the kubeconfig means.
fn unreached(failure: Failure, why: String) -> Failure {
    let help = match why.strip_prefix(CERTIFICATE) {
        Some(why) if why.starts_with("Expired") || why.starts_with("certificate expired") => {
            "whoever runs the cluster renews the certificate of its API server; see that the clock of this machine is right"
        }
        Some(_) => {
            "the certificate-authority in the kubeconfig must be the one of this cluster, and its server a name of the \
             certificate: take the kubeconfig from the cluster's provider again"
        }
        None => REACH,
    };
    failure.because(why).help(help)
}

fn answered(
    status: &Status,
    effect: Effect,
    unsettled: Class,
    of: &dyn Fn(Class, Code) -> Failure,
) -> Failure {
    let reason = words(&status.reason);
    let why = |words: &str| format!("{words} ({} {reason})", status.code);
    match status.code {
        // The login may be renewed meanwhile.
        401 => {
            of(Class::Retryable, Code::ClusterAccess).because(why("it does not accept the login")).help(LOGIN)
        }
        // A request that only reads holds no value that the answer could repeat.
        403 if effect == Effect::None => {
            of(Class::Permanent, Code::ClusterAccess).because(words(&status.message)).help(right(status))
        }
        403 => of(Class::Permanent, Code::ClusterAccess)
            .because(why("a right is missing, or a rule of the cluster denies it"))
            .help(right(status)),
        404 => of(Class::Permanent, Code::ClusterAccess).because(why("there is no such object")),
        409 => {
            of(Class::Retryable, Code::ClusterUnreachable).because(why("somebody else changed it meanwhile"))
        }
        410 => of(Class::Retryable, Code::ClusterUnreachable)
            .because(why("it does not know that version of the list any more")),
        429 => of(Class::Retryable, Code::ClusterUnreachable)
            .because(why("it limits the rate of requests"))
            .kind(FailureKind::RateLimited),
        503 => of(Class::Retryable, Code::ClusterUnreachable).because(why("it is not ready")).help(REACH),
        400..500 => of(Class::Permanent, Code::ClusterAccess).because(why("it refused the request")),
        _ => of(unsettled, Code::ClusterUnreachable)
            .because(why("it could not carry out the request"))
            .help(REACH),
    }
}

const RIGHT: &str =
    "add the right to the Role of keyroll's login; docs/guides/kubernetes.md has the whole Role";

/// The user of a request without a login.
/// Source: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#anonymous-requests>.
const ANONYMOUS: &str = "system:anonymous";

/// What helps where a right is missing.
fn right(status: &Status) -> &'static str {
    match status.message.contains(ANONYMOUS) {
        true => {
            "the request had no login: see that the context names a user of the kubeconfig, and that this user has a login \
             there; kubectl config get-contexts shows both names"
        }
        false => RIGHT,
    }
}

/// What is wrong with a login. What its program wrote is not shown: a token may be in it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the features of kube decide which others there are")]
fn of_login(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecStart(why) => format!("the program of its login could not be started: {why}"),
        AuthError::AuthExecRun { out, .. } => format!("the program of its login failed: {}", out.status),
        AuthError::ReadTokenFile(why, path) => format!("{} cannot be read: {why}", path.display()),
        _ => "its login cannot be used".to_owned(),
    }
}

/// Whether no connection was made, so that nothing of the request was sent.
fn was_never_sent(error: &(dyn Error + 'static)) -> bool {
    let mut one = Some(error);
    while let Some(cause) = one {
        if let Some(error) = cause.downcast_ref::<legacy::Error>() {
            return error.is_connect();
        }
        one = cause.source();
    }
    false
}

/// The first cause of an error of the connection, which is what helps.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    words(&last.to_string())
}

/// Words of another party, in one line of bounded length.
pub fn words(text: &str) -> String {
    let end = text.floor_char_boundary(WORDS_BYTES_MAX.min(text.len()));
    text[..end].chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::api::{Api, DeleteParams};
    use tokio::net::TcpListener;

    use super::*;

    fn status(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Status { code, reason: reason.to_owned(), ..Status::default() }.boxed())
    }

    #[test]
    fn a_status_says_whether_the_request_had_an_effect() {
        for (code, effect, class) in [
            (401, Effect::Maybe, Class::Retryable),
            (403, Effect::Maybe, Class::Permanent),
            (404, Effect::Maybe, Class::Permanent),
            (409, Effect::Maybe, Class::Retryable),
            (410, Effect::None, Class::Retryable),
            (422, Effect::Maybe, Class::Permanent),
            (429, Effect::Maybe, Class::Retryable),
            (500, Effect::Maybe, Class::Unknown),
            (500, Effect::None, Class::Retryable),
            (503, Effect::Maybe, Class::Retryable),
            (504, Effect::Maybe, Class::Unknown),
        ] {
            assert_eq!(failure("x", status(code, "Reason"), effect).class, class, "{code}");
        }
    }

    #[test]
    fn a_proxy_of_the_environment_is_not_taken_for_one_of_the_kubeconfig() {
        let proxy_url = Box::new("http://proxy.example:3128".parse().unwrap());
        let error = kube::Error::ProxyProtocolDisabled { proxy_url, protocol_feature: "kube/http-proxy" };
        let shown = format!("{:?}", failure("list", error, Effect::None).source);
        assert!(shown.contains("or by HTTPS_PROXY") && !shown.contains("proxy.example"), "{shown}");
    }

    /// The failure of a write at this port of the loopback.
    async fn write(port: u16) -> Failure {
        let mut config = kube::Config::new(format!("http://127.0.0.1:{port}").parse().unwrap());
        config.default_retry = false;
        let secrets: Api<Secret> = Api::namespaced(kube::Client::try_from(config).unwrap(), "shop");
        let answer = secrets.delete("agents", &DeleteParams::default()).await;
        failure("delete it", answer.err().unwrap(), Effect::Maybe)
    }

    #[tokio::test]
    async fn a_write_without_a_connection_was_not_sent_and_one_without_an_answer_is_unknown() {
        // Nobody listens there.
        let refused = write(keyroll_testkit::free_port().unwrap()).await;
        assert_eq!((refused.class, refused.code), (Class::Retryable, Code::ClusterUnreachable));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closes = async {
            let (stream, _) = listener.accept().await.unwrap();
            stream.readable().await.unwrap();
        };
        let (lost, ()) = tokio::join!(write(listener.local_addr().unwrap().port()), closes);
        assert_eq!((lost.class, lost.code), (Class::Unknown, Code::ClusterUnreachable));
    }

    #[test]
    fn a_request_without_a_login_is_not_helped_with_a_role() {
        let refused = |user: &str| {
            let message = format!("pods is forbidden: User \"{user}\" cannot list resource \"pods\"");
            let status = Status { code: 403, message, ..Status::default() };
            failure("list", kube::Error::Api(status.boxed()), Effect::None).help.unwrap()
        };
        assert!(refused("keyroll").contains("Role"));
        let anonymous = refused("system:anonymous");
        assert!(anonymous.contains("names a user") && !anonymous.contains("Role"), "{anonymous}");
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_helped_with_its_authority() {
        let help = |why: &str| {
            let error = kube::Error::Service(std::io::Error::other(why.to_owned()).into());
            let failure = failure("list", error, Effect::None);
            assert_eq!(failure.code, Code::ClusterUnreachable);
            assert_eq!(failure.source.unwrap().to_string(), why);
            failure.help.unwrap()
        };
        for why in ["UnknownIssuer", "certificate not valid for name \"a.example\""] {
            assert!(
                help(&format!("invalid peer certificate: {why}")).contains("certificate-authority"),
                "{why}"
            );
        }
        for why in ["Expired", "certificate expired: verification time 7 (UNIX)"] {
            assert!(help(&format!("invalid peer certificate: {why}")).contains("renews"), "{why}");
        }
        assert_eq!(help("Connection refused (os error 111)"), REACH);
    }

    #[test]
    fn what_a_webhook_says_of_a_write_is_not_repeated() {
        let said = keyroll_testkit::alphanumeric(24);
        let denied = || {
            let status = Status { code: 403, message: format!("denied: {said}\n"), ..Status::default() };
            kube::Error::Api(status.boxed())
        };
        let shown = |effect| format!("{:?}", failure("write it", denied(), effect).source);
        assert!(!shown(Effect::Maybe).contains(&said) && shown(Effect::None).contains(&said));
    }

    #[test]
    fn what_the_program_of_a_login_wrote_is_not_repeated() {
        use std::os::unix::process::ExitStatusExt as _;
        let token = keyroll_testkit::alphanumeric(24);
        let out = std::process::Output {
            status: std::process::ExitStatus::from_raw(256),
            stdout: token.clone().into_bytes(),
            stderr: token.clone().into_bytes(),
        };
        let error = AuthError::AuthExecRun { cmd: "aws".to_owned(), out: Box::new(out) };
        let failure = failure("list", kube::Error::Auth(error), Effect::None);
        let shown = format!("{failure} {:?} {:?}", failure.source, failure.help);
        assert!(shown.contains("exit status: 1") && !shown.contains(&token), "{shown}");
    }
}
