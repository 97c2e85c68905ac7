use keyroll_codes::Code;
use keyroll_http::{Response, Uri};
use keyroll_port::{Class, Failure, FailureKind};

use crate::attempt::{Attempt, Nature};

/// The longest name of a host that is shown, bytes. Source: RFC 1035, 2.3.4.
const HOST_BYTES_MAX: usize = 255;

/// What a policy must allow for a request, for the words of a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Needs<'a> {
    /// The path of the request, as a policy names it.
    pub path: &'a str,
    /// The capabilities, as a policy lists them.
    pub capabilities: &'static str,
    /// Why it was refused, as far as a refusal tells.
    pub why: &'static str,
}

impl<'a> Needs<'a> {
    /// A request that a policy denies.
    pub fn new(path: &'a str, capabilities: &'static str) -> Self {
        Self { path, capabilities, why: "permission denied (403)" }
    }

    /// The help for a missing right.
    pub fn help(&self) -> String {
        policy(&[(self.path, self.capabilities)])
    }
}

/// The help for missing rights: of each path, the capabilities as a policy lists them.
pub(crate) fn policy(rules: &[(&str, &str)]) -> String {
    let rule = |(path, list): &(&str, &str)| format!("path \"{path}\" {{ capabilities = [{list}] }}");
    let rules: Vec<String> = rules.iter().map(rule).collect();
    format!(
        "add this to a policy of keyroll's token: {}; and look whether address and namespace are the right ones \
         (`vault token lookup`)",
        rules.join(" ")
    )
}

/// Whether the answer has these words of Vault's own. Its text is never shown: it may repeat what was sent.
pub fn says(answer: &Response, words: &str) -> bool {
    answer.body.windows(words.len()).any(|window| window == words.as_bytes())
}

/// The failure for an answer that no call expects. A denied right (403) is the caller's: it depends on the login.
///
/// A standby node passes a request on to the active one, and sends the client there (307) where that fails; the active one
/// may have carried out the request then. Likewise where it knows no active node any more.
/// Sources: <https://github.com/openbao/openbao/blob/main/http/handler.go>, `forwardRequest` and `respondStandby`;
/// <https://github.com/openbao/openbao/blob/main/sdk/logical/response_util.go>, `RespondErrorCommon`;
/// <https://developer.hashicorp.com/vault/api-docs#http-status-codes>,
/// <https://developer.hashicorp.com/vault/api-docs/system/health>.
pub fn refused(attempt: &Attempt<'_>, answer: &Response) -> Failure {
    let away = |class: Class, why: &str, help: &str| {
        attempt.fail(class, attempt.codes.unreachable).because(why.to_owned()).help(help)
    };
    let no_active = ["no active Vault instance", "node is not active", "active cluster node not found"];
    match answer.status {
        300..=399 => redirected(attempt, answer),
        400 if says(answer, "DR secondary") => away(Class::Permanent, SECONDARY, PRIMARY),
        400 => unsuitable(attempt, "it refused the request as invalid (400)"),
        404 | 405 => unsuitable(attempt, "it does not know the request at this path (404 or 405)"),
        408 => attempt.unclear("status 408".to_owned()),
        412 => away(Class::Retryable, "it is not up to date yet (412)", "run the same command again"),
        413 if attempt.nature == Nature::ChangeWithValue => {
            let failure = attempt.fail(Class::Permanent, Code::ValueNotWritable);
            failure
                .because("the secret is longer than it takes")
                .help("keep this value in a secret of its own")
        }
        429 => away(Class::Retryable, "it limits the rate of requests (429)", RATE)
            .kind(FailureKind::RateLimited),
        472 => away(Class::Permanent, SECONDARY, PRIMARY),
        473 => away(attempt.unsettled(), "it is a performance standby (473)", ACTIVE),
        501 => away(
            Class::Retryable,
            "it is not initialised (501)",
            "`vault operator init`, then the same command",
        ),
        503 if says(answer, "is sealed") => away(Class::Retryable, "it is sealed", UNSEAL),
        500 | 503 if no_active.iter().any(|words| says(answer, words)) => {
            away(attempt.unsettled(), "it is a standby node, and there is no active one", ACTIVE)
        }
        status if (400..500).contains(&status) => {
            unsuitable(attempt, &format!("it refused the request (status {status})"))
        }
        status => attempt.unclear(format!("status {status}")),
    }
}

fn unsuitable(attempt: &Attempt<'_>, why: &str) -> Failure {
    attempt.fail(Class::Permanent, attempt.codes.unsuitable).because(why.to_owned()).help(attempt.codes.state)
}

/// No redirect is followed: a token goes only to the address that an operator chose.
fn redirected(attempt: &Attempt<'_>, answer: &Response) -> Failure {
    let to = leads_to(answer).map_or_else(String::new, |to| format!(": {to}"));
    let why = format!(
        "it answers with another address (status {}), which keyroll does not follow{to}",
        answer.status
    );
    attempt.fail(attempt.unsettled(), attempt.codes.unreachable).because(why).help(
        "if it is a standby node, set `address` to that of the active node, or of a load balancer that leads there; \
         `vault status` names the active node",
    )
}

/// The host and the port that a redirect names. Nothing else of it is shown.
fn leads_to(answer: &Response) -> Option<String> {
    let uri: Uri = answer.header("location")?.parse().ok()?;
    let host = uri.host().filter(|host| host.len() <= HOST_BYTES_MAX)?;
    Some(uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The next step where no answer came.
pub(crate) const REACH: &str = "see that this machine reaches the server (`vault status`), and look at `address` in keyroll.toml \
                                or VAULT_ADDR; then run the command again";
const SECONDARY: &str = "it is a secondary cluster for disaster recovery, which serves no client";
const PRIMARY: &str = "set `address` to that of the primary cluster";
const ACTIVE: &str = "look at `vault status` of each node; set `address` to the active one, or to a load balancer that leads \
                      there; then run the same command again";
const UNSEAL: &str = "`vault operator unseal` at the server, then run the same command again";
const RATE: &str = "wait a little; `vault list sys/quotas/rate-limit` names the limits";

/// The answer to a request that may be repeated, without the form that every such answer has.
pub fn foreign(attempt: &Attempt<'_>, answer: &Response) -> Failure {
    attempt.unclear(format!("status {}, and an answer that is not Vault's", answer.status))
}
