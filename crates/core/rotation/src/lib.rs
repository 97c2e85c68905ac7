//! The protocol: phases, events, effects, evidence, gates. No IO, clock, randomness or serde.
//!
//! [`step`] alone decides. It takes a [`State`] and an [`Event`] and returns the next state and the effects that may
//! now be carried out; an effect exists only after its intent is in the journal. [`wants`] derives the next steps from
//! the state alone: a new driver that replays the journal wants exactly what the former driver wanted.

mod accepted_file;
mod bystander;
mod capabilities;
mod course;
mod deadlines;
mod delivered;
mod effect;
mod event;
mod evidence;
mod gate;
mod gone;
mod id;
mod intent;
mod key_list;
mod label;
mod leave;
mod left;
mod list_diff;
mod next;
mod observations;
mod operator;
mod pace;
mod phase;
mod phases;
mod plan;
mod preflight_answers;
mod probed;
mod shared_list;
mod state;
mod step;
mod time;
mod turn;
mod unit;
mod unmoved;
mod unread;
mod unrestarted;
mod waiting;
mod wants;
mod way;
mod way_by_hand;
mod way_past_stale;
mod way_past_use;
mod way_steps;

/// The version of the protocol, which gives the entries their meaning. A protocol that is older than the one that
/// opened a rotation never drives it. 2: a consent without an operator; steps with an unknown outcome are counted. 3:
/// holds have an order; a stuck rotation enables the old key; an answer counts for its own version. 4: what ends a key
/// rests on a young look. 5: an answer of the issuer shows what was true when it was asked for; a process that executes
/// another program is another instance; memory that was not searched is counted. 6: the word of a process counts where
/// the operator trusts it. 7: a last use that the issuer does not show is unknown, and only the operator can waive it.
/// 8: a value that another party put into the source of truth holds the rotation. 9: that holds it before a restart too,
/// where the program reads the store by itself; a waiver for one that reads it again and again counts after the time of a
/// unit. 10: a roll is paced: waves, a canary that is watched, hosts, pauses; nobody begins while a unit goes back alone. 11:
/// a host that is gone is waived, until a look shows it again. 12: an instance may be a container of a pod. 13: the
/// commands of a consumer are corrected in an open rotation; a consumer that is gone is let go, and a file is accepted as it
/// stands; an abort tries again what failed, and in a rollback one that cannot be restarted may show that it never moved. From 13
/// on a rotation knows the protocol that opened it (`Plan::protocol`): a change of what an old entry does begins with a number.
/// 14: a plan declares bystanders, and a look names the processes that are; no earlier plan has any.
/// 15: in a rollback a consumer that is waived after its restart failed is not restarted any more, and the rotation is stuck at one
/// whose restart fails until the time is over. 16: after a waiver of the last use the issuer is asked again, and an answer ends the
/// waiver. 17: a rollback waits until the new key is unused too, where the issuer shows that. 18: until the canary of a paced roll has
/// passed, the waves are those of the consumers of which one is it, and one that was away meanwhile is moved and proven again; a
/// rollback waits for the last use of the new key again after each restoration, also where a deletion was begun before it and not
/// carried out; the look after a consent began after it; in ConfirmDead the new key is asked about too; an emergency looks for an
/// unknown label again; neither a statement nor a list stands for the consent to a mint that ends the old key; a consumer that is
/// back with neither version is moved; where a list showed another party's Disable, a lost one of ours is waited for; an Enable
/// that is answered after a statement that the key was revoked does not undo that; a rollback to a shared key that an operator
/// says has ended goes forward; where a rollback only has to enable the old key, that statement is checked by a list; a look that
/// was under way when a Revoke failed is not the one after it; what a lost mint made with the new version's value is not deleted
/// in place of that.
pub const PROTOCOL: u32 = 18;

pub use bystander::standing;
pub use capabilities::{Capabilities, LastUsed, MintedBy, Overlap, Refusals};
pub use deadlines::unused_ms;
pub use effect::{Effect, Op, Person, Query, Want};
pub use event::{
    Adoptee, Difference, Emergency, Event, Fact, Labelled, LastUse, ListedState, Outcome, PreflightSeen,
    ProbeResult, Reconciled, TruthValue, Waived,
};
pub use evidence::{
    BystanderSeen, Enumeration, FoundBy, Holds, Incarnation, InstanceIdentity, Kinds, ObservedInstance,
    PATHS_MAX, Proof, SearchLimit, SessionSeen, Unsearched, Visibility,
};
pub use gate::{Blocker, blockers, digest_of_life, is_only_busy, unsearched};
pub use id::{BystanderId, ConsumerId, CredId, EndpointId, FileId, HostId, Seq, Which};
pub use key_list::{KeyList, ListedKey};
pub use label::Label;
pub use list_diff::{ListDiff, ListedBefore};
pub use next::{Next, Outside, Step, go_on};
pub use pace::canary;
pub use plan::{
    Aim, Canary, Consumer, Delivery, OnFailure, Plan, PlanDefect, Policy, ReloadMode, RollPolicy, SLOTS_MAX,
};
pub use preflight_answers::{PreflightAnswers, PreflightDefect};
pub use probed::{DeletedAnswers, NotDead, find_mint_by_probes, is_accepted};
pub use shared_list::{SharedList, SharedListIter};
pub use state::{
    Debt, Hold, Intent, IntentStatus, Look, NewVersion, OldKey, Phase, Reason, State, Streak, Unit, UnitStep,
};
pub use step::{IllegalEvent, step};
pub use time::Stamp;
pub use unmoved::{is_unmoved, may_be_given_out};
pub use unrestarted::may_be_excused;
pub use waiting::{
    Awaited, OldKeyUse, Until, Waiting, old_key_use, still_used, waiting, waits_for_new_to_be_unused,
};
pub use wants::{consent_digest, wants};
pub use way::{Way, way, ways_past, ways_past_absence};
pub use way_past_use::waived_users;
