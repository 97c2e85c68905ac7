//! The clusters of Kubernetes that keyroll speaks to.

use std::env::split_paths;
use std::path::PathBuf;

use keyroll_config::KubeAddress;
use keyroll_kube::{Address, Cluster, connect, named_files};
use keyroll_setup::trust::trusted_files;

use crate::env;
use crate::problem::Problem;

/// Makes ready for requests to a cluster whose login is trusted. Nothing is sent yet.
///
/// # Errors
/// Those of [`trusted_cluster`] and [`connect`].
pub(crate) async fn connected(address: Address) -> Result<Cluster, Problem> {
    Ok(connect(&trusted_cluster(address)?).await?)
}

/// Makes ready for requests to a cluster of the configuration. Nothing is sent yet.
///
/// # Errors
/// Another user can change what the login rests on, or the login cannot be used.
pub async fn cluster_of(address: &KubeAddress) -> Result<Cluster, Problem> {
    connected(address_of(address)).await
}

/// Where a cluster is, as the configuration says it.
pub(crate) fn address_of(address: &KubeAddress) -> Address {
    let KubeAddress { context, namespace, kubeconfig } = address.clone();
    Address { in_cluster: context.is_none(), kubeconfig, context, namespace }
}

/// The same address. A kubeconfig says to whom the login goes, and which program makes it:
/// whoever can change it runs programs with the rights of keyroll.
///
/// # Errors
/// Another user can change the kubeconfig, the certificate authority or the program that it names.
pub(crate) fn trusted_cluster(address: Address) -> Result<Address, Problem> {
    trusted_files(kubeconfigs(&address))?;
    // It is read only now that it is trusted.
    trusted_files(named_files(&address).into_iter().filter(|path| path.exists()).collect())?;
    Ok(address)
}

/// The files that kubectl would read, as far as they are there.
/// Source: <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>.
fn kubeconfigs(cluster: &Address) -> Vec<PathBuf> {
    if cluster.in_cluster {
        return Vec::new();
    }
    let named = cluster.kubeconfig.clone().map(|path| vec![path]);
    let of_variable = || env::KUBECONFIG.get().map(|paths| split_paths(&paths).collect());
    let of_home = || env::HOME.absolute().map(|home| vec![home.join(".kube/config")]);
    let files: Vec<PathBuf> = named.or_else(of_variable).or_else(of_home).unwrap_or_default();
    files.into_iter().filter(|path| path.exists()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cluster_whose_authority_or_program_somebody_else_can_change_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let set = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let text = "apiVersion: v1\nkind: Config\ncurrent-context: prod\nclusters:\n- name: c\n  \
                    cluster: {server: \"https://c.example\", certificate-authority: ca.crt}\nusers:\n- name: u\n  \
                    user: {exec: {command: ./login}}\ncontexts:\n- name: prod\n  context: {cluster: c, user: u}\n";
        let address = Address { kubeconfig: Some(set("config", text, 0o600)), ..Address::default() };
        set("ca.crt", "", 0o600);
        set("login", "", 0o700);
        assert!(trusted_cluster(address.clone()).is_ok());
        set("ca.crt", "", 0o666);
        assert!(trusted_cluster(address.clone()).is_err());
        set("ca.crt", "", 0o600);
        set("login", "", 0o777);
        assert!(trusted_cluster(address).is_err());
    }

    #[test]
    fn an_address_without_a_context_is_that_of_the_own_pod() {
        let address = |context: Option<&str>, kubeconfig: Option<PathBuf>| KubeAddress {
            context: context.map(str::to_owned),
            namespace: Some("shop".to_owned()),
            kubeconfig,
        };
        let of_pod = address_of(&address(None, None));
        assert!(of_pod.in_cluster && of_pod.context.is_none());
        let of_file = address_of(&address(Some("prod"), Some(PathBuf::from("/srv/kubeconfig"))));
        assert!(!of_file.in_cluster);
        assert_eq!((of_file.context.as_deref(), of_file.namespace.as_deref()), (Some("prod"), Some("shop")));
        assert_eq!(of_file.kubeconfig, Some(PathBuf::from("/srv/kubeconfig")));
    }
}
