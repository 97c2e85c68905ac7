//! The source of truth of a secret, where that is not keyroll's own store.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_config::{Kubernetes, Secret, StoreRef};
use keyroll_kube::Address;
use keyroll_port::{Class, Failure, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_rotation::Emergency;
use keyroll_secret::Credential;
use keyroll_setup::trust::{trusted_files, trusted_program};
use keyroll_truth::{
    AwsSecret, AwsSettings, AwsTruth, ExecSecret, FileSecret, KubernetesSecret, VaultSecret,
};

use super::kubernetes::connected;
use super::trusted::trusted_of;
use super::vault::trusted_vault;
use crate::places::Places;
use crate::problem::Problem;
use crate::redact::Remembering;

/// The store that a secret's consumers fetch from; `None` = keyroll's own. A command reads its configuration once. Every
/// value that it gives out is redacted from the output.
///
/// # Errors
/// Another user can change the configuration or what it names, which would get keyroll's login or run a program with its
/// rights. The configuration or login of the store cannot be read.
pub(crate) async fn of(
    places: &Places,
    config_file: &Path,
    secret: &Secret,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    if secret.store == StoreRef::Keyroll {
        return Ok(None);
    }
    if let Some(known) = places.handles.truth(&secret.store) {
        return Ok(Some(known));
    }
    // The commands of its consumers are not run here.
    trusted_of(config_file, secret, |_| false)?;
    let opened = open(secret).await?;
    if let Some(truth) = &opened {
        places.handles.keep_truth(&secret.store, truth.clone());
    }
    Ok(opened)
}

async fn open(secret: &Secret) -> Result<Option<Arc<dyn Truth>>, Problem> {
    // The configuration refuses a store outside of keyroll for any other number of secret fields.
    let field =
        secret.fields.iter().find(|(_, field)| field.secret).map_or("value", |(name, _)| name.as_str());
    let (field, reference) = (field.to_owned(), secret.store.to_string());
    Ok(Some(match &secret.store {
        StoreRef::Keyroll => return Ok(None),
        StoreRef::Aws { id, key } => {
            let at = AwsSecret { id: id.clone(), key: key.clone(), field, reference };
            Arc::new(Remembering(AwsTruth::open(at, &AwsSettings::default()).await?))
        }
        StoreRef::Vault { path, key } => {
            let at = VaultSecret { path: path.clone(), key: key.clone(), field, reference };
            let settings = trusted_vault(&secret.vault)?;
            Arc::new(Remembering(keyroll_truth::vault(at, &settings)?))
        }
        StoreRef::Kubernetes { namespace, name, key, cluster } => {
            let Kubernetes { context, kubeconfig, in_cluster } = cluster.clone();
            let namespace = Some(namespace.clone());
            let address = Address { kubeconfig, context, in_cluster, namespace };
            let reached = connected(address).await?;
            let (name, key, context) = (name.clone(), key.clone(), cluster.context.clone());
            let at = KubernetesSecret { name, key, field, reference, context };
            Arc::new(Remembering(keyroll_truth::kubernetes(at, &reached)?))
        }
        StoreRef::File { path, at, .. } => {
            // Whoever may write its folder decides what it gives out.
            trusted_files(vec![path.clone()])?;
            let at = FileSecret { path: path.clone(), at: at.clone(), field, reference };
            Arc::new(Remembering(keyroll_truth::file(at)?))
        }
        StoreRef::Exec { program, item, folder, .. } => {
            trusted_program(program)?;
            let (program, item, folder) = (program.clone(), item.clone(), folder.clone());
            let at = ExecSecret { program, item, folder, field, reference };
            Arc::new(Remembering(keyroll_truth::exec(at)?))
        }
    }))
}

/// The source of truth of an open rotation. Refuses another region or account than that of its plan: consumers do not get
/// what is given out there. One that does not answer is not refused: the rotation knows what waits for it. An emergency waits
/// for no answer, so of it only the region is compared; one that revokes first is never refused, see [`to_revoke_first`].
///
/// # Errors
/// Its configuration or login cannot be read, or leads elsewhere.
pub(crate) async fn of_plan(
    places: &Places,
    config_file: &Path,
    secret: &Secret,
    planned: Option<&str>,
    emergency: Option<Emergency>,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    match emergency {
        Some(Emergency::RevokeNow) => Ok(to_revoke_first(places, config_file, secret, planned).await),
        Some(Emergency::RollFirst) => as_planned(of(places, config_file, secret).await?, planned),
        None => {
            let truth = of(places, config_file, secret).await?;
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
    config_file: &Path,
    secret: &Secret,
    planned: Option<&str>,
) -> Option<Arc<dyn Truth>> {
    let truth = of(places, config_file, secret).await.and_then(|truth| as_planned(truth, planned));
    truth.unwrap_or_else(|problem| Some(Arc::new(Unusable(problem))))
}

/// Why no rotation could write there, as far as the source of truth tells that without a write. What may pass by itself is no
/// reason. A file is tried by a file beside it, which is left to the beginning of a rotation.
pub(crate) async fn unwritable(secret: &Secret, truth: &dyn Truth) -> Option<Problem> {
    if secret.store.file().is_some() {
        return None;
    }
    let failure = truth.writable().await.err()?;
    (failure.class == Class::Permanent).then(|| failure.into())
}

fn as_planned(
    truth: Option<Arc<dyn Truth>>,
    planned: Option<&str>,
) -> Result<Option<Arc<dyn Truth>>, Problem> {
    let (Some(there), Some(planned)) = (&truth, planned) else { return Ok(truth) };
    let name = there.name();
    if is_same(&name, planned) {
        return Ok(truth);
    }
    Err(Problem::new(Code::PlanStale, "go on with the rotation")
        .because(format!("its source of truth was {planned}, and is {name}"))
        .help("use the region and the login that the plan was made with, then run the same command again"))
}

/// Whether both are one place. Until AWS has answered, its name lacks the account.
fn is_same(name: &str, planned: &str) -> bool {
    let account = planned.strip_prefix(name.strip_suffix(')').unwrap_or(name));
    name == planned || account.is_some_and(|rest| rest.starts_with(", account "))
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

    async fn writable(&self) -> Result<(), Failure> {
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

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn only_the_account_may_be_missing_of_the_place_in_the_plan() {
        for (name, planned) in [
            ("aws-sm:a#K (eu-west-1)", "aws-sm:a#K (eu-west-1, account 1234)"),
            ("aws-sm:a#K (eu-west-1, account 1234)", "aws-sm:a#K (eu-west-1, account 1234)"),
            ("file:./k.env#K (env file)", "file:./k.env#K (env file)"),
        ] {
            assert!(is_same(name, planned), "{name}");
        }
        for (name, planned) in [
            ("aws-sm:a#K (eu-west-1, account 12)", "aws-sm:a#K (eu-west-1, account 1234)"),
            ("vault:kv/a#k (https://v:8200)", "vault:kv/a#k (https://v:8200, namespace team-a)"),
            ("vault:kv/a#k (https://v)", "vault:kv/a#k (https://v:8200)"),
            ("vault:kv/a#k (https://v:82)", "vault:kv/a#k (https://v:8200)"),
            ("file:./k.env#K (env file)", "file:./k.env#K (env file, /real/k.env)"),
        ] {
            assert!(!is_same(name, planned), "{name}");
        }
    }
}
