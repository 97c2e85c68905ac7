//! What differs in a plan for a key that several consumers share.

use std::path::Path;

use keyroll_config::Config;
use keyroll_host::place_digest;
use keyroll_rotation::{Aim, Kinds, Policy};

use crate::records::saved_plan::Family;

/// Where a key is only ended nothing is written whose opening could be seen, and a person is asked each time.
pub(crate) fn policy_for(aim: Aim, policy: Policy) -> Policy {
    if aim.makes_new() {
        return policy;
    }
    Policy { require: policy.require.without(Kinds::READ), standing_consent: false, ..policy }
}

/// The digests of the copies whose consumers open rotations give a key of their own: each holds the shared one until it
/// is moved by its own. Only a plan looks past them: a member may yet go back to the shared key, so that its end waits for
/// each of them, unless a person waives it by name.
pub(crate) fn copies_apart(config: &Config, family: Option<&Family>) -> Vec<u64> {
    let Some(Family::Leaked { apart }) = family else { return Vec::new() };
    let consumers = apart.iter().filter_map(|it| config.secret(&it.secret).ok()?.consumer(&it.consumer));
    consumers.flat_map(|it| &it.reads).map(|copy| place(copy.place.path())).collect()
}

fn place(path: &Path) -> u64 {
    place_digest(&path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}
