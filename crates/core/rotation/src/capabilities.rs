/// Who makes the value of a new credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MintedBy {
    /// The issuer, by API; the value is seen once.
    Api,
    /// We choose the value and apply it.
    Us,
    /// The operator, at a console; the value comes by hidden prompt, stdin or file.
    Human,
}

/// How long two credentials can be valid beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// Independent credentials, at most `max` at once (0 = no limit known).
    Independent {
        /// The issuer's limit.
        max: u32,
    },
    /// Exactly two slots; minting overwrites the free one.
    TwoSlots,
    /// The old value dies this long after the new one is made.
    Grace {
        /// Milliseconds.
        ms: u64,
    },
    /// Making the new value ends the old one at once.
    None,
}

/// What the issuer shows about use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LastUsed {
    /// Nothing: "idle: not visible".
    NotVisible,
    /// A time per credential.
    PerKey {
        /// How late it appears, milliseconds.
        lag_ms: u64,
        /// How coarse it is, milliseconds.
        granularity_ms: u64,
    },
    /// A time per principal: proves nothing about one of two credentials.
    PerPrincipal,
}

/// Where a refused use of a credential can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusals {
    /// In the issuer's log.
    IssuerLog,
    /// In the consumers' logs.
    ConsumerLogs,
    /// Nowhere.
    NotVisible,
}

/// What an issuer can do; the protocol branches on these alone, never on the issuer's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Who makes the value.
    pub minted_by: MintedBy,
    /// How old and new can coexist.
    pub overlap: Overlap,
    /// A reversible switch exists.
    pub disable: bool,
    /// A credential carries a label of ours.
    pub label: bool,
    /// A second mint replaces whatever a first one made: after a lost answer it is made anew, without a search.
    pub mint_replaces: bool,
    /// Credentials can be listed, completely.
    pub list: bool,
    /// Last use.
    pub last_used: LastUsed,
    /// Refused uses.
    pub refusals: Refusals,
    /// The issuer shows live sessions, and they outlive a change of the credential.
    pub sessions: bool,
    /// The issuer attributes a call to a process (client address and port): `exercised` can be seen.
    pub attributes: bool,
    /// The longest time until a new credential works or appears in lists, milliseconds.
    pub birth_ms_max: u64,
    /// The longest time until a revoked credential stops working, milliseconds.
    pub death_ms_max: u64,
    /// The longest a single request may take, milliseconds.
    pub request_ms_max: u64,
}

impl Capabilities {
    /// Minting ends the old value, at once or after the grace: the point of no return comes before the mint.
    pub fn exchanges(&self) -> bool {
        match self.overlap {
            Overlap::None | Overlap::Grace { .. } => true,
            Overlap::Independent { .. } | Overlap::TwoSlots => false,
        }
    }

    /// How long a list may go on showing an earlier state.
    pub(crate) fn list_ms_max(&self) -> u64 {
        self.death_ms_max.saturating_add(self.request_ms_max)
    }
}
