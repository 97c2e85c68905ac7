//! What keyroll writes beside its own objects in a cluster, by which it knows them again.

/// The annotation of a version's own Secret: the name that the configuration has.
pub(crate) const VERSION_OF: &str = "keyroll.dev/version-of";
/// The label of a pod that is moved before those of its workload, with the rotation's id; and the annotation of a StatefulSet
/// whose partition keyroll set.
pub(crate) const CANARY: &str = "keyroll.dev/canary";
/// The annotation of such a pod: the name of its Deployment.
pub(crate) const CANARY_OF: &str = "keyroll.dev/canary-of";
/// Before the name that the configuration has, the annotation of a workload: the Secret of the version that its next roll-out
/// brings, as `ROTATION/NAME`.
pub(crate) const VERSION: &str = "version.keyroll.dev/";
/// The label of what a probe is made of, with the rotation's id.
pub(crate) const PROBE: &str = "keyroll.dev/probe";
/// The annotation of a pod template that begins a roll-out.
pub(crate) const ROLLED_BY: &str = "keyroll.dev/rolled-by";
/// The annotation of a pod that makes its node refresh the mounted files.
pub(crate) const REFRESH: &str = "keyroll.dev/refresh";
/// The annotation of an ExternalSecret that makes its controller read the store.
pub(crate) const SYNC: &str = "keyroll.dev/sync";
