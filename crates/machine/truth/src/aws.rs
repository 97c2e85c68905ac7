mod calls;
mod failure;
mod version_id;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use async_trait::async_trait;
use keyroll_aws::AwsSettings;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_secret::{Credential, Fields, SecretBytes};

use self::calls::{CURRENT, Calls, PREVIOUS, Version, Which, client, described};
use self::version_id::version_id;
use crate::attempt::Nature;
use crate::document::Document;
use crate::place::Place;

pub use self::calls::PENDING;

/// How many earlier versions are read to find one that can be given out again.
const CANDIDATES_MAX: usize = 8;

/// One secret of AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSecret {
    /// Its name or ARN.
    pub id: String,
    /// The key of the JSON object that it holds; `None` where its whole text is the value.
    pub key: Option<String>,
    /// The name of keyroll's field for this value.
    pub field: String,
    /// As the configuration names it, for people: `aws-sm:prod/vonage#KEY`.
    pub reference: String,
}

impl AwsSecret {
    /// One part of an ARN: `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`; `None` for a name.
    fn arn_part(&self, number: usize) -> Option<&str> {
        let parts = self.id.strip_prefix("arn:").map(|rest| rest.split(':'));
        parts.and_then(|mut parts| parts.nth(number)).filter(|part| !part.is_empty())
    }
}

/// A secret in AWS Secrets Manager as the source of truth.
///
/// AWS gives out the version with the label `AWSCURRENT`. Versions are never changed, only labels are moved, and a move
/// names the version that the label is taken from.
pub struct AwsTruth {
    calls: Calls,
    field: String,
    reference: String,
    /// The account, as the first answer names it.
    account: OnceLock<String>,
}

impl AwsTruth {
    /// Takes region, credentials and endpoint from the usual configuration of AWS. An ARN names its region itself. No
    /// request is sent to Secrets Manager yet.
    ///
    /// # Errors
    /// No region is configured.
    pub async fn open(secret: AwsSecret, settings: &AwsSettings) -> Result<Self, Failure> {
        // `arn:` and the partition come before the service, the region and the account.
        let account = secret.arn_part(3).map(str::to_owned);
        let loaded = settings.load(secret.arn_part(2)).await;
        // An empty AWS_REGION is none.
        let region = loaded.region().map(ToString::to_string).filter(|region| !region.is_empty());
        let Some(region) = region else {
            let failure =
                Failure::new(Class::Permanent, Code::TruthAccess, format!("open {}", secret.reference));
            let failure = failure.because("no region of AWS is configured");
            return Err(failure.help(
                "set AWS_PROFILE to a profile of ~/.aws/config that has a region, or set `region` in the profile that is used, or \
                 set AWS_REGION",
            ));
        };
        let place = format!("{} ({region})", secret.reference);
        let client = client(&loaded);
        let calls = Calls { client, id: secret.id, key: secret.key, region, place };
        let account = account.map_or_else(OnceLock::new, OnceLock::from);
        Ok(Self { calls, field: secret.field, reference: secret.reference, account })
    }

    async fn given_out(&self) -> Result<Version, Failure> {
        let (version, arn) = self.calls.get(Which::Current).await?;
        if let Some(account) = arn.as_deref().and_then(|arn| arn.split(':').nth(4)) {
            self.account.get_or_init(|| account.to_owned());
        }
        Ok(version)
    }

