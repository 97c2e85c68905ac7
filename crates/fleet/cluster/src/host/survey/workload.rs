//! What of a workload a survey reads that no look needs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyroll_port::Failure;
use serde::Deserialize;

use crate::host::ClusterHost;
use crate::host::setup::PodsSetup;

/// How long a controller may take to see a change, milliseconds: it watches, and takes some milliseconds.
const OBSERVED_MS: u64 = 5_000;
/// The time between two looks at it, milliseconds.
const STEP_MS: u64 = 100;

/// A workload of any kind.
#[derive(Deserialize)]
pub(super) struct Raw {
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: Spec,
    #[serde(default)]
    pub(super) status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    /// Of a Deployment.
    pub(super) paused: bool,
    /// How many pods; the server sets it.
    pub(super) replicas: Option<i64>,
    /// Of a Deployment.
    pub(super) strategy: Strategy,
    /// Of a StatefulSet and a DaemonSet.
    pub(super) update_strategy: Strategy,
    pub(super) template: Template,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Strategy {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) rolling_update: Rolling,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Rolling {
    /// Pods with a lower number keep their template.
    pub(super) partition: i64,
}

/// The template of its pods; not their containers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Template {
    pub(super) metadata: ObjectMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) observed_generation: i64,
    pub(super) replicas: i64,
    pub(super) updated_replicas: i64,
    pub(super) update_revision: String,
    /// The same of a DaemonSet.
    pub(super) current_number_scheduled: i64,
    pub(super) updated_number_scheduled: i64,
}

impl Raw {
    /// Whether its controller has seen its last change.
    pub(in crate::host) fn is_observed(&self) -> bool {
        self.status.observed_generation >= self.metadata.generation.unwrap_or_default()
    }

    /// Whether pods of an earlier template are there still. Source:
    /// <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status>.
    pub(super) fn is_rolling(&self) -> bool {
        let Status { replicas, updated_replicas, .. } = self.status;
        !self.is_observed()
            || updated_replicas < replicas
            || self.status.updated_number_scheduled < self.status.current_number_scheduled
    }
}

impl ClusterHost {
    /// The workload of a consumer, once its controller has seen its last change; it is not waited for long. Of a Deployment
    /// also an annotation is a change, so that a delivery just before would look as a template that somebody changed.
    /// Source: `PrepareForUpdate` of
    /// <https://github.com/kubernetes/kubernetes/blob/master/pkg/registry/apps/deployment/strategy.go>.
    pub(super) async fn settled_workload(&self, pods: &PodsSetup) -> Result<Option<Raw>, Failure> {
        let limit = self.clock.monotonic_ms().saturating_add(OBSERVED_MS);
        loop {
            let raw = self.workload(pods).await?;
            let now = self.clock.monotonic_ms();
            if raw.as_ref().is_none_or(Raw::is_observed) || now >= limit {
                return Ok(raw);
            }
            self.clock.sleep_until(limit.min(now.saturating_add(STEP_MS))).await;
        }
    }

    /// The workload of a consumer; `None`: there is none.
    pub(super) async fn workload(&self, pods: &PodsSetup) -> Result<Option<Raw>, Failure> {
        let api = self.api().await?;
        api.get(&api.workload(pods.kind, &pods.workload), &format!("read {}", pods.object())).await
    }
}
