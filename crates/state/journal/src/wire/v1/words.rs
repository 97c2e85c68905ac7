//! The enums without contents: each variant is one JSON string.

use super::form::{Form, forms};

forms! {
    enum ProbeResult { Alive, Denied, Dead, Unknown }
    enum ListedState { On, Off, Gone, NotVisible }
    enum Emergency { RollFirst, RevokeNow }
    enum Visibility { Yes, No, NotVisible }
    enum SearchLimit { Size, Time }
    enum FoundBy { Configured, Environment, Memory, Session }
    enum Holds { Old, New, Other, Unreadable }
    enum Which { Old, New }
    enum MintedBy { Api, Us, Human }
    enum Refusals { IssuerLog, ConsumerLogs, NotVisible }
    enum OnFailure { Rollback, Pause }
    enum Delivery { Push, Fetch, Follow }
    enum ReloadMode { Verb, Rereads, AtRest }
    enum Aim { Replace, Part, End }
    enum Canary { Instance, Consumer, Host }
}
