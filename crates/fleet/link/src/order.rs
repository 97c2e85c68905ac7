//! What a driver orders on a host during a rotation, and the host's answers.
//!
//! A host counts its own consumers and files from 0, in the order of its slice of the configuration. The driver
//! translates them to and from the numbers of the plan, so a host cannot speak of another host's.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::forms::{
    AskedForm, DifferenceForm, FailureForm, HolderForm, HoldsForm, IncarnationForm, LookedForm,
    PendingChangeForm, PendingForm, ProvedForm, ReconciledForm, SessionsForm, SurveyForm, SweptForm,
    WhichForm,
};
use crate::sealed::Sealed;

/// An order. Each but the first of a connection needs an [`Order::Open`] before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Which rotation the connection is for. Another one may follow on the same connection; the last one counts.
    Open(Box<OpenOrder>),
    /// `Surveyor::survey`.
    Survey(Box<SurveyOrder>),
    /// `Surveyor::copies`, in the order of the files.
    Copies {
        /// Both versions.
        values: Sealed,
    },
    /// `Surveyor::live`.
    Live,
    /// `Host::trial`.
    Trial {
        /// Both versions.
        values: Sealed,
    },
    /// `Host::carries`.
    Carries {
        /// The fields, as the old version of the sealed values.
        values: Sealed,
    },
    /// `Host::deliver`.
    Deliver {
        /// The file.
        file: u16,
        /// The version.
        which: WhichForm,
        /// Both versions.
        values: Sealed,
        /// The intent, and until when it may begin.
        asked: AskedForm,
    },
    /// `Host::delivered`.
    Delivered {
        /// The file.
        file: u16,
        /// The version.
        which: WhichForm,
        /// Both versions.
        values: Sealed,
        /// The intent.
        intent: u64,
    },
    /// `Host::remove_superseded`.
    RemoveSuperseded {
        /// Both versions.
        values: Sealed,
        /// The intent, and until when it may begin.
        asked: AskedForm,
    },
    /// `Host::before_given_out`.
    BeforeGivenOut {
        /// The version.
        which: WhichForm,
        /// Both versions.
        values: Sealed,
        /// The sessions.
        sessions: SessionsForm,
    },
    /// `Host::fetch`.
    Fetch {
        /// The consumer.
        consumer: u16,
        /// The version.
        which: WhichForm,
        /// Both versions.
        values: Sealed,
        /// The intent, and until when it may begin.
        asked: AskedForm,
    },
    /// `Host::apply`.
    Apply {
        /// The consumer.
        consumer: u16,
        /// Its slot.
        slot: u8,
        /// The intent, and until when it may begin.
        asked: AskedForm,
        /// The pending changes that may go live; none = every one.
        accepted: Option<Vec<DifferenceForm>>,
    },
    /// `Host::await_end`.
    AwaitEnd {
        /// The intent.
        intent: u64,
    },
    /// `Host::enumerate`.
    Enumerate {
        /// Both versions.
        values: Sealed,
        /// The sessions.
        sessions: SessionsForm,
        /// The version that stays.
        stays: WhichForm,
    },
    /// `Host::prepare`.
    Prepare {
        /// Which evidence.
        of: ProvingOrder,
        /// The sessions before it.
        before: SessionsForm,
    },
    /// `Host::go`.
    Go {
        /// The number of the first half.
        prepared: u64,
        /// Whether the first half asked for the sessions again.
        reads_again: bool,
        /// Which evidence.
        of: ProvingOrder,
        /// The sessions after the first half.
        after: SessionsForm,
    },
    /// `Host::describe`.
    Describe {
        /// The process; its host is 0.
        who: IncarnationForm,
    },
    /// `Host::watch_refusals`; the driver keeps the issuer's mark.
    WatchRefusals,
    /// `Host::refusals`.
    Refusals,
    /// `Host::caller`.
    Caller {
        /// The client's end of the connection.
        client: SocketAddr,
    },
    /// `Host::sweep`.
    Sweep {
        /// Both versions.
        values: Sealed,
    },
    /// A search on a host without a consumer of the secret: it gets fingerprints, and no value.
    Search(Box<SearchOrder>),
}

