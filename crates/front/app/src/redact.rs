//! Redacts known values, and texts that look like a credential, from everything that is shown.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyroll_inventory::without_formed;
use keyroll_leak::occurs_in_words;
use keyroll_needle::{NeedleId, Needles, NeedlesBuilder, VALUE_BYTES_MIN};
use keyroll_port::{
    Failure, GivenOut, Journal, JournalError, MadeBy, Opening, Overview, Recorded, RotationId, Staging,
    Store, Truth, TruthVersion, VersionInfo,
};
use keyroll_rotation::{Event, Seq};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

/// The most values that are redacted; a process that drives one secret has a handful.
const VALUES_MAX: usize = 1_024;

/// The values that this process has seen, and the matcher for all their encodings.
static KNOWN: Mutex<Known> =
    Mutex::new(Known { values: Vec::new(), needles: None, found: None, more: Vec::new() });

struct Known {
    values: Vec<SecretBytes>,
    needles: Option<Needles>,
    /// The matcher for the values that a survey of the machine found.
    found: Option<Needles>,
    /// The matchers for the values that were found elsewhere.
    more: Vec<Needles>,
}

/// Redacts this value from everything that is printed from now on, in every encoding. This is the last safeguard, not
/// the first.
pub fn remember(value: &SecretBytes) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let held = known.values.iter().any(|other| other == value);
    // A shorter value would break every message; issuers refuse such values anyway.
    if value.len() < VALUE_BYTES_MIN || held || known.values.len() >= VALUES_MAX {
        return;
    }
    known.values.push(value.duplicate());
    let mut builder = Needles::builder();
    for (value, id) in known.values.iter().zip(0..) {
        let id = NeedleId(id);
        builder = with_value(builder, id, value).name(id, "value");
    }
    // A value that the matcher refuses (too long for a credential) does not affect the others.
    match builder.build() {
        Ok(needles) => known.needles = Some(needles),
        Err(_) => drop(known.values.pop()),
    }
}

/// Adds a value to be redacted. Of an ordinary word only whole ones are, so that `optimize` leaves `optimized` as it is.
pub(crate) fn with_value(builder: NeedlesBuilder, id: NeedleId, value: &SecretBytes) -> NeedlesBuilder {
    match occurs_in_words(value.expose()) {
        true => builder.add_word(id, value),
        false => builder.add(id, value),
    }
}

/// Redacts all values that a survey found, instead of those of the survey before.
pub fn remember_found(needles: Option<Needles>) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).found = needles;
}

/// Redacts all values that were found elsewhere, as in a cluster, besides those of a survey and those of other places.
pub(crate) fn remember_more(needles: Option<Needles>) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).more.extend(needles);
}

/// Redacts the secret fields of a credential.
pub fn remember_fields(fields: &Fields) {
    fields.secrets().for_each(|(_, value)| remember(value));
}

/// The text without known values and without texts in the form of a credential. Everything that is printed passes
/// through here.
pub fn pass(text: &str) -> Cow<'_, str> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let all = known.needles.iter().chain(&known.found).chain(&known.more);
    let text = all.fold(Cow::Borrowed(text), |text, needles| {
        let clean = match needles.redact_text(&text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(clean) => Some(clean),
        };
        clean.map_or(text, Cow::Owned)
    });
    match without_formed(&text) {
        Some(clean) => Cow::Owned(clean),
        None => text,
    }
}

/// A store, or a source of truth, that remembers every value that passes through it, so that none is ever printed.
pub struct Remembering<S>(pub S);

impl<S> Remembering<S> {
    fn seen(credential: Option<Credential>) -> Option<Credential> {
        credential.inspect(|credential| remember_fields(&credential.fields))
    }
}

#[async_trait]
impl<S: Store> Store for Remembering<S> {
    async fn add(&self, secret: &str, credential: &Credential) -> Result<VersionInfo, Failure> {
        remember_fields(&credential.fields);
        self.0.add(secret, credential).await
    }

    async fn secrets(&self) -> Result<Vec<String>, Failure> {
        self.0.secrets().await
    }

    async fn versions(&self, secret: &str) -> Result<Vec<VersionInfo>, Failure> {
        self.0.versions(secret).await
    }

    async fn read(&self, secret: &str, number: u32) -> Result<Option<Credential>, Failure> {
        self.0.read(secret, number).await.map(Self::seen)
    }

    async fn put_pending(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<u32, Failure> {
        remember_fields(&credential.fields);
        self.0.put_pending(secret, rotation, intent, credential).await
    }

    async fn promote(&self, secret: &str, expected: u32, next: u32) -> Result<(), Failure> {
        self.0.promote(secret, expected, next).await
    }

    async fn demote(&self, secret: &str, before: u32, next: u32) -> Result<(), Failure> {
        self.0.demote(secret, before, next).await
    }

    async fn retire(&self, secret: &str, number: u32) -> Result<(), Failure> {
        self.0.retire(secret, number).await
    }
}

#[async_trait]
impl<S: Staging> Staging for Remembering<S> {
    async fn keep(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
        credential: &Credential,
    ) -> Result<(), Failure> {
        remember_fields(&credential.fields);
        self.0.keep(secret, rotation, intent, credential).await
    }

    async fn kept(
        &self,
        secret: &str,
        rotation: &RotationId,
        intent: Seq,
    ) -> Result<Option<Credential>, Failure> {
        self.0.kept(secret, rotation, intent).await.map(Self::seen)
    }

