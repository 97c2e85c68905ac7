use std::path::{Path, PathBuf};

/// What a manager calls a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceIdentity {
    /// The manager.
    pub manager: &'static str,
    /// The service's name there.
    pub name: String,
    /// Distinguishes two services of one name: the real path of the manager's configuration.
    pub place: Option<PathBuf>,
}

impl ServiceIdentity {
    /// A service that its name alone identifies.
    pub fn named(manager: &'static str, name: impl Into<String>) -> Self {
        Self { manager, name: name.into(), place: None }
    }

    /// A service of one configuration. Links are followed.
    pub fn placed(manager: &'static str, name: impl Into<String>, place: &Path) -> Self {
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        Self { manager, name: name.into(), place: Some(place) }
    }

    /// A service whose configuration may be unknown.
    pub(crate) fn perhaps_placed(manager: &'static str, name: &str, place: Option<&Path>) -> Self {
        place.map_or_else(|| Self::named(manager, name), |place| Self::placed(manager, name, place))
    }

    /// A unit of systemd, whatever its kind: a timer and its service are one.
    pub fn unit(name: &str, user: Option<&str>) -> Self {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        Self::named("systemd", format!("{}/{stem}", user.unwrap_or_default()))
    }

    /// Whether both are the same service. An unknown place is not a difference.
    pub fn is(&self, other: &Self) -> bool {
        let place = self.place.is_none() || other.place.is_none() || self.place == other.place;
        self.manager == other.manager && self.name == other.name && place
    }
}
