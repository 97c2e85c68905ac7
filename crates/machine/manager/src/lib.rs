//! Process managers: the verb that really applies a value.
//!
//! One attempt per call, each with its own deadline; the class of a failure says whether the attempt had its effect.
//! Invariants, by what is absent: no value in an argument or in the environment of a started process; no started
//! process ends with keyroll, or holds an open file of it; no signal by process number alone.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test looks from outside"))]

mod adapter;
mod agent_rows;
mod applied_by;
mod at_rest;
mod attempt;
mod check;
mod command;
mod compose;
mod container;
mod converse;
mod cron;
mod declaration;
mod declared_value;
mod docker;
mod drift;
mod environment;
mod facts;
mod find;
mod generation;
mod http;
mod instance;
mod leftover;
mod listening;
mod litellm;
mod managers_page;
mod openclaw;
mod output;
mod pattern;
mod pm2;
mod pods;
mod prefork_master;
mod process;
mod rate;
mod registry;
mod reread;
mod restart;
mod runit;
mod served;
mod service_declaration;
mod service_identity;
mod settle;
mod shell_word;
mod signal;
mod supervisor;
mod surveyed_agent;
mod systemd;
mod user;
mod wait;
mod words;
mod workload;

pub use adapter::{Adapter, TriedRule, adapter_schema, check_adapter};
pub use agent_rows::{AgentRow, AgentRows};
pub use applied_by::AppliedBy;
pub use at_rest::AtRest;
pub use attempt::{Applied, Attempt};
pub use check::{Check, CheckAnswer, Turn, check};
pub use command::CommandLine;
pub use compose::Compose;
pub use compose::drift::references;
pub use container::{Container, ContainerVerb};
pub use converse::{Conversation, converse, good_words, one_line};
pub use cron::Cron;
pub use cron::sources::{CronJob, CronTable, CronVariable};
pub use declaration::{Declaration, DeclarationError, DeclarationErrorKind, Key, KeyForm, Manager, Surveyed};
pub use declared_value::Declared;
pub use docker::Docker;
pub use docker::sources::{ComposeNext, ComposeSources, ContainerSources, EngineSources, Mounts};
pub use drift::{ChangedFile, Drift, Edit, OwnCopies, Variables};
pub use environment::{found, home, search_path};
pub use facts::{ManagerFact, Notice, ServiceFact};
pub use find::{Find, pid_file_refused};
pub use generation::Generation;
pub use instance::InstanceProcess;
pub use leftover::{Leftover, end_leftover};
pub use listening::is_listening;
pub use litellm::{
    LOOPBACK_FORM, LiteLlm, LiteLlmProxy, ModelAnswer, Proxy, ProxyEndpoint, ask_model, loopback_address,
};
pub use managers_page::managers_markdown;
pub use openclaw::{OpenClaw, OpenClawGateway, Start};
pub use pattern::files_of;
pub use pm2::Pm2;
pub use pm2::sources::{Pm2App, Pm2Daemon, pm2_dump};
pub use pods::Pods;
pub use prefork_master::{PreforkMaster, Roll};
pub use process::{Process, Verb};
pub use rate::{RateApi, RateQuery};
pub use registry::{COMMON_KEYS, MANAGERS, keys, manager_facts};
pub use reread::Reread;
pub use restart::{CommandFailure, fetch};
pub use runit::Runit;
pub use served::Served;
pub use service_declaration::{DraftValue, ServiceDeclaration};
pub use service_identity::ServiceIdentity;
pub use shell_word::shell_word;
pub use signal::signal_by_name;
pub use supervisor::Supervisor;
pub use supervisor::sources::{Assigned, SupervisorConfig, Supervisord};
pub use surveyed_agent::{
    AgentDraft, AgentService, AgentSource, CHECK_COMMAND, SurveyedAgent, SurveyedConsumer,
};
pub use systemd::credentials::{CredentialFrom, UnitCredential};
pub use systemd::sources::{EnvironmentFile, UnitSources, UnitsSources, Wrapper, unit_sources};
pub use systemd::text::{UnitLine, UnitSays, unit_lines};
pub use systemd::{UNIT_NAME_BYTES_MAX, Unit, UnitFiles, UnitState, is_unit_name};
pub use user::{home_of, uid_of, user_homes, user_names};
pub use workload::{Comparison, SharedWorkload, Workload, apply, instances};
