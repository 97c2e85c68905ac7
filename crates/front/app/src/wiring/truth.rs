//! The source of truth of a secret, where that is not keyroll's own store.

use std::sync::Arc;

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
