//! A TCP relay before the server that can go silent, talk nonsense, vanish, or lose the answer to a commit.

#![allow(unreachable_pub, reason = "a module of one test")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use keyroll_port::conformance::Weather;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The simple query that ends a transaction, as it goes over the wire.
const COMMIT: &[u8] = b"COMMIT\0";
const NONSENSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

pub struct Relay {
    server: u16,
    port: u16,
    weather: Arc<Mutex<Weather>>,
    listening: Option<JoinHandle<()>>,
}

impl Relay {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::new(Mutex::new(Weather::Fair));
        let listening = Some(tokio::spawn(listen(listener, server, Arc::clone(&weather))));
        Self { server, port, weather, listening }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub async fn weather(&mut self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
        if weather == Weather::Absent {
            if let Some(listening) = self.listening.take() {
                listening.abort();
                // Awaited, so that the socket is closed.
                let _ = listening.await;
            }
        } else if self.listening.is_none() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
            self.listening = Some(tokio::spawn(listen(listener, self.server, Arc::clone(&self.weather))));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

async fn listen(listener: TcpListener, server: u16, weather: Arc<Mutex<Weather>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(serve(client, server, Arc::clone(&weather)));
    }
}

async fn serve(mut client: TcpStream, server: u16, weather: Arc<Mutex<Weather>>) -> Option<()> {
    let now = *weather.lock().unwrap();
    match now {
        Weather::Silent => {
            let mut sink = [0; 1024];
            while client.read(&mut sink).await.ok()? > 0 {}
            return None;
        }
        Weather::Odd => {
            client.write_all(NONSENSE).await.ok()?;
            return None;
        }
        Weather::Fair | Weather::Absent | Weather::AnswerLost => {}
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
                let commits = part.windows(COMMIT.len()).any(|window| window == COMMIT);
                let loses = *weather.lock().unwrap() == Weather::AnswerLost;
                if commits && loses {
                    // The answer is there, so the effect is; nobody hears of it.
                    let heard = server.read(&mut said).await.ok()?;
                    assert!(heard > 0, "the server answers a commit");
                    *weather.lock().unwrap() = Weather::Fair;
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
