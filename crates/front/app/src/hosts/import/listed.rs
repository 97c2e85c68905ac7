/// A host as another list has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name there.
    pub(super) name: String,
    /// What ssh is given.
    pub(super) host: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) sudo: bool,
    pub(super) group: Option<String>,
}
