use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::stream::Stream;

/// Why something is not asked from another host: without encryption, that host could read and change what is said.
pub const UNENCRYPTED: &str =
    "its connections are not encrypted: it is asked from the machine of keyroll alone";

/// Opens connections from another machine. Only TLS is spoken on them, so that machine transports what it cannot read.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A connection from there to a name or address and a port. The name is resolved there.
    async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed>;
}

/// A connection from another machine.
pub struct Dialed {
    /// The connection; nothing was sent on it yet.
    pub stream: Box<dyn Stream>,
    /// Its end there, as that machine says. It may be that of somebody else: no connection is taken for ours by it.
    pub local: SocketAddr,
}

tokio::task_local! {
    /// Opens the connections of this call; `None` = they leave from this machine.
    static DIALER: Option<Arc<dyn Dial>>;
}

/// Runs a call whose connections are opened by `dial`. Tasks that the call spawns do not inherit it: whatever opens a
/// connection asks for the dialer in the task that this call runs in.
pub async fn through<T>(dial: Arc<dyn Dial>, call: impl Future<Output = T>) -> T {
    DIALER.scope(Some(dial), call).await
}

/// As [`through`], with the ends there of all connections that the call opened, in their order.
pub async fn through_seen<T>(dial: Arc<dyn Dial>, call: impl Future<Output = T>) -> (T, Vec<SocketAddr>) {
    let seen = Arc::new(Seen { dial, ends: Mutex::default() });
    let done = through(seen.clone(), call).await;
    let ends = seen.ends().clone();
    (done, ends)
}

/// Opens connections, and remembers their ends.
struct Seen {
    dial: Arc<dyn Dial>,
    ends: Mutex<Vec<SocketAddr>>,
}

impl Seen {
    /// After a panic in another call, the ends are still those of the connections until then.
    fn ends(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Dial for Seen {
    async fn dial(&self, host: &str, port: u16) -> io::Result<Dialed> {
        let dialed = self.dial.dial(host, port).await?;
        self.ends().push(dialed.local);
        Ok(dialed)
    }
}

/// Runs a part of such a call whose connections leave from this machine: what the admin asks.
pub async fn from_here<T>(call: impl Future<Output = T>) -> T {
    DIALER.scope(None, call).await
}

/// The dialer of this call; `None` = its connections leave from this machine.
pub fn current() -> Option<Arc<dyn Dial>> {
    DIALER.try_with(Clone::clone).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    #[async_trait]
    impl Dial for Nowhere {
        async fn dial(&self, _: &str, _: u16) -> io::Result<Dialed> {
            Err(io::Error::other("nowhere"))
        }
    }

    /// A machine that has one connection for each port but 1.
    struct Somewhere;

    #[async_trait]
    impl Dial for Somewhere {
        async fn dial(&self, _: &str, port: u16) -> io::Result<Dialed> {
            match port {
                1 => Err(io::Error::other("refused")),
                _ => {
                    let stream = Box::new(tokio::io::duplex(1).0);
                    Ok(Dialed { stream, local: SocketAddr::from(([192, 0, 2, 7], port)) })
                }
            }
        }
    }

    #[tokio::test]
    async fn the_ends_of_a_call_are_those_of_its_connections_alone() {
        let call = async {
            let dialer = current().unwrap();
            let opened = [7, 1, 8].map(|port| dialer.dial("issuer.invalid", port));
            let mut failed = 0;
            for opened in opened {
                failed += usize::from(opened.await.is_err());
            }
            failed
        };
        let (failed, ends) = through_seen(Arc::new(Somewhere), call).await;
        let ports: Vec<u16> = ends.iter().map(SocketAddr::port).collect();
        assert_eq!((failed, ports), (1, vec![7, 8]));
        let (here, ends) = through_seen(Arc::new(Somewhere), from_here(async { current().is_none() })).await;
        assert_eq!((here, ends), (true, Vec::new()), "what leaves from here has no end there");
    }

    #[tokio::test]
    async fn a_dialer_is_that_of_its_call_alone() {
        assert!(current().is_none());
        let (inside, part, behind) = through(Arc::new(Nowhere), async {
            let inside = current().is_some();
            let part = from_here(async { current().is_some() }).await;
            tokio::task::yield_now().await;
            (inside, part, current().is_some())
        })
        .await;
        assert_eq!((inside, part, behind), (true, false, true));
        assert!(current().is_none());
    }
}
