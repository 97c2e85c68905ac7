//! Each object, again and again: what counts of it, what it asks for, and how it stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyroll_app::problem::Problem;
use keyroll_controller::{Accepted, Id, SecretRotation, Shown, Standing, is_same, news, show, status, tell};
use tokio::sync::watch;

use super::facts::{self, Facts, facts};
use super::followed::Followed;
use super::written::{Written, write};
use super::{acts, first_value, held, pods};
use crate::server::Server;
use crate::stop::stopped;

/// How long after a change all are looked at.
const SETTLE: Duration = Duration::from_millis(200);
/// How often every object is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Goes by the objects, for as long as the server runs.
pub(crate) async fn keep(server: Arc<Server>, followed: Arc<Followed>, mut stop: watch::Receiver<bool>) {
    for host in followed.clusters.keys() {
        tokio::spawn(pods::keep(server.clone(), followed.clone(), host.clone(), stop.clone()));
    }
    let mut said = BTreeMap::new();
    loop {
        let mut now = followed.known.troubles();
        if let Err(problem) = look(&server, &followed, &mut now).await {
            now.insert("the SecretRotation objects".to_owned(), problem.sentence());
        }
        for (what, why) in now.iter().filter(|(what, why)| said.get(*what) != Some(*why)) {
            server.log(&format!("{what}: {why}"));
        }
        said = now;
        tokio::select! {
            () = stopped(&mut stop) => return,
            // Several changes in a moment are one look.
            () = followed.known.changed() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// One look at all objects. What concerns one object alone is said of it, and holds up no other.
async fn look(
    server: &Arc<Server>,
    followed: &Arc<Followed>,
    said: &mut BTreeMap<String, String>,
) -> Result<(), Problem> {
    drop_deleted(followed);
    let its = followed.clone();
    let Written { objects, each, stale } =
        server.blocking(move |installation| write(&its, installation)).await?;
    if let Some(why) = &stale {
        said.insert("the base file".to_owned(), why.clone());
    }
    let upkeep = server.upkeep().await?;
    let (objects, mut all) = server
        .blocking(move |installation| {
            let all = facts(&objects, &upkeep, installation)?;
            Ok((objects, all))
        })
        .await?;
    for object in objects {
        let accepted =
            each.get(&object.id).cloned().unwrap_or_else(|| Accepted::No("it was not read".to_owned()));
        let id = object.id.to_string();
        let done = match all.remove(&object.secret()) {
            Some(Ok(facts)) => {
                one(server, followed, object, Counted { accepted, base: stale.clone(), facts }).await
            }
            Some(Err(problem)) => Err(problem),
            None => Ok(()),
        };
        if let Err(problem) = done {
            said.insert(id, problem.sentence());
        }
    }
    Ok(())
}

/// Nothing stays in memory of an object that was deleted. One that is not seen now is not deleted.
fn drop_deleted(followed: &Followed) {
    let may_exist = |id: &Id| followed.known.may_exist(&id.host, &id.name);
    followed.contents.keep(may_exist);
    followed.pods.keep(may_exist);
}

/// What counts of one object, and how its secret stands.
struct Counted {
    accepted: Accepted,
    /// Why the base file does not count as it is now.
    base: Option<String>,
    facts: Facts,
}

async fn one(
    server: &Arc<Server>,
    followed: &Followed,
    object: SecretRotation,
    Counted { accepted, base, mut facts }: Counted,
) -> Result<(), Problem> {
    let Some(cluster) = followed.clusters.get(&object.id.host) else { return Ok(()) };
    let secret = object.secret();
    if let Some(open) = facts.open.as_mut().filter(|open| !open.shown.driven && !open.needs_person())
        && server.drives.any(&secret).is_none()
    {
        // Its driver has ended, and nobody starts another one. The status says how it goes on.
        let refused = server.drives.refusals.of(&open.shown.id);
        let why = refused.map(|refused| refused.told.sentence());
        open.held = Some(why.unwrap_or_else(|| "no process drives it".to_owned()));
    }
    let (asked, apply) = acts::answer(server, followed, &object, &facts).await;
    let lost = facts.lost.clone().filter(|lost| asked.forget.as_ref() != Some(lost));
    let value = match &facts.value {
        Some(value) => Ok(value.clone()),
        None if matches!(accepted, Accepted::No(_)) => Err("its `spec` cannot be used".to_owned()),
        // What was lost may be between two keys: first a person looks.
        None if lost.is_some() => Err("the state folder that had its value is lost".to_owned()),
        None if facts.open.is_some() => {
            Err("a rotation is open, and the store does not have its value".to_owned())
        }
        None => Err(first_value::why_not(server, followed, &object)),
    };
    let standing = Standing {
        now: facts::now(),
        accepted,
        consumers: facts.consumers.clone(),
        value,
        open: facts.open.clone(),
        // One that was forgotten is not asked for again.
        last: facts.last.clone().filter(|last| lost.is_some() || Some(&last.id) != facts.lost.as_ref()),
        pods: followed.pods.last(&object.id),
        held: held::last(followed, &object, &facts),
        lost,
        queued: acts::queued(server, followed, &object, &facts).filter(|_| apply.is_none()),
        base,
        asked,
        pod: followed.pod.clone(),
    };
    let new = status(&object, &standing);
    let mut object = object;
    if !is_same(&object.status, &new) {
        let news = news(&object.status, &new);
        let now = match show(cluster, &object, &new).await? {
            Shown::Done(now) => *now,
            // The next look has the newer one; no plan was applied by this one.
            Shown::Overtaken | Shown::Gone => return Ok(()),
        };
        followed.known.put(&object, now.clone());
        object = now;
        if let Err(failure) = tell(cluster, &object, &news).await {
            server.log(&format!("{}: {}", object.id, Problem::from(failure).sentence()));
        }
    }
    // Only what the cluster has kept is done: an older definition of the kind would drop it.
    if let Some(plan) = apply.filter(|plan| object.status.asked.plan.as_ref() == Some(plan))
        && let Some(why) = acts::apply(server, followed, &object, &plan).await
    {
        server.log(&format!("{secret}: {why}"));
    }
    Ok(())
}
