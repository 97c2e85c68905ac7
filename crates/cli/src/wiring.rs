use keyroll_config::{NewConsumer, Secret};
use keyroll_secret::Credential;

use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::ui::Version;

/// What a command that needs the engine answers in a build that has none. The one place to remove when it is joined.
pub(crate) fn absent(attempted: &str) -> Problem {
    Problem::new("K0810", attempted)
        .because("this build has no engine: everything was checked, and nothing was changed")
        .exits(Exit::Failed)
}

/// Seals the first version of a secret into the store as `current`.
pub(crate) fn keep(_places: &Places, _secret: &Secret, _credential: &Credential) -> Result<(), Problem> {
    Err(absent("keep the secret"))
}

/// The versions that the store has of a secret, the newest first; none where there is no store yet.
pub(crate) fn versions(places: &Places, _secret: &Secret) -> Result<Vec<Version>, Problem> {
    match places.state.exists() {
        true => Err(absent("read the store")),
        false => Ok(Vec::new()),
    }
}

/// Tells the open rotation of a secret, if there is one, of a consumer that was adopted.
pub(crate) fn adopted(places: &Places, _new: &NewConsumer) -> Result<(), Problem> {
    match places.journal().exists() {
        true => Err(absent("tell the open rotation")),
        false => Ok(()),
    }
}

/// Records a waiver in the open rotation of a secret.
pub(crate) fn waived(
    _places: &Places,
    _secret: &Secret,
    _holder: &str,
    _reason: &str,
) -> Result<(), Problem> {
    Err(absent("record the waiver"))
}
