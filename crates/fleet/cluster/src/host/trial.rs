//! The writing part of Preflight: every write that a rotation needs, as a dry run; and the checks, with the present value.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::Poll;

use keyroll_codes::Code;
use keyroll_host::copy_carries_all;
use keyroll_port::{Class, Failure, Proving, Values};
use keyroll_rotation::{ConsumerId, FileId, Kinds, Which};
use keyroll_secret::Fields;
use serde_json::Value;

use super::ClusterHost;
use super::api::{PODS, annotation};
use super::apply::{ATTEMPTS_MAX, attempted, gone};
use super::object::{patch, unfit};
use super::setup::{KeySetup, PodsSetup};
use crate::marks::ROLLED_BY;

/// How long the checks are waited for together, milliseconds. Preflight ends after a minute.
const CHECKS_MS: u64 = 40_000;

/// The obstacle that a check is, if it is one.
type Tried = Result<Option<Failure>, Failure>;

impl ClusterHost {
    /// The obstacles to a rotation. Each key holds the current value, and the API server would take the very request that
    /// changes it: rights, quotas and admission rules speak before anything is made.
    pub(super) async fn try_keys(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        self.cluster().await?;
        let mut against = Vec::new();
        for (file, key) in self.setup.key_ids() {
            if key.own.is_none()
                && let Err(failure) = self.try_key(file, key, values.old).await
            {
                against.push(failure);
            }
        }
        for pods in &self.setup.consumers {
            if let Err(failure) = self.try_roll_out(pods).await {
                against.push(failure);
            }
        }
        // Each check makes pods: not before everything else is clear. A dead value passes none.
        if against.is_empty() && !values.old_ended {
            against.extend(self.try_checks(values).await?);
        }
        Ok(against)
    }

    /// The main checks that do not pass with the present value, or pass with a wrong one: they would show nothing of the new
    /// version either.
    async fn try_checks(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        let until_ms = self.clock.monotonic_ms().saturating_add(CHECKS_MS);
        let with_check =
            self.setup.consumer_ids().filter(|(_, pods)| pods.checks.first().is_some_and(Option::is_some));
        let mut asked: Vec<Asking<'_>> = Vec::new();
        for one in with_check {
            asked.push(Box::pin(self.try_check(one, values, until_ms)));
        }
        let tried = all(asked).await;
        tried.into_iter().filter_map(Result::transpose).collect()
    }

    /// Runs the main check of a consumer whose key holds the present value.
    async fn try_check(
        &self,
        (id, pods): (ConsumerId, &PodsSetup),
        values: Values<'_>,
        until_ms: u64,
    ) -> Tried {
        let key = self.key_setup(pods.file)?;
        let attempted = format!("find the current value in {}", key.shown());
        let present = self.present(pods.file, key, &attempted).await?;
        let [object] = present.as_slice() else { return Ok(None) };
        if !object.holds(key, values.old) {
            return Ok(None);
        }
        self.memo().checked.forget_failed(id, Which::Old);
        let of = Proving { consumer: id, slot: None, which: Which::Old, values, watched: false };
        let limit_ms = until_ms.saturating_sub(self.clock.monotonic_ms());
        let (kinds, why) = self.probed(of, 0, &object.seen, limit_ms).await?;
        let Some(why) = why.filter(|_| !kinds.has(Kinds::CHECKED)) else { return Ok(None) };
        if self.clock.monotonic_ms() < until_ms {
            return Ok(Some(Failure { class: Class::Permanent, ..why }));
        }
        let cause = why.source.map(|cause| cause.to_string()).unwrap_or_default();
        let line = format!("whether the check of '{}' passes with the present value: {cause}", pods.name);
        self.untried.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
        Ok(None)
    }

    /// The annotation that begins the roll-out of a consumer. Where each version has a Secret of its own, what moves the
    /// template begins it, and was tried.
    async fn try_roll_out(&self, pods: &PodsSetup) -> Result<(), Failure> {
        let key = self.key_setup(pods.file)?;
        if !pods.has_roll_out() || key.versioned.is_some() || key.own.is_some() {
            return Ok(());
        }
        let (api, attempted) = (self.api().await?, attempted(pods));
        let path = api.workload(pods.kind, &pods.workload);
        let mut tried = Ok(());
        for _ in 0..ATTEMPTS_MAX {
            let Some(workload) = api.get::<Value>(&path, &attempted).await? else { return Err(gone(pods)) };
            let patch = annotation(&workload, PODS, ROLLED_BY, &self.setup.rotation);
            tried = api.try_patch(&path, patch, &attempted).await;
            // Its controller writes its status at any time.
            if !tried.as_ref().is_err_and(|failure| failure.code == Code::FileChanged) {
                break;
            }
        }
        tried
    }

    async fn try_key(&self, file: FileId, key: &KeySetup, old: &Fields) -> Result<(), Failure> {
        let attempted = format!("find the current value in {}", key.shown());
        let present = self.present(file, key, &attempted).await?;
        let (alphabet, length) = &self.setup.value_format;
        for object in &present {
            let now = object.expected(key, old, &attempted)?;
            copy_carries_all(&key.copy, now.expose(), (alphabet, *length), old)
                .map_err(|error| unfit(&error, &attempted))?;
        }
        if key.synced {
            return Ok(());
        }
        let attempted = format!("write {}", key.shown());
        if let Some(of) = &key.versioned {
            return self.try_version(key, of, &attempted).await;
        }
        let api = self.api().await?;
        for object in &present {
            object.fit_to_write(key, &attempted)?;
            let now = object.expected(key, old, &attempted)?;
            let patch = patch(object, &key.key, (now, now));
            api.try_patch(&api.secret(&key.secret), patch, &attempted).await?;
        }
        Ok(())
    }
}

/// A check that is asked for.
type Asking<'a> = Pin<Box<dyn Future<Output = Tried> + Send + 'a>>;

/// Asks for all at the same time; the answers are in their order.
async fn all(asked: Vec<Asking<'_>>) -> Vec<Tried> {
    let mut open: Vec<(Asking<'_>, Option<Tried>)> = asked.into_iter().map(|one| (one, None)).collect();
    poll_fn(|context| {
        let mut waits = false;
        for (answer, done) in open.iter_mut().filter(|(_, done)| done.is_none()) {
            match answer.as_mut().poll(context) {
                Poll::Ready(tried) => *done = Some(tried),
                Poll::Pending => waits = true,
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    open.into_iter().filter_map(|(_, done)| done).collect()
}
