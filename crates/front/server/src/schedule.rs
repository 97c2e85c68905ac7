//! Begins what is due: the server's part of the schedule. What is due, and what may begin without an operator, the
//! command `keyroll due` decides from the same table; here stands only when it is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyroll_app::exit::Exit;
use keyroll_app::operator::DueShown;
use keyroll_app::places::Asker;
use keyroll_app::records::acts::Act;
use keyroll_app::records::open_rotation_guard::driver;
use keyroll_app::reports::due::{Turn, could_not_begin, has_begun, turns};

use crate::drives::{Drive, Errand};
use crate::seen::Seen;
use crate::server::Server;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long after one driver the next one of the same secret begins at the earliest.
const AGAIN: Duration = Duration::from_secs(60);
/// How a driver ends that another process was in the way of, or that was asked to stop.
const KEPT_FROM: [Exit; 2] = [Exit::Held, Exit::Interrupted];

/// Begins what is due, for as long as the server runs and its configuration says so.
pub(crate) async fn keep(server: Arc<Server>) {
    let (mut said, mut begun) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let now = match look(&server, &mut begun).await {
            Ok(held) => held,
            Err(why) => BTreeMap::from([("the schedule".to_owned(), why)]),
        };
        for (what, why) in now.iter().filter(|(what, why)| said.get(*what) != Some(*why)) {
            server.log(&format!("{what}: {why}"));
        }
        said = now;
        tokio::time::sleep(LOOK).await;
    }
}

/// Begins what may begin; returns what is due and held back, and why.
async fn look(
    server: &Arc<Server>,
    begun: &mut BTreeMap<String, Instant>,
) -> Result<BTreeMap<String, String>, String> {
    let all = server.blocking(|installation| {
        let config = installation.config()?;
        let places = installation.places()?;
        // An operator who drives a rotation is not disturbed, nor one of this server's.
        if !config.server.as_ref().is_some_and(|server| server.rotates_due) || driver(&places).is_some() {
            return Ok(None);
        }
        turns(&config, &places).map(Some)
    });
    let mut held = BTreeMap::new();
    let Some(all) = all.await.map_err(|problem| problem.sentence())? else { return Ok(held) };
    for Turn { row, held_back } in all {
        let _one = server.deciding.lock().await;
        if let Some(why) = held_back {
            held.insert(row.secret, format!("it is due, and held back: {why}"));
            continue;
        }
        let lately = begun.get(&row.secret).is_some_and(|at| at.elapsed() < AGAIN);
        // One at a time: an emergency waits for the driver that runs, and not for a queue.
        if lately || server.drives.is_driven(&row.secret) || server.drives.has_quiet() {
            continue;
        }
        server.log(&match &row.open {
            Some(id) => format!("{}: its rotation {id} goes on, as the schedule says", row.secret),
            None => format!("{}: it is due, and its rotation begins", row.secret),
        });
        begun.insert(row.secret.clone(), Instant::now());
        let asker = Asker { by: "schedule".to_owned(), id: None };
        let (secret, about) = (Some(row.secret.clone()), row.open.clone());
        let act = Act { secret, about, ..asker.clone().asks("due --apply") };
        server.record(act).await.map_err(|problem| format!("{}: {}", row.secret, problem.sentence()))?;
        let drive = server
            .drives
            .begin(&row.secret, Errand::Due(None), asker)
            .map_err(|error| format!("{}: could not write down what is begun: {error}", row.secret))?;
        tokio::spawn(follow(server.clone(), row, drive));
    }
    Ok(held)
}

/// Waits for the end of the driver, and writes down what it failed at.
async fn follow(server: Arc<Server>, row: DueShown, drive: Arc<Drive>) {
    let mut seen = drive.seen.clone();
    if seen.wait_for(|seen| seen.ended || seen.rotation.is_some()).await.is_ok_and(|seen| !seen.ended) {
        let secret = row.secret.clone();
        let forgotten = server.blocking(move |installation| has_begun(&secret, &installation.places()?));
        if let Err(problem) = forgotten.await {
            server.log(&format!("{}: {}", row.secret, problem.sentence()));
        }
    }
    let Ok(ended) = seen.wait_for(|seen| seen.ended).await.map(|seen| seen.clone()) else { return };
    let Some((why, next)) = failure(&ended) else { return };
    let (secret, log) = (row.secret.clone(), server.clone());
    let written = server
        .blocking(move |installation| could_not_begin(&row, &why, next.as_deref(), &installation.places()?));
    if let Err(problem) = written.await {
        log.log(&format!("{secret}: {}", problem.sentence()));
    }
}

/// Why the driver ended without a result; none if it was kept from its work: by another process, a stop of the server, or
/// an emergency.
fn failure(ended: &Seen) -> Option<(String, Option<String>)> {
    match (&ended.problem, &ended.result) {
        _ if ended.kept_from => None,
        (Some(told), _) if KEPT_FROM.map(Exit::number).contains(&told.exit) => None,
        (Some(told), _) => Some((told.sentence(), told.help.clone())),
        (None, None) if ended.failed => {
            let next = ended.rotation.as_ref().map(|id| format!("keyroll status {id}"));
            Some(("its driver was killed, or could not be started".to_owned(), next))
        }
        // What it waits for stands in the journal; without a rotation it was not due any more.
        (None, Some(_) | None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_driver_met_itself_is_a_failure() {
        let told = |exit: u8| {
            let told = format!(
                r#"{{"attempted":"plan","code":"K0834","causes":["no key"],"help":"add it","exit":{exit}}}"#
            );
            Seen { problem: Some(serde_json::from_str(&told).unwrap()), failed: true, ..Seen::ended() }
        };
        assert_eq!(failure(&told(1)), Some(("could not plan: no key".to_owned(), Some("add it".to_owned()))));
        assert_eq!([failure(&told(7)), failure(&told(130))], [None, None]);
        assert_eq!(failure(&Seen { kept_from: true, ..told(1) }), None);
        let killed = Seen { failed: true, ..Seen::ended() };
        assert!(failure(&killed).unwrap().0.contains("was killed"));
        assert_eq!(failure(&Seen { kept_from: true, ..killed.clone() }), None);
        assert_eq!(failure(&Seen { result: Some("paused".to_owned()), ..killed }), None);
        assert_eq!(failure(&Seen::ended()), None, "it was not due any more");
    }
}
