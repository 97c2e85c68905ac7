//! What a key of a Secret holds now.

use std::sync::Mutex;

use k8s_openapi::api::core::v1::Secret;
use keyroll_kube::Cluster;
use keyroll_port::Failure;
use keyroll_secret::SecretBytes;

use super::api::Api;
use super::object::Object;

/// Reads one key of a Secret; `None`: there is no such Secret, or it does not have the key.
///
/// # Errors
/// The cluster does not answer, or the login may not read it.
pub async fn content(cluster: &Cluster, secret: &str, key: &str) -> Result<Option<SecretBytes>, Failure> {
    let untried = Mutex::default();
    let api = Api { cluster, untried: &untried };
    let attempted = format!("read secret/{secret} of namespace {}", cluster.namespace);
    let object: Option<Secret> = api.get(&api.secret(secret), &attempted).await?;
    Ok(object.map(Object::of).and_then(|mut object| object.seen.data.remove(key)))
}
