use keyroll_codes::Code;
use keyroll_http::HttpError;
use keyroll_port::{Class, Failure, FailureKind};
use tokio::time::{Instant, timeout_at};

use crate::sdk_error::{AwsError, CREDENTIALS, Meaning, meaning, shown};

/// The code of a key or a user that does not exist.
pub(super) const GONE: &str = "NoSuchEntity";

/// One attempt, for the words of its failure.
pub(super) struct Attempt {
    /// What is attempted and on what, as a clause: `list the access keys of the IAM user app`.
    pub(super) attempted: String,
    /// Whether the request changes anything.
    pub(super) changes: bool,
}

impl Attempt {
    pub(super) fn reads(attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), changes: false }
    }

    pub(super) fn changes(attempted: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), changes: true }
    }

    pub(super) fn fail(&self, class: Class, code: Code) -> Failure {
        Failure::new(class, code, self.attempted.clone())
    }

    /// The outcome of a change is open; a read had no effect.
    pub(super) fn unclear(&self, why: impl Into<String>) -> Failure {
        let why: String = why.into();
        let failure = self.fail(self.unsettled(), Code::RequestFailed).kind(FailureKind::AnswerUnclear);
        failure.because(why).help(AGAIN)
    }

    /// Steps before a change, or a read, until this moment.
    pub(super) async fn within<T>(
        &self,
        until: Instant,
        steps: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match timeout_at(until, steps).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.late()),
        }
    }

    /// One call until this moment.
    pub(super) async fn call<T>(
        &self,
        until: Instant,
        call: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, Failure> {
        match timeout_at(until, call).await {
            Ok(answer) => answer.map_err(|error| self.failed(error)),
            Err(_) => Err(self.late()),
        }
    }

    /// The time is over. A change may have been sent.
    pub(super) fn late(&self) -> Failure {
        self.failed(AwsError::Late)
    }

    /// The failure for a call without a result.
    pub(super) fn failed(&self, error: AwsError) -> Failure {
        match error {
            AwsError::Answered { status, code: Some(code), message } => self.refused(status, &code, &message),
            AwsError::NotAnswered(HttpError::NoRoots) => {
                let failure = self.fail(Class::Permanent, Code::RequestFailed).because(HttpError::NoRoots);
                failure.help("install the package ca-certificates")
            }
            AwsError::NotAnswered(error @ (HttpError::NotSent(_) | HttpError::TimedOut { sent: false })) => {
                self.fail(Class::Retryable, Code::RequestFailed).because(error).help(REACH)
            }
            AwsError::NoCredentials { class, why, help } => {
                self.fail(class, Code::AdminRefused).because(why).help(help)
            }
            AwsError::NotSent(why) => {
                self.fail(Class::Retryable, Code::AdminRefused).because(why).help(CREDENTIALS)
            }
            error @ (AwsError::Answered { code: None, .. }
            | AwsError::NotAnswered(HttpError::Lost(_) | HttpError::TimedOut { sent: true })
            | AwsError::Late
            | AwsError::UnknownKind) => self.unclear(unsettling(&error)),
        }
    }

    /// AWS answered with an error.
    fn refused(&self, status: Option<u16>, code: &str, message: &str) -> Failure {
        let why = worded(code, message);
        let permanent = |code: Code, help: &str| self.fail(Class::Permanent, code).help(help);
        let failure = match (meaning(code, message), code) {
            (Meaning::Unidentified(help), _) => permanent(Code::AdminRefused, help),
            (Meaning::Denied, _) => permanent(Code::AdminRefused, RIGHTS),
            (Meaning::Throttled, _) => {
                let failure = self.fail(Class::Retryable, Code::RequestFailed).kind(FailureKind::RateLimited);
                failure.help("AWS limits the rate of requests: wait a little")
            }
            (Meaning::Broken, _) => self.fail(self.unsettled(), Code::RequestFailed).help(AGAIN),
            (Meaning::OfTheService, GONE) => permanent(Code::IssuerSettingsInvalid, ACCOUNT),
            (Meaning::OfTheService, "LimitExceeded") => permanent(Code::NoRoomForNewKey, LIMIT),
            // Another change of the same user goes on.
            (Meaning::OfTheService, "EntityTemporarilyUnmodifiable" | "ConcurrentModification") => {
                self.fail(Class::Retryable, Code::RequestFailed).help(AGAIN)
            }
            (Meaning::OfTheService, _) => match status {
                Some(400..=499) => permanent(Code::RequestFailed, ACCOUNT),
                Some(_) | None => self.fail(self.unsettled(), Code::RequestFailed).help(AGAIN),
            },
        };
        failure.because(why)
    }

    fn unsettled(&self) -> Class {
        if self.changes { Class::Unknown } else { Class::Retryable }
    }
}

/// An error of AWS in words. No request of this room has a secret access key in it, so no answer can repeat one.
pub(super) fn worded(code: &str, message: &str) -> String {
    let message = shown(message);
    if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") }
}

/// Why an error shows nothing, as a clause.
pub(super) fn unsettling(error: &AwsError) -> String {
    match error {
        AwsError::Answered { code: Some(code), message, .. } => worded(code, message),
        AwsError::Answered { status, code: None, .. } => {
            let status = status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
            format!("{status}, and no error of AWS in the answer")
        }
        AwsError::NotAnswered(error) => error.to_string(),
        AwsError::Late => "no answer in time".to_owned(),
        AwsError::NoCredentials { why, .. } | AwsError::NotSent(why) => why.clone(),
        AwsError::UnknownKind => "an error of an unknown kind".to_owned(),
    }
}

const AGAIN: &str = "keyroll looks what is there before it goes on: an open rotation by itself, any other command when it is \
                     run again";
const REACH: &str =
    "see that this machine reaches IAM and STS of the `region` in the table `aws` of the secret";
/// The rights that a rotation needs.
pub(super) const RIGHTS: &str = "allow iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey, iam:DeleteAccessKey and \
                                 iam:GetAccessKeyLastUsed for this user, and look whether this is the right account \
                                 (`aws sts get-caller-identity`)";
/// The next step where AWS does not know the user.
pub(super) const ACCOUNT: &str = "check `user`, `account` and `profile` in the table `aws` of the secret: \
                                  `aws sts get-caller-identity`, `aws iam list-access-keys --user-name NAME`";
const LIMIT: &str = "AWS allows two access keys for each user: `aws iam list-access-keys --user-name NAME`; delete one that \
                     nothing uses";
