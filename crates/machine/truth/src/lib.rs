//! Sources of truth that are not keyroll's own store: AWS Secrets Manager, Vault and OpenBao, a Secret of Kubernetes, a
//! file, a program.
//!
//! Invariants, by what is absent: no attempt is repeated; no version is given out that was not compared with the one
//! before it, and no label is taken from another party's version; only the bytes of one value differ between what was
//! read and what is written; no error holds a byte of a value or of a document. What this room cannot overwrite are the
//! copies that the AWS SDK and the client of Kubernetes make of a document while they write a request and read an answer.

mod attempt;
mod aws;
mod blocking;
mod cell;
mod document;
mod exec;
mod file;
mod kubernetes;
mod place;
mod vault;

pub use aws::{AwsSecret, AwsTruth, PENDING};
pub use document::DocumentError;
pub use exec::{ExecSecret, check_store, exec, store_program_schema};
pub use file::{FileSecret, file};
pub use keyroll_aws::AwsSettings;
pub use keyroll_kube::{Address as KubernetesAddress, connect as connect_kubernetes};
pub use keyroll_vault::{VaultLogin, VaultSettings, VaultToken};
pub use kubernetes::{KubernetesSecret, kubernetes};
pub use vault::{VaultSecret, vault};
