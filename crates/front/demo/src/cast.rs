//! The workers and fronts of the demo: name, port, folder and source of the key.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::folder::{Folder, Ports};

/// Where a worker reads its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A variable of its environment, read once at its start.
    Variable(&'static str),
    /// The password in a URL that a variable of its environment holds, read once at its start.
    UrlVariable(&'static str),
    /// A file of the folder, read again whenever it changes.
    File(&'static str),
    /// An env file that its parent passes to it as standard input.
    Inherited(&'static str),
}

/// One worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worker {
    /// Unique: names its pid file, its statistics and its calls.
    pub(crate) name: &'static str,
    /// The folder with its start and restart script.
    pub(crate) service: &'static str,
    /// The argument of its scripts, which names the instance.
    pub(crate) instance: &'static str,
    port_offset: u16,
    pub(crate) source: Source,
    /// The variable with its second copy of the key, for the path that is idle otherwise.
    pub(crate) fallback: Option<&'static str>,
    /// The front that sends it requests.
    pub(crate) front: Option<&'static str>,
    /// It calls the issuer by itself, again and again.
    pub(crate) busy: bool,
}

/// A front: distributes requests to the workers that are ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    pub(crate) name: &'static str,
    port_offset: u16,
}

const API: Worker = Worker {
    name: "api-1",
    service: "api",
    instance: "1",
    port_offset: 1,
    source: Source::Variable("ACME_KEY"),
    fallback: Some("ACME_FALLBACK_KEY"),
    front: Some("front-api"),
    busy: false,
};

const REPORT: Worker = Worker {
    name: "report-1",
    service: "report",
    instance: "1",
    port_offset: 11,
    source: Source::UrlVariable("ACME_URL"),
    fallback: None,
    front: Some("front-report"),
    busy: false,
};

/// Every worker; the forgotten one is the last.
pub(crate) const WORKERS: [Worker; 6] = [
    API,
    Worker { name: "api-2", instance: "2", port_offset: 2, ..API },
    REPORT,
    Worker { name: "report-2", instance: "2", port_offset: 12, ..REPORT },
    Worker {
        name: "reader",
        service: "reader",
        instance: "",
        port_offset: 3,
        source: Source::File("reader/acme.key"),
        fallback: None,
        front: None,
        busy: false,
    },
    Worker {
        name: "forgotten",
        service: "forgotten",
        instance: "",
        port_offset: 4,
        source: Source::Variable("ACME_KEY"),
        fallback: None,
        front: None,
        busy: true,
    },
];

/// Every front.
pub(crate) const FRONTS: [Front; 2] =
    [Front { name: "front-api", port_offset: 8 }, Front { name: "front-report", port_offset: 18 }];

impl Worker {
    pub(crate) fn named(name: &str) -> Option<Self> {
        WORKERS.into_iter().find(|worker| worker.name == name)
    }

    pub(crate) fn address(&self, ports: Ports) -> SocketAddr {
        ports.at(self.port_offset)
    }

    pub(crate) fn start_script(&self, folder: &Folder) -> PathBuf {
        folder.join(self.service).join("start.sh")
    }
}

impl Front {
    pub(crate) fn named(name: &str) -> Option<Self> {
        FRONTS.into_iter().find(|front| front.name == name)
    }

    pub(crate) fn address(&self, ports: Ports) -> SocketAddr {
        ports.at(self.port_offset)
    }

    /// The workers behind the front.
    pub(crate) fn workers(&self) -> impl Iterator<Item = Worker> {
        let name = self.name;
        WORKERS.into_iter().filter(move |worker| worker.front == Some(name))
    }
}
