//! The two rotations that keyroll asks Vault for, and how it sees that they happened.

use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, Minted};
use keyroll_secret::{Credential, CredentialId};
use keyroll_vault::{RoleCredential, is_later};
use tokio::time::sleep;

use crate::static_roles::StaticRoles;
use crate::static_roles::slot::{self, Slot};
use crate::turn;

/// How often Vault is asked for the time of a rotation: a node that lags shows the one before for a moment.
/// Source: <https://developer.hashicorp.com/vault/docs/enterprise/consistency>.
const LOOKS: u32 = 6;
/// Between two looks, milliseconds.
const LOOK_PAUSE_MS: u64 = 500;

impl StaticRoles {
    /// A new password for the idle login.
    pub(super) async fn turn_idle(&self, current: &Credential) -> Result<Minted, Failure> {
        let [_, idle] = self.turn_of(current)?;
        self.refuse_used(idle).await?;
        let before = self.state(idle).await?.rotated;
        self.vault.rotate(idle.role).await?;
        self.see(idle, &before).await?;
        let RoleCredential { rotated, password, .. } = self.credential(idle).await.map_err(unclear)?;
        if rotated == before {
            return Err(self.not_seen(idle));
        }
        let id = slot::id(idle.login, &rotated).unwrap_or_else(|| CredentialId::new(idle.login));
        let fields = turn::filled(current, idle.login, password, &self.watched.own_fields());
        Ok(Minted { id, fields })
    }

    /// The end of the password that an id names: another one takes its place.
    pub(super) async fn replace(&self, id: &CredentialId) -> Result<(), Failure> {
        let (slot, time) = self.named("revoke", id)?;
        let before = self.state(slot).await?.rotated;
        // Only a later rotation shows that the password is gone. An earlier one is that of a Vault that was put back, or of a
        // node that lags.
        if !is_later(&before, time) {
            self.vault.rotate(slot.role).await?;
            self.see(slot, &before).await?;
        }
        // Also where a revocation of before ended here.
        self.watched.end_unused_sessions_of(slot.login).await
    }

    /// Waits until Vault shows another time than before the rotation. Without that it is not known to have happened.
    async fn see(&self, slot: Slot<'_>, before: &str) -> Result<(), Failure> {
        for look in 0..LOOKS {
            if look > 0 {
                sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
            }
            if self.state(slot).await.map_err(unclear)?.rotated != before {
                return Ok(());
            }
        }
        Err(self.not_seen(slot))
    }

    fn not_seen(&self, slot: Slot<'_>) -> Failure {
        let attempted = format!("see the rotation of {} at {}", slot.role, self.vault.place());
        Failure::new(Class::Unknown, Code::RequestFailed, attempted)
            .because("Vault reports success, and shows the time of the rotation before")
    }
}

/// The outcome of a change is open where what followed it failed.
fn unclear(failure: Failure) -> Failure {
    Failure { class: Class::Unknown, ..failure }
}
