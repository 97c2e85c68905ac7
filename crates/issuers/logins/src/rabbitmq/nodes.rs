use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use serde::Deserialize;

use super::link::Link;
use super::server::RabbitMq;

/// A node of the cluster, as the answering node sees it.
#[derive(Deserialize)]
struct Node {
    name: String,
    #[serde(default)]
    running: bool,
    /// The running nodes that this node lost contact with (a network partition).
    #[serde(default)]
    partitions: Vec<String>,
}

impl Node {
    fn fault(&self) -> Option<String> {
        match (self.running, self.partitions.as_slice()) {
            (false, _) => Some(format!("the node {} does not run, or is not seen", self.name)),
            (true, []) => None,
            (true, [other, ..]) => Some(format!("the node {} has lost contact with {other}", self.name)),
        }
    }
}

/// Refuses unless every node of the cluster is visible. No list shows the connections of an invisible node, and a
/// change of a user does not reach that node.
pub(super) async fn whole(server: &RabbitMq, link: &Link<'_>, what: &str) -> Result<(), Failure> {
    let nodes: Vec<Node> = link
        .get("/api/nodes?columns=name,running,partitions")
        .await
        .map_err(|fault| server.failed(&fault, what))?;
    let Some(why) = nodes.iter().find_map(Node::fault) else { return Ok(()) };
    Err(Failure::new(Class::Retryable, Code::ServerUnsuitable, server.attempted(what))
        .because(why)
        .help("rabbitmqctl cluster_status"))
}
