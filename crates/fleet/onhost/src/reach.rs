//! One connection that leaves from this host. Standard input and output are the driver's end of it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use keyroll_link::{ReachFrame, is_server_name, wanted_server};

use crate::hello::hello;

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// How long one address may take: a dead IPv6 route must leave time for IPv4.
const ADDRESS_WAIT: Duration = Duration::from_secs(5);

/// How much is copied at once, bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// How long things may take.
#[derive(Clone, Copy)]
struct Limits {
    /// Until there is a connection, with the look-up of the name.
    connect: Duration,
    /// Until the server has ended, once the driver sends no more.
    end: Duration,
    /// From the start to the end, also while nobody says anything. The longest request of an issuer fits into it.
    life: Duration,
}

/// What `keyroll-host reach` runs with.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), end: Duration::from_secs(30), life: Duration::from_secs(180) };

/// Greets the driver, makes the one connection that it wants, and copies its bytes in both directions until the server ends
/// the connection. When the driver sends no more, the server hears it, and has a moment to end. After its time, it returns
/// whatever the others do, and the program ends.
///
/// # Errors
/// What the driver sent cannot be understood, or the connection or the driver's end of it broke, or it lasted too long.
pub fn reach(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<()> {
    reach_within(LIMITS, input, output)
}

/// Any read or write may wait for ever, so another thread does them.
fn reach_within(
    limits: Limits,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
) -> io::Result<()> {
    let (tell, told) = mpsc::channel();
    let carrying = move || tell.send(carry(limits, input, output)).unwrap_or_default();
    thread::Builder::new().name("reach".to_owned()).spawn(carrying)?;
    match told.recv_timeout(limits.life) {
        Ok(ended) => ended,
        Err(RecvTimeoutError::Timeout) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the connection lasted too long"))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the connection was not carried")),
    }
}

fn carry(limits: Limits, mut input: impl Read + Send + 'static, mut output: impl Write) -> io::Result<()> {
    // No value is sent here, so there is no key for one.
    let Some((host, port)) = wanted_server(&mut input, &mut output, |key| hello(key, ""))? else {
        return Ok(());
    };
    match connected(host, port, limits.connect) {
        Ok(stream) => {
            ReachFrame::Reached { local: stream.local_addr()? }.write(&mut output)?;
            copy(stream, input, output, limits.end)
        }
        Err(why) => ReachFrame::NotReached { why }.write(&mut output),
    }
}

/// A connection to the server. The look-up of a name has no limit of its own, so another thread does it.
fn connected(host: String, port: u16, limit: Duration) -> Result<TcpStream, String> {
    if !is_server_name(&host) {
        return Err("the name cannot be used".to_owned());
    }
    let (tell, told) = mpsc::channel();
    let until = Instant::now() + limit;
    let connecting = move || tell.send(connect(&host, port, until)).unwrap_or_default();
    let started = thread::Builder::new().name("connect".to_owned()).spawn(connecting);
    started.map_err(|error| error.kind().to_string())?;
    told.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.to_string()))
}

#[expect(clippy::disallowed_methods, reason = "it is the one connection that the driver wants")]
fn connect(host: &str, port: u16, until: Instant) -> Result<TcpStream, String> {
    let found = (host, port).to_socket_addrs().map_err(|_| "the name does not resolve".to_owned())?;
    let addresses: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip())).collect();
    let mut last = "the name leads to no address that may be asked".to_owned();
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let left = until.saturating_duration_since(Instant::now()).min(ADDRESS_WAIT);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.to_string());
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => {
                // If this option cannot be set, small parts are only slower.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error.kind().to_string(),
        }
    }
    Err(last)
}

/// Which addresses a name may lead to, as for encrypted connections of keyroll's own machine: none that is link-local, where
/// clouds serve their metadata, or that stands for another one.
fn is_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let metadata = v6.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254];
            let stands_for = v6.to_ipv4_mapped().is_some();
            !(metadata
                || stands_for
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast())
        }
    }
}

/// Copies the bytes in both directions until the server ends the connection. A driver that has gone ends it too: the server
/// may be one that waits for ever.
fn copy(
    mut stream: TcpStream,
    mut input: impl Read + Send + 'static,
    mut output: impl Write,
    end: Duration,
) -> io::Result<()> {
    let mut there = stream.try_clone()?;
    let (ended, has_ended) = mpsc::channel::<()>();
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        // Whichever end broke, nothing more is sent.
        drop(pass(&mut input, &mut there));
        drop(there.shutdown(Shutdown::Write));
        if has_ended.recv_timeout(end) == Err(RecvTimeoutError::Timeout) {
            drop(there.shutdown(Shutdown::Both));
        }
    })?;
    let passed = pass(&mut stream, &mut output);
    drop(ended);
    passed
}

/// Passes on each part as soon as it is there.
fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let part = chunk.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok(());
        }
        to.write_all(part)?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::net::TcpListener;

    use keyroll_link::{Frame, Hello, VERSION, digits_of, encode};

    use super::*;

    #[test]
    fn addresses_that_no_name_may_lead_to() {
        let allows = |text: &str| is_allowed(text.parse().unwrap());
        for bad in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0", "::"]
        {
            assert!(!allows(bad), "{bad}");
        }
        assert!(allows("203.0.113.7") && allows("10.0.0.5") && allows("2001:db8::1"));
        let refused = connect("169.254.169.254", 80, Instant::now() + LIMITS.connect).unwrap_err();
        assert_eq!(refused, "the name leads to no address that may be asked");
    }

    #[test]
    fn after_its_time_no_further_address_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connect("127.0.0.1", port, Instant::now()).unwrap_err(), "timed out");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_server_that_waits_for_ever_does_not_keep_the_program_of_a_driver_that_has_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((read, mut input), (_output, write)) = (pipe().unwrap(), pipe().unwrap());
        let limits = Limits { end: Duration::from_millis(1), ..LIMITS };
        let running = thread::spawn(move || reach_within(limits, read, write));
        let hello = Hello::Driver { versions: vec![VERSION], key: digits_of(&[7; 32]) };
        input.write_all(&encode(&Frame::Hello(hello)).unwrap()).unwrap();
        ReachFrame::Reach { host: "127.0.0.1".to_owned(), port }.write(&mut input).unwrap();
        let (server, _) = listener.accept().unwrap();
        drop(input);
        running.join().unwrap().unwrap();
        drop(server);
    }

    #[test]
    fn after_its_time_the_program_ends_while_both_sides_are_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((read, mut input), (output, write)) = (pipe().unwrap(), pipe().unwrap());
        let hello = Hello::Driver { versions: vec![VERSION], key: digits_of(&[7; 32]) };
        input.write_all(&encode(&Frame::Hello(hello)).unwrap()).unwrap();
        ReachFrame::Reach { host: "127.0.0.1".to_owned(), port }.write(&mut input).unwrap();
        let limits = Limits { life: Duration::from_millis(1), ..LIMITS };
        let ended = reach_within(limits, read, write).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop((listener, input, output));
    }
}
