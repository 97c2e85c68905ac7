//! Process managers: the verb that really applies a value.
//!
//! One attempt per call, each with its own deadline; whether the attempt had its effect is said by the class of the
//! failure. Invariants, by what is absent: no value in an argument or in the environment of anything started here;
//! nothing started here ends with keyroll, or holds an open file of it; no signal by process number alone.

mod adapter;
mod agent;
mod apply;
mod at_rest;
mod brings;
mod check;
mod command;
mod compose;
mod container;
mod cron;
mod docker;
mod facts;
mod fetch;
mod find;
mod http;
mod instance;
mod leftover;
mod litellm;
mod master;
mod openclaw;
mod output;
mod pm2;
mod pm2_list;
mod process;
mod rate;
mod reread;
mod settle;
mod supervisor;
mod systemd;
mod systemd_manager;
mod turn;
mod user;

pub use adapter::{Adapter, AdapterRule, adapter_schema, check_adapter};
pub use agent::Agent;
pub use apply::{Applied, Run, apply, instances, instances_in};
pub use at_rest::AtRest;
pub use brings::{Brings, Edit};
pub use check::{Check, CheckAnswer, check};
pub use command::CommandLine;
pub use compose::Compose;
pub use container::{Container, ContainerVerb};
pub use cron::Cron;
pub use docker::Docker;
pub use facts::{MANAGER_FACTS, ManagerFact, Notice, ServiceFact, managers_markdown};
pub use fetch::fetch;
pub use find::Find;
pub use instance::InstanceProcess;
pub use leftover::{Leftover, end_leftover};
pub use litellm::{Door, LiteLlm, ModelAnswer, Proxy, ask_model};
pub use master::{Master, Roll};
pub use openclaw::{OpenClaw, Start};
pub use pm2::Pm2;
pub use process::{Process, Said, Verb, signal_by_name};
pub use rate::RateQuery;
pub use reread::Reread;
pub use supervisor::Supervisor;
pub use systemd::{Unit, UnitFiles, UnitState};
pub use turn::Turn;
pub use user::uid_of;
