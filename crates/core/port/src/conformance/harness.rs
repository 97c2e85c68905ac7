use std::collections::BTreeSet;
use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_secret::{Credential, CredentialId};

use crate::Issuer;

/// How the part behaves from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultMode {
    /// As documented.
    Fair,
    /// Nothing listens: connections are refused.
    Absent,
    /// Connections are accepted and nothing is ever answered; no request has an effect.
    Silent,
    /// Every answer is one that the protocol does not foresee (503, an HTML page with 200, bytes that are no message);
    /// no request has an effect.
    Odd,
    /// The next request that changes something has its effect, but its answer never comes: the connection closes.
    /// Then the fault_mode is fair again.
    AnswerLost,
}

/// What the suite needs of a test's part: to start it, to make it misbehave, and to inspect it without the adapter.
///
/// Methods may panic when the part itself fails: that is a broken test, not a breach.
#[async_trait]
pub trait IssuerHarness: Send + Sync {
    /// Fair fault_mode and one accepted credential, bound to its id; everything from the case before is gone.
    async fn fresh(&mut self) -> Credential;

    /// The adapter, wired to the part. The same until the next `fresh`.
    fn issuer(&self) -> &dyn Issuer;

    /// Changes the fault_mode. `false` where this part cannot have such fault_mode: the suite then skips the case.
    async fn fault_mode(&mut self, fault_mode: FaultMode) -> bool;

    /// Lets births and deaths that are under way become visible (moves the part's clock, or does nothing).
    async fn settle(&mut self);

    /// The ids that the part accepts now, by its own state and not through the adapter.
    async fn live(&mut self) -> BTreeSet<CredentialId>;

    /// Opens an idle session with the credential and holds it until the next `fresh`. Returns the client's end, or
    /// `None` where the issuer shows no sessions.
    async fn hold_session(&mut self, credential: &Credential) -> Option<SocketAddr>;

    /// Presents the credential once, as another party would, without the adapter. Returns this party's end of the
    /// connection.
    async fn present(&mut self, credential: &Credential) -> Option<SocketAddr>;

    /// Waits until the part's record of refused uses holds every use that was refused so far.
    async fn recorded(&mut self) {}
}
