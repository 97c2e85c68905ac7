/// What `keyroll-host` does on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It answers calls.
    Serve,
    /// It makes one connection from there, as the user of the login: that needs no other rights.
    Reach,
}

impl Verb {
    /// The word that it is started with.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Reach => "reach",
        }
    }

    /// Whether it is started as root where the operator wants that.
    pub(crate) fn may_be_root(self) -> bool {
        match self {
            Self::Serve => true,
            Self::Reach => false,
        }
    }
}
