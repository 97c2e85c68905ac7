//! The special rules of a plan for a key that several consumers share.

use std::path::Path;

use keyroll_config::{Config, Consumer, Roll};
use keyroll_fleet::place_digest_of;
use keyroll_host::place_digest;
use keyroll_rotation::{Aim, Kinds, Policy};

use crate::records::saved_plan::Family;
use crate::wiring::policy::paced;

/// A rotation that only revokes a key writes no copy, so no consumer can be seen to open one; it moves no consumer, so
/// nothing is paced; and the operator is asked each time.
pub(crate) fn policy_for(aim: Aim, policy: Policy) -> Policy {
    if aim.makes_new() {
        return policy;
    }
    let roll = Some(paced(&Roll::default()));
    Policy { require: policy.require.without(Kinds::READ), standing_consent: false, roll, ..policy }
}

/// The digests of the copies of consumers that open rotations give keys of their own. Each copy holds the shared key
/// until its own rotation writes it. Only a plan ignores these copies. A member may still roll back to the shared key,
/// so the revocation of the shared key waits for each of them, unless the operator waives the copy by name.
pub(crate) fn copies_apart(config: &Config, family: Option<&Family>) -> Vec<u64> {
    let Some(Family::Leaked { apart }) = family else { return Vec::new() };
    let consumers = apart.iter().filter_map(|it| config.secret(&it.secret).ok()?.consumer(&it.consumer));
    let places = consumers.flat_map(|it| it.reads.iter().map(move |copy| place(it, copy.place.path())));
    places.collect()
}

/// The digest of a place, as its host gives it. Where links lead on another host is not visible here.
fn place(consumer: &Consumer, path: &Path) -> u64 {
    match consumer.is_here {
        true => place_digest(&path.canonicalize().unwrap_or_else(|_| path.to_owned())),
        false => place_digest_of(consumer.host.as_str(), place_digest(path)),
    }
}
