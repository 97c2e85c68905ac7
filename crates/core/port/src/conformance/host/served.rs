use async_trait::async_trait;
use keyroll_rotation::{Holds, Incarnation, Kinds, Proof, Which};

use super::super::breach::{Breach, fails, require, succeeds, tells_nothing};
use super::harness::{FILE, deliver, step, values};
use super::process::{ProcessHarness, SERVICE, SLOT, apply, has, holds, running, started};
use crate::{Class, Proving, Sessions, Touched};

/// What the case about the last search needs beside [`ProcessHarness`].
#[async_trait]
pub trait SweepHarness: ProcessHarness {
    /// Another party copies the old version to a place that the host searches and that no consumer reads; what its name ends
    /// with.
    async fn copied(&mut self) -> String;

    /// What keyroll left: whatever is beside the consumers' files and is not theirs, and whatever of keyroll's own holds a
    /// version.
    async fn left(&self) -> Vec<String>;
}

/// A delivery restarts nothing. What applies it makes the process anew: the next look shows one that has the new version and
/// not the old one, and the same one to every later driver.
///
/// # Errors
/// The first rule that the host broke.
pub async fn applied(harness: &mut dyn ProcessHarness) -> Result<(), Breach> {
    let before = started(harness).await?;
    deliver(harness, Which::New, 1).await?;
    let kept = running(harness, "after a delivery").await?;
    require(kept.who == before.who, "a delivery must not restart the program")?;
    apply(harness, 2).await?;
    let ended = harness.host().await_end(Touched::Consumer(SERVICE), 2).await;
    succeeds("await_end", ended)?;
    let after = running(harness, "after it was applied").await?;
    require(after.who != before.who, "a restart makes another incarnation")?;
    has(&after, Which::New, "after it was applied")?;
    harness.reopen().await;
    let again = running(harness, "to the next driver").await?;
    require(again.who == after.who, "a process is the same incarnation to every driver")?;
    deliver(harness, Which::Old, 3).await?;
    apply(harness, 4).await?;
    has(&running(harness, "after it was rolled back").await?, Which::Old, "after it was rolled back")
}

/// Evidence names the running incarnation alone. The one from before the restart shows nothing of the new version, and what
/// was asked of it before the restart is no evidence afterwards.
///
/// # Errors
/// The first rule that the host broke.
pub async fn proved(harness: &mut dyn ProcessHarness) -> Result<(), Breach> {
    let before = started(harness).await?;
    deliver(harness, Which::New, 1).await?;
    let early = proofs(harness).await?;
    let shown = early.iter().any(shows);
    require(!shown, format!("the program that has the old version shows nothing of the new one: {early:?}"))?;
    let half = harness.host().prepare(proving(harness), &Sessions::default()).await;
    let half = succeeds("prepare", half)?;
    apply(harness, 2).await?;
    let after = running(harness, "after it was applied").await?;
    require(after.who != before.who, "a restart makes another incarnation")?;
    match harness.host().go(half, proving(harness), &Sessions::default()).await.evidence {
        Ok(evidence) => names(&evidence.proofs, after.who)?,
        Err(failure) => {
            let class = failure.class;
            let rule = format!("what was begun before a restart is begun again, but go failed as {class:?}");
            require(class == Class::Retryable, rule)?;
        }
    }
    let proofs = proofs(harness).await?;
    names(&proofs, after.who)?;
    require(proofs.iter().any(shows), format!("the program shows that it has the new version: {proofs:?}"))
}

/// Both halves of the evidence of the new version.
async fn proofs(harness: &dyn ProcessHarness) -> Result<Vec<Proof>, Breach> {
    let (old, new) = harness.versions();
    let sessions = Sessions::default();
    let half = succeeds("prepare", harness.host().prepare(proving(harness), &sessions).await)?;
    let proved = harness.host().go(half, proving(harness), &sessions).await;
    tells_nothing("evidence", &format!("{proved:?}"), &[old, new])?;
    Ok(succeeds("go", proved.evidence)?.proofs)
}

fn proving(harness: &dyn ProcessHarness) -> Proving<'_> {
    let (which, values) = (Which::New, values(harness));
    Proving { consumer: SERVICE, slot: Some(SLOT), which, values, watched: false }
}

/// Whether a proof shows more than what its files hold.
fn shows(proof: &Proof) -> bool {
    let [main, ..] = proof.paths;
    [Kinds::LOADED, Kinds::CHECKED, Kinds::EXERCISED].into_iter().any(|kind| main.has(kind))
}

/// The proofs are of this incarnation, and of no other one.
fn names(proofs: &[Proof], who: Incarnation) -> Result<(), Breach> {
    let rule = format!("evidence names {who:?}, which runs, and no other one, but it is {proofs:?}");
    require(!proofs.is_empty() && proofs.iter().all(|proof| proof.who == who), rule)
}

/// A consumer's own command writes its file, and every driver sees what it wrote.
///
/// # Errors
/// The first rule that the host broke.
pub async fn fetched(harness: &mut dyn ProcessHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let (consumer, file) = harness.fetches();
    holds(harness, "at first", file, Holds::Old).await?;
    harness.gives_out(Which::New).await;
    let outcome = harness.host().fetch(consumer, Which::New, values(harness), step(1)).await;
    succeeds("fetch", outcome)?;
    holds(harness, "after a fetch", file, Holds::New).await?;
    harness.reopen().await;
    holds(harness, "to the next driver", file, Holds::New).await?;
    holds(harness, "of another consumer", FILE, Holds::Old).await
}

/// A command that fetched another version than the one that was asked for has failed: the consumer would be restarted with
/// that one.
///
/// # Errors
/// The first rule that the host broke.
pub async fn other_fetched(harness: &mut dyn ProcessHarness) -> Result<(), Breach> {
    harness.fresh().await;
    let (consumer, file) = harness.fetches();
    harness.gives_out(Which::Old).await;
    let (old, new) = harness.versions();
    let outcome = harness.host().fetch(consumer, Which::New, values(harness), step(1)).await;
    fails("a fetch of what is not given out", outcome, &[Class::Permanent], &[old, new])?;
    holds(harness, "after such a fetch", file, Holds::Old).await
}

/// The last search finds nothing that keyroll left, and names what another party left.
///
/// # Errors
/// The first rule that the host broke.
pub async fn swept(harness: &mut dyn SweepHarness) -> Result<(), Breach> {
    started(harness).await?;
    deliver(harness, Which::New, 1).await?;
    let (consumer, _) = harness.fetches();
    harness.gives_out(Which::New).await;
    let outcome = harness.host().fetch(consumer, Which::New, values(harness), step(2)).await;
    succeeds("fetch", outcome)?;
    apply(harness, 3).await?;
    let places = residues(harness).await?;
    require(
        places.is_empty(),
        format!("nothing holds the old version any more, but sweep names {places:?}"),
    )?;
    let left = harness.left().await;
    require(left.is_empty(), format!("keyroll leaves nothing, but there is {left:?}"))?;
    let copy = harness.copied().await;
    let places = residues(harness).await?;
    let rule =
        format!("sweep names {copy}, which holds the old version, and nothing else, but names {places:?}");
    require(matches!(places.as_slice(), [place] if place.ends_with(&copy)), rule)
}

/// The places that the last search names.
async fn residues(harness: &dyn SweepHarness) -> Result<Vec<String>, Breach> {
    let (old, new) = harness.versions();
    let swept = succeeds("sweep", harness.host().sweep(values(harness)).await)?;
    tells_nothing("sweep", &format!("{swept:?}"), &[old, new])?;
    Ok(swept.residues.into_iter().map(|residue| residue.place).collect())
}
