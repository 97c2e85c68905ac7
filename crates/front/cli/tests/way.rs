//! A connection of keyroll to a server that leads through a test, which acts before it passes a request on, or before it
//! passes the answer on. What passes by does not stay in the test's memory, which is searched for values.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use zeroize::Zeroize as _;

/// What happens at the next answer, which is not passed on.
pub type Act = Box<dyn FnOnce() + Send>;

/// Both ends of one connection.
pub struct Way {
    pub client: TcpStream,
    pub server: TcpStream,
    pub next: Mutex<Option<Act>>,
}

/// A free port of the loopback, and who listens there.
pub fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Leads each connection on to the server, except for those that `refuses` says: they are closed at once. `forth` passes the
/// requests of one connection on, until it ends.
pub fn lead(
    listener: TcpListener,
    server: String,
    refuses: impl Fn() -> bool + Send + 'static,
    forth: impl Fn(&Way) + Clone + Send + 'static,
) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if refuses() {
                continue;
            }
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let way = Arc::new(Way { client, server, next: Mutex::new(None) });
            let (there, forth) = (way.clone(), forth.clone());
            thread::spawn(move || {
                forth(&there);
                // Still wait for an answer at which something happens.
                if there.next.lock().unwrap().is_none() {
                    there.close();
                }
            });
            thread::spawn(move || way.back());
        }
    });
}

impl Way {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn back(&self) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = (&self.server).read(&mut buffer) {
            if let Some(act) = self.next.lock().unwrap().take() {
                act();
                break;
            }
            let passed = (&self.client).write_all(&buffer[..count]);
            buffer[..count].zeroize();
            if passed.is_err() {
                break;
            }
        }
        buffer.zeroize();
        self.close();
    }
}
