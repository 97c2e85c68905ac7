use std::error::Error;

use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use keyroll_aws::{AwsError, CREDENTIALS, Meaning, meaning, shown};
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind};

use crate::attempt::{AGAIN, Attempt, Nature};

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
        match AwsError::of(error) {
            AwsError::Answered { status, code, message } => self.answered(status, code.as_deref(), &message),
            AwsError::NotAnswered(http) => self.not_answered(&http, REACH),
            AwsError::Late => self.unclear("no answer in time".to_owned()),
            AwsError::NoCredentials { class, why, help } => {
                self.fail(class, Code::TruthAccess).because(why).help(help)
            }
            AwsError::NotSent(why) => {
                self.fail(Class::Retryable, Code::TruthAccess).because(why).help(CREDENTIALS)
            }
            AwsError::UnknownKind => self.unclear("an error of an unknown kind".to_owned()),
        }
    }

    /// AWS answered with an error, or what stands before it did.
    fn answered(&self, status: Option<u16>, code: Option<&str>, message: &str) -> Failure {
        let Some(code) = code else {
            let status = status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
            return self.unclear(format!("{status}, and no error of AWS in the answer"));
        };
        let known = self.of_aws(code, message).or_else(|| self.of_the_secret(code, message));
        let said = shown(message);
        let why = match self.nature {
            // What was sent could stand there as the code, too.
            Nature::ChangeWithValue if known.is_none() => "an error that keyroll does not know".to_owned(),
            Nature::Read | Nature::Change if !said.is_empty() => format!("{code}: {said}"),
            Nature::Read | Nature::Change | Nature::ChangeWithValue => code.to_owned(),
        };
        let failure = known.unwrap_or_else(|| match status {
            Some(400..=499) => self.fail(Class::Permanent, Code::TruthUnsuitable).help(STATE),
            Some(_) | None => self.fail(self.unsettled(), Code::TruthUnreachable).help(AGAIN),
        });
        failure.because(why)
    }

    /// Errors about who asks, and about AWS itself.
    fn of_aws(&self, code: &str, message: &str) -> Option<Failure> {
        let access = |help: &str| Some(self.fail(Class::Permanent, Code::TruthAccess).help(help));
        match meaning(code, message) {
            Meaning::Denied if message.contains("KMS") => access(KMS_RIGHTS),
            Meaning::Denied => access(RIGHTS),
            Meaning::Unidentified(help) => access(help),
            Meaning::Throttled => {
                let failure = self.fail(Class::Retryable, Code::TruthUnreachable);
                Some(
                    failure
                        .kind(FailureKind::RateLimited)
                        .help("AWS limits the rate of requests: wait a little"),
                )
            }
            Meaning::Broken => Some(self.fail(self.unsettled(), Code::TruthUnreachable).help(AGAIN)),
            Meaning::OfTheService if matches!(code, "DecryptionFailure" | "EncryptionFailure") => {
                access(KMS_KEY)
            }
            Meaning::OfTheService => None,
        }
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
}

const REACH: &str = "see that this machine reaches AWS in this region, and look at AWS_ENDPOINT_URL if it is set; then run the \
                     command again";
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