    fn place(&self) -> Place<'_> {
        Place { place: &self.calls.place, field: &self.field }
    }

    fn pending_elsewhere(&self, pending: &TruthVersion) -> Failure {
        let attempt = self.calls.attempt("stage a version of", Nature::Read);
        let failure = attempt.fail(Class::Permanent, Code::PendingElsewhere);
        let version = described(&pending.id, pending.unix_ms);
        let why = format!("{version}, is pending ({PENDING}), and this rotation did not make it");
        failure.kind(FailureKind::PendingElsewhere).because(why).help(
            "let the other rotation end, or cancel it and take its label off; the events PutSecretValue in CloudTrail name who \
             made it",
        )
    }

    /// Attaches `AWSPENDING` to this version, only if nobody else's version has it. A finished rotation of AWS may leave it
    /// at the current version.
    /// Source: <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>.
    async fn claim(
        &self,
        by: &MadeBy,
        current: &str,
        target: &str,
        pending: Option<&TruthVersion>,
    ) -> Result<(), Failure> {
        let from = pending.map(|version| version.id.as_str());
        if from == Some(target) {
            return Ok(());
        }
        let Err(failure) = self.calls.relabel(PENDING, from, Some(target)).await else { return Ok(()) };
        if failure.class != Class::Permanent {
            return Err(failure);
        }
        // Refused: somebody else may have been faster.
        let versions = self.calls.list().await?;
        match others(by, current, &versions) {
            Some(theirs) => Err(self.pending_elsewhere(theirs)),
            None => Err(failure),
        }
    }

    /// A version that can be given out in place of this one: one of the rotation's own, or the previous one, if it
    /// says the same as `next`.
    async fn fitting(
        &self,
        by: &MadeBy,
        now: &Version,
        next: &Document,
        versions: &[TruthVersion],
    ) -> Option<String> {
        let own = own_ids(by, versions);
        let usable = |version: &&TruthVersion| {
            version.id != now.id
                && (own.contains(&version.id) || version.labels.iter().any(|it| it == PREVIOUS))
        };
        let candidates: Vec<&str> =
            versions.iter().filter(usable).map(|version| version.id.as_str()).take(CANDIDATES_MAX).collect();
        for candidate in candidates {
            // One that cannot be read cannot be given out; another one is made then.
            let Ok((version, _)) = self.calls.get(Which::Id(candidate)).await else { continue };
            if version.document.says_the_same(next) {
                return Some(version.id);
            }
        }
        None
    }

    /// Takes `AWSPENDING` off a version that this intent made.
    async fn settle(&self, by: &MadeBy) -> Result<(), Failure> {
        let versions = self.calls.list().await?;
        let Some(id) = own_pending(by, &versions) else { return Ok(()) };
        let Err(failure) = self.calls.relabel(PENDING, Some(id), None).await else { return Ok(()) };
        if failure.class == Class::Permanent && own_pending(by, &self.calls.list().await?).is_none() {
            return Ok(());
        }
        Err(failure)
    }

    /// Moves `AWSCURRENT` from the version that was read to another one.
    async fn swap(
        &self,
        now: &Version,
        target: &str,
        before: &SecretBytes,
        after: &SecretBytes,
    ) -> Result<(), Failure> {
        let moved = self.calls.relabel(CURRENT, Some(&now.id), Some(target)).await;
        let Err(failure) = moved else { return Ok(()) };
        if failure.class != Class::Permanent {
            return Err(failure);
        }
        // Refused: somebody else may have been faster.
        let there = self.given_out().await?;
        let value = self.place().value_of(&there.document)?;
        if value != *after && there.id == now.id {
            return Err(failure);
        }
        self.place().overtaken((&value, &there.described()), before, after)
    }

    /// After the move: nothing of the intent is pending any more, and the value is read back.
    async fn confirm(&self, by: &MadeBy, before: &SecretBytes, after: &SecretBytes) -> Result<(), Failure> {
        self.settle(by).await?;
        let there = self.given_out().await?;
        let value = self.place().value_of(&there.document)?;
        self.place().confirmed((&value, &there.described()), before, after)
    }
}

#[async_trait]
impl Truth for AwsTruth {
    fn name(&self) -> String {
        let account = self.account.get().map_or_else(String::new, |account| format!(", account {account}"));
        format!("{} ({}{account})", self.reference, self.calls.region)
    }

    async fn current(&self) -> Result<GivenOut, Failure> {
        self.calls.check().await?;
        let now = self.given_out().await?;
        let mut fields = Fields::new();
        fields.insert(self.field.as_str(), self.place().value_of(&now.document)?, true);
        Ok(GivenOut { unix_ms: now.unix_ms(), id: now.id, fields })
    }

