use super::form::{Form, forms};
use super::words::Which;

forms! {
    enum Op {
        Choose,
        Mint,
        Stage,
        Deliver[file: u16, which: Which],
        Fetch(consumer: u16),
        Apply[consumer: u16, slot: u8, which: Which],
        Promote,
        Demote,
        Disable,
        Enable,
        Revoke,
        EndSessions,
        DeleteNew,
        DeleteOrphan(id: String),
        DeleteAbandoned(id: String),
        Retire(which: Which),
    }
}
