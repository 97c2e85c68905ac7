use crate::Applied;

/// A consumer of which nothing runs now; the value is applied when it starts the next time, from its copies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AtRest;

impl AtRest {
    pub(crate) fn apply(self) -> Applied {
        Applied::without_output("nothing to do: it is at rest and starts from its copies")
    }
}