    async fn forget(&self, secret: &str, made_by: &MadeBy) -> Result<(), Failure> {
        self.0.forget(secret, made_by).await
    }

    async fn discard(
        &self,
        secret: &str,
        rotation: &RotationId,
        credential: Option<&CredentialId>,
        stays: Option<Seq>,
    ) -> Result<(), Failure> {
        self.0.discard(secret, rotation, credential, stays).await
    }
}

#[async_trait]
impl<S: Truth> Truth for Remembering<S> {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn current(&self) -> Result<GivenOut, Failure> {
        self.0.current().await.inspect(|given| remember_fields(&given.fields))
    }

    async fn writable(&self) -> Result<(), Failure> {
        self.0.writable().await
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        self.0.versions().await
    }

    async fn stage(&self, by: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        remember_fields(&new.fields);
        self.0.stage(by, old, new).await
    }

    async fn give_out(&self, by: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        remember_fields(&after.fields);
        self.0.give_out(by, before, after).await
    }

    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure> {
        self.0.withdraw(by).await
    }
}

/// A journal of which no stored name has a known value in it: another process shows the name later, and may not know the value.
/// A name may be what a server or a program answered.
pub(crate) struct Redacting<J>(pub(crate) Arc<J>);

#[async_trait]
impl<J: Journal> Journal for Redacting<J> {
    async fn open(&self, id: &RotationId, opening: &Opening) -> Result<(), JournalError> {
        self.0.open(id, opening).await
    }

    async fn take_over(&self, id: &RotationId) -> Result<u64, JournalError> {
        self.0.take_over(id).await
    }

    async fn append(
        &self,
        id: &RotationId,
        seq: Seq,
        event: &Event,
        unix_ms: u64,
    ) -> Result<(), JournalError> {
        self.0.append(id, seq, event, unix_ms).await
    }

    async fn witness(&self) -> Result<(), JournalError> {
        self.0.witness().await
    }

    async fn load(&self, id: &RotationId) -> Result<Recorded, JournalError> {
        self.0.load(id).await
    }

    async fn list(&self) -> Result<Vec<Overview>, JournalError> {
        self.0.list().await
    }

    async fn close(&self, id: &RotationId) -> Result<(), JournalError> {
        self.0.close(id).await
    }

    async fn remember(&self, digest: u64, name: &str) -> Result<(), JournalError> {
        let name = pass(name).into_owned();
        self.0.remember(digest, &name).await
    }

    async fn recall(&self, digest: u64) -> Result<Option<String>, JournalError> {
        self.0.recall(digest).await
    }
}

#[cfg(test)]
mod tests {
    use keyroll_journal::SqliteJournal;

    use super::*;

    #[test]
    fn no_name_that_is_stored_for_display_has_a_known_value_in_it() {
        let value = keyroll_testkit::alphanumeric(24);
        remember(&SecretBytes::from(value.clone()));
        let folder = tempfile::tempdir().unwrap();
        let (state, witness) = (folder.path().join("state"), folder.path().join("witness"));
        let journal = Redacting(Arc::new(SqliteJournal::open(&state, &witness).unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let kept = runtime.block_on(async {
            journal.remember(7, &format!("could not promote it: no room for {value}")).await.unwrap();
            journal.recall(7).await.unwrap()
        });
        assert_eq!(kept.as_deref(), Some("could not promote it: no room for [redacted:value]"));
    }

    #[test]
    fn a_remembered_value_is_cut_out_in_every_encoding() {
        let value = format!("a-value/of+{}", std::process::id());
        remember(&SecretBytes::from(value.clone()));
        let escaped = value.replace('/', "%2F").replace('+', "%2B");
        for form in [&value, &escaped] {
            let shown = pass(&format!("before {form} after")).into_owned();
            assert!(
                !shown.contains(form) && shown.starts_with("before ") && shown.ends_with(" after"),
                "{shown}"
            );
        }
        assert_eq!(pass("plain"), "plain");
    }

    #[test]
    fn a_remembered_word_is_cut_out_as_a_whole_one_alone() {
        remember(&SecretBytes::from("benchmark".to_owned()));
        assert_eq!(pass("benchmarks of a benchmark."), "benchmarks of a [redacted:value].");
        assert_eq!(pass("prebenchmark, password=benchmark"), "prebenchmark, password=[redacted:value]");
    }

    #[test]
    fn the_values_of_several_places_stay_redacted() {
        let values: Vec<String> = (0..3).map(|_| keyroll_testkit::alphanumeric(24)).collect();
        let needles = |value: &String| {
            let value = SecretBytes::from(value.clone());
            Needles::builder().add(NeedleId(0), &value).name(NeedleId(0), "value").build().ok()
        };
        remember_more(needles(&values[0]));
        remember_found(needles(&values[1]));
        remember_more(needles(&values[2]));
        remember_more(None);
        assert_eq!(pass(&format!("{} {}", values[0], values[2])), "[redacted:value] [redacted:value]");
    }

    #[test]
    fn what_has_the_form_of_a_credential_is_cut_out_though_nobody_knows_it() {
        let token = keyroll_testkit::github_token();
        assert_eq!(
            pass(&format!("a é {token} b {token}.")),
            "a é [redacted:github-classic-token] b [redacted:github-classic-token]."
        );
        let id = "0192f3a4-7c11-7aa3-9b52-1f0e6c5d4b3a";
        for text in [
            format!("heroku rotation {id}"),
            "sk-…·9f3c21 of ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
        ] {
            assert_eq!(pass(&text), text);
        }
    }
}
