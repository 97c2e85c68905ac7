//! The files of a project of docker compose.

use std::path::{Path, PathBuf};

/// How they are called. Source: the Compose specification.
const NAMES: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// The project's files that are there; `place` is its folder or one of them.
pub(crate) fn files_of(place: &Path) -> Vec<PathBuf> {
    if !place.is_dir() {
        return vec![place.to_owned()];
    }
    NAMES.iter().map(|name| place.join(name)).filter(|file| file.exists()).collect()
}
