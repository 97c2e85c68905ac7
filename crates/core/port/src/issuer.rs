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
    /// No answer that tells; why, without any secret.
    Unknown(String),
}

/// Who the issuer says a credential is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The credential's id, where the issuer tells it by value (whoami) or by a unique hint in its list.
    pub id: Option<CredentialId>,
    /// The account or principal that it acts for.
    pub principal: Option<String>,
}

/// A credential that was just made.
pub struct Minted {
    /// The issuer's id for it.
    pub id: CredentialId,
    /// Its values, seen this once.
    pub fields: Fields,
}

/// One credential as the issuer lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The issuer's id.
    pub id: CredentialId,
    /// The label (name, comment) that it carries, where labels exist.
    pub label: Option<String>,
    /// Switched off but not gone.
    pub disabled: bool,
    /// When it was last used, in milliseconds since the Unix epoch by the issuer's clock; `None` = no data, not "unused".
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
}

/// One live session at the issuer, as it shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The client's end of the connection: with it a socket and its process are found. `None` over a local socket.
    pub client: Option<SocketAddr>,
    /// The client's process id as the issuer reports it, for local sockets only.
    pub pid: Option<u32>,
    /// In the middle of a request or transaction: ending it would fail the caller.
    pub busy: bool,
    /// The issuer's own handle for the session, used to end it.
    pub handle: String,
    /// Requests or queries accepted on it with this credential so far, where the issuer counts them: a count that
    /// rose after a request was addressed to a process shows that the issuer saw it.
    pub calls: Option<u64>,
}

/// A refused use of a credential, as the issuer's own record shows it. It holds no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedUse {
    /// The client's end of the connection, where it is shown: on this machine it leads to a process.
    pub client: Option<SocketAddr>,
    /// Who it was, as the issuer names it: an address, a user agent, a request's id.
    pub told: Option<String>,
}

/// Whether the issuer itself shows refused uses, found by really looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalLog {
    /// This issuer keeps no such record.
    None,
    /// It is read.
    Read {
        /// What it is called: `the server's log`.
        place: String,
        /// How late a refused use appears there, milliseconds.
        lag_ms: u64,
    },
    /// It may be there, and cannot be read now.
    NotVisible {
        /// Why, as a clause.
        why: String,
        /// The right or the setting that would make it visible.
        help: String,
    },
}

/// What a value at this issuer can look like, so that Preflight can ask every copy's format about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueFormat {
    /// Every byte that a value may contain.
    pub alphabet: Vec<u8>,
    /// The longest value, in bytes.
    pub length_max: usize,
}

/// Who accepts the credential: an API, a database, a cloud. One attempt per call, on a new connection.
///
/// Every call has its own time limit. A failure says whether the effect may have happened ([`crate::Class`]).
/// No failure, no `Probe::Unknown` and no log line ever holds a value.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// What this issuer can do. The core branches on these alone.
    fn capabilities(&self) -> &Capabilities;

    /// What values look like here.
    fn value_format(&self) -> ValueFormat;

    /// Keeps what is not secret of the credential in use, for calls that name another by its id alone.
    fn remember(&self, _current: &Credential) {}

    /// The places (host:port) that consumers talk to and that Probe and ConfirmDead must ask.
    fn endpoints(&self) -> Vec<String>;

    /// What deleting a credential takes with it, and how long derived tokens live on; shown before consent.
    fn warnings(&self) -> Vec<String>;

    /// Read-only: may the admin credential do everything that the rotation will need? Also refuses what would make
    /// every check worthless (a `trust` line), and a second credential that is not ours where slots are scarce.
    async fn preflight(&self, current: &Credential) -> Result<Vec<String>, Failure>;

    /// Whom a value belongs to.
    async fn identify(&self, credential: &Credential) -> Result<Identity, Failure>;

    /// What the next credential copies of `current`, as text that holds no value; `None` where nothing is copied. It is
    /// kept with the plan: a credential that was ended first cannot be asked any more.
    async fn settings(&self, _current: &Credential) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Where we choose the value: the next credential, whole, before anything is applied, so that it can be sealed
    /// and journaled first. `None` where the issuer chooses.
    fn propose(&self, current: &Credential) -> Result<Option<Credential>, Failure>;

    /// Makes the second credential under this label. `proposed` is what [`Issuer::propose`] returned.
    /// With a proposed credential, a second call with the same label and value is harmless; without labels it may say
    /// that it cannot tell ([`Class::Unknown`](crate::Class)).
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

    /// A credential that must be refused: the negative control. It never locks the real principal out.
    fn decoy(&self, current: &Credential) -> Credential;

    /// Switches a credential off, reversibly. Harmless if it is off already.
    async fn disable(&self, id: &CredentialId) -> Result<(), Failure>;

    /// Whether nothing lets a credential in that is shown switched off, as after a [`Self::disable`] that was carried out
    /// to its end.
    async fn is_wholly_off(&self, _id: &CredentialId) -> Result<bool, Failure> {
        Ok(true)
    }

    /// Switches it on again. Harmless if it is on.
    async fn enable(&self, id: &CredentialId) -> Result<(), Failure>;

    /// Whether [`Issuer::revoke`] is possible here; else a person ends credentials at the console.
    fn revokes(&self) -> bool {
        true
    }

    /// Ends a credential for good. "Already gone" is success.
    async fn revoke(&self, id: &CredentialId) -> Result<(), Failure>;

    /// Live sessions of a credential; `None` where the issuer shows none.
    async fn sessions(&self, id: &CredentialId) -> Result<Option<Vec<Session>>, Failure>;

    /// How long a session has to be looked at, again and again, before it is known to be idle: until then it is shown as
    /// busy, milliseconds. 0 where one look tells.
    fn idle_ms(&self) -> u64 {
        0
    }

    /// Ends the named sessions. With `busy` false a session that is busy by now is left alone.
    /// Returns how many were ended.
    async fn end_sessions(&self, id: &CredentialId, handles: &[String], busy: bool)
    -> Result<usize, Failure>;

    /// Whether refused uses of this credential show at the issuer, by really reading its record.
    async fn sees_refusals(&self, _current: &Credential) -> RefusalLog {
        RefusalLog::None
    }

    /// Where the record of refused uses ends now, by the issuer's own clock and count: right before the credential is
    /// disabled. The text is kept as it is and holds no value.
    async fn mark_refusals(&self, _current: &Credential) -> Result<String, Failure> {
        Err(no_record())
    }

    /// Every use of this credential that was refused since the mark and that was not ours. A record that was not read
    /// whole is a failure: its silence proves nothing.
    async fn refusals(&self, _current: &Credential, _mark: &str) -> Result<Vec<RefusedUse>, Failure> {
        Err(no_record())
    }
}

fn no_record() -> Failure {
    Failure::new(Class::Permanent, Code::RefusedUsesUnknown, "read the issuer's record of refused uses")
        .because("this issuer has none")
        .help("`keyroll pause` switches the key on again; then `keyroll abort`, and plan anew")
}
