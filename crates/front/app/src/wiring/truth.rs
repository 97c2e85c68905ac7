//! The source of truth of a secret, where that is not keyroll's own store.

use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_config::{Secret, StoreRef};
use keyroll_port::Truth;
use keyroll_truth::{AwsSecret, AwsSettings, AwsTruth};

use crate::places::Places;
use crate::problem::Problem;
use crate::redact::Remembering;

/// The store that a secret's consumers fetch from; `None` = keyroll's own. A command reads its configuration once. Every
/// value that it gives out is redacted from the output.
///
/// # Errors
/// Its configuration or login cannot be read.
pub(crate) async fn of(places: &Places, secret: &Secret) -> Result<Option<Arc<dyn Truth>>, Problem> {
    let StoreRef::Aws { id, key } = &secret.store else { return Ok(None) };
    if let Some(known) = places.handles.truth(&secret.store) {
        return Ok(Some(known));
    }
    // The configuration refuses a store outside of keyroll for any other number of secret fields.
    let field =
        secret.fields.iter().find(|(_, field)| field.secret).map_or("value", |(name, _)| name.as_str());
    let at = AwsSecret { id: id.clone(), key: key.clone(), field: field.to_owned() };
    let aws = AwsTruth::open(at, &AwsSettings::default()).await?;
    let truth: Arc<dyn Truth> = Arc::new(Remembering(aws));
    places.handles.keep_truth(&secret.store, truth.clone());
    Ok(Some(truth))
}

/// The source of truth of an open rotation. Refuses another region or account than that of its plan: consumers do not get
/// what is given out there. One that does not answer is not refused: the rotation knows what waits for it.
///
/// # Errors
/// Its configuration or login cannot be read, or leads elsewhere.
pub(crate) async fn of_plan(
    places: &Places,
    secret: &Secret,
    planned: Option<&str>,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    let Some(truth) = of(places, secret).await? else { return Ok(None) };
    let Some(planned) = planned else { return Ok(Some(truth)) };
    // Only an answer names the account. The region is known without one.
    drop(truth.current().await);
    let name = truth.name();
    if planned.starts_with(name.trim_end_matches(')')) {
        return Ok(Some(truth));
    }
    Err(Problem::new(Code::PlanStale, "go on with the rotation")
        .because(format!("its source of truth was {planned}, and is {name}"))
        .help("use the region and the login that the plan was made with, then run the same command again"))
}
