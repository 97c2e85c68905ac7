use async_trait::async_trait;
use keyroll_rotation::{ConsumerId, FileId, Holds, ObservedInstance, Seq, Visibility, Which};

use super::super::breach::{Breach, require, succeeds, tells_nothing};
use super::harness::{HostHarness, step, values};
use crate::{AllowedChanges, Applied, Looked, Sessions};

/// The consumer with a process: the first of the plan.
pub(super) const SERVICE: ConsumerId = ConsumerId(0);

/// Its slot, with one instance.
pub(super) const SLOT: u8 = 0;

/// What the cases about a running process need of a test's host, beside [`HostHarness`]. Its first consumer is a program that
/// has to be restarted, and that takes its value from the first file when it starts. Another consumer has a command of its
/// own that fetches the value into another file, which holds the old version at first.
#[async_trait]
pub trait ProcessHarness: HostHarness {
    /// After `fresh`: the program runs, with the value that its file holds.
    async fn start(&mut self);

    /// The consumer with the command, and its file.
    fn fetches(&self) -> (ConsumerId, FileId) {
        (ConsumerId(1), FileId(1))
    }

    /// From now on that command fetches this version.
    async fn gives_out(&mut self, which: Which);
}

/// The program runs with the old version; the instance that a look shows.
pub(super) async fn started(harness: &mut dyn ProcessHarness) -> Result<ObservedInstance, Breach> {
    harness.fresh().await;
    harness.start().await;
    let one = running(harness, "at first").await?;
    has(&one, Which::Old, "at first")?;
    Ok(one)
}

/// The one instance of the program that a look shows.
pub(super) async fn running(harness: &dyn ProcessHarness, when: &str) -> Result<ObservedInstance, Breach> {
    let seen = look(harness).await?;
    let is_its = |one: &&ObservedInstance| one.consumer == Some(SERVICE) && one.slot == SLOT;
    let found: Vec<ObservedInstance> = seen.enumeration.instances.iter().filter(is_its).copied().collect();
    match found.as_slice() {
        [one] => Ok(*one),
        others => Err(Breach::new(format!("{when}, one instance runs, but a look shows {others:?}"))),
    }
}

/// The instance has this version and not the other one.
pub(super) fn has(one: &ObservedInstance, which: Which, when: &str) -> Result<(), Breach> {
    let expected = match which {
        Which::Old => (Visibility::Yes, Visibility::No),
        Which::New => (Visibility::No, Visibility::Yes),
    };
    let rule = format!("{when}, the program has the {which:?} version alone, but a look shows {one:?}");
    require((one.old, one.new) == expected, rule)
}

/// A look must show that the file holds this.
pub(super) async fn holds(
    harness: &dyn ProcessHarness,
    when: &str,
    file: FileId,
    expected: Holds,
) -> Result<(), Breach> {
    let seen = look(harness).await?;
    let held = seen.enumeration.files.iter().find(|(of, _)| *of == file).map(|(_, holds)| *holds);
    require(
        held == Some(expected),
        format!("{when}, file {} holds {expected:?}, but was seen as {held:?}", file.0),
    )
}

async fn look(harness: &dyn ProcessHarness) -> Result<Looked, Breach> {
    let (old, new) = harness.versions();
    let seen = harness.host().enumerate(values(harness), &Sessions::default(), Which::New).await;
    let seen = succeeds("enumerate", seen)?;
    tells_nothing("a look", &format!("{seen:?}"), &[old, new])?;
    Ok(seen)
}

/// Applies what the file holds, under this intent.
pub(super) async fn apply(harness: &dyn ProcessHarness, intent: Seq) -> Result<(), Breach> {
    let outcome = harness.host().apply(SERVICE, SLOT, step(intent), AllowedChanges::Anything).await;
    match succeeds("apply", outcome)? {
        Applied::Done(_) => Ok(()),
        Applied::Refused(changes) => Err(Breach::new(format!(
            "apply is asked for whatever it brings, but was refused for {changes:?}"
        ))),
    }
}
