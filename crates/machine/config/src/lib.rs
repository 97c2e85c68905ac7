//! Parses keyroll.toml strictly.
//!
//! Invariants, by what is absent: no value of a credential is ever in the file, in [`Config`] or in an error (errors
//! have the position, never the text there); an unknown key is an error, never ignored; nothing has a default that the
//! protocol needs the operator to decide. This room reads one file; of the other rooms it uses the declarations of
//! managers and servers.

mod at;
mod aws;
mod cluster_consumer;
mod config;
mod consumer;
mod consumers;
mod copy;
mod corrected;
mod deadline;
mod defaults;
mod edit;
mod error;
mod field;
mod file_shape;
mod followed;
mod follows;
mod gate;
mod host;
mod host_shape;
mod host_words;
mod insert;
mod issuer_ref;
mod kube_address;
mod kube_names;
mod kubernetes;
mod left_out;
mod log;
mod login_table;
mod mistake;
mod name;
mod notices;
mod other_key;
mod other_key_shape;
mod parse;
mod path;
mod period;
mod placeholder;
mod reads_shape;
mod reference;
mod reference_page;
mod roll;
mod runs;
mod runs_shape;
mod schedule;
mod schema;
mod search;
mod secret;
mod secret_shape;
mod server;
mod serves;
mod shape;
mod signal;
mod site;
mod slice;
mod split;
mod store_ref;
mod suggest;
mod template;
mod unseen;
mod url;
mod vault;
mod vault_shape;
mod waves;
mod workload_kind;

pub use aws::AwsUser;
pub use cluster_consumer::InCluster;
pub use config::{COMPOSED, CONFIG_BYTES_MAX, Config};
pub use consumer::{Check, Consumer, LiteLlmCheck, PathCheck};
pub use copy::{Copy, Place, Source, WriteMode};
pub use corrected::correct_consumer;
pub use deadline::Deadlines;
pub use defaults::{Defaults, OnFailure};
pub use edit::{NewApply, NewConsumer, NewSecret, add_consumer, add_secret, replace_consumer};
pub use error::{ConfigError, Kind, Position};
pub use field::FieldSpec;
pub use followed::{Followed, FollowedNamespace};
pub use gate::Gate;
pub use host::{Connect, Host, SshAddress};
pub use host_words::hosts_meant;
pub use insert::{
    FoundConsumer, FoundCopy, FoundSecret, NewHost, Said, comments, with_consumer, with_copy, with_hosts,
    with_secret,
};
pub use issuer_ref::IssuerRef;
pub use kube_address::KubeAddress;
pub use kubernetes::Kubernetes;
pub use left_out::leave_out;
pub use log::{Log, LogSource};
pub use name::{LOCAL, NAME_BYTES_MAX, Name};
pub use notices::{MailSecurity, MailServer, NoticeKind, Recipient, Way};
pub use other_key::{accept_key, withdraw_key};
pub use placeholder::{Argument, Argv};
pub use reference::Reference;
pub use reference_page::reference_markdown;
pub use roll::{Canary, Roll};
pub use runs::{Instance, Runs};
pub use schedule::{DAY_MIN, Schedule, Window};
pub use schema::{SCHEMA_FILE_NAME, schema};
pub use search::Search;
pub use secret::{Decide, EvidenceKind, OtherKey, Revoke, Secret};
pub use server::{Alerts, Server};
pub use serves::Serves;
pub use signal::Signal;
pub use slice::slice;
pub use split::{ConsumerSplit, join_consumers, split_consumer};
pub use store_ref::StoreRef;
pub use suggest::nearest;
pub use template::{Part, Template};
pub use unseen::is_unseen;
pub use vault::{Vault, VaultLogin};
pub use workload_kind::WorkloadKind;
