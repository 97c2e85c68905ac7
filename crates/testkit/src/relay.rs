use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyroll_port::conformance::FaultMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Whether what goes to the server is the request that changes something.
type Changes = fn(&[u8]) -> bool;

const NONSENSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A TCP relay before a server that can go silent, talk nonsense, vanish, or lose the answer to an effect.
pub struct Relay {
    server: u16,
    changes: Changes,
    port: u16,
    fault_mode: Arc<Mutex<FaultMode>>,
    listening: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens before the server at this port. `changes` tells the request whose answer may get lost.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(server: u16, changes: Changes) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let fault_mode = Arc::new(Mutex::new(FaultMode::Fair));
        let listening = Some(tokio::spawn(listen(listener, server, changes, Arc::clone(&fault_mode))));
        Ok(Self { server, changes, port, fault_mode, listening })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the fault_mode.
    ///
    /// # Errors
    /// If it cannot listen again.
    pub async fn fault_mode(&mut self, fault_mode: FaultMode) -> io::Result<()> {
        *locked(&self.fault_mode) = fault_mode;
        if fault_mode == FaultMode::Absent {
            if let Some(listening) = self.listening.take() {
                listening.abort();
                // Awaited, so that the socket is closed.
                let _ = listening.await;
            }
        } else if self.listening.is_none() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
            let serving = listen(listener, self.server, self.changes, Arc::clone(&self.fault_mode));
            self.listening = Some(tokio::spawn(serving));
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

fn locked(fault_mode: &Mutex<FaultMode>) -> MutexGuard<'_, FaultMode> {
    fault_mode.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, server: u16, changes: Changes, fault_mode: Arc<Mutex<FaultMode>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, server, changes, Arc::clone(&fault_mode)));
    }
}

async fn serve(
    mut client: TcpStream,
    server: u16,
    changes: Changes,
    fault_mode: Arc<Mutex<FaultMode>>,
) -> Option<()> {
    let now = *locked(&fault_mode);
    match now {
        FaultMode::Silent => {
            let mut sink = [0; 1024];
            while client.read(&mut sink).await.ok()? > 0 {}
            return None;
        }
        FaultMode::Odd => {
            client.write_all(NONSENSE).await.ok()?;
            return None;
        }
        FaultMode::Fair | FaultMode::Absent | FaultMode::AnswerLost => {}
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.ok()?;
    let (mut asked, mut said) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = client.read(&mut asked) => {
                let part = asked.get(..count.ok()?)?;
                if part.is_empty() {
                    return None;
                }
                server.write_all(part).await.ok()?;
                if *locked(&fault_mode) == FaultMode::AnswerLost && changes(part) {
                    // The answer is there, so the effect is; nobody hears of it.
                    let heard = server.read(&mut said).await.ok()?;
                    if heard > 0 {
                        *locked(&fault_mode) = FaultMode::Fair;
                    }
                    return None;
                }
            }
            count = server.read(&mut said) => {
                let part = said.get(..count.ok()?)?;
                if part.is_empty() {
                    return None;
                }
                client.write_all(part).await.ok()?;
            }
        }
    }
}
