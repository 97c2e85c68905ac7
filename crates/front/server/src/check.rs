//! Asks the running server whether it answers: the probe of a pod, which only a program in the pod can make.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::installation::Installation;
use keyroll_app::problem::Problem;
use keyroll_codes::Code;

use crate::serve::table;

/// How long the server may take for each part of its answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// What a good answer begins with.
const GOOD: &[u8] = b"HTTP/1.1 200 ";

/// Asks the server of this installation.
///
/// # Errors
/// `K0951`: it does not answer.
pub fn check(installation: &Installation) -> Result<Exit, Problem> {
    let asking = || Problem::new(Code::ServerNotStarted, "ask the running server");
    let config = installation.config()?;
    let address = table(&config, installation, asking)?.listen;
    match answers(address) {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Err(asking().because(format!("what listens on {address} is no server of keyroll"))),
        Err(error) => Err(asking().because(format!("nothing answers on {address}")).because_of(&error)),
    }
}

fn answers(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut begins = [0; GOOD.len()];
    stream.read_exact(&mut begins)?;
    Ok(begins == GOOD)
}
