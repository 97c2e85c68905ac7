//! Where a value stands in a namespace.

use keyroll_trace::Names;

/// A place of a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// An entry of a Secret; of a document the name within it.
    Secret { name: String, key: String, entry: Option<String> },
    /// An entry of a ConfigMap.
    Map { name: String, key: String, entry: Option<String> },
    /// A text in what makes pods, or in a pod: `deployment/agent`, its container, the variable or file.
    Text { of: String, container: String, name: String },
    /// The annotation of `kubectl apply` of a Secret.
    Applied { name: String, key: String },
    /// A release of Helm.
    Helm { release: String, what: String },
    /// What a CSI driver fetches.
    Class { class: String, object: String },
}

impl Place {
    /// As it is shown. The names of objects are words for the API server; the names within them may be anything.
    pub(crate) fn shown(&self, names: &Names) -> String {
        let inner = |name: &str, more: Option<&str>| {
            let more = more.map(|more| format!(" {}", names.shown(more))).unwrap_or_default();
            format!(" {}{more}", names.shown(name))
        };
        let text = match self {
            Self::Secret { name, key, entry } => format!("secret/{name}{}", inner(key, entry.as_deref())),
            Self::Map { name, key, entry } => format!("configmap/{name}{}", inner(key, entry.as_deref())),
            Self::Text { of, container, name } => format!("{of} container {container}{}", inner(name, None)),
            Self::Applied { name, key } => {
                format!("secret/{name} annotation of kubectl apply{}", inner(key, None))
            }
            Self::Helm { release, what } => format!("release of Helm {release}, {what}"),
            Self::Class { class, object } => format!("secretproviderclass/{class}{}", inner(object, None)),
        };
        names.told(&text, "")
    }

    /// The Secret and key that the value is, or was, in.
    pub(crate) fn secret(&self) -> Option<(&str, &str)> {
        match self {
            Self::Secret { name, key, .. } => Some((name, key)),
            Self::Map { .. } | Self::Text { .. } | Self::Applied { .. } | Self::Helm { .. } => None,
            Self::Class { .. } => None,
        }
    }

    /// Whether a pod takes values from there: records of before do not count.
    pub(crate) fn is_source(&self) -> bool {
        matches!(self, Self::Secret { .. } | Self::Map { .. } | Self::Text { .. })
    }

    /// The same place, without the name within it.
    pub(crate) fn whole(&self) -> Self {
        match self.clone() {
            Self::Secret { name, key, .. } => Self::Secret { name, key, entry: None },
            Self::Map { name, key, .. } => Self::Map { name, key, entry: None },
            Self::Helm { release, .. } => Self::Helm { release, what: String::new() },
            other @ (Self::Text { .. } | Self::Applied { .. } | Self::Class { .. }) => other,
        }
    }
}
