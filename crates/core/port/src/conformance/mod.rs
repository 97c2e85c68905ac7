//! The conformance suites: one set of cases for each port, run by every adapter. The issuers' is here, the others in
//! [`host`], [`store`], [`truth`] and [`journal`].
//!
//! An adapter's test implements [`IssuerHarness`] over a part that it can make misbehave (a fake server, a real
//! database behind a relay) and calls [`run`], or single cases for one test each. The suite branches on the declared
//! capabilities alone and judges by the part's own state ([`IssuerHarness::live`]), never by the adapter's word.

mod absent;
mod breach;
mod dead;
mod harness;
pub mod host;
pub mod journal;
mod lost;
mod odd;
mod ok;
mod refused;
pub mod store;
mod timeout;
pub mod truth;

pub use absent::absent;
pub use breach::Breach;
pub use dead::dead;
pub use harness::{FaultMode, IssuerHarness};
pub use lost::lost;
pub use odd::odd;
pub use ok::ok;
pub use refused::refused;
pub use timeout::timeout;

/// The time limit of a call, milliseconds: long enough for a loaded machine.
pub const PATIENT_MS: u64 = 60_000;
/// The time limit of a call in the silent case, which waits for all of it.
pub const SILENT_MS: u64 = 3_000;

/// The named cases, each a test of its own over a harness. `$start` makes a harness whose calls have this time limit,
/// or none where its part is missing.
#[macro_export]
macro_rules! conformance_tests {
    ($start:path: $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let limit_ms = match stringify!($case) {
                    "timeout" => $crate::conformance::SILENT_MS,
                    _ => $crate::conformance::PATIENT_MS,
                };
                let Some(mut harness) = $start(limit_ms).await else { return };
                $crate::conformance::$case(&mut harness).await.unwrap();
            }
        )+
    };
}

/// Runs every case, each on a fresh part, and stops at the first breach.
///
/// # Errors
/// The first rule of the port that the adapter broke.
pub async fn run(harness: &mut dyn IssuerHarness) -> Result<(), Breach> {
    ok(harness).await?;
    dead(harness).await?;
    timeout(harness).await?;
    odd(harness).await?;
    absent(harness).await?;
    lost(harness).await?;
    refused(harness).await
}
