//! Carries out one order on this machine.

use keyroll_host::Local;
use keyroll_link::{
    DifferenceForm, FailureForm, HolderForm, HoldsForm, LookedForm, Order, PendingChangeForm, PendingForm,
    ProvedForm, ProvingOrder, ReconciledForm, Reply, SearchFor, SearchOrder, SessionsForm, SurveyForm,
    SurveyOrder, SweptForm,
};
use keyroll_needle::FingerprintSet;
use keyroll_observe::stated_outside;
use keyroll_port::{
    AllowedChanges, Applied, Asked, Failure, Host as _, Prepared, Proving, Sessions, Survey, Surveying,
    Surveyor as _, Touched, Values,
};
use keyroll_rotation::{ConsumerId, Difference, FileId, Holds};

use super::driver_clock::Heard;
use super::unseal::Unsealed;
use crate::failed::no_order;

/// Carries out an order, and answers it.
///
/// # Errors
/// It failed; the class says what is known of its effect.
pub(super) async fn carry_out(
    local: &Local,
    order: &Order,
    sent: &Unsealed,
    heard: &Heard,
) -> Result<Reply, Failure> {
    let values = sent.both.values();
    match order {
        Order::Open(_) => return Err(no_order("an order to open came out of turn")),
        Order::Survey(of) => return survey(local, of, sent).await,
        Order::Copies { .. } => return Ok(copies(local, values).await),
        Order::Live => return Ok(Reply::Live(PendingForm::from(&local.live().await))),
        Order::Trial { .. } => return Ok(Reply::Trial(forms(&local.trial(values).await?))),
        Order::Carries { .. } => local.carries(values.old).await?,
        Order::Deliver { file, which, asked, .. } => {
            local.deliver(FileId(*file), (*which).into(), values, heard.here(*asked)).await?;
        }
        Order::Delivered { file, which, intent, .. } => {
            let found = local.delivered(FileId(*file), (*which).into(), values, *intent).await?;
            return Ok(Reply::Delivered(ReconciledForm::from(&found)));
        }
        Order::RemoveSuperseded { asked, .. } => {
            local.remove_superseded(values, heard.here(*asked)).await?;
        }
        Order::BeforeGivenOut { which, sessions, .. } => {
            local.before_given_out((*which).into(), values, &port(sessions)).await?;
        }
        Order::Fetch { consumer, which, asked, .. } => {
            local.fetch(ConsumerId(*consumer), (*which).into(), values, heard.here(*asked)).await?;
        }
        Order::Apply { consumer, slot, asked, accepted } => {
            return apply(local, (*consumer, *slot), heard.here(*asked), accepted.as_deref()).await;
        }
        Order::AwaitEnd { intent } => {
            local.await_end(Touched::All, *intent).await?;
            return Ok(Reply::Delivered(ReconciledForm::Absent));
        }
        Order::Enumerate { sessions, stays, .. } => {
            let looked = local.enumerate(values, &port(sessions), (*stays).into()).await?;
            return Ok(Reply::Looked(Box::new(LookedForm::from(&looked))));
        }
        Order::Prepare { of, before } => {
            let Prepared { number, reads_again } = local.prepare(proving(of, values), &port(before)).await?;
            return Ok(Reply::Prepared { number, reads_again });
        }
        Order::Go { prepared, reads_again, of, after } => {
            let prepared = Prepared { number: *prepared, reads_again: *reads_again };
            let proved = local.go(prepared, proving(of, values), &port(after)).await;
            return Ok(Reply::Proved(Box::new(ProvedForm::from(&proved))));
        }
        Order::Describe { who } => {
            let holder = local.describe(who.into_port()).await;
            return Ok(Reply::Holder(holder.as_ref().map(HolderForm::from)));
        }
        Order::WatchRefusals => local.watch_refusals(None).await?,
        Order::Refusals => return refusals(local).await,
        Order::Caller { client } => {
            let holder = local.caller(*client).await;
            return Ok(Reply::Holder(holder.as_ref().map(HolderForm::from)));
        }
        Order::Sweep { .. } => return Ok(Reply::Swept(SweptForm::from(&local.sweep(values).await?))),
        Order::Search(of) => return search(local, of),
    }
    Ok(Reply::Done)
}

