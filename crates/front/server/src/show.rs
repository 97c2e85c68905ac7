//! `GET /secret-status`: the secrets, what is open, the incidents, and the rotations whose consumers have all moved.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use keyroll_app::incidents::{IncidentShown, list};
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_app::reports::emergency::{Logged, open_rotations, rotation_log, standing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::{Refusal, Rotation, json};
use crate::server::Server;

/// The rotations that are listed.
const LOG_MAX: usize = 10;

/// The secrets, what is open, and what has moved.
#[derive(Serialize, ToSchema)]
#[schema(as = SecretStatus)]
struct Shown {
    /// The configured secrets.
    secrets: Vec<String>,
    /// The open rotations.
    open: Vec<Rotation>,
    /// The incidents that are not over.
    incidents: Vec<IncidentShown>,
    /// The last rotations whose consumers have all moved, the newest first.
    rotation_log: Vec<Entry>,
}

/// A rotation whose consumers have all moved.
#[derive(Serialize, ToSchema)]
#[schema(as = RotationLogged)]
struct Entry {
    secret: String,
    /// When the last consumer was proven on the new key, Unix seconds.
    rotated_at: u64,
    /// The beginning of a fingerprint of the old key that only this installation can compute.
    old_hash: Option<String>,
    /// The same of the new key.
    new_hash: Option<String>,
    rotation: String,
}

/// The secrets, the open rotations, the incidents, and the last rotations whose consumers have all moved.
#[utoipa::path(
    get,
    path = "/secret-status",
    tag = "emergency",
    responses((status = 200, description = "How everything stands", body = Shown)),
)]
pub(crate) async fn status(State(server): State<Arc<Server>>) -> Response {
    let drives = server.drives.clone();
    match server.blocking(move |installation| shown(installation, |secret| drives.is_driven(secret))).await {
        Ok(shown) => json(StatusCode::OK, &shown),
        Err(problem) => Refusal::of(&problem).soon(),
    }
}

fn shown(installation: &Installation, driven: impl Fn(&str) -> bool) -> Result<Shown, Problem> {
    let (config, places) = (installation.config()?, installation.places()?);
    let secrets: Vec<String> = config.secrets.keys().map(ToString::to_string).collect();
    let mut open = Vec::new();
    for (secret, one) in open_rotations(&secrets, &places)? {
        let revokes = config.secret(secret).is_ok_and(|secret| secret.emergency_revoke);
        open.push(Rotation::of(secret, standing(&one.id, &places)?, driven(secret), revokes));
    }
    let log = rotation_log(LOG_MAX, &places)?.into_iter().map(|logged| {
        let Logged { secret, rotation, rotated_at, old_hash, new_hash } = logged;
        Entry { secret, rotated_at, old_hash, new_hash, rotation }
    });
    let incidents = list(false, installation)?;
    Ok(Shown { secrets, open, incidents, rotation_log: log.collect() })
}
