use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use keyroll_http::HttpError;
use keyroll_port::Class;
use zeroize::Zeroizing;

/// How much of a message of AWS is shown, characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// The longest code of an error that is shown, bytes. A longer one is none of AWS.
const CODE_BYTES_MAX: usize = 60;

/// The next step where nothing was signed with, or with something that AWS does not know.
pub const CREDENTIALS: &str = "give keyroll credentials in one of the usual ways of AWS (a profile, a role of this machine, \
                               `aws sso login`); `aws sts get-caller-identity` shows whether they work";
/// The next step where a login has ended.
const SSO: &str =
    "run `aws sso login` with this profile, or renew the temporary credentials, then the same command again";
/// The next step where that from which the login comes gives no answer.
const UNREACHED: &str = "see that this machine reaches what gives keyroll its login at AWS (STS, IAM Identity Center, the \
                         metadata of the machine); then run the command again";
/// The next step where AWS does not take the time of a request.
const CLOCK: &str = "set this machine's clock, then run the command again";

/// Why a call of the SDK has no result. The error of the SDK itself is dropped: it can print whole answers.
pub enum AwsError {
    /// AWS answered with an error, or what stands before it did.
    Answered {
        /// The status of the answer.
        status: Option<u16>,
        /// The code of the error, where the answer has one of AWS's form.
        code: Option<String>,
        /// The message of the error, which may repeat what was sent; [`shown`] makes it fit to be printed.
        message: Zeroizing<String>,
    },
    /// No whole answer came.
    NotAnswered(HttpError),
    /// No answer came within the time of the whole call.
    Late,
    /// There is nothing to sign a request with; nothing was sent.
    NoCredentials {
        /// Whether that may pass by itself.
        class: Class,
        /// Why, as the SDK says it.
        why: String,
        /// The next step for a person.
        help: &'static str,
    },
    /// It failed before anything was sent: the look-up of the endpoint, or the signature. The text says why.
    NotSent(String),
    /// An error of a kind that the SDK did not have when this was written.
    UnknownKind,
}

impl AwsError {
    /// What an error of the SDK says.
    pub fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let plausible = |code: &&str| {
                    code.len() <= CODE_BYTES_MAX
                        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
                };
                Self::Answered {
                    status: error.raw_response().map(|response| response.status().as_u16()),
                    code: error.code().filter(plausible).map(str::to_owned),
                    message: Zeroizing::new(error.message().unwrap_or_default().to_owned()),
                }
            }
            SdkError::TimeoutError(_) => Self::Late,
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) => Self::unanswered(error),
            // The SDK may get more kinds.
            _ => Self::UnknownKind,
        }
    }

    /// No answer came, or nothing was sent at all.
    fn unanswered(error: &(dyn Error + 'static)) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(credentials) = inner.downcast_ref::<CredentialsError>() {
                return Self::no_credentials(credentials);
            }
            if let Some(http) = inner.downcast_ref::<HttpError>() {
                return Self::NotAnswered(http.clone());
            }
            cause = inner.source();
        }
        // It failed before the connector: the look-up of credentials or of the endpoint, or the signature.
        Self::NotSent(said(error))
    }

    /// What a failed look-up of credentials says.
    fn no_credentials(error: &CredentialsError) -> Self {
        let why = said(error);
        let ended = why.contains("SSO") || why.contains("sso") || why.contains("UnauthorizedException");
        let class = match error {
            CredentialsError::ProviderTimedOut(_) => Class::Retryable,
            CredentialsError::ProviderError(_) | CredentialsError::Unhandled(_) if may_pass(error) => {
                Class::Retryable
            }
            // Nothing was sent, and nothing changes by itself.
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_)
            | CredentialsError::ProviderError(_)
            | CredentialsError::Unhandled(_) => Class::Permanent,
            // The SDK may get more kinds.
            _ => Class::Permanent,
        };
        let help = match class {
            Class::Retryable => UNREACHED,
            Class::Permanent | Class::Unknown if ended => SSO,
            Class::Permanent | Class::Unknown => CREDENTIALS,
        };
        Self::NoCredentials { class, why, help }
    }
}

