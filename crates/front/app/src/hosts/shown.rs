use serde::Serialize;

/// A host of keyroll.toml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostShown {
    /// Its name.
    pub name: String,
    /// The group that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How it is reached, as it is written.
    pub connect: String,
    /// Whether keyroll-host is started with `sudo`; none: it is a cluster, which has no program to start and no machine to
    /// accept.
    pub sudo: Option<bool>,
    /// The folder there that the paths of its consumers are relative to; without it the host has no consumers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// When the machine was accepted, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
}

/// One value that several hosts have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SharedShown {
    /// Its label.
    pub label: String,
    /// Each host, and the name of the secret there.
    pub secrets: Vec<(String, String)>,
}
