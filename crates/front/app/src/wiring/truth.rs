//! The source of truth of a secret, where that is not keyroll's own store.

use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_config::{Secret, StoreRef};
use keyroll_port::{Class, Failure, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_rotation::Emergency;
use keyroll_secret::Credential;
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
    let (id, key, field, reference) = (id.clone(), key.clone(), field.to_owned(), secret.store.to_string());
    let at = AwsSecret { id, key, field, reference };
    let aws = AwsTruth::open(at, &AwsSettings::default()).await?;
    let truth: Arc<dyn Truth> = Arc::new(Remembering(aws));
    places.handles.keep_truth(&secret.store, truth.clone());
    Ok(Some(truth))
}

/// The source of truth of an open rotation. Refuses another region or account than that of its plan: consumers do not get
/// what is given out there. One that does not answer is not refused: the rotation knows what waits for it. An emergency waits
/// for no answer, so of it only the region is compared; one that revokes first is never refused, see [`to_revoke_first`].
///
/// # Errors
/// Its configuration or login cannot be read, or leads elsewhere.
pub(crate) async fn of_plan(
    places: &Places,
    secret: &Secret,
    planned: Option<&str>,
    emergency: Option<Emergency>,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    match emergency {
        Some(Emergency::RevokeNow) => Ok(to_revoke_first(places, secret, planned).await),
        Some(Emergency::RollFirst) => as_planned(of(places, secret).await?, planned),
        None => {
            let truth = of(places, secret).await?;
            if let Some(truth) = truth.as_ref().filter(|_| planned.is_some()) {
                // Only an answer names the account. The region is known without one.
                drop(truth.current().await);
            }
            as_planned(truth, planned)
        }
    }
}

/// The source of truth where a leaked key is revoked first. One that cannot be used fails at every call: the key is revoked
/// all the same, and then the rotation waits for it.
pub(crate) async fn to_revoke_first(
    places: &Places,
    secret: &Secret,
    planned: Option<&str>,
) -> Option<Arc<dyn Truth>> {
    let truth = of(places, secret).await.and_then(|truth| as_planned(truth, planned));
    truth.unwrap_or_else(|problem| Some(Arc::new(Unusable(problem))))
}

fn as_planned(
    truth: Option<Arc<dyn Truth>>,
    planned: Option<&str>,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    let (Some(there), Some(planned)) = (&truth, planned) else { return Ok(truth) };
    let name = there.name();
    if planned.starts_with(name.trim_end_matches(')')) {
        return Ok(truth);
    }
    Err(Problem::new(Code::PlanStale, "go on with the rotation")
        .because(format!("its source of truth was {planned}, and is {name}"))
        .help("use the region and the login that the plan was made with, then run the same command again"))
}

/// A source of truth that cannot be used, and why.
struct Unusable(Problem);

impl Unusable {
    fn refuse<T>(&self) -> Result<T, Failure> {
        let failure = Failure::new(Class::Permanent, self.0.code, self.0.attempted.clone());
        let failure = failure.because(self.0.causes.join(": "));
        Err(match &self.0.help {
            Some(help) => failure.help(help.clone()),
            None => failure,
        })
    }
}

#[async_trait]
impl Truth for Unusable {
    fn name(&self) -> String {
        "a source of truth that cannot be used".to_owned()
    }

    async fn current(&self) -> Result<GivenOut, Failure> {
        self.refuse()
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        self.refuse()
    }

    async fn stage(&self, _: &MadeBy, _: &Credential, _: &Credential) -> Result<(), Failure> {
        self.refuse()
    }

    async fn give_out(&self, _: &MadeBy, _: &Credential, _: &Credential) -> Result<(), Failure> {
        self.refuse()
    }

    async fn withdraw(&self, _: &MadeBy) -> Result<(), Failure> {
        self.refuse()
    }
}
