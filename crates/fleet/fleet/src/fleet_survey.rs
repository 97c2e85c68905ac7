use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use keyroll_port::{CopySeen, Failure, PendingChanges, Survey, Surveying, Surveyor, Values};
use keyroll_rotation::Which;

use crate::concurrent::all;
use crate::fleet::Fleet;
use crate::looked::{Part, join};
use crate::member::Member;

/// The version that stays during a survey.
const STAYS: Which = Which::New;

#[async_trait]
impl Surveyor for Fleet {
    /// A member that cannot be surveyed fails the survey, because a plan depends on all of them; unless it was waived, or
    /// nothing waits for hosts that are away, see [`Fleet::that_waits_for_none`].
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        let sent = self.sent(of.sessions, STAYS);
        let asked = sent
            .iter()
            .map(|(member, sent)| {
                (*member, member.machine.survey(Surveying { sessions: &sent.sessions, ..of }))
            })
            .collect();
        let (mut parts, mut holders, mut live) = (Vec::new(), Vec::new(), PendingChanges::default());
        let mut other_networks = BTreeSet::new();
        let (mut linked, mut checks, mut programs) = (Vec::new(), Vec::new(), Vec::new());
        for ((member, answer), (_, sent)) in all(asked).await.into_iter().zip(&sent) {
            let own = match answer.and_then(|own| in_plan(member, own)) {
                Ok(own) => own,
                Err(failure) if self.may_miss(member, &failure) => {
                    parts.push(Part { member, sent, looked: Err(failure) });
                    continue;
                }
                Err(failure) => return Err(member.named(failure)),
            };
            parts.push(Part { member, sent, looked: Ok(own.looked) });
            holders.extend(own.holders);
            add(&mut live, own.live);
            other_networks.extend(own.other_networks);
            linked.extend(own.linked);
            checks.extend(own.checks);
            programs.extend(own.programs);
        }
        let looked = join(of.sessions.of(STAYS.other()), parts)?;
        Ok(Survey { looked, holders, live, other_networks, linked, checks, programs })
    }

    async fn copies(&self, values: Values<'_>) -> Vec<CopySeen> {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.copies(values))).collect();
        let answers = all(asked).await.into_iter().flat_map(|(member, own)| member.copies(own));
        // In the order of the plan's numbers.
        answers.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    async fn live(&self) -> PendingChanges {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.live())).collect();
        let mut joined = PendingChanges::default();
        for (member, own) in all(asked).await {
            add(&mut joined, member.pending(own));
        }
        joined
    }
}

/// What the survey of one member found, in the plan's numbers.
fn in_plan(member: &Member, own: Survey) -> Result<Survey, Failure> {
    let Survey { looked, holders, live, other_networks, linked, checks, programs } = own;
    let program = |(consumer, program)| -> Result<_, Failure> { Ok((member.consumer(consumer)?, program)) };
    Ok(Survey {
        looked: member.looked(looked)?,
        holders: holders.into_iter().map(|holder| member.holder(holder)).collect(),
        live: member.pending(live),
        other_networks,
        linked: member.lines(linked),
        checks: member.all_named(checks),
        programs: programs.into_iter().map(program).collect::<Result<_, _>>()?,
    })
}

/// Adds the pending changes of one member.
fn add(joined: &mut PendingChanges, own: PendingChanges) {
    joined.live.extend(own.live);
    joined.not_visible.extend(own.not_visible);
}
