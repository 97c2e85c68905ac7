//! The Secrets and ConfigMaps that a pod names.

use crate::model::From;

/// Names the keys of a Secret or ConfigMap, which is given as a whole. `None`: it is absent, or could not be read.
pub(crate) type Keys<'a> = dyn Fn(&From) -> Option<Vec<String>> + 'a;

/// A Secret or a ConfigMap, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    Secret(String),
    Map(String),
}

impl Object {
    /// All its keys.
    pub(super) fn all(&self) -> From {
        self.source(None)
    }

    /// One of its keys.
    pub(super) fn key(&self, key: &str) -> From {
        self.source(Some(key.to_owned()))
    }

    fn source(&self, key: Option<String>) -> From {
        match self {
            Self::Secret(name) => From::Secret { name: name.clone(), key },
            Self::Map(name) => From::Map { name: name.clone(), key },
        }
    }
}

/// One key of an object, as a container names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) object: Object,
    pub(super) key: String,
    pub(super) optional: bool,
}

impl Part {
    pub(super) fn source(&self) -> From {
        self.object.key(&self.key)
    }
}