/// Whether a login could not be had for a reason that may pass by itself: no answer, a server that failed, too many requests.
fn may_pass(error: &(dyn Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            return *http != HttpError::NoRoots;
        }
        let code = inner.downcast_ref::<ErrorMetadata>().and_then(ErrorMetadata::code);
        // The errors of IAM Identity Center have types of their own; this text is that of one of them.
        let of_sso = inner.to_string().starts_with("TooManyRequestsException");
        if code.is_some_and(is_passing)
            || of_sso
            || failed_there::<AssumeRoleError>(inner)
            || failed_there::<AssumeRoleWithWebIdentityError>(inner)
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// Whether it is an error of this operation that says nothing of who asked.
fn failed_there<E>(error: &(dyn Error + 'static)) -> bool
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let Some(error) = error.downcast_ref::<SdkError<E, HttpResponse>>() else { return false };
    matches!(error, SdkError::TimeoutError(_) | SdkError::ResponseError(_))
        || error.raw_response().is_some_and(|response| response.status().as_u16() >= 500)
        || error.code().is_some_and(is_passing)
}

/// `IDPCommunicationError` is that of a web identity whose provider AWS did not reach. Source:
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>.
fn is_passing(code: &str) -> bool {
    code.starts_with("IDPCommunicationError")
        || matches!(meaning(code, ""), Meaning::Throttled | Meaning::Broken)
}

/// What the code of an error says, at every service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// AWS does not take the one who asks; the text is the next step.
    Unidentified(&'static str),
    /// AWS knows who asks, and denies it.
    Denied,
    /// AWS limits the rate of requests: nothing was done.
    Throttled,
    /// AWS itself failed.
    Broken,
    /// The code belongs to one service.
    OfTheService,
}

/// What a code says; a signature whose time is wrong has the code of a wrong signature, and only its message says so. Sources:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>,
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>.
pub fn meaning(code: &str, message: &str) -> Meaning {
    match code {
        "SignatureDoesNotMatch" | "InvalidSignatureException"
            if ["Signature expired", "Signature not yet current"].iter().any(|it| message.contains(it)) =>
        {
            Meaning::Unidentified(CLOCK)
        }
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => Meaning::Denied,
        "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" => Meaning::Unidentified(SSO),
        "RequestExpired" | "RequestTimeTooSkewed" => Meaning::Unidentified(CLOCK),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => Meaning::Unidentified(CREDENTIALS),
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown" => Meaning::Throttled,
        "InternalServiceError"
        | "InternalServiceErrorException"
        | "InternalFailure"
        | "ServiceFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Meaning::Broken,
        _ => Meaning::OfTheService,
    }
}

/// A message of AWS, fit to be printed: without control characters, and not endless.
pub fn shown(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

/// An error with its causes. What a program for credentials wrote is left out: it may have written anything.
fn said(error: &(dyn Error + 'static)) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if text.contains("external process") {
            all += ": the program for credentials (credential_process) failed";
            break;
        }
        if !all.ends_with(&text) {
            all += ": ";
            all += &text;
        }
        cause = inner.source();
    }
    shown(&all)
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    type Failed = SdkError<AssumeRoleError, HttpResponse>;

    fn class_of(error: CredentialsError) -> Class {
        let AwsError::NoCredentials { class, .. } = AwsError::no_credentials(&error) else {
            panic!("it is about credentials")
        };
        class
    }

    fn answered(status: u16, code: &str) -> Failed {
        let error = AssumeRoleError::generic(ErrorMetadata::builder().code(code).build());
        let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        SdkError::service_error(error, response)
    }

    fn unsent(error: HttpError) -> Failed {
        SdkError::dispatch_failure(ConnectorError::io(error.into()))
    }

    #[test]
    fn a_login_that_cannot_be_had_at_the_moment_is_asked_for_again() {
        for passing in [
            unsent(HttpError::NotSent("connection refused".to_owned())),
            unsent(HttpError::TimedOut { sent: true }),
            answered(503, "Unheard"),
            answered(400, "Throttling"),
        ] {
            assert_eq!(class_of(CredentialsError::provider_error(passing)), Class::Retryable);
        }
        for lasting in
            [unsent(HttpError::NoRoots), answered(403, "AccessDenied"), answered(400, "ValidationError")]
        {
            assert_eq!(class_of(CredentialsError::provider_error(lasting)), Class::Permanent);
        }
        let lasting = CredentialsError::not_loaded("no profile");
        assert_eq!(class_of(lasting), Class::Permanent);
    }

    #[test]
    fn a_signature_out_of_time_is_a_matter_of_the_clock() {
        let expired = "Signature expired: 20261127T171618Z is now earlier than 20261127T180000Z";
        assert_eq!(meaning("SignatureDoesNotMatch", expired), Meaning::Unidentified(CLOCK));
        let early = "Signature not yet current: 20261127T190000Z is still later than 20261127T180000Z";
        assert_eq!(meaning("SignatureDoesNotMatch", early), Meaning::Unidentified(CLOCK));
        assert_eq!(meaning("SignatureDoesNotMatch", "Check your key"), Meaning::Unidentified(CREDENTIALS));
    }
}
