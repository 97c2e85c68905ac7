use std::collections::BTreeSet;

use keyroll_observe::ProcessId;

use crate::{Chain, Found, Held, Survey, User, ValueId, Verdict, verdict};

/// One instance and one name under which it takes a secret.
#[derive(Debug, Clone)]
pub struct Row<'s> {
    /// Whose instance it is.
    pub user: &'s User,
    /// Which process.
    pub process: ProcessId,
    /// Where a new start would take it from, if that is known.
    pub chain: Option<&'s Chain>,
    /// What it was seen to hold of this secret's values.
    pub held: Held,
    /// What it runs on.
    pub verdict: Verdict,
}

/// Every instance that uses a secret, with what is known of it.
pub fn rows<'s>(survey: &'s Survey, found: &'s Found) -> Vec<Row<'s>> {
    let mut all = Vec::new();
    let versions: BTreeSet<ValueId> = found.values.iter().copied().collect();
    for user in &found.users {
        let chains = chains_of(survey, found, user);
        for process in &user.processes {
            // A process that has ended since is no instance.
            let Some(held) = survey.held(process, &versions) else { continue };
            if chains.is_empty() {
                let verdict = verdict(None, &held);
                all.push(Row { user, process: *process, chain: None, held, verdict });
                continue;
            }
            all.extend(chains.iter().filter_map(|chain| {
                let held = survey.held_by_chain(process, &versions, chain)?;
                let verdict = verdict(chain.next(), &held);
                Some(Row { user, process: *process, chain: Some(chain), held, verdict })
            }));
        }
    }
    all
}

/// The chains of a user that take this secret.
pub fn chains_of<'s>(survey: &'s Survey, found: &Found, user: &User) -> Vec<&'s Chain> {
    let service = user.service.and_then(|at| survey.services.get(at));
    service.into_iter().flat_map(|service| &service.chains).filter(|chain| found.is_taken_by(chain)).collect()
}
