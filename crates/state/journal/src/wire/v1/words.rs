//! The enums without contents: each variant is one JSON string.

use super::form::{Form, forms};

forms! {
    enum Answer { Alive, Denied, Dead, Unknown }
    enum Standing { On, Off, Gone, NotVisible }
    enum Emergency { RollFirst, RevokeNow }
    enum Sight { Yes, No, NotVisible }
    enum FoundBy { Configured, Environment, Memory, Session }
    enum Holds { Old, New, Other, Unreadable }
    enum Which { Old, New }
    enum MintedBy { Api, Us, Human }
    enum Refusals { IssuerLog, ConsumerLogs, NotVisible }
    enum OnFailure { Rollback, Pause }
    enum Delivery { Push, Fetch, Follow }
    enum Uptake { Verb, Rereads, AtRest }
    enum Aim { Replace, Part, End }
}
