use std::fmt;
use std::sync::Arc;

/// The number of an event within its rotation; the first is 1.
pub type Seq = u64;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u16);

        impl $name {
            /// The position in the plan's list.
            pub fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    };
}

index! {
    /// A host of the plan, by its place in the list.
    HostId
}
index! {
    /// A consumer of the plan, by its place in the list.
    ConsumerId
}
index! {
    /// A file that holds copies, by its place in the plan's list. Two consumers may read one file.
    FileId
}
index! {
    /// One (host, endpoint) pair of the plan: an endpoint to which this host presents the value over its own network
    /// path.
    EndpointId
}

/// One declaration of a bystander, by a digest of everything that it declares: another declaration is another bystander.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BystanderId(pub u64);

/// The issuer's id of one credential, as opaque text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredId(Arc<str>);

impl CredId {
    /// Wraps the issuer's id.
    pub fn new(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The two versions of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The version that is being replaced.
    Old,
    /// The version that replaces it.
    New,
}

impl Which {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}