impl Order {
    /// The word of the order: values are sealed for it alone.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Survey(_) => "survey",
            Self::Copies { .. } => "copies",
            Self::Live => "live",
            Self::Trial { .. } => "trial",
            Self::Carries { .. } => "carries",
            Self::Deliver { .. } => "deliver",
            Self::Delivered { .. } => "delivered",
            Self::RemoveSuperseded { .. } => "remove_superseded",
            Self::BeforeGivenOut { .. } => "before_given_out",
            Self::Fetch { .. } => "fetch",
            Self::Apply { .. } => "apply",
            Self::AwaitEnd { .. } => "await_end",
            Self::Enumerate { .. } => "enumerate",
            Self::Prepare { .. } => "prepare",
            Self::Go { .. } => "go",
            Self::Describe { .. } => "describe",
            Self::WatchRefusals => "watch_refusals",
            Self::Refusals => "refusals",
            Self::Caller { .. } => "caller",
            Self::Sweep { .. } => "sweep",
            Self::Search(_) => "search",
        }
    }

    /// Whether it changes something on the host, or what the host remembers for the rotation.
    pub fn changes(&self) -> bool {
        match self {
            Self::Deliver { .. }
            | Self::RemoveSuperseded { .. }
            | Self::BeforeGivenOut { .. }
            | Self::Fetch { .. }
            | Self::Apply { .. }
            | Self::WatchRefusals => true,
            Self::Open(_)
            | Self::Survey(_)
            | Self::Copies { .. }
            | Self::Live
            | Self::Trial { .. }
            | Self::Carries { .. }
            | Self::Delivered { .. }
            | Self::AwaitEnd { .. }
            | Self::Enumerate { .. }
            | Self::Prepare { .. }
            | Self::Go { .. }
            | Self::Describe { .. }
            | Self::Refusals
            | Self::Caller { .. }
            | Self::Sweep { .. }
            | Self::Search(_) => false,
        }
    }

    /// The intent that it belongs to; 0 where it has none.
    pub fn intent(&self) -> u64 {
        match self {
            Self::Delivered { intent, .. } | Self::AwaitEnd { intent } => *intent,
            Self::Open(_)
            | Self::Survey(_)
            | Self::Copies { .. }
            | Self::Live
            | Self::Trial { .. }
            | Self::Carries { .. }
            | Self::Deliver { .. }
            | Self::RemoveSuperseded { .. }
            | Self::BeforeGivenOut { .. }
            | Self::Fetch { .. }
            | Self::Apply { .. }
            | Self::Enumerate { .. }
            | Self::Prepare { .. }
            | Self::Go { .. }
            | Self::Describe { .. }
            | Self::WatchRefusals
            | Self::Refusals
            | Self::Caller { .. }
            | Self::Sweep { .. }
            | Self::Search(_) => self.asked().map_or(0, |asked| asked.intent),
        }
    }

    /// The intent of its effect, and until when that may begin; `None` if it has no such limit.
    pub fn asked(&self) -> Option<AskedForm> {
        match self {
            Self::Deliver { asked, .. }
            | Self::RemoveSuperseded { asked, .. }
            | Self::Fetch { asked, .. }
            | Self::Apply { asked, .. } => Some(*asked),
            Self::Open(_)
            | Self::Survey(_)
            | Self::Copies { .. }
            | Self::Live
            | Self::Trial { .. }
            | Self::Carries { .. }
            | Self::Delivered { .. }
            | Self::BeforeGivenOut { .. }
            | Self::AwaitEnd { .. }
            | Self::Enumerate { .. }
            | Self::Prepare { .. }
            | Self::Go { .. }
            | Self::Describe { .. }
            | Self::WatchRefusals
            | Self::Refusals
            | Self::Caller { .. }
            | Self::Sweep { .. }
            | Self::Search(_) => None,
        }
    }
}

/// Which rotation a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// The driver's installation, 32 hex digits. A host serves one installation per secret.
    pub installation: String,
    /// The secret's name.
    pub secret: String,
    /// The rotation's or plan's id; empty without one. It is part of names of files on the host: hex digits only.
    pub rotation: String,
    /// It rises with each driver of the installation. A host refuses a lower one than it has seen, and ends the program
    /// of a lower one that still runs.
    pub epoch: u64,
    /// What this driver drew, 32 hex digits: no other one has it, also not one with the same epoch that began from a copy of
    /// the state folder.
    pub driver: String,
    /// The drivers of this secret before it, as the state folder knows them: the epoch of each and what it drew, the earliest
    /// one first. A host whose last driver is not among them was changed by one that this state folder does not know. Empty
    /// without `changes`.
    pub before: Vec<(u64, String)>,
    /// It rises with each connection of that driver to this host.
    pub turn: u64,
    /// Without it, nothing is changed on the host on this connection, and the fence is left alone: plans and reports.
    pub changes: bool,
    /// The slice of keyroll.toml that is about this host and secret.
    pub config: String,
    /// The folder there to which its paths refer, and in which its commands run.
    pub folder: String,
    /// What the issuer says of itself.
    pub issuer: IssuerForm,
    /// The limits of a search there.
    pub search: SearchForm,
    /// Folders that are searched besides those of the slice.
    pub folders: Vec<String>,
    /// The key of the digests of files and pending changes: one of this host's own, 64 hex digits.
    pub digests: String,
    /// Where the files led when the plan was made.
    pub planned: PlannedForm,
    /// The rotation needs to see which process opens a copy: a host that cannot see that is not opened.
    pub reads_required: bool,
}

