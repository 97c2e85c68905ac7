use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};

use crate::attempt::{AGAIN, Attempt, Nature};

/// How much of a message of AWS is shown, characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// The longest code of an error that is shown, bytes. A longer one is none of AWS.
const CODE_BYTES_MAX: usize = 60;

impl Attempt<'_> {
    /// The failure for an answer that does not have what every such answer has.
    pub(super) fn incomplete(&self, what: &str) -> Failure {
        self.unclear(format!("the answer has no {what}"))
    }

    /// The failure for an error of the SDK. The error itself is dropped: it can print whole answers.
    pub(super) fn failure<E>(&self, error: &SdkError<E>) -> Failure
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        match error {
            SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                self.answered(status, error.code(), error.message().unwrap_or_default())
            }
            SdkError::TimeoutError(_) => self.unclear("no answer in time".to_owned()),
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) => self.unanswered(error),
            // The SDK may get more kinds.
            _ => self.unclear("an error of an unknown kind".to_owned()),
        }
    }

    /// No answer came, or nothing was sent at all.
    fn unanswered(&self, error: &(dyn Error + 'static)) -> Failure {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(credentials) = inner.downcast_ref::<CredentialsError>() {
                return self.no_credentials(credentials);
            }
            if let Some(http) = inner.downcast_ref::<HttpError>() {
                return self.not_answered(http, REACH);
            }
            cause = inner.source();
        }
        // It failed before the connector: the look-up of credentials or of the endpoint, or the signature.
        self.fail(Class::Retryable, Code::TruthAccess).because(said(error)).help(CREDENTIALS)
    }

    fn no_credentials(&self, error: &CredentialsError) -> Failure {
        let text = said(error);
        let help = if text.contains("SSO") || text.contains("sso") || text.contains("UnauthorizedException") {
            SSO
        } else {
            CREDENTIALS
        };
        let class = match error {
            CredentialsError::ProviderTimedOut(_) => Class::Retryable,
            // Nothing was sent, and nothing changes by itself.
            CredentialsError::CredentialsNotLoaded(_)
            | CredentialsError::InvalidConfiguration(_)
            | CredentialsError::ProviderError(_)
            | CredentialsError::Unhandled(_) => Class::Permanent,
            // The SDK may get more kinds.
            _ => Class::Permanent,
        };
        self.fail(class, Code::TruthAccess).because(text).help(help)
    }

    /// AWS answered with an error, or what stands before it did.
    fn answered(&self, status: Option<u16>, code: Option<&str>, message: &str) -> Failure {
        let plausible = |code: &&str| {
            code.len() <= CODE_BYTES_MAX
                && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
        };
        let Some(code) = code.filter(plausible) else {
            let status = status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
            return self.unclear(format!("{status}, and no error of AWS in the answer"));
        };
        let known = self.of_access(code, message).or_else(|| self.of_the_secret(code, message));
        let known = known.or_else(|| self.of_the_service(code));
        let shown: String = message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect();
        let why = match self.nature {
            // What was sent could stand there as the code, too.
            Nature::ChangeWithValue if known.is_none() => "an error that keyroll does not know".to_owned(),
            Nature::Read | Nature::Change if !shown.is_empty() => format!("{code}: {shown}"),
            Nature::Read | Nature::Change | Nature::ChangeWithValue => code.to_owned(),
        };
        let failure = known.unwrap_or_else(|| match status {
            Some(400..=499) => self.fail(Class::Permanent, Code::TruthUnsuitable).help(STATE),
            Some(_) | None => self.fail(self.unsettled(), Code::TruthUnreachable).help(AGAIN),
        });
        failure.because(why)
    }

    /// Errors about who asks.
    fn of_access(&self, code: &str, message: &str) -> Option<Failure> {
        let help = match code {
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" if message.contains("KMS") => {
                KMS_RIGHTS
            }
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => RIGHTS,
            "DecryptionFailure" | "EncryptionFailure" => KMS_KEY,
            "ExpiredTokenException" | "ExpiredToken" | "TokenRefreshRequired" => SSO,
            "RequestExpired" | "RequestTimeTooSkewed" => {
                "set this machine's clock, then run the command again"
            }
            "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "OptInRequired" => CREDENTIALS,
            _ => return None,
        };
        Some(self.fail(Class::Permanent, Code::TruthAccess).help(help))
    }

    /// Errors about the secret and its state.
    fn of_the_secret(&self, code: &str, message: &str) -> Option<Failure> {
        let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
        let help = match code {
            "ResourceNotFoundException" => NOT_FOUND,
            "InvalidRequestException" if has(&["deletion", "marked deleted"]) => RESTORE,
            "InvalidRequestException" if has(&["managed by", "owning service"]) => MANAGED,
            "InvalidParameterException" | "InvalidRequestException" if has(&["replica"]) => REPLICA,
            "InvalidParameterException" | "InvalidRequestException" => STATE,
            "LimitExceededException" => LIMIT,
            "ResourceExistsException" => STATE,
            _ => return None,
        };
        Some(self.fail(Class::Permanent, Code::TruthUnsuitable).help(help))
    }

    /// Errors about the service.
    fn of_the_service(&self, code: &str) -> Option<Failure> {
        match code {
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "SlowDown" => {
                let failure = self.fail(Class::Retryable, Code::TruthUnreachable);
                Some(
                    failure
                        .kind(FailureKind::RateLimited)
                        .help("AWS limits the rate of requests: wait a little"),
                )
            }
            "InternalServiceError"
            | "InternalServiceErrorException"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => {
                Some(self.fail(self.unsettled(), Code::TruthUnreachable).help(AGAIN))
            }
            _ => None,
        }
    }
}

const REACH: &str = "see that this machine reaches AWS in this region, and look at AWS_ENDPOINT_URL if it is set; then run the \
                     command again";
const CREDENTIALS: &str = "give keyroll credentials in one of the usual ways of AWS (a profile, a role of this machine, \
                           `aws sso login`); `aws sts get-caller-identity` shows whether they work";
const SSO: &str =
    "run `aws sso login` with this profile, or renew the temporary credentials, then the same command again";
const RIGHTS: &str = "allow secretsmanager:DescribeSecret, GetSecretValue, ListSecretVersionIds, PutSecretValue and \
                      UpdateSecretVersionStage for this secret, and look whether this is the right account \
                      (`aws sts get-caller-identity`)";
const KMS_RIGHTS: &str = "allow kms:Decrypt and kms:GenerateDataKey for the KMS key of this secret";
const KMS_KEY: &str = "see that the KMS key of this secret is enabled and not scheduled for deletion";
const NOT_FOUND: &str = "check the name, the region and the account (`aws secretsmanager list-secrets`, \
                         `aws sts get-caller-identity`); a secret without a value needs one first";
pub(super) const RESTORE: &str = "`aws secretsmanager restore-secret --secret-id ID` takes the deletion back, if the secret is \
                                  still meant to be used";
pub(super) const MANAGED: &str = "let that service rotate it; keyroll does not";
pub(super) const REPLICA: &str = "name the region of the primary secret: a replica can only be read";
const STATE: &str = "look at the secret's versions: `aws secretsmanager list-secret-version-ids --secret-id ID`; \
                     `keyroll secret drift` shows them beside keyroll's";
const LIMIT: &str = "remove staging labels of others from its versions: \
                     https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html";

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
    all.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
