//! Which value the pods have: `keyroll trace` in a process of its own, when something has changed among the pods. The Secrets
//! are looked at then, too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_controller::{Pods, SecretRotation};
use serde::Deserialize;

use super::followed::Followed;
use super::held;
use super::seen::Looked;
use crate::api::child::said_within;
use crate::seen::Told;
use crate::server::Server;
use crate::stop::stopped;

/// How often the pods of a namespace are looked at, where something changes all the time.
const PAUSE: Duration = Duration::from_secs(30);
/// How many times as long as a look takes the pause after it is at least.
const SHARE: u32 = 20;
/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(180);
/// How long after a change a look begins: a roll-out is many changes.
const SETTLE: Duration = Duration::from_secs(3);
/// A look without a change: the cache of a node makes a pod *current* by time alone.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Instance {
        used_by: String,
        verdict: String,
    },
    Error(Told),
    #[serde(other)]
    Other,
}

fn counted(said: Vec<Line>) -> Looked {
    let mut all: BTreeMap<String, Pods> = BTreeMap::new();
    for line in said {
        match line {
            Line::Error(told) => return Err(told.sentence()),
            Line::Instance { used_by, verdict } => {
                let pods = all.entry(used_by).or_default();
                pods.total += 1;
                match verdict.as_str() {
                    "current" => pods.current += 1,
                    "stale" | "likely stale" | "mixed" => pods.stale += 1,
                    _ => pods.unknown += 1,
                }
            }
            Line::Other => {}
        }
    }
    Ok(all)
}

/// Looks at the pods of a host's objects whenever they change, for as long as the server runs.
pub(super) async fn keep(
    server: Arc<Server>,
    followed: Arc<Followed>,
    host: String,
    mut stop: tokio::sync::watch::Receiver<bool>,
) {
    let changed = followed.pods.changed(&host);
    loop {
        let began = Instant::now();
        for object in followed.known.all().into_iter().filter(|object| object.id.host == host) {
            tokio::select! {
                () = look(&server, &followed, &object) => {}
                () = stopped(&mut stop) => return,
            }
        }
        let pause = began.elapsed().saturating_mul(SHARE).max(PAUSE);
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = changed.notified() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(IDLE) => {}
        }
    }
}

async fn look(server: &Arc<Server>, followed: &Followed, object: &SecretRotation) {
    let secret = object.secret();
    let words = ["trace", secret.as_str(), "--host", object.id.host.as_str()];
    let said = said_within::<Line, _>(server, "the look", &words, LOOK_MAX, ()).await;
    followed.pods.put(&object.id, said.and_then(|(said, _)| counted(said)));
    held::look(server, followed, object).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Looked {
        counted(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn containers_are_counted_by_workload_and_verdict() {
        let instance = |of: &str, verdict: &str| {
            format!(
                r#"{{"at":"T","host":"shop","type":"instance","secret":"s","used_by":"{of}","verdict":"{verdict}"}}"#
            )
        };
        let all = [
            instance("deployment/agent", "current"),
            instance("deployment/agent", "likely stale"),
            instance("deployment/agent", "unknown"),
            instance("deployment/agent", "what a later version says"),
            instance("cronjob/mail", "stale"),
        ];
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let looked = said(&all).unwrap();
        assert_eq!(looked["deployment/agent"], Pods { total: 4, current: 1, stale: 1, unknown: 2 });
        assert_eq!(looked["cronjob/mail"], Pods { total: 1, current: 0, stale: 1, unknown: 0 });
        let error =
            r#"{"type":"error","attempted":"look","code":"K0965","causes":["away"],"help":null,"exit":1}"#;
        assert_eq!(said(&[all[0], error]), Err("could not look: away".to_owned()));
    }
}
