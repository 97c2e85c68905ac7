use async_trait::async_trait;
use keyroll_port::{Class, Failure, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_secret::{Credential, Fields};

use crate::document::Document;
use crate::place::Place;

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

impl Held {
    fn described(&self) -> String {
        format!("version {}", self.id)
    }
}

impl<C: Cell> CellTruth<C> {
    fn place(&self) -> Place<'_> {
        Place { place: self.cell.place(), field: &self.field }
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
        fields.insert(self.field.as_str(), self.place().value_of(&held.document)?, true);
        Ok(GivenOut { id: held.id, unix_ms: held.unix_ms, fields })
    }

    async fn writable(&self) -> Result<(), Failure> {
        let now = self.cell.read().await?;
        self.place().once(&now.document)?;
        self.cell.writable(&now).await
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        self.cell.versions().await
    }

    async fn stage(&self, _: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        let (old, new) = (self.place().own(old)?, self.place().own(new)?);
        let now = self.cell.read().await?;
        if self.place().value_of(&now.document)? != *old {
            return Err(self.place().changed_elsewhere(&now.described()));
        }
        self.place().once(&now.document)?;
        self.place().with(&now.document, new)?;
        self.cell.writable(&now).await
    }

    async fn give_out(&self, by: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        let (before, after) = (self.place().own(before)?, self.place().own(after)?);
        let now = self.cell.read().await?;
        let value = self.place().value_of(&now.document)?;
        if value == *after {
            // An earlier attempt may have been killed between its write and its end.
            return self.cell.clear(by).await.map_err(begun);
        }
        if value != *before {
            return Err(self.place().changed_elsewhere(&now.described()));
        }
        // Made from what is given out now: what others changed beside the value stays.
        let next = self.place().with(&now.document, after)?;
        match self.cell.write(by, &now, &next).await? {
            Written::Accepted => {
                let there = self.cell.read().await.map_err(begun)?;
                let value = self.place().value_of(&there.document).map_err(begun)?;
                self.place().confirmed((&value, &there.described()), before, after)
            }
            Written::Overtaken => {
                let there = self.cell.read().await?;
                let value = self.place().value_of(&there.document)?;
                self.place().overtaken((&value, &there.described()), before, after)
            }
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