    /// AWS does not tell whether a write would be allowed.
    async fn writable(&self) -> Result<(), Failure> {
        let now = self.given_out().await?;
        self.place().once(&now.document)
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        self.calls.list().await
    }

    async fn stage(&self, by: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        let (old, new) = (self.place().own(old)?, self.place().own(new)?);
        let now = self.given_out().await?;
        if self.place().value_of(&now.document)? != *old {
            return Err(self.place().changed_elsewhere(&now.described()));
        }
        let next = self.place().with(&now.document, new)?;
        let versions = self.calls.list().await?;
        if let Some(theirs) = others(by, &now.id, &versions) {
            return Err(self.pending_elsewhere(theirs));
        }
        let target = version_id(by, &now.id);
        if !versions.iter().any(|version| version.id == target) {
            self.calls.put(&target, &next).await?;
        }
        let pending = labelled(&versions, PENDING);
        self.claim(by, &now.id, &target, pending).await.map_err(perhaps_staged)?;
        let (there, _) = self.calls.get(Which::Id(&target)).await.map_err(perhaps_staged)?;
        if there.labels.iter().any(|label| label == PENDING) && there.document.says_the_same(&next) {
            return Ok(());
        }
        let attempt = self.calls.attempt("read back the staged version of", Nature::Change);
        Err(attempt.unclear(format!("version {target} is not what was written")))
    }

    async fn give_out(&self, by: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        let (before, after) = (self.place().own(before)?, self.place().own(after)?);
        let now = self.given_out().await?;
        let value = self.place().value_of(&now.document)?;
        if value == *after {
            // An earlier attempt may have ended before its version was no longer pending.
            return self.settle(by).await.map_err(begun);
        }
        if value != *before {
            return Err(self.place().changed_elsewhere(&now.described()));
        }
        // Made from the document that is given out now: what others changed beside the value stays.
        let next = self.place().with(&now.document, after)?;
        let versions = self.calls.list().await?;
        let target = match self.fitting(by, &now, &next, &versions).await {
            Some(target) => target,
            None => {
                let target = version_id(by, &now.id);
                self.calls.put(&target, &next).await?;
                target
            }
        };
        self.swap(&now, &target, before, after).await?;
        self.confirm(by, before, after).await.map_err(begun)
    }

    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure> {
        self.settle(by).await
    }
}

/// The ids that versions of this intent have, whatever version each was made from.
fn own_ids(by: &MadeBy, versions: &[TruthVersion]) -> BTreeSet<String> {
    versions.iter().map(|version| version_id(by, &version.id)).collect()
}

fn labelled<'a>(versions: &'a [TruthVersion], label: &str) -> Option<&'a TruthVersion> {
    versions.iter().find(|version| version.labels.iter().any(|it| it == label))
}

/// The id of the pending version, if this intent made it.
fn own_pending<'a>(by: &MadeBy, versions: &'a [TruthVersion]) -> Option<&'a str> {
    let pending = labelled(versions, PENDING)?;
    own_ids(by, versions).contains(&pending.id).then_some(pending.id.as_str())
}

/// The pending version, if another party made it and has not given it out.
fn others<'a>(by: &MadeBy, current: &str, versions: &'a [TruthVersion]) -> Option<&'a TruthVersion> {
    let pending = labelled(versions, PENDING)?;
    (pending.id != current && !own_ids(by, versions).contains(&pending.id)).then_some(pending)
}

/// A failure after a version was written that nobody is given. A refusal stays one: the version is withdrawn in a rollback.
fn perhaps_staged(failure: Failure) -> Failure {
    if failure.class == Class::Permanent { failure } else { begun(failure) }
}

/// A failure after something was written: only a look can tell how far it came.
fn begun(failure: Failure) -> Failure {
    if matches!(failure.kind, FailureKind::ChangedElsewhere | FailureKind::PendingElsewhere) {
        failure
    } else {
        Failure { class: Class::Unknown, ..failure }
    }
}
