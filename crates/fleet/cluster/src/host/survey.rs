//! The questions about a namespace before a rotation is open.
//!
//! What cannot work is refused here, before anything is made.

mod fit;
mod pending;
mod rights;
mod workload;

use std::collections::BTreeSet;
use std::path::PathBuf;

use keyroll_codes::Code;
use keyroll_port::{
    Class, CopySeen, Failure, Holder, Looked, PendingChange, PendingChanges, Survey, Surveying, Values,
};
use keyroll_rotation::{Holds, Which};

use super::ClusterHost;
use super::own::{Own, Purpose};
use super::seen::Seen;
use super::setup::{KeySetup, PodsSetup};

impl ClusterHost {
    /// Everything that a plan depends on.
    pub(super) async fn survey_namespace(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        let seen = self.see().await?;
        let linked = self.refuse_without_rights(&seen.namespace).await?;
        self.refuse_unfit(&seen).await?;
        self.refuse_wrong_contents(&seen, &of)?;
        let looked = self.looked(&seen, of.values, of.sessions, Which::New)?;
        let holders = self.undeclared(&looked);
        let live = if of.restarts { self.all_pending(&seen).await } else { PendingChanges::default() };
        // keyroll makes no call from a cluster: the check of a consumer shows whether its pods reach the issuer.
        let other_networks = BTreeSet::new();
        Ok(Survey { looked, holders, live, other_networks, linked, checks: Vec::new(), programs: Vec::new() })
    }

    /// What each key of the plan holds now.
    pub(super) async fn copies_seen(&self, values: Values<'_>) -> Vec<CopySeen> {
        let seen = self.see().await.ok();
        let copy = |key: &KeySetup| {
            let holds =
                seen.as_ref().map_or(Holds::Unreadable, |seen| self.content(key, seen, values, Which::New));
            CopySeen { path: path(key), holds, unclear: None }
        };
        self.setup.keys.iter().map(copy).collect()
    }

    /// What roll-outs of all consumers would make live now.
    pub(super) async fn pending_changes(&self) -> PendingChanges {
        match self.see().await {
            Ok(seen) => self.all_pending(&seen).await,
            Err(failure) => PendingChanges {
                live: Vec::new(),
                not_visible: vec![format!("what a roll-out would make live: {failure}")],
            },
        }
    }

    /// What a roll-out of one consumer would make live now, and the look at it, if it was looked at by itself.
    pub(super) async fn pending_of(
        &self,
        pods: &PodsSetup,
    ) -> Result<(Vec<PendingChange>, Option<Own>), Failure> {
        if let Some(own) = self.see_own(pods, Purpose::Changes).await? {
            return Ok((self.pending_own(&own, pods).await?, Some(own)));
        }
        let seen = self.see().await?;
        Ok((self.pending_in(&seen, pods).await?, None))
    }

    /// The same of all consumers, each change once.
    async fn all_pending(&self, seen: &Seen) -> PendingChanges {
        let mut all = PendingChanges::default();
        for pods in &self.setup.consumers {
            match self.pending_in(seen, pods).await {
                Ok(live) => {
                    let is_new = |one: &PendingChange| !all.live.contains(one);
                    let live: Vec<PendingChange> = live.into_iter().filter(is_new).collect();
                    all.live.extend(live);
                }
                Err(failure) => {
                    let what = format!("what a roll-out of '{}' would make live: {failure}", pods.name);
                    all.not_visible.push(what);
                }
            }
        }
        all
    }

    /// The containers that nobody declared.
    fn undeclared(&self, looked: &Looked) -> Vec<Holder> {
        let memo = self.memo();
        let all = looked.enumeration.instances.iter().filter(|one| one.consumer.is_none());
        all.filter_map(|one| memo.described.get(&one.who).cloned()).collect()
    }

    /// Refuses a key that does not hold what the rotation begins with.
    fn refuse_wrong_contents(&self, seen: &Seen, of: &Surveying<'_>) -> Result<(), Failure> {
        for key in &self.setup.keys {
            let why = match self.content(key, seen, of.values, Which::New) {
                holds if holds == of.begins_on => continue,
                Holds::Unreadable => "it cannot be read",
                Holds::Old if of.begins_on == Holds::New => "it holds the shared key again",
                Holds::Old | Holds::New | Holds::Other => "it holds something else",
            };
            let attempted = format!("find the current value in {}", key.shown());
            return Err(Failure::new(Class::Permanent, Code::CopyDiffers, attempted)
                .because(why)
                .help("correct `reads` in the configuration, or write the current value there"));
        }
        Ok(())
    }
}

/// The path of a key, as the configuration has it.
fn path(key: &KeySetup) -> PathBuf {
    let of = key.versioned.as_ref().map(|(kind, name)| format!("{}/{name}/", kind.word()));
    PathBuf::from(format!("{}secret/{}/{}", of.unwrap_or_default(), key.secret, key.key))
}

/// A refusal: the configuration and the namespace do not fit together.
fn unfit(code: Code, what: String, why: impl Into<String>) -> Failure {
    Failure::new(Class::Permanent, code, what).because(why.into())
}

#[cfg(test)]
mod tests;