async fn survey(local: &Local, of: &SurveyOrder, sent: &Unsealed) -> Result<Reply, Failure> {
    let found = local
        .survey(Surveying {
            values: sent.both.values(),
            next: sent.next.as_ref().map(|next| &next.old),
            sessions: &port(&of.sessions),
            begins_on: if of.begins_on_new { Holds::New } else { Holds::Old },
            restarts: of.restarts,
            rehearses: of.rehearses,
        })
        .await?;
    Ok(surveyed(found))
}

/// What a survey found, with what no survey sees: as the driver says it of its own machine.
fn surveyed(mut found: Survey) -> Reply {
    found.looked.not_visible.extend(stated_outside().map(|(what, why)| format!("{what}: {why}")));
    Reply::Surveyed(Box::new(SurveyForm::from(&found)))
}

/// Searches for both versions by their fingerprints, where no consumer is.
fn search(local: &Local, of: &SearchOrder) -> Result<Reply, Failure> {
    let prints = FingerprintSet::from_bytes(of.prints.as_bytes());
    let prints = prints.map_err(|_| no_order("the fingerprints have another form"))?;
    let sessions = port(&of.sessions);
    Ok(match of.wants {
        SearchFor::Plan => surveyed(local.survey_by_prints(&prints, &sessions)?),
        SearchFor::Look(stays) => {
            let looked = local.enumerate_by_prints(&prints, &sessions, stays.into())?;
            Reply::Looked(Box::new(LookedForm::from(&looked)))
        }
        SearchFor::Sweep => Reply::Swept(SweptForm::from(&local.sweep_by_prints(&prints)?)),
    })
}

async fn copies(local: &Local, values: Values<'_>) -> Reply {
    let seen = local.copies(values).await;
    Reply::Copies(seen.into_iter().map(|copy| (HoldsForm::from(copy.holds), copy.unclear)).collect())
}

async fn apply(
    local: &Local,
    (consumer, slot): (u16, u8),
    asked: Asked,
    accepted: Option<&[DifferenceForm]>,
) -> Result<Reply, Failure> {
    let named = |one: &DifferenceForm| one.clone().into_port();
    let accepted: Option<Vec<Difference>> = accepted
        .map(|all| all.iter().map(named).collect::<Result<_, _>>())
        .transpose()
        .map_err(|_| no_order("the name of an accepted change is too long"))?;
    let brings = match &accepted {
        Some(accepted) => AllowedChanges::Accepted(accepted),
        None => AllowedChanges::Anything,
    };
    let (done, changes) = match local.apply(ConsumerId(consumer), slot, asked, brings).await? {
        Applied::Done(changes) => (true, changes),
        Applied::Refused(changes) => (false, changes),
    };
    Ok(Reply::Applied { done, changes: changes.iter().map(PendingChangeForm::from).collect() })
}

async fn refusals(local: &Local) -> Result<Reply, Failure> {
    let refused = local.refusals().await?;
    Ok(Reply::Refusals { count: refused.count, remarks: forms(&refused.remarks) })
}

fn forms(failures: &[Failure]) -> Vec<FailureForm> {
    failures.iter().map(FailureForm::from).collect()
}

fn port(sessions: &SessionsForm) -> Sessions {
    sessions.clone().into_port()
}

fn proving<'a>(of: &ProvingOrder, values: Values<'a>) -> Proving<'a> {
    Proving {
        consumer: ConsumerId(of.consumer),
        slot: of.slot,
        which: of.which.into(),
        values,
        watched: of.watched,
    }
}
