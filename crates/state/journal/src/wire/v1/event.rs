use keyroll_rotation as own;
use keyroll_rotation::{ConsumerId, CredId, EndpointId, HostId};
use serde::{Deserialize, Serialize};

use super::evidence::{Enumeration, Incarnation, Proof};
use super::op::Op;
use super::plan::Consumer;
use super::words::{Answer, Emergency, Standing, Which};
use crate::wire::WireError;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Outcome {
    Done(Option<String>),
    Failed { retry: bool },
    Unknown,
    Refused(Vec<Difference>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    name: String,
    digest: u64,
}

impl From<&own::Difference> for Difference {
    fn from(difference: &own::Difference) -> Self {
        let own::Difference { name, digest } = difference;
        Self { name: name.to_string(), digest: *digest }
    }
}

impl From<Difference> for own::Difference {
    fn from(Difference { name, digest }: Difference) -> Self {
        Self { name: name.into(), digest }
    }
}

impl From<&own::Outcome> for Outcome {
    fn from(outcome: &own::Outcome) -> Self {
        match outcome {
            own::Outcome::Done(id) => Self::Done(id.as_ref().map(text)),
            own::Outcome::Failed { retry } => Self::Failed { retry: *retry },
            own::Outcome::Unknown => Self::Unknown,
            own::Outcome::Refused(all) => Self::Refused(all.iter().map(Difference::from).collect()),
        }
    }
}

impl From<Outcome> for own::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(id) => Self::Done(id.map(|id| CredId::new(&id))),
            Outcome::Failed { retry } => Self::Failed { retry },
            Outcome::Unknown => Self::Unknown,
            Outcome::Refused(all) => Self::Refused(all.into_iter().map(own::Difference::from).collect()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Found {
    Executed(Option<String>),
    ValueLost(String),
    Absent,
    Unclear,
    Foreign,
}

impl From<&own::Found> for Found {
    fn from(found: &own::Found) -> Self {
        match found {
            own::Found::Executed(id) => Self::Executed(id.as_ref().map(text)),
            own::Found::ValueLost(id) => Self::ValueLost(text(id)),
            own::Found::Absent => Self::Absent,
            own::Found::Unclear => Self::Unclear,
            own::Found::Foreign => Self::Foreign,
        }
    }
}

impl From<Found> for own::Found {
    fn from(found: Found) -> Self {
        match found {
            Found::Executed(id) => Self::Executed(id.map(|id| CredId::new(&id))),
            Found::ValueLost(id) => Self::ValueLost(CredId::new(&id)),
            Found::Absent => Self::Absent,
            Found::Unclear => Self::Unclear,
            Found::Foreign => Self::Foreign,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Labelled {
    intent: u64,
    credential: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreflightSeen {
    clear: bool,
    control: Answer,
    current: Answer,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Waived {
    Holder(Incarnation),
    Copy(u64),
    NotVisible(u16),
    BusySessions,
}

impl From<own::Waived> for Waived {
    fn from(waived: own::Waived) -> Self {
        match waived {
            own::Waived::Holder(who) => Self::Holder(who.into()),
            own::Waived::Copy(place) => Self::Copy(place),
            own::Waived::NotVisible(ConsumerId(consumer)) => Self::NotVisible(consumer),
            own::Waived::BusySessions => Self::BusySessions,
        }
    }
}

impl From<Waived> for own::Waived {
    fn from(waived: Waived) -> Self {
        match waived {
            Waived::Holder(who) => Self::Holder(who.into()),
            Waived::Copy(place) => Self::Copy(place),
            Waived::NotVisible(consumer) => Self::NotVisible(ConsumerId(consumer)),
            Waived::BusySessions => Self::BusySessions,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Adoptee {
    Holder(Incarnation),
    Copy(u64),
}

impl From<own::Adoptee> for Adoptee {
    fn from(adoptee: own::Adoptee) -> Self {
        match adoptee {
            own::Adoptee::Holder(who) => Self::Holder(who.into()),
            own::Adoptee::Copy(place) => Self::Copy(place),
        }
    }
}

impl From<Adoptee> for own::Adoptee {
    fn from(adoptee: Adoptee) -> Self {
        match adoptee {
            Adoptee::Holder(who) => Self::Holder(who.into()),
            Adoptee::Copy(place) => Self::Copy(place),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Fact {
    DriverStarted,
    Clock,
    Intended(Op),
    Ended { intent: u64, outcome: Outcome },
    Reconciled { intent: u64, found: Found },
    Preflight(PreflightSeen),
    StageChecked { intact: bool, carried: bool },
    Probed { endpoint: u16, version: Which, answer: Answer, control: Option<Answer> },
    Listed { complete: bool, labelled: Vec<Labelled>, old: Standing },
    Enumerated(Enumeration),
    Proved { consumer: u16, proofs: Vec<Proof>, trouble: bool },
    LastUsed(Option<u64>),
    Refusals { count: u32 },
    Swept { residues: u32 },
    Consented(u64),
    Decided(u64),
    Adopted { consumer: Consumer, files: Vec<u16>, explains: Adoptee, names: String },
    Waived(Waived),
    PauseAsked,
    Resumed,
    AbortAsked,
    Retried,
    Escalated { mode: Emergency, pending_compromised: bool },
    HandMinted(String),
    HandRevoked,
    Unanswered,
    Accepted(Difference),
}

impl From<&own::Fact> for Fact {
    fn from(fact: &own::Fact) -> Self {
        match fact {
            own::Fact::DriverStarted => Self::DriverStarted,
            own::Fact::Clock => Self::Clock,
            own::Fact::Intended(op) => Self::Intended(op.into()),
            own::Fact::Ended { intent, outcome } => Self::Ended { intent: *intent, outcome: outcome.into() },
            own::Fact::Reconciled { intent, found } => {
                Self::Reconciled { intent: *intent, found: found.into() }
            }
            own::Fact::Preflight(seen) => Self::Preflight(preflight(*seen)),
            own::Fact::StageChecked { intact, carried } => {
                Self::StageChecked { intact: *intact, carried: *carried }
            }
            own::Fact::Probed { endpoint, version, answer, control } => Self::Probed {
                endpoint: endpoint.0,
                version: (*version).into(),
                answer: (*answer).into(),
                control: control.map(Answer::from),
            },
            own::Fact::Listed { complete, labelled, old } => Self::Listed {
                complete: *complete,
                labelled: labelled.iter().map(label).collect(),
                old: (*old).into(),
            },
            own::Fact::Enumerated(seen) => Self::Enumerated(seen.into()),
            own::Fact::Proved { consumer, proofs, trouble } => Self::Proved {
                consumer: consumer.0,
                proofs: proofs.iter().copied().map(Proof::from).collect(),
                trouble: *trouble,
            },
            own::Fact::LastUsed(used) => Self::LastUsed(*used),
            own::Fact::Refusals { count } => Self::Refusals { count: *count },
            own::Fact::Swept { residues } => Self::Swept { residues: *residues },
            own::Fact::Consented(digest) => Self::Consented(*digest),
            own::Fact::Decided(digest) => Self::Decided(*digest),
            own::Fact::Adopted { consumer, files, explains, names } => Self::Adopted {
                consumer: consumer.into(),
                files: files.iter().map(|host| host.0).collect(),
                explains: (*explains).into(),
                names: names.to_string(),
            },
            own::Fact::Waived(waived) => Self::Waived((*waived).into()),
            own::Fact::Unanswered => Self::Unanswered,
            own::Fact::PauseAsked => Self::PauseAsked,
            own::Fact::Resumed => Self::Resumed,
            own::Fact::AbortAsked => Self::AbortAsked,
            own::Fact::Retried => Self::Retried,
            own::Fact::Escalated { mode, pending_compromised } => {
                Self::Escalated { mode: (*mode).into(), pending_compromised: *pending_compromised }
            }
            own::Fact::HandMinted(id) => Self::HandMinted(text(id)),
            own::Fact::HandRevoked => Self::HandRevoked,
            own::Fact::Accepted(difference) => Self::Accepted(difference.into()),
        }
    }
}

impl TryFrom<Fact> for own::Fact {
    type Error = WireError;

    fn try_from(fact: Fact) -> Result<Self, WireError> {
        Ok(match fact {
            Fact::DriverStarted => Self::DriverStarted,
            Fact::Clock => Self::Clock,
            Fact::Intended(op) => Self::Intended(op.into()),
            Fact::Ended { intent, outcome } => Self::Ended { intent, outcome: outcome.into() },
            Fact::Reconciled { intent, found } => Self::Reconciled { intent, found: found.into() },
            Fact::Preflight(PreflightSeen { clear, control, current }) => {
                Self::Preflight(own::PreflightSeen {
                    clear,
                    control: control.into(),
                    current: current.into(),
                })
            }
            Fact::StageChecked { intact, carried } => Self::StageChecked { intact, carried },
            Fact::Probed { endpoint, version, answer, control } => Self::Probed {
                endpoint: EndpointId(endpoint),
                version: version.into(),
                answer: answer.into(),
                control: control.map(own::Answer::from),
            },
            Fact::Listed { complete, labelled, old } => Self::Listed {
                complete,
                labelled: labelled.into_iter().map(own_label).collect(),
                old: old.into(),
            },
            Fact::Enumerated(seen) => Self::Enumerated(seen.into()),
            Fact::Proved { consumer, proofs, trouble } => {
                let proofs = proofs.into_iter().map(own::Proof::try_from).collect::<Result<_, _>>()?;
                Self::Proved { consumer: ConsumerId(consumer), proofs, trouble }
            }
            Fact::LastUsed(used) => Self::LastUsed(used),
            Fact::Refusals { count } => Self::Refusals { count },
            Fact::Swept { residues } => Self::Swept { residues },
            Fact::Consented(digest) => Self::Consented(digest),
            Fact::Decided(digest) => Self::Decided(digest),
            Fact::Adopted { consumer, files, explains, names } => Self::Adopted {
                consumer: consumer.into(),
                files: files.into_iter().map(HostId).collect(),
                explains: explains.into(),
                names: names.into(),
            },
            Fact::Waived(waived) => Self::Waived(waived.into()),
            Fact::Unanswered => Self::Unanswered,
            Fact::PauseAsked => Self::PauseAsked,
            Fact::Resumed => Self::Resumed,
            Fact::AbortAsked => Self::AbortAsked,
            Fact::Retried => Self::Retried,
            Fact::Escalated { mode, pending_compromised } => {
                Self::Escalated { mode: mode.into(), pending_compromised }
            }
            Fact::HandMinted(id) => Self::HandMinted(CredId::new(&id)),
            Fact::HandRevoked => Self::HandRevoked,
            Fact::Accepted(difference) => Self::Accepted(difference.into()),
        })
    }
}

fn preflight(seen: own::PreflightSeen) -> PreflightSeen {
    let own::PreflightSeen { clear, control, current } = seen;
    PreflightSeen { clear, control: control.into(), current: current.into() }
}

fn label(labelled: &own::Labelled) -> Labelled {
    let own::Labelled { intent, credential } = labelled;
    Labelled { intent: *intent, credential: text(credential) }
}

fn own_label(labelled: Labelled) -> own::Labelled {
    own::Labelled { intent: labelled.intent, credential: CredId::new(&labelled.credential) }
}

fn text(id: &CredId) -> String {
    id.as_str().to_owned()
}
