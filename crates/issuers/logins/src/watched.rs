use async_trait::async_trait;
use keyroll_port::{Failure, Issuer, Session};

/// A server whose passwords another party changes: keyroll watches its two logins, and changes none. An id of its own
/// [`Issuer`] is not known here; logins are named.
#[async_trait]
pub(crate) trait Watched: Issuer {
    /// The two logins that take turns.
    fn slots(&self) -> &[String; 2];

    /// The parts of a credential that it may lack, with their names.
    fn own_fields(&self) -> Vec<(&'static str, String)>;

    /// What changes for the consumers with every rotation, as a sentence for the plan.
    fn turns(&self) -> String;

    /// Read-only: checks that keyroll sees what the gate needs, that a wrong password is refused, and that both logins have the
    /// same rights. Returns notes for the operator.
    async fn watch(&self, current: &str, idle: &str) -> Result<Vec<String>, Failure>;

    /// The live sessions of a login, whichever credential it carries.
    async fn sessions_of(&self, login: &str) -> Result<Vec<Session>, Failure>;

    /// Ends the named sessions of a login, see [`Issuer::end_sessions`].
    async fn end_sessions_of(&self, login: &str, handles: &[String], busy: bool) -> Result<usize, Failure>;

    /// Ends the sessions of a login that poolers keep open and no client uses: with one of them, a pooler would let a client in
    /// whose password the server refuses.
    async fn end_unused_sessions_of(&self, login: &str) -> Result<(), Failure>;
}
