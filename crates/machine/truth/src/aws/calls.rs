use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_secretsmanager::primitives::{DateTime, DateTimeFormat};
use keyroll_aws::SdkConfig;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, TruthVersion};
use keyroll_secret::SecretBytes;

use super::failure::{MANAGED, REPLICA, RESTORE};
use crate::attempt::{Attempt, Nature};
use crate::document::Document;

/// How many pages of versions are read. A page has 100 at most, and AWS keeps about 100 versions of a secret.
const PAGES_MAX: usize = 10;

/// The longest text of a version, bytes.
/// Source: <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>, "Secret value".
const TEXT_BYTES_MAX: usize = 65_536;

/// The label of the version that is given out.
pub(super) const CURRENT: &str = "AWSCURRENT";
/// The label of the version that was given out before.
pub(super) const PREVIOUS: &str = "AWSPREVIOUS";
/// The label of the version that a rotation has made and not given out yet:
/// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version>.
pub const PENDING: &str = "AWSPENDING";
/// The label that keyroll makes its versions with. With `AWSPENDING` itself `PutSecretValue` would take it off another
/// party's version; from here it is moved by `UpdateSecretVersionStage`, which refuses that. It is never looked at: it
/// moves on with keyroll's next version, and until then keeps this one from being one without labels, which AWS deletes.
const KEYROLL: &str = "keyroll";

/// One version with its text.
pub(super) struct Version {
    pub(super) id: String,
    pub(super) labels: Vec<String>,
    pub(super) made: Option<DateTime>,
    pub(super) document: Document,
}

impl Version {
    pub(super) fn unix_ms(&self) -> Option<u64> {
        self.made.and_then(unix_ms)
    }

    pub(super) fn described(&self) -> String {
        described(&self.id, self.unix_ms())
    }
}

/// Which version is read.
#[derive(Clone, Copy)]
pub(super) enum Which<'a> {
    Current,
    Id(&'a str),
}

/// The calls of one secret. Each is one request.
pub(super) struct Calls {
    pub(super) client: Client,
    /// The secret's name or ARN.
    pub(super) id: String,
    /// The key of its JSON object.
    pub(super) key: Option<String>,
    pub(super) region: String,
    /// `aws-sm:prod/vonage#KEY (eu-west-1)`.
    pub(super) place: String,
}

