use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure, FailureKind, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_secret::{Credential, Fields, SecretBytes};

use crate::attempt::{Attempt, CHANGED, Nature, own};
use crate::document::{Document, DocumentError};

/// What a cell holds now.
pub(crate) struct Held {
    /// The id of this version there.
    pub(crate) id: String,
    /// When it was made there, milliseconds since the Unix epoch; `None` where the cell does not say.
    pub(crate) unix_ms: Option<u64>,
    pub(crate) document: Document,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The document was accepted. That is no proof that it is given out: it is read again.
    Accepted,
    /// Nothing was written: the cell does not hold the version any more that the document was made from.
    Overtaken,
}

/// A store that has no place for a version that is given to nobody: it gives out what was written last. Every call makes
/// one attempt.
#[async_trait]
pub(crate) trait Cell: Send + Sync {
    /// Where it is, for people: `vault:kv/agents/openai#key (https://vault.example:8200)`.
    fn place(&self) -> &str;

    /// What it gives out now.
    async fn read(&self) -> Result<Held, Failure>;

    /// The versions that it still knows, with its own words for their state. The one that is given out is among them.
    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure>;

    /// Whether a write would be allowed, as far as the store tells that without one.
    async fn writable(&self, over: &Held) -> Result<(), Failure>;

    /// Writes the document if the cell still holds `over`. A failure that may have had its effect is
    /// [`Class::Unknown`].
    async fn write(&self, by: &MadeBy, over: &Held, next: &Document) -> Result<Written, Failure>;

    /// Removes what a killed write of this rotation left beside the cell, where a write can leave anything.
    async fn clear(&self, _: &MadeBy) -> Result<(), Failure> {
        Ok(())
    }
}

/// A cell as the source of truth. What is staged waits in keyroll's own sealed store; here it is only seen that it could be
/// written.
pub(crate) struct CellTruth<C> {
    pub(crate) cell: C,
    /// The name of keyroll's field for the value.
    pub(crate) field: String,
}

impl<C: Cell> CellTruth<C> {
    fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: self.cell.place(), nature }
    }

    fn value_of(&self, held: &Held) -> Result<SecretBytes, Failure> {
        let attempt = self.attempt("read the value in", Nature::Read);
        held.document.value().map_err(|error| attempt.document(&error))
    }

    fn with(&self, held: &Held, value: &SecretBytes) -> Result<Document, Failure> {
        let attempt = self.attempt("write a value into", Nature::Change);
        held.document.with(value).map_err(|error| attempt.document(&error))
    }

    /// Refuses a document that has the value twice.
    fn once(&self, held: &Held) -> Result<(), Failure> {
        let attempt = self.attempt("replace the value in", Nature::Read);
        if held.document.holds_elsewhere() { Err(attempt.document(&DocumentError::Twice)) } else { Ok(()) }
    }

    fn own<'a>(&self, credential: &'a Credential) -> Result<&'a SecretBytes, Failure> {
        own(&self.attempt("use", Nature::Read), &self.field, credential)
    }

    fn changed_elsewhere(&self, now: &Held) -> Failure {
        let attempt = self.attempt("change what is given out by", Nature::Read);
        let failure = attempt.fail(Class::Permanent, Code::ChangedElsewhere);
        let why = format!("it gives out a value that keyroll does not expect: version {}", now.id);
        failure.kind(FailureKind::ChangedElsewhere).because(why).help(CHANGED)
    }

    /// After a write that was overtaken by another party's.
    async fn overtaken(&self, before: &SecretBytes, after: &SecretBytes) -> Result<(), Failure> {
        let there = self.cell.read().await?;
        let value = self.value_of(&there)?;
        if value == *after {
            return Ok(());
        }
        if value != *before {
            return Err(self.changed_elsewhere(&there));
        }
        // The value is as it was, and something beside it is not: the next attempt begins from there.
        let attempt = self.attempt("change what is given out by", Nature::Change);
        let failure = attempt.fail(Class::Retryable, Code::TruthUnreachable);
        let why = format!("another party changed it at the same moment: version {}", there.id);
        Err(failure.because(why).help("run the same command again"))
    }

    /// After a write that was accepted: the value is read back.
    async fn confirm(&self, before: &SecretBytes, after: &SecretBytes) -> Result<(), Failure> {
        let there = self.cell.read().await.map_err(begun)?;
        let value = self.value_of(&there).map_err(begun)?;
        if value == *after {
            return Ok(());
        }
        if value == *before {
            // The write was accepted, so this may be an answer from before it, and is no other party's value.
            let attempt = self.attempt("read back what is given out by", Nature::Change);
            return Err(attempt.unclear("it still gives out the value of before".to_owned()));
        }
        // It was given out for a moment: that is not an attempt without effect.
        Err(begun(self.changed_elsewhere(&there)))
    }
}

#[async_trait]
impl<C: Cell> Truth for CellTruth<C> {
    fn name(&self) -> String {
        self.cell.place().to_owned()
    }

    async fn current(&self) -> Result<GivenOut, Failure> {
        let held = self.cell.read().await?;
        let mut fields = Fields::new();
        fields.insert(self.field.as_str(), self.value_of(&held)?, true);
        Ok(GivenOut { id: held.id, unix_ms: held.unix_ms, fields })
    }

    async fn writable(&self) -> Result<(), Failure> {
        let now = self.cell.read().await?;
        self.once(&now)?;
        self.cell.writable(&now).await
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        self.cell.versions().await
    }

    async fn stage(&self, _: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        let (old, new) = (self.own(old)?, self.own(new)?);
        let now = self.cell.read().await?;
        if self.value_of(&now)? != *old {
            return Err(self.changed_elsewhere(&now));
        }
        self.once(&now)?;
        self.with(&now, new)?;
        self.cell.writable(&now).await
    }

    async fn give_out(&self, by: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        let (before, after) = (self.own(before)?, self.own(after)?);
        let now = self.cell.read().await?;
        let value = self.value_of(&now)?;
        if value == *after {
            // An earlier attempt may have been killed between its write and its end.
            return self.cell.clear(by).await.map_err(begun);
        }
        if value != *before {
            return Err(self.changed_elsewhere(&now));
        }
        // Made from what is given out now: what others changed beside the value stays.
        let next = self.with(&now, after)?;
        match self.cell.write(by, &now, &next).await? {
            Written::Accepted => self.confirm(before, after).await,
            Written::Overtaken => self.overtaken(before, after).await,
        }
    }

    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure> {
        self.cell.clear(by).await
    }
}

/// A failure after something was written: only a look can tell how far it came.
fn begun(failure: Failure) -> Failure {
    Failure { class: Class::Unknown, ..failure }
}