/// What an issuer says of itself, as far as a host depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerForm {
    /// It shows which process made a call.
    pub attributes: bool,
    /// Every byte that a value may contain.
    pub alphabet: Vec<u8>,
    /// The longest value, bytes.
    pub length_max: usize,
    /// The endpoints (host:port) that consumers talk to.
    pub endpoints: Vec<String>,
}

/// The limits of a search, with the folders of the slice's own `[search]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchForm {
    /// How much memory of one process is searched, bytes.
    pub memory_bytes_max: u64,
    /// How long it may take, milliseconds.
    pub time_ms_max: u64,
}

/// Where files led when a plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedForm {
    /// There is no plan.
    Unknown,
    /// The plan is being made: the answer says where they lead now.
    Now,
    /// By the path of the configuration.
    Known(Vec<(String, String)>),
}

/// The input of a survey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurveyOrder {
    /// Both versions.
    pub values: Sealed,
    /// The version that the rotation would make, as far as it is known, as the old version of the sealed values.
    pub next: Option<Sealed>,
    /// The live sessions.
    pub sessions: SessionsForm,
    /// What every copy must hold: the new version instead of the old one.
    pub begins_on_new: bool,
    /// The pending changes are reported.
    pub restarts: bool,
    /// Checks are rehearsed.
    pub rehearses: bool,
}

/// What a host without a consumer of the secret is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchOrder {
    /// The values of both versions, as a fingerprint file under a key of its own; the version of each label is 0 for the old
    /// one, 1 for the new one.
    pub prints: String,
    /// The live sessions.
    pub sessions: SessionsForm,
    /// What the search is for.
    pub wants: SearchFor,
}

/// What a search by fingerprints is for, and so which reply it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchFor {
    /// A plan, as `survey`: `surveyed`.
    Plan,
    /// A look of a rotation, as `enumerate`, while this version stays: `looked`.
    Look(WhichForm),
    /// The last search, as `sweep`: `swept`.
    Sweep,
}

/// Which evidence is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvingOrder {
    /// The consumer.
    pub consumer: u16,
    /// One of its slots; none = all.
    pub slot: Option<u8>,
    /// The version.
    pub which: WhichForm,
    /// Both versions.
    pub values: Sealed,
    /// It was proven and is watched.
    pub watched: bool,
}

/// The answer to one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It failed, and the class says what is known of its effect.
    Failed(FailureForm),
    /// To `open`: the files as they are now, in their order, if the plan is being made; else none.
    Opened {
        /// The files.
        files: Vec<FileNow>,
    },
    /// It was carried out.
    Done,
    /// To `survey`, and to `search` for a plan.
    Surveyed(Box<SurveyForm>),
    /// To `copies`: what each file holds, and why that is not clear.
    Copies(Vec<(HoldsForm, Option<String>)>),
    /// To `live`.
    Live(PendingForm),
    /// To `trial`: the obstacles.
    Trial(Vec<FailureForm>),
    /// To `delivered`.
    Delivered(ReconciledForm),
    /// To `apply`.
    Applied {
        /// It was carried out; else refused because of the changes.
        done: bool,
        /// The changes that nobody had accepted.
        changes: Vec<PendingChangeForm>,
    },
    /// To `enumerate`, and to `search` for a look.
    Looked(Box<LookedForm>),
    /// To `prepare`.
    Prepared {
        /// The number of the first half.
        number: u64,
        /// The sessions must be read again.
        reads_again: bool,
    },
    /// To `go`.
    Proved(Box<ProvedForm>),
    /// To `describe` and `caller`.
    Holder(Option<HolderForm>),
    /// To `refusals`.
    Refusals {
        /// How many.
        count: u32,
        /// What the operator should read about them.
        remarks: Vec<FailureForm>,
    },
    /// To `sweep`, and to `search` for the last time.
    Swept(SweptForm),
}

