//! A source of truth in memory, which others change too.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_rotation::Seq;
use keyroll_secret::Credential;

use super::{credential, locked, value_of};

pub(crate) struct Source {
    gives: Mutex<String>,
    /// The mint of the pending version, `None` for another party's, and its value.
    pending: Mutex<Option<(Option<Seq>, String)>>,
    /// It does not answer.
    pub(crate) away: AtomicBool,
    /// The answer to the next call of this name is lost.
    pub(crate) loses: Mutex<Option<&'static str>>,
}

impl Source {
    pub(crate) fn of(value: &str) -> Self {
        Self {
            gives: Mutex::new(value.to_owned()),
            pending: Mutex::default(),
            away: AtomicBool::default(),
            loses: Mutex::default(),
        }
    }

    pub(crate) fn gives(&self) -> String {
        locked(&self.gives).clone()
    }

    /// Another party gives out this value.
    pub(crate) fn give(&self, value: &str) {
        value.clone_into(&mut locked(&self.gives));
    }

    pub(crate) fn pending(&self) -> Option<String> {
        locked(&self.pending).as_ref().map(|(_, value)| value.clone())
    }

    /// Another party stages this value, or takes its own back.
    pub(crate) fn stage_theirs(&self, value: Option<&str>) {
        *locked(&self.pending) = value.map(|value| (None, value.to_owned()));
    }

    fn reached(&self) -> Result<(), Failure> {
        if self.away.load(Ordering::SeqCst) {
            return Err(Failure::new(Class::Retryable, Code::RequestFailed, "reach the source of truth"));
        }
        Ok(())
    }

    fn answered(&self, call: &'static str) -> Result<(), Failure> {
        let mut loses = locked(&self.loses);
        if loses.take_if(|lost| *lost == call).is_some() {
            return Err(Failure::new(Class::Unknown, Code::RequestFailed, "hear of it"));
        }
        Ok(())
    }
}

fn refused(kind: FailureKind) -> Failure {
    Failure::new(Class::Permanent, Code::ChangedElsewhere, "change the source of truth").kind(kind)
}

#[async_trait]
impl Truth for Source {
    fn name(&self) -> String {
        "the source".to_owned()
    }
    async fn current(&self) -> Result<GivenOut, Failure> {
        self.reached()?;
        let fields = credential("", &self.gives()).fields;
        Ok(GivenOut { id: "their-id".to_owned(), unix_ms: Some(1_700_000_000_000), fields })
    }
    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        Ok(Vec::new())
    }
    async fn stage(&self, by: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        self.reached()?;
        if self.gives() != value_of(old) {
            return Err(refused(FailureKind::ChangedElsewhere));
        }
        let mut pending = locked(&self.pending);
        if pending.as_ref().is_some_and(|(mint, _)| *mint != Some(by.intent)) {
            return Err(refused(FailureKind::PendingElsewhere));
        }
        *pending = Some((Some(by.intent), value_of(new)));
        drop(pending);
        self.answered("stage")
    }
    async fn give_out(&self, _: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        self.reached()?;
        let (gives, before, after) = (self.gives(), value_of(before), value_of(after));
        if gives != before && gives != after {
            return Err(refused(FailureKind::ChangedElsewhere));
        }
        locked(&self.pending).take_if(|(mint, value)| mint.is_some() && *value == after);
        self.give(&after);
        self.answered("give_out")
    }
    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure> {
        self.reached()?;
        locked(&self.pending).take_if(|(mint, _)| *mint == Some(by.intent));
        self.answered("withdraw")
    }
}
