//! What is other in a plan about a key that several consumers share.

use std::sync::Arc;

use keyroll_host::{LiveReport, Local};
use keyroll_port::{Holder, Host as _, Looked, Store};
use keyroll_rotation::{Aim, Kinds, Policy};

use super::Subject;
use crate::problem::Problem;
use crate::records::saved::Family;
use crate::wiring::family;
use crate::wiring::open::store;

/// What the old version is read from: where a consumer of a shared key gets one of its own, the shared secret.
pub(super) fn old_store(subject: &Subject<'_>) -> Result<Arc<dyn Store>, Problem> {
    match subject.family {
        Some(family @ Family::Member { .. }) => family::member(subject.places, subject.secret, family),
        Some(Family::End { .. }) | None => Ok(store(subject.places)?),
    }
}

/// Where a key is only ended nothing is written whose opening could be seen, and a person is asked each time.
pub(super) fn policy_for(aim: Aim, policy: Policy) -> Policy {
    if aim.makes_new() {
        return policy;
    }
    Policy { require: policy.require.without(Kinds::READ), standing_consent: false, ..policy }
}

/// What restarts would make live; where a key is only ended nothing is restarted.
pub(super) fn live_now(host: &Local, aim: Aim) -> LiveReport {
    if aim.makes_new() { host.live_now() } else { LiveReport::default() }
}

/// Running holders that nobody explains.
pub(super) async fn holders(host: &Local, looked: &Looked) -> Vec<Holder> {
    let mut holders = Vec::new();
    for instance in looked.enumeration.instances.iter().filter(|instance| instance.consumer.is_none()) {
        holders.extend(host.describe(instance.who).await);
    }
    holders
}
