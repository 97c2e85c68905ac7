//! Process managers: the verb that really applies a value.
//!
//! One attempt per call, each with its own deadline; whether the attempt had its effect is said by the class of the
//! failure. Invariants, by what is absent: no value in an argument or in the environment of anything started here;
//! nothing started here ends with keyroll, or holds an open file of it; no signal by process number alone.

mod adapter;
mod apply;
mod at_rest;
mod brings;
mod check;
mod command;
mod compose;
mod container;
mod container_sources;
mod cron;
mod cron_sources;
mod docker;
mod facts;
mod fetch;
mod find;
mod http;
mod instance;
mod leftover;
mod master;
mod output;
mod pm2;
mod pm2_list;
mod pm2_sources;
mod process;
mod rate;
mod reread;
mod settle;
mod supervisor;
mod supervisor_sources;
mod systemd;
mod systemd_manager;
mod unit_sources;
mod user;
mod words;

pub use adapter::{Adapter, AdapterRule, adapter_schema, check_adapter};
pub use apply::{Applied, Run, apply, instances, instances_in};
pub use at_rest::AtRest;
pub use brings::{Brings, Edit, Variables};
pub use check::{Check, CheckAnswer, check};
pub use command::CommandLine;
pub use compose::Compose;
pub use container::{Container, ContainerVerb};
pub use container_sources::{ComposeSources, ContainerSources};
pub use cron::Cron;
pub use cron_sources::{CronJob, CronTable, CronVariable};
pub use docker::Docker;
pub use facts::{MANAGER_FACTS, ManagerFact, Notice, ServiceFact, managers_markdown};
pub use fetch::fetch;
pub use find::Find;
pub use instance::InstanceProcess;
pub use leftover::{Leftover, end_leftover};
pub use master::{Master, Roll};
pub use pm2::Pm2;
pub use pm2_sources::{Pm2App, Pm2Daemon, pm2_dump};
pub use process::{Process, Said, Verb, signal_by_name};
pub use rate::RateQuery;
pub use reread::Reread;
pub use supervisor::Supervisor;
pub use supervisor_sources::{Assigned, SupervisorConfig, Supervisord};
pub use systemd::{Unit, UnitFiles, UnitState};
pub use unit_sources::{UnitLine, UnitSays, UnitSources, UnitsSources, unit_lines, unit_sources};
pub use user::{home_of, uid_of, user_names};
