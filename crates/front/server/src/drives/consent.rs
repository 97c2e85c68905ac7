//! A driver that ends an old key by the approvals of callers: they are looked at before each start, and used once.

use keyroll_app::exit::Exit;
use keyroll_codes::Code;
use tokio::task::spawn_blocking;

use super::{Drive, Drives, Step};
use crate::seen::Told;

impl Drives {
    /// Why a driver that has the turn does not start. Approvals may have become void while it waited for the turn.
    pub(super) async fn unapproved(&self, own: &Drive) -> Option<Told> {
        let operate = own.operate()?;
        let text = match &operate.step {
            Step::Confirm(text) => Some(text.clone()),
            Step::Consent => None,
            Step::Apply(_) | Step::Resume(_) | Step::Retry | Step::Abort => return None,
        };
        let rotation = operate.rotation.clone();
        let (approvals, its) = (self.consents.clone(), rotation.clone());
        let check = move || match text {
            Some(text) => approvals.check_text(&its, &text),
            None => approvals.check(&its),
        };
        let (code, why) = match spawn_blocking(check).await {
            Ok(Ok(Ok(()))) => return None,
            Ok(Ok(Err(why))) => (Code::NotPossibleNow, why),
            Ok(Err(problem)) => (problem.code, problem.sentence()),
            Err(error) => (Code::Stopped, error.to_string()),
        };
        Some(Told {
            attempted: "end the old key".to_owned(),
            code: code.as_str().to_owned(),
            causes: vec![why],
            help: Some(format!("keyroll status {rotation}")),
            exit: Exit::Failed.number(),
        })
    }

    /// The driver has ended by itself: whatever it met, the next end of the key needs other approvals.
    pub(super) async fn spend(&self, secret: &str, own: &Drive) {
        let Some(rotation) = consents(own) else { return };
        let approvals = self.consents.clone();
        let why = match spawn_blocking(move || approvals.spend(&rotation)).await {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => problem.sentence(),
            Err(error) => error.to_string(),
        };
        (self.log)(&format!("{secret}: the approvals that were used still count: {why}"));
    }
}

/// The rotation whose old key the driver ends.
fn consents(drive: &Drive) -> Option<String> {
    let operate = drive.operate().filter(|operate| operate.step == Step::Consent);
    operate.map(|operate| operate.rotation.clone())
}
