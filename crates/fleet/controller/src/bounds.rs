//! What the secret of an object may reach.

use std::path::Path;

use keyroll_config::{Consumer, IssuerRef, KubeAddress, Kubernetes, Name, Reference, Secret, StoreRef};

use crate::base::Base;
use crate::own_pod::is_own_pod;
use crate::refusal::{Refusal, no_consumer, no_folder, of_aws, out_of_folder, outside};

/// The keys of the table of a database or a broker that name something at the server alone. A key that is not here is refused:
/// with it keyroll would use a login of its own, or something in its pod.
const OF_SERVER: [&str; 8] =
    ["host", "port", "dbname", "owner_role", "slots", "log", "management_port", "vhost"];

/// What objects of a namespace may reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// The host that is the namespace.
    pub(crate) host: &'a Name,
    /// Its address.
    pub(crate) address: &'a KubeAddress,
    /// The folder of its files.
    pub(crate) folder: Option<&'a Path>,
    /// How further stores begin.
    pub(crate) stores: &'a [String],
}

impl<'a> Bounds<'a> {
    /// Those of the host that is a namespace; none: its objects are not followed.
    pub(crate) fn of_namespace(base: &'a Base, namespace: &str) -> Option<Self> {
        let host = base.config().followed_host(namespace)?;
        Self::of(base, host.as_str())
    }

    /// Those of a host; none: its objects are not followed.
    pub(crate) fn of(base: &'a Base, host: &str) -> Option<Self> {
        let (host, followed) = base.followed().namespaces.get_key_value(host)?;
        let address = base.config().cluster(host.as_str())?;
        Some(Self { host, address, folder: followed.folder.as_deref(), stores: &followed.stores })
    }

    /// Refuses a secret that reaches further, with all of it. Every field is named, so that a new one is decided here.
    pub(crate) fn check(&self, secret: &Secret) -> Result<(), Refusal> {
        let Secret {
            issuer,
            issuer_host,
            admin,
            store,
            aws,
            gate,
            searched_hosts,
            consumers,
            bystanders,
            // See `of_server`.
            server: _,
            // By it, whoever connects judges what a name leads to.
            of_object: _,
            // Names, times, numbers and consents; `vault` is that of the base file.
            name: _,
            vault: _,
            owner: _,
            rotate_every: _,
            windows: _,
            unattended: _,
            emergency_revoke: _,
            emergencies_per_day: _,
            keep_retired: _,
            max_parallel: _,
            on_failure: _,
            deadlines: _,
            fields: _,
            derived: _,
            revoke: _,
            roll: _,
            other_keys: _,
        } = secret;
        let searches = searched_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty());
        let set = [
            ("aws", aws.is_some()),
            ("gate", gate.is_some()),
            ("searched_hosts", searches),
            ("bystanders", !bystanders.is_empty()),
        ];
        let mut mistakes: Vec<Refusal> =
            set.iter().filter(|(_, set)| *set).filter_map(|(key, _)| outside(key)).collect();
        mistakes.extend(self.check_issuer(issuer).err());
        if let Some(Reference::File(path)) = admin {
            mistakes.extend(self.check_file("admin", path).err());
        }
        let issuer_host = issuer_host.as_deref().map(|host| host.split(':').next().unwrap_or(host));
        mistakes.extend(issuer_host.filter(|host| is_own_pod(host)).map(|_| own_pod("issuer_host")));
        mistakes.extend(of_server(secret));
        mistakes.extend(self.check_store(store).err());
        mistakes.extend(consumers.iter().filter_map(|consumer| self.check_consumer(consumer).err()));
        if consumers.is_empty() {
            mistakes.push(no_consumer());
        }
        Refusal::of_all(mistakes)
    }

    fn check_issuer(&self, issuer: &IssuerRef) -> Result<(), Refusal> {
        match issuer {
            IssuerRef::Shipped(_) | IssuerRef::Server(_) => Ok(()),
            IssuerRef::SpecFile(path) => self.check_file("issuer", path),
            IssuerRef::AwsAccessKey => Err(of_aws()),
        }
    }

    fn check_file(&self, key: &str, path: &Path) -> Result<(), Refusal> {
        match self.folder {
            Some(folder) if path.starts_with(folder) && path != folder => Ok(()),
            Some(_) => Err(out_of_folder(key)),
            None => Err(no_folder(key)),
        }
    }

    fn check_store(&self, store: &StoreRef) -> Result<(), Refusal> {
        let is_allowed = || {
            let written = store.to_string();
            self.stores.iter().any(|beginning| begins_with(&written, beginning))
        };
        let is_within = match store {
            StoreRef::Keyroll => true,
            StoreRef::Kubernetes { namespace, cluster, .. } => {
                let is_own = self.address.namespace.as_ref() == Some(namespace);
                *cluster == self.cluster() && (is_own || is_allowed())
            }
            StoreRef::Aws { .. } | StoreRef::Vault { .. } => is_allowed(),
            StoreRef::File { .. } | StoreRef::Exec { .. } => false,
        };
        if is_within {
            return Ok(());
        }
        let own = self.address.namespace.as_deref().unwrap_or_default();
        let others = self.stores.iter().map(|store| format!(", or a store that begins with `{store}`"));
        let others = others.collect::<Vec<_>>().concat();
        Err(Refusal::new(
            "`store` names a store that an object of this namespace may not name",
            format!(
                "leave it out, or write `k8s:{own}/NAME#KEY`{others}; more is allowed in keyroll's base file"
            ),
        ))
    }

    /// How the cluster of the namespace is reached.
    fn cluster(&self) -> Kubernetes {
        let KubeAddress { context, kubeconfig, namespace: _ } = self.address.clone();
        Kubernetes { in_cluster: context.is_none(), context, kubeconfig }
    }

    /// Refuses a consumer outside of the namespace. Its checks run in pods of the namespace.
    fn check_consumer(&self, consumer: &Consumer) -> Result<(), Refusal> {
        let Consumer {
            host,
            is_here,
            serves,
            fetch,
            log,
            in_cluster,
            name: _,
            wave: _,
            runs: _,
            reads: _,
            follows: _,
            trusts_word: _,
            check: _,
            paths: _,
        } = consumer;
        let on_machine = *is_here || serves.is_some() || fetch.is_some() || log.is_some();
        match in_cluster.is_some() && host == self.host && !on_machine {
            true => Ok(()),
            false => Err(Refusal::new(
                "a consumer is not in the namespace of the object",
                "consumers elsewhere are for keyroll's base file",
            )),
        }
    }
}

