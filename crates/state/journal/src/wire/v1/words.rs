//! The enums without contents: each variant is one JSON string.

use serde::{Deserialize, Serialize};

/// A persisted enum beside the protocol's own, with exhaustive matches both ways.
macro_rules! words {
    ($($name:ident { $($word:ident),+ $(,)? })+) => {$(
        #[derive(Clone, Copy, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $($word),+
        }

        impl From<keyroll_rotation::$name> for $name {
            fn from(own: keyroll_rotation::$name) -> Self {
                match own {
                    $(keyroll_rotation::$name::$word => Self::$word),+
                }
            }
        }

        impl From<$name> for keyroll_rotation::$name {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$word => Self::$word),+
                }
            }
        }
    )+};
}

words! {
    Answer { Alive, Denied, Dead, Unknown }
    Standing { On, Off, Gone, NotVisible }
    Emergency { RollFirst, RevokeNow }
    Sight { Yes, No, NotVisible }
    FoundBy { Configured, Environment, Memory, Session }
    Holds { Old, New, Other, Unreadable }
    Which { Old, New }
    MintedBy { Api, Us, Human }
    Refusals { IssuerLog, ConsumerLogs, NotVisible }
    OnFailure { Rollback, Pause }
    Delivery { Push, Fetch, Follow }
    Uptake { Verb, Rereads, AtRest }
    Aim { Replace, Part, End }
}
