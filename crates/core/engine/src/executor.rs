//! The ports of one rotation, with what its operations and looks share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use keyroll_codes::Code;
use keyroll_port::{
    Class, Downtime, FailingCheck, Failure, Holder, JournalError, Listed, Listing, Named, Opening,
    PendingChange, Residue, RotationId, Values,
};
use keyroll_rotation::{
    ConsumerId, CredId, HostId, IllegalEvent, KeyList, Label, ListDiff, ListedKey, OldKey, Seq, State,
};
use keyroll_secret::{Credential, CredentialId, Fields};
use tokio::sync::Notify;

use crate::{AppendError, Ports};

/// Something for the operator beside the protocol's own entries.
#[derive(Debug)]
pub enum Note {
    /// An attempt did not succeed; what follows is decided by the protocol.
    Failed(Failure),
    /// What a look could not see.
    NotVisible(Vec<String>),
    /// What the issuer answered another host alone, or why that host got no clear answer.
    AskedFrom {
        /// The host that asked.
        host: HostId,
        /// The issuer's endpoint.
        endpoint: String,
        /// The answer, as a clause.
        what: String,
    },
    /// An undeclared process that holds the old value.
    Holder(Holder),
    /// A process whose use of the old key was refused, or that holds that key while one was.
    User(Holder),
    /// A refused use by a client that is no process of this machine, as the issuer names it.
    Refused(String),
    /// A place with the old value that the plan does not have.
    Stranger(String),
    /// What the journal was told to remember of undeclared copies and processes.
    Names(Vec<Named>),
    /// What the last search left.
    Residues(Vec<Residue>),
    /// What a restart makes live beside the value, or would have: then nothing was done.
    PendingChanges {
        /// What it is.
        live: Vec<PendingChange>,
        /// Nothing was done.
        refused: bool,
    },
    /// A check of a consumer fails.
    CheckFails {
        /// The consumer.
        consumer: ConsumerId,
        /// The check.
        check: FailingCheck,
    },
    /// A consumer with one instance was not there for a while.
    Downtime(Downtime),
    /// An event of the operator that was rejected.
    Rejected(IllegalEvent),
    /// The journal could not be written.
    Journal(String),
}

/// The ports of one rotation, with what their calls need: executes operations and observes.
pub(crate) struct Executor {
    pub(crate) ports: Ports,
    pub(crate) id: RotationId,
    pub(crate) opening: Opening,
    notes: Mutex<Vec<Note>>,
    /// There are notes.
    pub(crate) noted: Notify,
    old: OnceLock<Arc<Old>>,
    /// The comparison of lists for the mint whose answer was lost.
    pub(crate) list_diff: Mutex<Option<ListDiff>>,
}

/// The version that is being replaced: it does not change during a rotation.
pub(crate) struct Old {
    pub(crate) number: u32,
    pub(crate) credential: Credential,
}

/// The label that a credential made under this intent carries at the issuer.
pub(crate) fn label(id: &RotationId, intent: Seq) -> String {
    Label { rotation: &id.0, intent }.text()
}

impl Executor {
    pub(crate) fn new(ports: Ports, id: RotationId, opening: Opening) -> Self {
        Self {
            ports,
            id,
            opening,
            notes: Mutex::default(),
            noted: Notify::new(),
            old: OnceLock::new(),
            list_diff: Mutex::default(),
        }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.opening.secret
    }

    pub(crate) fn note(&self, note: Note) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        self.noted.notify_one();
    }

    /// The notes since the last call, oldest first.
    pub(crate) fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note_downtimes(&self, downtimes: Vec<Downtime>) {
        downtimes.into_iter().for_each(|one| self.note(Note::Downtime(one)));
    }

    pub(crate) fn note_remarks(&self, remarks: Vec<Failure>) {
        remarks.into_iter().for_each(|remark| self.note(Note::Failed(remark)));
    }

    /// What the driver hears of a failed write to the journal; the operator reads the error itself.
    pub(crate) fn append_error(&self, error: &JournalError) -> AppendError {
        let heard = match error {
            JournalError::Fenced { .. } => AppendError::Fenced,
            JournalError::Conflict { .. } | JournalError::UnknownCommit(_) => AppendError::Unsure,
            JournalError::Held { .. } | JournalError::Unavailable(_) => AppendError::Unavailable,
            JournalError::Damaged(_) | JournalError::Newer { .. } => AppendError::Fenced,
        };
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.note(Note::Journal(format!("{error}{cause}")));
        heard
    }

    /// The version that is being replaced: current before Promote, previous after it.
    pub(crate) async fn old(&self) -> Result<Arc<Old>, Failure> {
        if let Some(old) = self.old.get() {
            return Ok(old.clone());
        }
        let old = self.read_old().await?;
        Ok(self.old.get_or_init(|| old).clone())
    }

    async fn read_old(&self) -> Result<Arc<Old>, Failure> {
        let secret = self.secret();
        let number = self.opening.from_version;
        let credential = self.ports.store.read(secret, number).await?;
        let gone = || {
            Failure::new(
                Class::Permanent,
                Code::StoreOlderThanJournal,
                format!("read version {number} of '{secret}' from the store"),
            )
            .because("its value is not sealed there any more")
        };
        let credential = credential.ok_or_else(gone)?;
        self.ports.issuer.remember(&credential);
        Ok(Arc::new(Old { number, credential }))
    }

    /// The value of the new version: what was kept under its mint, or what we chose and have not applied yet.
    pub(crate) async fn new_credential(&self, state: &State) -> Result<Option<Credential>, Failure> {
        let intent = match (state.new_version(), state.chosen()) {
            (Some(new), _) => new.mint,
            (None, Some(chosen)) => chosen,
            (None, None) => return Ok(None),
        };
        self.ports.staging.kept(self.secret(), &self.id, intent).await
    }

    pub(crate) fn old_id(old: &Old) -> Result<&CredentialId, Failure> {
        old.credential.id.as_ref().ok_or_else(|| {
            Failure::new(Class::Permanent, Code::OldKeyStillAlive, "address the old credential at its issuer")
                .because("its value is not bound to an id")
                .help("revoke it at the issuer's console")
        })
    }
}

pub(crate) fn values<'a>(old: &'a Old, new: Option<&'a Credential>, state: &State) -> Values<'a> {
    let new: Option<&'a Fields> = new.map(|credential| &credential.fields);
    // With a debt it lives on.
    let old_ended = state.old_key() == OldKey::Ended && state.debt().is_none();
    Values { old: &old.credential.fields, new, old_ended }
}

pub(crate) fn cred(id: &CredentialId) -> CredId {
    CredId::new(id.as_str())
}

/// An entry of the issuer's list for the protocol, with the intent that its label names.
pub(crate) fn listed_key(entry: &Listed, intent: Option<Seq>) -> ListedKey {
    ListedKey { credential: cred(&entry.id), intent, disabled: entry.disabled }
}

/// A list for the protocol. `intent_of` says which intent a label names.
pub(crate) fn key_list(listing: &Listing, intent_of: impl Fn(&str) -> Option<Seq>) -> KeyList {
    let intent = |entry: &Listed| entry.label.as_deref().and_then(&intent_of);
    let keys = listing.entries.iter().map(|entry| listed_key(entry, intent(entry))).collect();
    KeyList { keys, complete: listing.complete }
}
