use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use keyroll_agents::OpenClawHome;
use keyroll_observe::{Listing, Process, Sockets, process};
use serde::Deserialize;

use crate::Generation;
use crate::http::Url;

/// How long a look at the gateway's sockets may take, milliseconds.
const SOCKETS_MS_MAX: u64 = 2_000;

/// The beginning of a gateway's short name. Source: seen with 2026.9.6, which sets the name itself.
const NAME: &str = "openclaw";

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
}

/// Checks that the gateway itself reports that it is ready. `Err` says in words what was seen instead.
pub(crate) fn gateway_is_ready(home: &OpenClawHome, deadline: Instant) -> Result<(), String> {
    let port = home.settings().map_err(|error| error.to_string())?.port;
    gateway_listens(home, port)?;
    let answer = Url::parse(&format!("http://127.0.0.1:{port}/readyz"))?.get(deadline)?;
    // The gateway answers 200 to unknown paths, too.
    let readiness = serde_json::from_slice::<Readiness>(&answer.body);
    if readiness.is_ok_and(|it| it.ready) { Ok(()) } else { Err("its /readyz does not say so".to_owned()) }
}

/// Checks that the gateway of a state folder itself accepts the connections to its port. While it is down, another user
/// may listen there, receive its token, and report that it is ready. `Err` says in words what was seen instead.
pub(crate) fn gateway_listens(home: &OpenClawHome, port: u16) -> Result<(), String> {
    let owner = home.state.metadata().map_err(|error| error.to_string())?.uid();
    let named = home.gateway().ok_or("its gateway does not run")?;
    let pid = named.0;
    let gateway = process(pid).map_err(|why| format!("its gateway {pid}: {why}"))?;
    if !is_gateway(&gateway, named, Some(owner)) {
        return Err(format!("process {pid} is not its gateway"));
    }
    if generation(gateway, port)?.sockets.is_empty() {
        return Err(format!("its gateway {pid} is not seen to listen at port {port}"));
    }
    Ok(())
}

/// What runs in the process of a gateway now, by the sockets at which it accepts connections to its port. Source: seen with
/// 2026.9.6, which closes its port when it restarts within its process, and opens it again.
pub(super) fn generation(gateway: Process, port: u16) -> Result<Generation, String> {
    let process = gateway.id;
    let listing = Listing { seen: vec![gateway], ..Listing::default() };
    let wait = Duration::from_millis(SOCKETS_MS_MAX);
    let sockets = Sockets::read(&listing, &[], wait).map_err(|why| why.to_string())?;
    if let Some((_, why)) = sockets.hidden.first() {
        return Err(format!("the open files of its gateway {}: {why}", process.pid));
    }
    // A socket on IPv6 alone proves nothing: another process may listen on IPv4.
    let places = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED].map(|ip| SocketAddr::from((ip, port)));
    let here = sockets.listeners_of(&process).into_iter().filter(|(at, _)| places.contains(at));
    Ok(Generation { process, sockets: here.map(|(_, number)| number).collect() })
}

/// Whether a process is the gateway that the lock of a folder names. Anyone who may write to the folder chooses the
/// content of the lock, and start times of processes are public: a process of another user does not count.
pub(super) fn is_gateway(process: &Process, (pid, began): (u32, Option<u64>), owner: Option<u32>) -> bool {
    process.id.pid == pid
        && process.name.starts_with(NAME)
        && began.is_none_or(|began| began == process.id.start_ticks)
        && process.uid.is_some()
        && process.uid == owner
}
