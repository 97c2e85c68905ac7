use std::net::SocketAddr;

use crate::id::Mark;
use async_trait::async_trait;
use keyroll_port::{Failure, Session};
use keyroll_secret::SecretBytes;

use crate::options::Options;

/// One login as the server keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) name: String,
    /// It may be used.
    pub(crate) on: bool,
    /// How many passwords it has.
    pub(crate) passwords: usize,
    /// The server lets it in with any password.
    pub(crate) open: bool,
    /// Which credential is in it, as its mark says.
    pub(crate) mark: Mark,
}

impl Login {
    /// Whether no client can log in with it.
    pub(crate) fn is_off(&self) -> bool {
        !self.on || (self.passwords == 0 && !self.open)
    }
}

/// What the server answered to one attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The password was accepted.
    Accepted,
    /// The password was asked for and is refused, or the login is off.
    Refused,
    /// The attempt proved nothing. The reason, without any secret.
    Unknown(String),
}

/// A change of the credential in a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// New connections are refused; open sessions continue.
    Off,
    /// It may be used again.
    On,
    /// The login is off and has no password any more, permanently. The login itself stays.
    End,
}

/// What a mint puts into a slot.
pub(crate) struct Filling<'a> {
    /// The login that gets the new password.
    pub(crate) slot: &'a str,
    /// The login that consumers use now, whose rights are copied.
    pub(crate) current: &'a str,
    /// The label.
    pub(crate) label: &'a str,
    /// The new password.
    pub(crate) password: &'a SecretBytes,
}

/// A server that keeps logins. One attempt per call. A request makes at most three calls, so each call ends within a
/// third of the request's time limit.
#[async_trait]
pub(crate) trait Directory: Send + Sync {
    /// The options.
    fn options(&self) -> &Options;

    /// Everything about the server, the admin's rights and what the slot is to get of the current login that can be
    /// refused beforehand; what a person should know comes back as notes. Nothing is changed.
    async fn check(&self, current: &str, slot: &str) -> Result<Vec<String>, Failure>;

    /// Refuses if the server is only a part of itself: a cluster of which it does not see every node. Called before
    /// sessions are read, before a mint, and before the last working login is ended.
    async fn whole(&self, _what: &str) -> Result<(), Failure> {
        Ok(())
    }

    /// The logins.
    async fn read(&self) -> Result<Vec<Login>, Failure>;

    /// One attempt to log in, as a consumer would make it.
    async fn attempt(&self, place: (&str, u16), user: &str, password: &SecretBytes) -> Attempt;

    /// As [`keyroll_port::Issuer::seen_as`].
    async fn seen_as(
        &self,
        _place: (&str, u16),
        _user: &str,
        _password: &SecretBytes,
    ) -> Result<Option<SocketAddr>, Failure> {
        Ok(None)
    }

    /// Gives the slot the current login's rights, this password and this label, in one step. Repeating it changes
    /// nothing.
    async fn fill(&self, filling: &Filling<'_>) -> Result<(), Failure>;

    /// Carries out a switch.
    async fn switch(&self, login: &Login, switch: Switch) -> Result<(), Failure>;

    /// The live sessions of a login, as far as they are visible, without those of our own probes.
    async fn sessions(&self, user: &str) -> Result<Vec<Session>, Failure>;

    /// As [`keyroll_port::Issuer::idle_ms`].
    fn idle_ms(&self) -> u64 {
        0
    }

    /// Ends the named sessions that are still the same. Returns how many.
    async fn end(&self, user: &str, handles: &[String], busy: bool) -> Result<usize, Failure>;
}

impl Switch {
    /// As a clause.
    pub(crate) fn attempt(self) -> &'static str {
        match self {
            Self::Off => "disable the login",
            Self::On => "enable the login",
            Self::End => "revoke",
        }
    }
}