impl Calls {
    pub(super) fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: &self.place, nature }
    }

    /// Refuses a secret that cannot be changed here: scheduled for deletion, a replica, managed by a service.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let attempt = self.attempt("describe", Nature::Read);
        let described = self.client.describe_secret().secret_id(&self.id).send().await;
        let described = described.map_err(|error| attempt.failure(&error))?;
        let unsuitable = |why: String, help: &str| {
            Err(attempt.fail(Class::Permanent, Code::TruthUnsuitable).because(why).help(help))
        };
        if let Some(date) = described.deleted_date() {
            let date = date.fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| "a date".to_owned());
            return unsuitable(format!("the secret is scheduled for deletion, at {date}"), RESTORE);
        }
        if let Some(primary) = described.primary_region().filter(|primary| *primary != self.region) {
            return unsuitable(format!("the secret here is a replica of the one in {primary}"), REPLICA);
        }
        match described.owning_service() {
            Some(service) => unsuitable(format!("the secret is managed by the service {service}"), MANAGED),
            None => Ok(()),
        }
    }

    /// One version with its text, and the ARN of the secret.
    pub(super) async fn get(&self, which: Which<'_>) -> Result<(Version, Option<String>), Failure> {
        let (what, stage, id) = match which {
            // Named: the version that AWS takes without a name depends on its own default.
            Which::Current => ("read the current version of", Some(CURRENT.to_owned()), None),
            Which::Id(id) => ("read a version of", None, Some(id.to_owned())),
        };
        let attempt = self.attempt(what, Nature::Read);
        let call = self.client.get_secret_value().secret_id(&self.id);
        let answer = call.set_version_stage(stage).set_version_id(id).send().await;
        let mut answer = answer.map_err(|error| attempt.failure(&error))?;
        // Taken over whole: it is overwritten when it is dropped.
        let text = answer.secret_string.take().map(SecretBytes::from);
        let Some(text) = text else {
            let failure = attempt.fail(Class::Permanent, Code::TruthUnsuitable);
            let failure = failure.because("the secret is binary (SecretBinary), and has no text");
            return Err(failure.help("store the value as text (SecretString)"));
        };
        let id = answer.version_id.take().ok_or_else(|| attempt.incomplete("id of a version"))?;
        let labels = answer.version_stages.take().unwrap_or_default();
        let document = Document::new(text, self.key.as_deref());
        Ok((Version { id, labels, made: answer.created_date, document }, answer.arn.take()))
    }

    /// Every version with its labels, also those without any.
    pub(super) async fn list(&self) -> Result<Vec<TruthVersion>, Failure> {
        let attempt = self.attempt("list the versions of", Nature::Read);
        let mut all = Vec::new();
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let call = self.client.list_secret_version_ids().secret_id(&self.id);
            let answer = call.include_deprecated(true).set_next_token(next.take()).send().await;
            let mut answer = answer.map_err(|error| attempt.failure(&error))?;
            for version in answer.versions.take().unwrap_or_default() {
                let unix_ms = version.created_date.and_then(unix_ms);
                let id = version.version_id.ok_or_else(|| attempt.incomplete("id of a version"))?;
                all.push(TruthVersion { id, labels: version.version_stages.unwrap_or_default(), unix_ms });
            }
            next = answer.next_token.take().filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(all);
            }
        }
        Err(attempt.unclear(format!("the list does not end after {PAGES_MAX} pages")))
    }

    /// Makes a version with this id. The same id with the same text again changes nothing.
    pub(super) async fn put(&self, id: &str, document: &Document) -> Result<(), Failure> {
        let attempt = self.attempt("write a version of", Nature::ChangeWithValue);
        if document.text().len() > TEXT_BYTES_MAX {
            let failure = attempt.fail(Class::Permanent, Code::ValueNotWritable);
            let why = format!("the secret would have more than the {TEXT_BYTES_MAX} bytes that AWS takes");
            return Err(failure.because(why).help("keep this value in a secret of its own"));
        }
        // The document came from a text and has been changed by texts.
        let text = std::str::from_utf8(document.text().expose());
        let text = text.map_err(|_| attempt.fail(Class::Permanent, Code::InternalError))?;
        let call = self.client.put_secret_value().secret_id(&self.id);
        let call = call.client_request_token(id).version_stages(KEYROLL).secret_string(text);
        call.send().await.map(drop).map_err(|error| attempt.failure(&error))
    }

    /// Moves a label to a version, or takes it off one. AWS refuses the move while the label is at any version but
    /// `from`: this is the comparison of the compare-and-swap.
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UpdateSecretVersionStage.html>,
    /// `RemoveFromVersionId`.
    pub(super) async fn relabel(
        &self,
        label: &str,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<(), Failure> {
        let attempt = self.attempt("move a staging label of", Nature::Change);
        let call = self.client.update_secret_version_stage().secret_id(&self.id).version_stage(label);
        let call = call.set_remove_from_version_id(from.map(str::to_owned));
        let call = call.set_move_to_version_id(to.map(str::to_owned));
        call.send().await.map(drop).map_err(|error| attempt.failure(&error))
    }
}

/// The client. Answers come whole from the connector, so that there is no stream to watch.
pub(super) fn client(loaded: &SdkConfig) -> Client {
    let config = Builder::from(loaded).stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}

/// `version ID, made 2026-11-27T17:16:18Z`.
pub(super) fn described(id: &str, unix_ms: Option<u64>) -> String {
    let made = unix_ms.and_then(|ms| i64::try_from(ms).ok()).map(DateTime::from_millis);
    let made = made.and_then(|made| made.fmt(DateTimeFormat::DateTime).ok());
    let made = made.map_or_else(String::new, |made| format!(", made {made}"));
    format!("version {id}{made}")
}

fn unix_ms(date: DateTime) -> Option<u64> {
    date.to_millis().ok().and_then(|ms| u64::try_from(ms).ok())
}
