//! What keyroll and keyroll-host say to each other: frames of JSON, one call at a time.
//!
//! Invariants, by what is absent: a value of a secret travels only from the driver to a host, and only sealed to a key that
//! this very process of the host made, bound to the installation, host, secret, rotation, epoch, turn, order and intent; every
//! text that a host says passes through its cleaner first, and no text that a driver hears has control characters; nothing is
//! allocated for a frame before its length is checked; nothing is waited for without a limit; nothing here opens a
//! connection, or starts a program.

mod cleaned;
mod digits;
mod driver;
mod forms;
mod frame;
mod leak_call;
mod leaks;
mod one_line;
mod order;
mod outbox;
mod reach;
mod reports;
mod sealed;
mod serve;
mod wire;

pub use cleaned::cleaned_reply;
pub use digits::{bytes_of, digits_of, machine_digest};
pub use driver::{Link, LinkError};
pub use forms::{
    AskedForm, BackForm, BystanderForm, ClassForm, DifferenceForm, DowntimeForm, EnumerationForm,
    EvidenceForm, FailureForm, FormError, FoundByForm, HolderForm, HoldsForm, IncarnationForm, LIST_MAX,
    LookedForm, NamedForm, ObservedForm, PendingChangeForm, PendingForm, ProofForm, ProvedForm,
    ReconciledForm, SearchLimitForm, SessionForm, SessionSeenForm, SessionsForm, SurveyForm, SweptForm,
    TEXT_BYTES_MAX, UnsearchedForm, VisibilityForm, WhichForm,
};
pub use frame::{Call, End, Fact, Frame, Hello, HostHello, Item, ManagedHere, Note, VersionHere, WhyItem};
pub use leak_call::{LeakItem, LeaksCall, LeaksEnd, Picks};
pub use leaks::{HostLeaks, host_leaks, leak_items};
pub use order::{
    FileNow, IssuerForm, OpenOrder, Order, PlannedForm, ProvingOrder, Reply, SearchFor, SearchForm,
    SearchOrder, SurveyOrder,
};
pub use outbox::Outbox;
pub use reach::{NotReached, ReachFrame, Tunnel, is_server_name, wanted_server};
pub use reports::{
    draft_items, drafted, missed, scan_items, scan_report, trace_items, trace_report, why_items, why_reports,
};
pub use sealed::{Context, HostKey, OwnedValues, Sealed, SealedError, seal};
pub use serve::{Answers, serve};
pub use wire::{FRAME_BYTES_MAX, FrameError, VERSION, decode, encode, read_frame};
