//! Which id a credential got whose mint's answer was lost, at an issuer that shows ids but no labels.
//!
//! Lists may be late, and other people make keys too: what is listed beside the old one may be a colleague's, and a way
//! back would delete it. Only an id that was not listed before, alone in two whole lists after the time that a new one
//! may take to show, is ours.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use keyroll_port::{Class, Failure};
use keyroll_rotation::{Capabilities, Overlap, Seq, State};
use keyroll_secret::{Credential, CredentialId, Fields, SecretBytes};

use crate::hands::{Bench, Old};

/// Where the ids are sealed that were listed before a value was chosen: above the number of any entry.
const LISTED: Seq = 1 << 61;
/// The field that they stand in, a line each. The store takes nothing in without a secret.
const FIELD: &str = "listed";
/// Its first line, so that the whole is never an id: every secret of the store is cut out of all output.
const HEAD: &str = "ids that are listed:";

/// What was told so far of a mint without an answer.
pub(crate) struct Candidate {
    mint: Seq,
    /// When its value was first seen accepted, by the clock of this driver.
    since_ms: u64,
    /// The one id that the last list showed.
    id: Option<CredentialId>,
}

/// Whether a lost answer leaves nothing to find the new id by but comparing lists.
fn compares(capabilities: &Capabilities) -> bool {
    let beside = matches!(capabilities.overlap, Overlap::Independent { .. } | Overlap::TwoSlots);
    beside && capabilities.list && !capabilities.label
}

impl Bench {
    /// Seals which ids there are before the next value is chosen: without that nothing is minted.
    pub(crate) async fn keep_listed(&self, old: &Old, choose: Seq) -> Result<(), Failure> {
        if !compares(self.ports.issuer.capabilities()) {
            return Ok(());
        }
        let listing = self.listing(old).await?;
        if !listing.complete {
            return Err(Failure::new(
                Class::Retryable,
                "K0118",
                "list the credentials before the next one is made",
            )
            .because("the issuer's list is not whole"));
        }
        let ids = listing.entries.iter().map(|entry| entry.id.as_str());
        let lines: Vec<&str> = std::iter::once(HEAD).chain(ids).collect();
        let mut fields = Fields::new();
        fields.insert(FIELD, SecretBytes::from(lines.join("\n")), true);
        let listed = Credential { id: None, fields };
        self.ports.store.keep(self.secret(), &self.id, LISTED | choose, &listed).await
    }

    async fn listed_before(&self, choose: Seq) -> Result<Option<BTreeSet<String>>, Failure> {
        let kept = self.ports.store.kept(self.secret(), &self.id, LISTED | choose).await?;
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
        let Some(choose) = state.chosen_for(mint).filter(|_| compares(capabilities)) else { return Ok(None) };
        let Some(before) = self.listed_before(choose).await? else { return Ok(None) };
        let now_ms = self.ports.clock.monotonic_ms();
        let (since_ms, last) = self.candidate_of(mint).unwrap_or((now_ms, None));
        let listing = self.listing(old).await?;
        let shows = now_ms >= since_ms.saturating_add(capabilities.birth_ms_max);
        let is_new =
            |id: &CredentialId| old.credential.id.as_ref() != Some(id) && !before.contains(id.as_str());
        let mut new = listing.entries.into_iter().map(|entry| entry.id).filter(is_new);
        let only = new.next().filter(|_| shows && listing.complete && old.credential.id.is_some());
        let only = only.filter(|_| new.next().is_none());
        let agreed = only.clone().filter(|id| last.as_ref() == Some(id));
        *self.candidate.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Candidate { mint, since_ms, id: only });
        Ok(agreed)
    }

    fn candidate_of(&self, mint: Seq) -> Option<(u64, Option<CredentialId>)> {
        let candidate = self.candidate.lock().unwrap_or_else(PoisonError::into_inner);
        candidate.as_ref().filter(|it| it.mint == mint).map(|it| (it.since_ms, it.id.clone()))
    }
}
