/// How a host is away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absence {
    /// Since when.
    pub(crate) since: u64,
    /// Nothing runs on it; otherwise it is only cut off from keyroll, and its processes go on.
    pub(crate) off: bool,
    /// Its processes begin anew when it comes back.
    pub(crate) restarts: bool,
}
