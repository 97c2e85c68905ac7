use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;
use keyroll_rotation::{Holds, ObservedInstance, Reconciled, Seq, Which};

use super::super::breach::{Breach, fails, require, succeeds};
use super::harness::{FILE, deliver, finds, step, values};
use super::process::{ProcessHarness, SERVICE, SLOT, apply, has, holds, running, started};
use crate::{AllowedChanges, Class, Failure, Touched};

/// A call to the host, whose caller learns only whether it succeeded.
pub type Calling<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// When a link is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the order arrives.
    Before,
    /// While the host carries the order out: it has begun with the restart, and has not ended it.
    During,
    /// After the host has carried the order out, before its answer arrives.
    After,
}

/// What the cases about a link need beside [`ProcessHarness`]. A host at the other end of a link is connected anew by itself
/// when it is next asked, by the same driver.
///
/// Another host is asked once for each intent: it does not have to keep what these cases are about.
#[async_trait]
pub trait LinkHarness: ProcessHarness {
    /// Makes this call over the link that there is, and cuts the link at this moment; what the caller hears. What the host has
    /// begun by then goes on to its end.
    async fn cut(&self, at: Cut, call: Calling<'_>) -> Result<(), Failure>;

    /// How often the program was started since `fresh`, by its own count.
    async fn starts(&self) -> usize;
}

/// Runs every case about a link.
///
/// # Errors
/// The first rule of the port that the host broke.
pub async fn over_link(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    once(harness).await?;
    lost_order(harness).await?;
    lost_answer(harness).await?;
    cut_restart(harness).await?;
    unheard_restart(harness).await
}

/// The same order again restarts nothing; another one does.
///
/// # Errors
/// The first rule that the host broke.
pub async fn once(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    started(harness).await?;
    deliver(harness, Which::New, 1).await?;
    apply(harness, 2).await?;
    let after = running(harness, "after it was applied").await?;
    restarted(harness, "after it was applied", 2).await?;
    apply(harness, 2).await?;
    same(harness, "after the same order again", &after, 2).await?;
    apply(harness, 3).await?;
    restarted(harness, "after another order", 3).await
}

/// An order that never arrived is not said to be carried out, and can be given again.
///
/// # Errors
/// The first rule that the host broke.
pub async fn lost_order(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    started(harness).await?;
    let outcome = harness.cut(Cut::Before, delivering(harness, 1)).await;
    let (old, new) = harness.versions();
    fails("a delivery that does not arrive", outcome, &[Class::Permanent], &[old, new])?;
    finds(harness, "after it", (Which::New, 1), &Reconciled::Absent).await?;
    deliver(harness, Which::New, 1).await?;
    holds(harness, "after the same order again", FILE, Holds::New).await
}

/// A delivery whose answer is lost is unknown, and a look tells that it was made.
///
/// # Errors
/// The first rule that the host broke.
pub async fn lost_answer(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    started(harness).await?;
    let outcome = harness.cut(Cut::After, delivering(harness, 1)).await;
    unknown(harness, "a delivery", outcome)?;
    finds(harness, "after it", (Which::New, 1), &Reconciled::Executed(None)).await?;
    deliver(harness, Which::New, 1).await?;
    holds(harness, "after the same order again", FILE, Holds::New).await
}

/// A restart over a link that is cut meanwhile is unknown. It goes on to its end, which is awaited and then on record: the
/// same order again restarts nothing.
///
/// # Errors
/// The first rule that the host broke.
pub async fn cut_restart(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    restart(harness, Cut::During).await
}

/// The same of a restart that ended, and whose answer is lost.
///
/// # Errors
/// The first rule that the host broke.
pub async fn unheard_restart(harness: &mut dyn LinkHarness) -> Result<(), Breach> {
    restart(harness, Cut::After).await
}

async fn restart(harness: &mut dyn LinkHarness, at: Cut) -> Result<(), Breach> {
    let before = started(harness).await?;
    deliver(harness, Which::New, 1).await?;
    let outcome = harness.cut(at, applying(harness, 2)).await;
    unknown(harness, "a restart", outcome)?;
    let ended = harness.host().await_end(Touched::Consumer(SERVICE), 2).await;
    require(succeeds("await_end", ended)?, "it is on record that the restart was carried out")?;
    let after = running(harness, "after its end was awaited").await?;
    require(after.who != before.who, "a restart that is on record has made another incarnation")?;
    has(&after, Which::New, "after its end was awaited")?;
    restarted(harness, "after its end was awaited", 2).await?;
    apply(harness, 2).await?;
    same(harness, "after the same order again", &after, 2).await
}

fn delivering(harness: &dyn LinkHarness, intent: Seq) -> Calling<'_> {
    Box::pin(async move { harness.host().deliver(FILE, Which::New, values(harness), step(intent)).await })
}

fn applying(harness: &dyn LinkHarness, intent: Seq) -> Calling<'_> {
    Box::pin(async move {
        let outcome = harness.host().apply(SERVICE, SLOT, step(intent), AllowedChanges::Anything).await;
        outcome.map(drop)
    })
}

/// A call without an answer must be unknown: neither done, nor certainly without effect.
fn unknown(harness: &dyn LinkHarness, what: &str, outcome: Result<(), Failure>) -> Result<(), Breach> {
    let (old, new) = harness.versions();
    let what = format!("{what} without an answer");
    fails(&what, outcome, &[Class::Permanent, Class::Retryable], &[old, new]).map(drop)
}

/// The program was started so often.
async fn restarted(harness: &dyn LinkHarness, when: &str, starts: usize) -> Result<(), Breach> {
    let counted = harness.starts().await;
    require(
        counted == starts,
        format!("{when}, the program was started {starts} times, but it was {counted}"),
    )
}

/// The same incarnation runs, and was not started again.
async fn same(
    harness: &dyn LinkHarness,
    when: &str,
    before: &ObservedInstance,
    starts: usize,
) -> Result<(), Breach> {
    let now = running(harness, when).await?;
    require(now.who == before.who, format!("{when}, the same incarnation runs, but it is {now:?}"))?;
    restarted(harness, when, starts).await
}
