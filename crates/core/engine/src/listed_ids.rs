//! The ids that the issuer lists: sealed before a value is chosen, compared when the answer to its mint was lost.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_rotation::{ListDiff, ListedBefore, Seq, State};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use crate::executor::{Executor, Old, cred, key_list};

/// Where the ids are sealed that were listed before a value was chosen: above the number of any entry.
const LISTED: Seq = 1 << 61;
/// The field that holds them, one on each line. The store accepts nothing without a secret.
const FIELD: &str = "listed";
/// Its first line, so that the whole is never an id: every secret of the store is redacted from all output.
const HEAD: &str = "ids that are listed:";

impl Executor {
    /// Seals which ids there are before the next value is chosen: without that nothing is minted.
    pub(crate) async fn keep_listed(&self, old: &Old, choose: Seq) -> Result<(), Failure> {
        if !self.ports.issuer.capabilities().compares_lists() {
            return Ok(());
        }
        let listing = self.listing(old).await?;
        if !listing.complete {
            return Err(Failure::new(
                Class::Retryable,
                Code::KeyIdUncertain,
                "list the credentials before the next one is made",
            )
            .because("the issuer's list is incomplete"));
        }
        let ids = listing.entries.iter().map(|entry| entry.id.as_str());
        let lines: Vec<&str> = std::iter::once(HEAD).chain(ids).collect();
        let mut fields = Fields::new();
        fields.insert(FIELD, SecretBytes::from(lines.join("\n")), true);
        let listed = Credential { id: None, fields };
        self.ports.staging.keep(self.secret(), &self.id, LISTED | choose, &listed).await
    }

    async fn listed_before(&self, choose: Seq) -> Result<Option<BTreeSet<String>>, Failure> {
        let kept = self.ports.staging.kept(self.secret(), &self.id, LISTED | choose).await?;
        let text = kept.as_ref().and_then(|kept| kept.fields.get(FIELD));
        let text = text.and_then(|field| str::from_utf8(field.value.expose()).ok());
        Ok(text.map(|text| text.lines().map(str::to_owned).collect()))
    }

    /// The one id that was made since, if two lists agree; asked when its value was seen accepted.
    pub(crate) async fn only_new(
        &self,
        old: &Old,
        mint: Seq,
        state: &State,
    ) -> Result<Option<CredentialId>, Failure> {
        let capabilities = &state.plan().capabilities;
        let choose = state.chosen_for(mint).filter(|_| capabilities.compares_lists());
        let Some(choose) = choose else { return Ok(None) };
        let Some(listed) = self.listed_before(choose).await? else { return Ok(None) };
        let now_ms = self.ports.clock.monotonic_ms();
        let listing = self.listing(old).await?;
        let old_id = old.credential.id.as_ref().map(cred);
        let before = ListedBefore { old: old_id.as_ref(), listed: &listed };
        let mut diff = self.list_diff.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = diff.take().filter(|it| it.is_of(mint));
        let diff = diff.insert(begun.unwrap_or_else(|| ListDiff::new(mint, now_ms, capabilities)));
        Ok(diff
            .compare(&before, &key_list(&listing, |_| None), now_ms)
            .map(|id| CredentialId::new(id.as_str())))
    }
}
