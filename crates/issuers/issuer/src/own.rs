use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyroll_port::RefusedUse;
use keyroll_secret::CredentialId;

/// How many of our own presentations are remembered: a look at one endpoint takes a few.
const OWN_MAX: usize = 1_024;

/// Credentials that this process presented itself since the record was last marked, and that were not accepted. Each
/// explains at most one entry of the record.
#[derive(Default)]
pub(crate) struct OwnUses(Mutex<VecDeque<OwnUse>>);

#[derive(Clone)]
struct OwnUse {
    /// Our end of the connection.
    client: Option<SocketAddr>,
    /// The credential; `None` for a decoy, which is no credential at all.
    id: Option<CredentialId>,
}

impl OwnUses {
    fn uses(&self) -> MutexGuard<'_, VecDeque<OwnUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, client: Option<SocketAddr>, id: Option<CredentialId>) {
        let mut uses = self.uses();
        if uses.len() == OWN_MAX {
            uses.pop_front();
        }
        uses.push_back(OwnUse { client: client.map(plain), id });
    }

    /// Forgets uses from before the mark. They must not explain later entries, because the system reuses ports.
    pub(crate) fn forget(&self) {
        self.uses().clear();
    }

    /// The entries that are not our own uses. Ours are recognised by the local address of the connection, or by their
    /// count if the record shows no address.
    pub(crate) fn without(&self, found: Vec<RefusedUse>, id: Option<&CredentialId>) -> Vec<RefusedUse> {
        let mut ours: Vec<OwnUse> = self.uses().iter().cloned().collect();
        let mut explained = |used: &RefusedUse| {
            let fits = |own: &OwnUse| match used.client {
                Some(client) => own.client == Some(plain(client)),
                None => own.id.is_some() && own.id.as_ref() == id,
            };
            ours.iter().position(fits).map(|at| ours.swap_remove(at)).is_some()
        };
        found.into_iter().filter(|used| !explained(used)).collect()
    }
}

/// An IPv4 address that is written as IPv6 is the same address.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(client: Option<&str>) -> RefusedUse {
        RefusedUse { client: client.map(|client| client.parse().unwrap()), told: None }
    }

    #[test]
    fn each_of_ours_explains_one_entry() {
        let (own, id) = (OwnUses::default(), CredentialId::new("key_1"));
        own.add(Some("127.0.0.1:4000".parse().unwrap()), Some(id.clone()));
        let seen = vec![used(Some("[::ffff:127.0.0.1]:4000")), used(Some("127.0.0.1:4000"))];
        assert_eq!(
            own.without(seen, Some(&id)),
            [used(Some("127.0.0.1:4000"))],
            "the port was given out again"
        );
        assert_eq!(own.without(vec![used(Some("127.0.0.1:4001"))], Some(&id)).len(), 1);
        assert_eq!(own.without(vec![used(None), used(None)], Some(&id)).len(), 1, "by count");
        assert_eq!(own.without(vec![used(None)], Some(&CredentialId::new("key_2"))).len(), 1);
        own.forget();
        assert_eq!(own.without(vec![used(None)], Some(&id)).len(), 1);
    }
}
