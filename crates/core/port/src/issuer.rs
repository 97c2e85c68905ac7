use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_rotation::Capabilities;
use keyroll_secret::{Credential, CredentialId, Fields};

use crate::{Class, Failure};

/// What one call with a credential showed. `Unknown` is an answer of its own: 429, 5xx, a time-out, HTML with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Accepted.
    Alive,
    /// Authenticated but not permitted: the credential works.
    Denied,
    /// Refused as a credential.
    Dead,
    /// The answer does not show whether the credential works. The text says why, without any secret.
    Unknown(String),
}

/// Whose credential it is, according to the issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The credential's id, where the issuer reports it for a value (whoami) or by a unique hint in its list.
    pub id: Option<CredentialId>,
    /// The account or principal that it acts for.
    pub principal: Option<String>,
}

/// A credential that was just made.
pub struct Minted {
    /// The issuer's id for it.
    pub id: CredentialId,
    /// Its values; the issuer shows them only now.
    pub fields: Fields,
}

/// One credential as the issuer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The issuer's id.
    pub id: CredentialId,
    /// The label (name, comment) that it carries, where labels exist.
    pub label: Option<String>,
    /// Disabled, not deleted.
    pub disabled: bool,
    /// When it was last used, in milliseconds since the Unix epoch by the issuer's clock. `None`: no data, which does
    /// not mean unused.
    pub last_used_unix_ms: Option<u64>,
    /// Redacted preview by which a value can be bound to this id, where the issuer shows one.
    pub hint: Option<String>,
}

/// A list of credentials, and whether it is known to be all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The credentials.
    pub entries: Vec<Listed>,
    /// Every page was read and well formed. An incomplete list proves no absence.
    pub complete: bool,
    /// Why it is incomplete, as far as it is known: which item, and what in it.
    pub incomplete: Option<String>,
}

/// One live session at the issuer, as it shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The client's end of the connection, by which the socket and its process are found. `None` over a local socket.
    pub client: Option<SocketAddr>,
    /// The client's process id as the issuer reports it, for local sockets only.
    pub pid: Option<u32>,
    /// A request or transaction is running on it: to end the session would make the caller fail.
    pub busy: bool,
    /// The issuer's own handle for the session, used to end it.
    pub handle: String,
    /// How many requests or queries with this credential the issuer accepted on this session so far, where the issuer
    /// counts them. A count that rose after a request was sent to a process proves that the issuer saw the request.
    pub calls: Option<u64>,
}

/// A refused use of a credential, as the issuer's own record shows it. It holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedUse {
    /// The client's end of the connection, where the record has it: on this machine it leads to a process.
    pub client: Option<SocketAddr>,
    /// The client as the issuer names it: an address, a user agent, a request's id.
    pub told: Option<String>,
}

/// Whether the issuer's own record shows refused uses, by an actual read of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalLog {
    /// This issuer keeps no such record.
    None,
    /// The record was read.
    Read {
        /// The record's name: `the server's log`.
        place: String,
        /// How late a refused use appears in the record, milliseconds.
        lag_ms: u64,
    },
    /// A record may exist, but cannot be read now.
    NotVisible {
        /// Why, as a clause.
        why: String,
        /// The right or the setting that would make it visible.
        help: String,
    },
}

/// What a value of this issuer can look like. Preflight asks every copy's format whether it can carry such a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFormat {
    /// Every byte that a value may contain. A value with line breaks has no white space at its ends.
    pub alphabet: Vec<u8>,
    /// The longest value, in bytes.
    pub length_max: usize,
}

