//! A file as the source of truth.

mod slot;
mod target;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_copy::{Format, Slot};
use keyroll_host::{Content, Digest, TempName};
use keyroll_port::{Class, Failure, MadeBy, Truth, TruthVersion};

use self::slot::{form_name, slot_of};
use self::target::{Target, version_id};
use crate::attempt::{Attempt, Nature};
use crate::blocking::blocking;
use crate::cell::{Cell, CellTruth, Held, Written};
use crate::document::Document;

/// The label of the one version that a file has.
const CURRENT: &str = "current";

/// One value in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSecret {
    /// The file; absolute.
    pub path: PathBuf,
    /// The place in it, behind `#`; `None` where the whole content, but for a last line end, is the value.
    pub at: Option<String>,
    /// The name of keyroll's field for this value.
    pub field: String,
    /// As the configuration names it, for people: `file:/srv/secrets/agents.env#OPENAI_API_KEY`.
    pub reference: String,
}

/// A file as the source of truth: it gives out what was written last. The file itself is looked at in each call, so one
/// that is missing now may be there later.
///
/// # Errors
/// The path is not absolute, or such a file has no such place.
pub fn file(secret: FileSecret) -> Result<impl Truth, Failure> {
    let FileSecret { path, at, field, reference } = secret;
    let refused = |why: String, help: &str| {
        let failure =
            Failure::new(Class::Permanent, Code::TruthUnsuitable, format!("use {reference} as a store"));
        failure.because(why).help(help)
    };
    if !path.is_absolute() {
        return Err(refused("its path is not absolute".to_owned(), "write the whole path, with a leading /"));
    }
    let (format, slot) = slot_of(&path, at.as_deref())
        .map_err(|error| refused(error.to_string(), "correct the place behind # in `store`"))?;
    let target = Target::new(path);
    // A plan records the place: a link that leads elsewhere when the rotation goes on is noticed by it.
    let place = match target.behind_link() {
        Some(real) => format!("{reference} ({}, {})", form_name(format), real.display()),
        None => format!("{reference} ({})", form_name(format)),
    };
    Ok(CellTruth { cell: FileCell { target: Arc::new(target), place, format, slot }, field })
}

/// A file whose content is compared and replaced as a whole.
struct FileCell {
    target: Arc<Target>,
    place: String,
    format: Format,
    slot: Slot,
}

impl FileCell {
    fn attempt(&self, what: &'static str, nature: Nature) -> Attempt<'_> {
        Attempt { what, place: &self.place, nature }
    }

    async fn content(&self) -> Result<Content, Failure> {
        let target = self.target.clone();
        blocking(&self.attempt("read", Nature::Read), move || target.look().map(|(_, content)| content)).await
    }

    /// The file beside it that replaces it: of the rotation, so that each of its later steps finds what a killed one left.
    fn temp_name(&self, by: &MadeBy) -> Result<TempName, Failure> {
        TempName::new(&format!("{}-truth", by.rotation)).ok_or_else(|| {
            let failure = self.attempt("write", Nature::Change).fail(Class::Permanent, Code::TruthUnsuitable);
            failure.because("the rotation's id has odd characters")
        })
    }
}

#[async_trait]
impl Cell for FileCell {
    fn place(&self) -> &str {
        &self.place
    }

    async fn read(&self) -> Result<Held, Failure> {
        let content = self.content().await?;
        let (id, unix_ms) = (version_id(&content), changed_ms(&content));
        let document = Document::of_file(content.bytes, self.format, self.slot.clone());
        Ok(Held { id, unix_ms, document })
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        let content = self.content().await?;
        let labels = vec![CURRENT.to_owned()];
        Ok(vec![TruthVersion { id: version_id(&content), labels, unix_ms: changed_ms(&content) }])
    }

    async fn writable(&self, _: &Held) -> Result<(), Failure> {
        let target = self.target.clone();
        blocking(&self.attempt("try to write", Nature::Read), move || target.try_write()).await
    }

    async fn write(&self, by: &MadeBy, over: &Held, next: &Document) -> Result<Written, Failure> {
        let temp = self.temp_name(by)?;
        let (target, id) = (self.target.clone(), over.id.clone());
        let (expect, new) = (Digest::of(over.document.text()), next.text().duplicate());
        let attempt = self.attempt("write", Nature::ChangeWithValue);
        blocking(&attempt, move || target.write((id.as_str(), &expect), &new, &temp)).await
    }

    async fn clear(&self, by: &MadeBy) -> Result<(), Failure> {
        let (target, temp) = (self.target.clone(), self.temp_name(by)?);
        blocking(&self.attempt("remove what is left beside", Nature::Change), move || target.clear(&temp))
            .await
    }
}

/// When the content was changed, milliseconds since the Unix epoch.
fn changed_ms(content: &Content) -> Option<u64> {
    let seconds = u64::try_from(content.modified.seconds).ok()?;
    seconds.checked_mul(1000)?.checked_add(u64::from(content.modified.nanoseconds / 1_000_000))
}
