//! Real parts for tests: databases, hosts, managers, their start and stop; programs that a test writes; and what a
//! command of the program said. A part that is a fake says so in its name.
//!
//! Invariants, by what is absent: nothing here listens anywhere but on loopback, no process outlives the test's,
//! and no part is ended but by the process id that was started here.

mod chance;
pub mod command;
mod deadline;
mod debian_host;
mod engine;
mod external_secrets;
mod figure;
mod go_program;
mod helm;
pub mod issuer;
mod keeper;
mod kubernetes;
mod limited;
mod litellm;
pub mod load;
mod managers;
mod mariadb;
mod moto;
mod openclaw;
mod pgbouncer;
mod port;
mod postgres;
mod postgres_passwords;
mod postgres_tls;
mod program_file;
mod prometheus;
mod python_tools;
mod rabbitmq;
mod real_vault;
mod redis;
mod relay;
mod service;
mod ssh_hosts;
mod systemd_host;
mod vault;
mod verifier;

pub use chance::{alphanumeric, github_token, tag};
pub use deadline::{Deadline, DeadlinePassed, until};
pub use engine::{Engine, HostError};
pub use external_secrets::ExternalSecrets;
pub use figure::figure;
pub use helm::Helm;
pub use kubernetes::Kubernetes;
pub use limited::limited;
pub use litellm::{LITELLM_VERSION, LiteLlmProgram};
pub use managers::ManagerTools;
pub use mariadb::MariaDb;
pub use moto::{IamLogin, MOTO_REGION, Moto, MotoIam, MotoUser};
pub use openclaw::OpenClaw;
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::{Postgres, PostgresError};
pub use program_file::{copy_program, write_program};
pub use prometheus::Prometheus;
pub use rabbitmq::{ManagementApi, RabbitMq};
pub use real_vault::RealVault;
pub use redis::Redis;
pub use relay::Relay;
pub use service::Service;
pub use ssh_hosts::{SshHostWish, SshHosts, Sudoers};
pub use systemd_host::SystemdHost;
pub use tempfile::TempDir;
pub use vault::{AfterRotation, FakeVault, VaultSnapshot, VaultUser};
pub use verifier::scram_verifier;
