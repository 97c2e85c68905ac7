//! The issuer of the demo: small, stateful, on loopback. It keeps no value, only digests.

mod calls;
mod clients;
mod clock;
mod key;
mod keys;
mod refused;
mod routes;

use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use tokio::net::TcpListener;

use calls::Calls;
pub(crate) use calls::Counted;
use clients::Clients;
use keys::Keys;
use refused::Refused;

use crate::folder::{Folder, write_whole};
use crate::http::serve;
use crate::pid::PidFile;

/// All that the issuer knows.
struct State {
    keys: Keys,
    clients: Clients,
    calls: Calls,
    refused: Refused,
}

/// The issuer as a service.
pub(crate) struct Issuer(Mutex<State>);

impl Issuer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the issuer until it is asked to stop. It writes a new admin key into the folder before it listens.
pub(crate) async fn run(folder: &Folder) -> Result<(), Failure> {
    let address = folder.ports()?.issuer();
    let starting = |error: std::io::Error| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("start the demo's issuer at {address}"))
            .because(error)
    };
    let (keys, admin) = Keys::new()?;
    write_whole(&folder.admin_key(), admin.as_bytes(), 0o600).map_err(starting)?;
    drop(admin);
    fs::create_dir_all(folder.join("log")).map_err(starting)?;
    let log = fs::File::create(folder.join("log/issuer-calls.log")).map_err(starting)?;
    let state =
        State { keys, clients: Clients::default(), calls: Calls::new(log), refused: Refused::default() };
    let issuer = Arc::new(Issuer(Mutex::new(state)));
    let listener = TcpListener::bind(address).await.map_err(starting)?;
    let _pid = PidFile::write(folder, "issuer")?;
    tokio::select! {
        () = serve(listener, Arc::clone(&issuer)) => {}
        () = crate::lifeline::stop_requested(folder) => {}
    }
    issuer.state().calls.flush();
    Ok(())
}
