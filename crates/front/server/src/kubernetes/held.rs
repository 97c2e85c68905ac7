//! What the Secrets of each object hold. keyroll may read them by their names, and watch none: so they are read when the pods
//! are looked at, with one request for each key, and never written here.

use std::sync::Arc;
use std::time::Duration;

use keyroll_app::problem::Problem;
use keyroll_app::reports::cluster_copies::{
    ComparedCopies, ComparedCopy, CopyHolds, TakeOver as Taken, cluster_copies, compare_cluster_copies,
    read_cluster_copies,
};
use keyroll_controller::{Held, HeldKey, Holds, SecretRotation, TakeOver};
use keyroll_kube::Cluster;

use super::contents::Contained;
use super::facts::Facts;
use super::followed::Followed;
use crate::server::Server;

/// How long the Secrets of one object may take.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What the Secrets of an object were seen to hold. What was seen before or in a rotation does not count after it: then, and for
/// a version that nobody has looked for yet, the next look is asked for.
pub(super) fn last(followed: &Followed, object: &SecretRotation, facts: &Facts) -> Option<Contained> {
    if facts.open.is_some() {
        followed.contents.forget(&object.id);
        return None;
    }
    let last = followed.contents.last(&object.id);
    let is_seen = |version: u32| match &last {
        Some(Ok(held)) => held.version == version,
        Some(Err(_)) => true,
        None => false,
    };
    if facts.value.as_ref().is_some_and(|value| !is_seen(value.version)) {
        followed.pods.changed(&object.id.host).notify_one();
    }
    last
}

/// Looks at the Secrets of an object.
pub(super) async fn look(server: &Arc<Server>, followed: &Followed, object: &SecretRotation) {
    let Some(cluster) = followed.clusters.get(&object.id.host) else { return };
    let begun = followed.contents.begin(&object.id);
    let looked = match tokio::time::timeout(LOOK_MAX, compared(server, cluster, object)).await {
        Ok(Ok(compared)) => compared.map(|compared| Ok(held(compared))),
        Ok(Err(problem)) => Some(Err(problem.sentence())),
        Err(_) => Some(Err(format!("it took more than {} s", LOOK_MAX.as_secs()))),
    };
    followed.contents.put(&object.id, begun, looked);
}

/// Whether a rotation is open is asked before and after the Secrets are read: it may write them in between.
async fn compared(
    server: &Server,
    cluster: &Cluster,
    object: &SecretRotation,
) -> Result<Option<ComparedCopies>, Problem> {
    let (name, host) = (object.secret(), object.id.host.clone());
    let copies = server.blocking(move |installation| cluster_copies(&name, &host, installation)).await?;
    let Some(copies) = copies else { return Ok(None) };
    let read = read_cluster_copies(copies, cluster).await;
    let name = object.secret();
    server.blocking(move |installation| compare_cluster_copies(&name, read, installation)).await
}

fn held(ComparedCopies { current, copies, take_over }: ComparedCopies) -> Held {
    let holds = |holds: CopyHolds| match holds {
        CopyHolds::Current => Holds::Current,
        CopyHolds::Version(number, label) => Holds::Version(number, label.to_owned()),
        CopyHolds::Other => Holds::Other,
        CopyHolds::Absent => Holds::Absent,
        CopyHolds::NotVisible(why) => Holds::NotVisible(why),
    };
    let key = |one: ComparedCopy| HeldKey { secret: one.secret, key: one.key, holds: holds(one.holds) };
    Held {
        version: current,
        keys: copies.into_iter().map(key).collect(),
        take_over: match take_over {
            Taken::AsFirst(command) => TakeOver::AsFirst(command),
            Taken::FromStore => TakeOver::FromStore,
            Taken::Never => TakeOver::Never,
        },
    }
}