/// The service that accepts the credential: an API, a database, a cloud. One attempt per call, on a new connection.
///
/// Every call has its own time limit. A failure says whether the effect may have happened ([`crate::Class`]).
/// No failure, no `Probe::Unknown` and no log line ever holds a value.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// What this issuer can do. The core branches on these alone.
    fn capabilities(&self) -> &Capabilities;

    /// What values look like here.
    fn value_format(&self) -> ValueFormat;

    /// Remembers the parts of the credential in use that are not secret, for calls that name another credential by its
    /// id alone.
    fn remember(&self, _current: &Credential) {}

    /// The endpoints (host:port) that consumers talk to. Probe and ConfirmDead must ask each of them.
    fn endpoints(&self) -> Vec<String>;

    /// What ends together with a credential, and how long derived tokens go on working; shown before consent.
    fn warnings(&self) -> Vec<String>;

    /// Read-only: checks that the admin credential has every right that the rotation will need. Also refuses a setting
    /// that would make every check worthless (a `trust` line), and a second credential that is not ours where slots are
    /// scarce.
    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure>;

    /// Whom a value belongs to.
    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure>;

    /// What the next credential copies of `current`, as text that holds no value; `None` where nothing is copied. The
    /// text is stored with the plan: the issuer does not show the settings of a credential that has ended.
    async fn settings(&self, _current: &Credential) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// The complete next credential, where we choose the value. The engine seals and journals it before anything is
    /// applied. `None` where the issuer chooses.
    fn propose(&self, current: &Credential) -> Result<Option<Credential>, Failure>;

    /// Makes the second credential under this label. `proposed` is what [`Issuer::propose`] returned. With a proposed
    /// credential, a second call with the same label and value is harmless. Without labels the second call may report
    /// an unknown outcome ([`Class::Unknown`](crate::Class)).
    async fn mint(
        &self,
        label: &str,
        current: &Credential,
        proposed: Option<&Credential>,
    ) -> Result<Minted, Failure>;

    /// All credentials that compete with `current` (same account, project or owner role).
    async fn list(&self, current: &Credential) -> Result<Listing, Failure>;

    /// One call with the credential, as a consumer would make it.
    async fn probe(&self, endpoint: &str, credential: &Credential) -> Probe;

    /// The client's end of a connection that this call opens with the credential, as the issuer sees it and as
    /// [`Issuer::sessions`] would show it. `None` where the issuer does not show it. Behind an address translation or a proxy
    /// it is another one than the client's socket has, and no session leads to a process.
    async fn seen_as(
        &self,
        _endpoint: &str,
        _credential: &Credential,
    ) -> Result<Option<SocketAddr>, Failure> {
        Ok(None)
    }

    /// A credential that the issuer must refuse: the negative control. Presenting it never locks out the real
    /// principal.
    fn decoy(&self, current: &Credential) -> Credential;

    /// Disables a credential, reversibly. Harmless if it is already disabled.
    async fn disable(&self, id: &CredentialId) -> Result<(), Failure>;

    /// Whether a credential that is listed as disabled cannot be used in any way, as after a complete
    /// [`Self::disable`].
    async fn is_wholly_off(&self, _id: &CredentialId) -> Result<bool, Failure> {
        Ok(true)
    }

    /// Enables it again. Harmless if it is enabled.
    async fn enable(&self, id: &CredentialId) -> Result<(), Failure>;

    /// Whether [`Issuer::revoke`] is possible here; otherwise the operator revokes credentials at the console.
    fn revokes(&self) -> bool {
        true
    }

    /// Revokes a credential. "Already gone" is success.
    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure>;

    /// How an operator ends a credential that keyroll must not end, because another party may have made it: a command or a
    /// clause.
    fn end_by_hand(&self, id: &CredentialId) -> String {
        format!("delete {id} at the issuer's console")
    }

    /// How an operator lists the credentials that keyroll could not list: a command or a clause.
    fn list_by_hand(&self) -> String {
        "list the keys at the issuer's console".to_owned()
    }

    /// Live sessions of a credential; `None` where the issuer shows none.
    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure>;

    /// How long a session must be observed before it is known to be idle, milliseconds; until then it is reported as
    /// busy. 0 where one look is enough.
    fn idle_ms(&self) -> u64 {
        0
    }

    /// Ends the named sessions. With `busy` false, a session that has become busy is left alone. Returns how many were
    /// ended.
    async fn end_sessions(&self, id: &CredentialId, handles: &[String], busy: bool)
    -> Result<usize, Failure>;

    /// Whether the issuer's record shows refused uses of this credential, by an actual read of the record.
    async fn sees_refusals(&self, _current: &Credential) -> RefusalLog {
        RefusalLog::None
    }

    /// The present end of the record of refused uses, by the issuer's own clock and count; called right before the
    /// credential is disabled. The text is stored unchanged and holds no value.
    async fn mark_refusals(&self, _current: &Credential) -> Result<String, Failure> {
        Err(no_record())
    }

    /// Every refused use of this credential after the mark, except our own. A record that was not read completely is a
    /// failure: it does not prove that there was no refused use.
    async fn refusals(&self, _current: &Credential, _mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        Err(no_record())
    }
}

fn no_record() -> Failure {
    Failure::new(Class::Permanent, Code::RefusedUsesUnknown, "read the issuer's record of refused uses")
        .because("this issuer has none")
        .help("roll back, and plan anew")
}
