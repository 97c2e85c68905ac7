//! Who writes a Secret.

use keyroll_kube::Owner;

use crate::model::{External, From, Namespace, SecretSeen};

/// Who writes a key of a Secret besides people, and what that means, in one sentence.
pub(crate) fn written_by(namespace: &Namespace, secret: &SecretSeen, key: Option<&str>) -> Option<String> {
    let owner = secret.owner.as_ref()?;
    let then = match owner {
        Owner::ExternalSecrets(_) => match namespace.external.get(&secret.name) {
            Some(external) => return Some(from_store(external, key)),
            None => "change it at the store that this reads; what is written here is undone",
        },
        Owner::SealedSecrets(_) => "seal the new value there; what is written here is undone",
        Owner::ArgoCd(_) | Owner::Controller { .. } => "change it there; what is written here may be undone",
        Owner::Flux(_) => "change it there; what is written here is undone",
        Owner::Helm(_) => "change the values of the release; the next upgrade undoes what is written here",
        Owner::CsiDriver(_) => "change it at its store",
        Owner::CertManager(_) => "renew the certificate; what is written here is undone",
    };
    Some(format!("{owner}: {then}"))
}

/// Who writes it, in few words.
pub(crate) fn writer(owner: &Owner) -> &str {
    match owner {
        Owner::ExternalSecrets(_) => "External Secrets",
        Owner::SealedSecrets(_) => "Sealed Secrets",
        Owner::ArgoCd(_) => "Argo CD",
        Owner::Flux(_) => "Flux",
        Owner::Helm(_) => "Helm",
        Owner::CsiDriver(_) => "the CSI driver",
        Owner::CertManager(_) => "cert-manager",
        Owner::Controller { kind, .. } => kind,
    }
}

/// Who is to write a Secret that is not there, and why it does not, as far as it says so.
pub(crate) fn to_be_written(namespace: &Namespace, from: &From) -> Option<String> {
    let From::Secret { name, .. } = from else { return None };
    let External { name, store, not_ready, .. } = namespace.external.get(name)?;
    let not =
        not_ready.as_ref().map(|why| format!(", and says that it is not ready: {why}")).unwrap_or_default();
    Some(format!("ExternalSecret/{name} is to write it from {store}{not}"))
}

/// Of External Secrets: its store, and the key there.
fn from_store(external: &External, key: Option<&str>) -> String {
    let External { store, refresh, keys, not_ready, .. } = external;
    let at = key.and_then(|key| keys.get(key)).map(|at| format!(" ({at})")).unwrap_or_default();
    let every = refresh.as_ref().map(|every| format!("; it reads it every {every}")).unwrap_or_default();
    let not =
        not_ready.as_ref().map(|why| format!("; it says that it is not ready: {why}")).unwrap_or_default();
    format!(
        "External Secrets writes it from {store}{at}: change it there; what is written here is undone{every}{not}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_key_at_the_store_is_named() {
        let external = External {
            name: "x".to_owned(),
            store: "SecretStore/aws".to_owned(),
            refresh: Some("1h".to_owned()),
            keys: BTreeMap::from([("api-key".to_owned(), "prod/anthropic#api_key".to_owned())]),
            not_ready: None,
        };
        let namespace =
            Namespace { external: BTreeMap::from([("x".to_owned(), external)]), ..Namespace::default() };
        let owner = Some(Owner::ExternalSecrets("x".to_owned()));
        let secret = SecretSeen { name: "x".to_owned(), owner, ..SecretSeen::default() };
        assert_eq!(
            written_by(&namespace, &secret, Some("api-key")).unwrap(),
            "External Secrets writes it from SecretStore/aws (prod/anthropic#api_key): change it there; what is \
             written here is undone; it reads it every 1h"
        );
        assert_eq!(written_by(&namespace, &SecretSeen::default(), None), None);
        let nameless = |owner: Owner| {
            let secret = SecretSeen { name: "y".to_owned(), owner: Some(owner), ..SecretSeen::default() };
            written_by(&namespace, &secret, None).unwrap()
        };
        let driver = "the Secrets Store CSI driver writes it: change it at its store";
        assert_eq!(nameless(Owner::CsiDriver(String::new())), driver);
        assert!(
            nameless(Owner::ArgoCd(String::new())).starts_with("Argo CD writes it from git: change it there")
        );
        assert!(nameless(Owner::Helm("shop".to_owned())).starts_with("Helm writes it, of release shop: "));
    }
}
