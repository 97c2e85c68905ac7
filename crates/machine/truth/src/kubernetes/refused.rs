//! What an API server refused, or did not answer.

use keyroll_codes::Code;
use keyroll_kube::{Effect, failure, words};
use keyroll_port::{Class, Failure, FailureKind};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::attempt::{AGAIN, Attempt, Nature};

/// An answer of the API server.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The Secret that is meant, for requests and for the words of failures.
pub(super) struct Subject {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The options of kubectl for its cluster and namespace.
    pub(super) options: String,
}

/// An answer that is no object. Source:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Option<Vec<Cause>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    message: String,
    field: String,
}

impl Subject {
    /// Its address below that of the server.
    pub(super) fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets/{}", self.namespace, self.name)
    }

    /// A command of kubectl for it, in quotes.
    pub(super) fn kubectl(&self, verb: &str) -> String {
        format!("`kubectl {} {verb} secret {}`", self.options, self.name)
    }

    /// The rule that keyroll's login needs.
    pub(super) fn role(&self) -> String {
        format!(
            "let a Role in the namespace {} give it `get` and `patch`: {{ apiGroups: [\"\"], resources: [secrets], \
             resourceNames: [{}], verbs: [get, patch] }}",
            self.namespace, self.name
        )
    }
}

impl Answer {
    fn status(&self) -> Status {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Whether the API server refused the object that a change would lead to. It names the fields of that. Where a test of a patch
/// fails, which is answered by the same status, it names none.
/// Source: <https://github.com/kubernetes/apiserver/blob/master/pkg/endpoints/handlers/patch.go>, `applyJSPatch`.
pub(super) fn is_invalid(answer: &Answer) -> bool {
    answer.status().details.and_then(|details| details.causes).is_some_and(|causes| !causes.is_empty())
}

/// The failure for a status other than success. The request of a change has a value, which the server may repeat: nothing of
/// its text is shown then.
pub(super) fn refused(attempt: &Attempt<'_>, subject: &Subject, answer: &Answer) -> Failure {
    let status = answer.status();
    let options = &subject.options;
    match answer.status {
        401 => attempt
            .fail(Class::Retryable, Code::TruthAccess)
            .because("the API server does not accept keyroll's login: it is wrong, or has ended (401)")
            .help(format!(
                "`kubectl {options} auth whoami`; renew the login, then run the same command again"
            )),
        403 => forbidden(attempt, subject, &status),
        404 => attempt
            .fail(Class::Permanent, Code::TruthUnsuitable)
            .because(format!(
                "there is no Secret {} in the namespace {} (404)",
                subject.name, subject.namespace
            ))
            .help(format!("correct `store`, or make the Secret again: `kubectl {options} get secrets`")),
        413 => too_large(attempt),
        422 => invalid(attempt, subject, &status),
        429 => attempt
            .fail(Class::Retryable, Code::TruthUnreachable)
            .kind(FailureKind::RateLimited)
            .because("the API server limits the rate of requests (429)")
            .help("run the same command again later"),
        503 => attempt
            .fail(Class::Retryable, Code::TruthUnreachable)
            .because("the API server is not ready (503)")
            .help(format!("`kubectl {options} get --raw /readyz`, then run the same command again")),
        500..=599 => {
            attempt.unclear(format!("the API server could not carry it out (HTTP {})", answer.status))
        }
        other => attempt
            .fail(Class::Permanent, Code::TruthUnsuitable)
            .because(format!("the API server refused the request (HTTP {other})"))
            .help(format!("see whether the address is that of an API server: {}", subject.kubectl("get"))),
    }
}

/// A right is missing, or a rule of the cluster denies this change.
fn forbidden(attempt: &Attempt<'_>, subject: &Subject, status: &Status) -> Failure {
    let failure = attempt.fail(Class::Permanent, Code::TruthAccess);
    let by_rule = ["admission webhook", "ValidatingAdmissionPolicy"];
    if by_rule.iter().any(|word| status.message.contains(word)) {
        return failure.because("an admission rule of the cluster denies it (403)").help(
            "`kubectl get validatingwebhookconfigurations,validatingadmissionpolicies` lists such rules: let keyroll's login \
             change this Secret",
        );
    }
    let why = match attempt.nature {
        Nature::Read if !status.message.is_empty() => format!("{} (403)", words(&status.message)),
        Nature::Read | Nature::Change | Nature::ChangeWithValue => {
            "keyroll's login lacks a right (403)".to_owned()
        }
    };
    failure.because(why).help(subject.role())
}

fn invalid(attempt: &Attempt<'_>, subject: &Subject, status: &Status) -> Failure {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
    if causes.iter().any(|cause| cause.message.contains("immutable")) {
        return immutable(attempt, subject);
    }
    if causes.iter().any(|cause| cause.message.contains("Too long")) {
        return too_large(attempt);
    }
    let fields: Vec<String> = causes.iter().map(|cause| words(&cause.field)).collect();
    attempt
        .fail(Class::Permanent, Code::ValueNotWritable)
        .because(format!("the API server finds the Secret invalid with it: {}", fields.join(", ")))
        .help("choose another value, or correct the Secret")
}

/// Source: <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>.
fn too_large(attempt: &Attempt<'_>) -> Failure {
    attempt
        .fail(Class::Permanent, Code::ValueNotWritable)
        .because("the Secret would have more than the 1 MiB that the API server takes")
        .help("keep this value in a Secret of its own")
}

/// A Secret that nobody can change any more.
pub(super) fn immutable(attempt: &Attempt<'_>, subject: &Subject) -> Failure {
    attempt
        .fail(Class::Permanent, Code::TruthUnsuitable)
        .because("the Secret is immutable: its content can never be changed")
        .help(format!(
            "make one of another name with the same keys ({}) and without `immutable: true`, and name it in `store` and in what \
             takes it: a node keeps this one as long as one of its pods takes it, even if it is deleted and made anew",
            subject.kubectl("describe")
        ))
}

/// The failure where no whole answer came.
pub(super) fn not_answered(attempt: &Attempt<'_>, error: kube::Error) -> Failure {
    let effect = if attempt.nature == Nature::Read { Effect::None } else { Effect::Maybe };
    let failure = failure(format!("{} {}", attempt.what, attempt.place), error, effect);
    match failure.class {
        Class::Permanent => Failure { code: Code::TruthAccess, ..failure },
        Class::Retryable => Failure { code: Code::TruthUnreachable, ..failure },
        Class::Unknown => {
            let kind = FailureKind::AnswerUnclear;
            Failure { code: Code::TruthUnreachable, kind, ..failure }.help(AGAIN)
        }
    }
}
