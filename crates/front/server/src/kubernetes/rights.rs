//! The roles that a server needs in the cluster, for whoever may grant them.

use std::path::Path;

use keyroll_app::env;
use keyroll_app::exit::Exit;
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;
use keyroll_config::KubeAddress;
use keyroll_controller::{Account, roles_yaml};

use super::written::base_of;

/// Where a server in a cluster stands, as its manifests have it.
const NAME: &str = "keyroll";

/// The roles for the configuration that the server has written, or before its first start for the base file.
///
/// # Errors
/// The configuration cannot be read or follows no namespaces, or the account is missing or has another form.
pub fn rights(
    base: Option<&Path>,
    account: Option<&str>,
    installation: &Installation,
) -> Result<String, Problem> {
    let config = match (installation.config_path().exists(), base) {
        (false, Some(base)) => base_of(base)?.config().clone(),
        (true | false, _) => installation.config()?,
    };
    let usage = |why: &str, help: &str| {
        Problem::new(Code::UsageWrong, "print the roles").because(why).help(help).exits(Exit::Usage)
    };
    let Some(followed) = config.server.as_ref().and_then(|server| server.kubernetes.as_ref()) else {
        let help = "with --config name the file that the server writes, or with --kubernetes its base file";
        return Err(usage("the configuration has no [server.kubernetes]", help));
    };
    let (namespace, name) = match account.map(|given| given.split_once('/')) {
        Some(Some((namespace, name))) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            (namespace.to_owned(), name.to_owned())
        }
        Some(_) => {
            let help = "--account NAMESPACE/NAME, of the service account that keyroll runs as";
            return Err(usage("--account has another form", help));
        }
        None => {
            let in_pod = |host: &keyroll_config::Name| {
                config.cluster(host.as_str()).is_some_and(KubeAddress::is_in_cluster)
            };
            if !in_pod(&followed.home) {
                let help = "--account NAMESPACE/NAME, of the account whose login the kubeconfig has";
                return Err(usage("keyroll does not run in the cluster by this configuration", help));
            }
            let namespace = env::POD_NAMESPACE.get().map(|name| name.to_string_lossy().into_owned());
            (namespace.unwrap_or_else(|| NAME.to_owned()), NAME.to_owned())
        }
    };
    let account = Account {
        namespace,
        name,
        home: followed.home.to_string(),
        follows: followed.namespaces.keys().map(ToString::to_string).collect(),
        everywhere: account.is_some(),
    };
    Ok(roles_yaml(&config, &account))
}
