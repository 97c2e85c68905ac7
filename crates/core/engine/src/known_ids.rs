//! The ids that a new key cannot have, because a version of the secret has them: whatever ends the one would end the
//! other. An answer to a mint with such an id is about that version, or the issuer replaced the value under the id.

use std::collections::BTreeMap;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_rotation::{Overlap, Seq, State};
use keyroll_secret::{Credential, CredentialId};

use crate::executor::{Executor, Old};

/// The version that each id belongs to.
pub(crate) type KnownIds = BTreeMap<CredentialId, u32>;

impl Executor {
    /// The ids that this mint must not answer with.
    pub(crate) async fn known_ids(&self, old: &Old, mint: Seq, state: &State) -> Result<KnownIds, Failure> {
        let current = old.credential.id.iter().map(|id| (id.clone(), old.number));
        match state.plan().capabilities.overlap {
            // The new value may take the old one's place, and its id.
            Overlap::None | Overlap::Grace { .. } => Ok(KnownIds::new()),
            // A slot is used again and again. Only the current one stays.
            Overlap::TwoSlots => Ok(current.collect()),
            Overlap::Independent { .. } => {
                let versions = self.ports.store.versions(self.secret()).await?;
                let others = versions.into_iter().filter(|version| {
                    let ours = version.made_by.as_ref().filter(|made_by| made_by.rotation == self.id);
                    ours.is_none_or(|made_by| made_by.intent != mint)
                });
                let all = others.filter_map(|version| Some((version.credential?, version.number)));
                Ok(all.chain(current).collect())
            }
        }
    }

    /// Whether a credential that a mint answered with counts as the new key. With a known id it counts only if the issuer
    /// replaced the value under that id: then the old value is refused, and the new one is the only one that works.
    pub(crate) async fn is_new(
        &self,
        minted: &Credential,
        old: &Old,
        mint: Seq,
        state: &State,
    ) -> Result<bool, Failure> {
        let known = self.known_ids(old, mint, state).await?;
        let again = minted.id.as_ref().is_some_and(|id| known.contains_key(id));
        Ok(!again || self.refused_beside(&old.credential, minted).await.is_ok())
    }

    /// A mint answered with the id of a version. The key may have been made, under another id.
    pub(crate) fn id_again(&self, id: &CredentialId, version: u32) -> Failure {
        let attempted = format!("tell the new key from version {version}");
        Failure::new(Class::Unknown, Code::KeyIdUncertain, attempted)
            .because(format!("the issuer answered the creation of a key with {id}, which is the id of version {version}"))
            .help(format!(
                "both values are kept and nothing is ended: see at the issuer which keys there are, and correct `take.id` of \
                 its spec; once keyroll has stopped: keyroll retry {}",
                self.id
            ))
    }
}
