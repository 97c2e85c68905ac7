//! The store of a secret, and what must not be it too.

use std::collections::BTreeMap;
use std::path::Path;

use crate::at::At;
use crate::mistake::Mistake;
use crate::shape::SecretKeys;
use crate::{Consumer, FieldSpec, Host, IssuerRef, Kind, Name, StoreRef};

/// The source of truth. One outside of keyroll holds one value of the secret.
pub(crate) fn read_store(
    folder: &Path,
    shape: &SecretKeys,
    issuer: &IssuerRef,
    fields: &BTreeMap<Name, FieldSpec>,
) -> Result<StoreRef, Mistake> {
    let text = shape.store.as_ref();
    let store = StoreRef::read(folder, text)?.in_cluster(shape.kubernetes.as_ref(), folder)?;
    let Some(text) = text.filter(|_| store != StoreRef::Keyroll) else { return Ok(store) };
    let refuse = |why: String, help: &str| {
        Err(Mistake::new(Kind::BadCombination, format!("`store`: {why}")).at(&text.span).help(help))
    };
    if let Some(server) = issuer.server() {
        return refuse(
            format!(
                "rotations on `{}` alternate between two logins, and this store would hold the password without its user",
                server.word
            ),
            "write `store = \"keyroll\"`",
        );
    }
    if *issuer == IssuerRef::AwsAccessKey {
        let why = "every rotation changes the access key id too, and this store would hold the secret access key without it";
        return refuse(why.to_owned(), "write `store = \"keyroll\"`");
    }
    match fields.values().filter(|field| field.secret).count() {
        1 => Ok(store),
        several => refuse(
            format!("it holds one value, and this secret has {several} secret fields"),
            "make each secret field a secret of its own, or write `store = \"keyroll\"`",
        ),
    }
}

/// A copy that consumers start from is delivered to; what the store holds is given out. One place cannot be both. The store
/// is a file of this machine.
pub(crate) fn refuse_store_as_copy(
    store: &StoreRef,
    text: Option<&At<String>>,
    consumers: &[Consumer],
) -> Result<(), Mistake> {
    let (StoreRef::File { path, .. }, Some(text)) = (store, text) else { return Ok(()) };
    let reads = |consumer: &&Consumer| {
        consumer.is_here && consumer.reads.iter().any(|copy| copy.place.path() == path)
    };
    let Some(consumer) = consumers.iter().find(reads) else { return Ok(()) };
    let why = format!("`store` is a file that the consumer `{}` reads", consumer.name);
    Err(Mistake::new(Kind::BadCombination, why).at(&text.span).help(
        "leave out `store`: keyroll then seals the value itself, and delivers it to this file; or name another file, \
         from which `fetch` makes this one",
    ))
}

/// The same for a key of a Secret, where the store and the consumer can be in one cluster.
pub(crate) fn refuse_store_as_key(
    store: &StoreRef,
    text: Option<&At<String>>,
    consumers: &[Consumer],
    hosts: &BTreeMap<Name, Host>,
) -> Result<(), Mistake> {
    let (StoreRef::Kubernetes { namespace, name, key, cluster }, Some(text)) = (store, text) else {
        return Ok(());
    };
    let reads = |consumer: &&Consumer| {
        let address = hosts.get(&consumer.host).and_then(|host| host.connect.cluster());
        let (Some(pods), Some(address)) = (&consumer.in_cluster, address) else { return false };
        (&pods.secret, &pods.key, address.namespace.as_ref()) == (name, key, Some(namespace))
            && cluster.in_cluster == address.is_in_cluster()
            && (cluster.context.is_none() || cluster.context == address.context)
    };
    let Some(consumer) = consumers.iter().find(reads) else { return Ok(()) };
    let why = format!("`store` is a key of a Secret that the consumer `{}` reads", consumer.name);
    Err(Mistake::new(Kind::BadCombination, why)
        .at(&text.span)
        .help("leave out `store`: keyroll then seals the value itself, and delivers it to this Secret"))
}