/// A file as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNow {
    /// The path of the configuration, resolved in the host's folder.
    pub path: String,
    /// The file behind all links.
    pub real: String,
    /// A keyed digest of its content.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forms::SessionForm;
    use crate::frame::{Call, Frame};
    use crate::wire::{decode, encode};

    fn sealed() -> Sealed {
        Sealed { enc: "0f".to_owned(), text: "aa".to_owned() }
    }

    fn sessions() -> SessionsForm {
        let session = SessionForm {
            client: Some("192.0.2.7:40112".parse().unwrap()),
            pid: None,
            busy: true,
            handle: "17".to_owned(),
            calls: Some(3),
        };
        SessionsForm { old: Some(vec![session]), new: None }
    }

    fn proving() -> ProvingOrder {
        let slot = Some(1);
        ProvingOrder { consumer: 2, slot, which: WhichForm::New, values: sealed(), watched: true }
    }

    fn open() -> OpenOrder {
        OpenOrder {
            installation: "0f".repeat(16),
            secret: "openai".to_owned(),
            rotation: "17ab".to_owned(),
            epoch: u64::MAX,
            driver: "1e".repeat(16),
            before: vec![(3, "2d".repeat(16))],
            turn: 1,
            changes: true,
            config: "[secrets.openai]\n".to_owned(),
            folder: "/srv".to_owned(),
            issuer: IssuerForm {
                attributes: true,
                alphabet: (0..=255).collect(),
                length_max: 64,
                endpoints: vec!["api.openai.com:443".to_owned()],
            },
            search: SearchForm { memory_bytes_max: 1 << 33, time_ms_max: 60_000 },
            folders: vec!["/srv/app".to_owned()],
            digests: "0f".repeat(32),
            planned: PlannedForm::Known(vec![("/srv/a.env".to_owned(), "/srv/b.env".to_owned())]),
            reads_required: true,
        }
    }

    fn search(wants: SearchFor) -> SearchOrder {
        SearchOrder { prints: "keyroll-prints 1\n".to_owned(), sessions: sessions(), wants }
    }

    #[test]
    fn each_search_is_heard_as_it_was_said() {
        for wants in [SearchFor::Plan, SearchFor::Look(WhichForm::New), SearchFor::Sweep] {
            let order = Order::Search(Box::new(search(wants)));
            let written = serde_json::to_string(&order).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&written).unwrap(), order);
        }
    }

    /// Every order, whether it changes something, and its intent.
    fn all() -> Vec<(Order, bool, u64)> {
        let (values, asked) = (sealed, AskedForm { intent: 41, until_ms: 5_000 });
        let (which, consumer, file) = (WhichForm::Old, 3, 4);
        let who = IncarnationForm::Process { boot: 1, pid: 2, start_ticks: 3, program: 4 };
        let survey = SurveyOrder {
            values: values(),
            next: Some(values()),
            sessions: sessions(),
            begins_on_new: false,
            restarts: true,
            rehearses: true,
        };
        let accepted = Some(vec![DifferenceForm { name: "api:LOG_LEVEL".to_owned(), digest: 9 }]);
        vec![
            (Order::Open(Box::new(open())), false, 0),
            (Order::Survey(Box::new(survey)), false, 0),
            (Order::Copies { values: values() }, false, 0),
            (Order::Live, false, 0),
            (Order::Trial { values: values() }, false, 0),
            (Order::Carries { values: values() }, false, 0),
            (Order::Deliver { file, which, values: values(), asked }, true, 41),
            (Order::Delivered { file, which, values: values(), intent: 42 }, false, 42),
            (Order::RemoveSuperseded { values: values(), asked }, true, 41),
            (Order::BeforeGivenOut { which, values: values(), sessions: sessions() }, true, 0),
            (Order::Fetch { consumer, which, values: values(), asked }, true, 41),
            (Order::Apply { consumer, slot: 1, asked, accepted }, true, 41),
            (Order::AwaitEnd { intent: 43 }, false, 43),
            (Order::Enumerate { values: values(), sessions: sessions(), stays: which }, false, 0),
            (Order::Prepare { of: proving(), before: sessions() }, false, 0),
            (Order::Go { prepared: 7, reads_again: true, of: proving(), after: sessions() }, false, 0),
            (Order::Describe { who }, false, 0),
            (Order::WatchRefusals, true, 0),
            (Order::Refusals, false, 0),
            (Order::Caller { client: "192.0.2.7:40112".parse().unwrap() }, false, 0),
            (Order::Sweep { values: values() }, false, 0),
            (Order::Search(Box::new(search(SearchFor::Look(which)))), false, 0),
        ]
    }

    #[test]
    fn each_order_is_heard_as_it_was_said_with_its_word_its_effect_and_its_intent() {
        for (order, changes, intent) in all() {
            let written = serde_json::to_value(&order).unwrap();
            let tag = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
            assert_eq!(tag, Some(order.kind()));
            assert_eq!((order.changes(), order.intent()), (changes, intent), "{}", order.kind());
            let limited = matches!(order.asked(), Some(asked) if asked.until_ms == 5_000);
            assert_eq!(limited, intent == 41, "{}", order.kind());
            let call = Call::Order { sent_ms: 4_000, order: Box::new(order) };
            let call = Frame::Call { id: 1, call };
            assert_eq!(decode(&encode(&call).unwrap()[4..]), Ok(call));
        }
    }

    #[test]
    fn all_orders_are_among_those_of_the_test() {
        let words: std::collections::BTreeSet<&str> = all().iter().map(|(order, ..)| order.kind()).collect();
        assert_eq!(words.len(), 22);
    }
}
