//! The kinds of stores that a scene may have, and what differs between them.

use std::path::Path;

/// Which store a scene has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// AWS Secrets Manager: moto.
    Aws,
    /// KV version 2 of Vault or OpenBao: the fake of the testkit.
    Vault,
    /// An env file of this host.
    File,
    /// A program that speaks the protocol of `exec:`.
    Program,
    /// A Secret of the real Kubernetes.
    Kubernetes,
}

const ALL: [Kind; 5] = [Kind::Aws, Kind::Vault, Kind::File, Kind::Program, Kind::Kubernetes];

impl Kind {
    /// By the word of a part.
    pub fn of(word: &str) -> Self {
        ALL.into_iter().find(|kind| kind.word() == word).unwrap()
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Vault => "vault",
            Self::File => "file",
            Self::Program => "program",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// The secret, as the configuration names it.
    pub fn reference(self) -> &'static str {
        match self {
            Self::Aws => "aws-sm:prod/ring#RING_KEY",
            Self::Vault => "vault:kv/prod/ring#RING_KEY",
            Self::File => "file:./secrets/ring.env#RING_KEY",
            Self::Program => "exec:./store#prod/ring",
            Self::Kubernetes => "k8s:shop/acme#key",
        }
    }

    /// How the version that is given out is called there.
    pub fn given_out(self) -> &'static str {
        match self {
            Self::Aws => "AWSCURRENT",
            Self::Vault | Self::File | Self::Program | Self::Kubernetes => "current",
        }
    }

    /// Where the store is: the address of a server, or a path in the folder of the scene.
    pub fn place(self, server: &str, folder: &Path) -> String {
        match self {
            Self::Aws | Self::Vault | Self::Kubernetes => server.to_owned(),
            Self::File => folder.join("secrets/ring.env").display().to_string(),
            Self::Program => folder.join("store").display().to_string(),
        }
    }

    /// Whose login other people have. A store on this host has no logins.
    pub fn others(self) -> Option<&'static str> {
        match self {
            Self::Aws => Some("keyroll"),
            Self::Vault | Self::Kubernetes => Some("writer"),
            Self::File | Self::Program => None,
        }
    }
}
