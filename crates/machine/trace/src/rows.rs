use std::collections::BTreeSet;

use keyroll_observe::ProcessId;

use crate::{Chain, Held, Survey, SurveyedSecret, User, ValueId, Verdict, verdict};

/// One instance and one name under which it takes a secret.
#[derive(Debug, Clone)]
pub struct Row<'s> {
    /// The user of the instance.
    pub user: &'s User,
    /// The process.
    pub process: ProcessId,
    /// The sources of a new start, if they are known.
    pub chain: Option<&'s Chain>,
    /// The evidence about this secret's values.
    pub held: Held,
    /// The version that it uses.
    pub verdict: Verdict,
}

/// Every instance that uses a secret, with the evidence about it.
pub fn rows<'s>(survey: &'s Survey, found: &'s SurveyedSecret) -> Vec<Row<'s>> {
    let mut all = Vec::new();
    let versions: BTreeSet<ValueId> = found.values.iter().copied().collect();
    for user in &found.users {
        let chains = chains_of(survey, found, user);
        for process in &user.processes {
            // A process that has ended meanwhile is not an instance.
            let Some(held) = survey.held(process, &versions) else { continue };
            if chains.is_empty() {
                let verdict = verdict(None, &held);
                all.push(Row { user, process: *process, chain: None, held, verdict });
                continue;
            }
            all.extend(chains.iter().filter_map(|chain| {
                let held = survey.held_by_chain(process, &versions, chain)?;
                let verdict = verdict(chain.next(), &held);
                let verdict = survey.graded(process, Some(chain), &held, verdict);
                Some(Row { user, process: *process, chain: Some(chain), held, verdict })
            }));
        }
    }
    all
}

/// The chains of a user that take this secret.
pub fn chains_of<'s>(survey: &'s Survey, found: &SurveyedSecret, user: &User) -> Vec<&'s Chain> {
    let service = user.service.and_then(|at| survey.services.get(at));
    service.into_iter().flat_map(|service| &service.chains).filter(|chain| found.is_taken_by(chain)).collect()
}