/// Whether a store is one of those that begin so. `aws-sm:shop` is the store `shop` and those below it, and not `shop-admin`.
fn begins_with(store: &str, beginning: &str) -> bool {
    store.strip_prefix(beginning).is_some_and(|rest| {
        rest.is_empty() || beginning.ends_with(['/', '#', ':']) || rest.starts_with(['/', '#'])
    })
}

/// By what the table of a database or a broker reaches further.
fn of_server(secret: &Secret) -> Vec<Refusal> {
    let Some(table) = &secret.server else { return Vec::new() };
    let others = table.values.iter().filter(|(key, _)| !OF_SERVER.contains(key));
    let other = others.map(|(key, _)| {
        Refusal::new(
            format!(
                "`{key}` is not for an object: with it keyroll would use a login of its own, or something in its pod"
            ),
            "leave it out; a secret in keyroll's base file can have it",
        )
    });
    other.chain(table.text("host").filter(|host| is_own_pod(host)).map(|_| own_pod("host"))).collect()
}

/// The refusal of a server in keyroll's pod.
fn own_pod(key: &str) -> Refusal {
    Refusal::new(
        format!(
            "`{key}` is the pod that keyroll runs in, or a service of its machine or its cluster, which an object may not reach"
        ),
        "write the name of the server as it is known in the cluster",
    )
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn what_a_store_begins_with_ends_where_a_name_ends() {
        for (store, beginning) in [
            ("aws-sm:shop", "aws-sm:shop"),
            ("aws-sm:shop#key", "aws-sm:shop"),
            ("aws-sm:shop/db#key", "aws-sm:shop"),
            ("aws-sm:shop/db", "aws-sm:shop/"),
            ("aws-sm:shop", "aws-sm:"),
            ("vault:secret/shop#key", "vault:secret/shop#"),
            ("k8s:shop/db#key", "k8s:shop/db#key"),
        ] {
            assert!(begins_with(store, beginning), "{store} {beginning}");
        }
        for (store, beginning) in [
            ("aws-sm:shop-admin", "aws-sm:shop"),
            ("aws-sm:shop2/db#key", "aws-sm:shop"),
            ("vault:secret/shopping#key", "vault:secret/shop"),
            ("k8s:shop/db#key-of-admin", "k8s:shop/db#key"),
            ("aws-sm:shop", "aws-sm:shop/"),
            ("aws-sm:other", "aws-sm:shop"),
        ] {
            assert!(!begins_with(store, beginning), "{store} {beginning}");
        }
    }
}
