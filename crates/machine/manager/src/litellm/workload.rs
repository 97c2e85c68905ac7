use std::net::SocketAddr;
use std::sync::Arc;

use keyroll_agents::AgentSlot;
use keyroll_observe::Listing;
use keyroll_port::Failure;

use super::LiteLlm;
use crate::declaration::{DeclarationError, Key, KeyForm, Manager};
use crate::{
    Applied, AppliedBy, Attempt, Comparison, InstanceProcess, ServiceIdentity, SurveyedConsumer, Workload,
};

/// A LiteLLM proxy.
pub(crate) static LITELLM: Manager = Manager {
    keys: &[Key::new(
        "litellm",
        KeyForm::Text,
        "The address of a LiteLLM proxy with several workers: `http://127.0.0.1:4000`. keyroll replaces the workers one at a time, each only while another worker answers. If the proxy takes its keys from the environment that it was started with, declare what restarts the proxy instead, such as `unit`.",
    )],
    with: &["ready", "drain"],
    only: "the manager knows its processes: `ready` and `drain` alone go with it",
    example: "{ litellm = \"http://127.0.0.1:4000\" }",
    facts: &[],
    survey: None,
    read: |of| {
        let address = loopback_address(of.needed("litellm")?)
            .ok_or_else(|| DeclarationError::form("litellm", format!("`litellm` {LOOPBACK_FORM}")))?;
        let variable = |(_, slot): &(_, AgentSlot)| match slot {
            AgentSlot::Variable(name) => Some(name.clone()),
            AgentSlot::Whole | AgentSlot::Pointer(_) | AgentSlot::Row(_) => None,
        };
        Ok(Arc::new(LiteLlm { address, variables: of.reads.iter().filter_map(variable).collect() }))
    },
};

/// The form of an address of a program on this machine. The request has the program's own key, which could be read on
/// the network.
pub const LOOPBACK_FORM: &str =
    "must be http:// with a numeric loopback address and a port: http://127.0.0.1:4000";

/// The loopback address in `http://127.0.0.1:4000`; `None` = another form, or another machine.
pub fn loopback_address(text: &str) -> Option<SocketAddr> {
    let rest = text.strip_prefix("http://")?.trim_end_matches('/');
    let address: SocketAddr = rest.replacen("localhost:", "127.0.0.1:", 1).parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

impl Workload for LiteLlm {
    fn apply(&self, attempt: &mut Attempt<'_>) -> Result<Applied, Failure> {
        self.replace_workers(attempt.deadline)
    }

    fn applied_by(&self) -> AppliedBy {
        AppliedBy::Request(format!(
            "ends each worker of the proxy at {}, one after the other, while another one answers",
            self.address
        ))
    }

    fn instances_in(&self, _listing: &Listing) -> Result<Vec<InstanceProcess>, Failure> {
        self.worker_instances()
    }

    fn is_rolling(&self) -> bool {
        true
    }

    fn has_downtime(&self) -> bool {
        false
    }

    /// The master: it reads the configuration too, passes it only to its workers, and calls no issuer.
    fn supervisor_pid(&self) -> Option<u32> {
        Some(self.look().ok()??.master?.pid)
    }

    fn comparison(&self) -> Comparison {
        Comparison::NotVisible("it receives the value through its own interface")
    }

    fn objections(&self) -> Vec<Failure> {
        match self.look() {
            // A proxy that does not run is reported when it is asked for its key.
            Ok(None) => Vec::new(),
            Ok(Some(proxy)) => self.refuse(&proxy).err().into_iter().collect(),
            Err(failure) => vec![failure],
        }
    }

    fn proxy_address(&self) -> Option<SocketAddr> {
        Some(self.address)
    }

    fn is_same_agent(&self, found: &SurveyedConsumer<'_>) -> bool {
        self.is_same_agent(found)
    }

    fn identities(&self) -> Vec<ServiceIdentity> {
        vec![ServiceIdentity::named("litellm", self.address.to_string())]
    }
}
