use std::fmt;

use async_trait::async_trait;
use keyroll_secret::{Credential, Fields};

use crate::{Failure, MadeBy};

/// The version that a source of truth gives out now.
pub struct GivenOut {
    /// Its id there, such as the `VersionId` of AWS.
    pub id: String,
    /// When it was made there, milliseconds since the Unix epoch; `None` where the source does not say.
    pub unix_ms: Option<u64>,
    /// The fields that keyroll knows.
    pub fields: Fields,
}

/// The names of the fields, and no value.
impl fmt::Debug for GivenOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("GivenOut")
            .field("id", &self.id)
            .field("unix_ms", &self.unix_ms)
            .field("fields", &names)
            .finish()
    }
}

/// One version at a source of truth, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthVersion {
    /// Its id there.
    pub id: String,
    /// The labels that it has there now, in the words of the source.
    pub labels: Vec<String>,
    /// When it was made there, milliseconds since the Unix epoch; `None` where the source does not say.
    pub unix_ms: Option<u64>,
}

/// The source of truth that consumers fetch a secret from, where that is not keyroll's own store. A call makes one
/// attempt and never retries it; every call is harmless when repeated.
#[async_trait]
pub trait Truth: Send + Sync {
    /// Where it is, for people: `aws-sm:prod/vonage#KEY (eu-west-1, account 1234)`.
    fn name(&self) -> String;

    /// What it gives out now. A source that is away or sealed, that denies or throttles, a secret that is scheduled for
    /// deletion, and one without this key are failures with their own words and help.
    async fn current(&self) -> Result<GivenOut, Failure>;

    /// Whether keyroll may write there, as far as the source tells that without a write. Asked before anything is made.
    async fn writable(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// All versions with their labels.
    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure>;

    /// Writes `new` beside `old`, given out to nobody yet, and reads it back. Where the source has no place for that, as
    /// whatever is written last is given out, it only sees that `new` could be written: it waits in keyroll's own store.
    /// Refused with [`FailureKind::ChangedElsewhere`](crate::FailureKind::ChangedElsewhere) where it does not give out `old`
    /// now, and with [`FailureKind::PendingElsewhere`](crate::FailureKind::PendingElsewhere) where somebody else has a pending
    /// version, which is never overwritten.
    async fn stage(&self, by: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure>;

    /// Gives out `after` if it gives out `before` now, and reads it back. Where it gives out `after` already, nothing is
    /// done; where it gives out neither,
    /// [`FailureKind::ChangedElsewhere`](crate::FailureKind::ChangedElsewhere). A promotion is from old to new, the way back from
    /// new to old.
    async fn give_out(&self, by: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure>;

    /// Takes back what `stage` wrote: nobody finds it pending any more. Not refused where it is not there; another
    /// party's pending version is left alone.
    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure>;
}

#[cfg(test)]
mod tests {
    use keyroll_secret::SecretBytes;

    use super::*;

    #[test]
    fn a_given_out_version_is_printed_without_its_values() {
        let fields = Fields::single(SecretBytes::from("canary".to_owned()));
        let shown = format!("{:?}", GivenOut { id: "v-1".to_owned(), unix_ms: Some(7), fields });
        assert!(shown.contains("v-1") && shown.contains("value") && !shown.contains("canary"), "{shown}");
    }
}
