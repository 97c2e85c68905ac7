//! Who keyroll is in a cluster, and one rule of what it may do.

/// The API group of Roles.
pub(super) const RBAC: &str = "rbac.authorization.k8s.io";

/// Who keyroll is in the cluster, and what it serves there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The namespace that keyroll runs in.
    pub namespace: String,
    /// The name of its service account there; the Roles have it, too.
    pub name: String,
    /// The host whose namespace has the Lease.
    pub home: String,
    /// The hosts whose `SecretRotation` objects are followed.
    pub follows: Vec<String>,
    /// Also clusters that are reached by a kubeconfig, whose login is this account.
    pub everywhere: bool,
}

/// One rule of a Role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The group of the API; empty: that of pods and Secrets.
    pub api_group: &'static str,
    /// The kinds of objects.
    pub resources: &'static [&'static str],
    /// The objects by their names, sorted; none: the right cannot be limited to names.
    pub names: Vec<String>,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// What it is for.
    pub why: &'static str,
}
