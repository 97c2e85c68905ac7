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

impl Listed {
    /// A host of which nothing but its name is known.
    pub(super) fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self { host: name.clone(), name, user: None, port: None, sudo: false, group: None }
    }
}
