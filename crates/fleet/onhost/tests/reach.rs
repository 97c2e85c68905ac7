use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use keyroll_link::{
    Frame, Hello, HostHello, ReachFrame, VERSION, digits_of, encode, machine_digest, read_frame,
};
use keyroll_observe::machine_ids;

const KEY: [u8; 32] = [7; 32];

/// The driver's end of a host in this process.
struct Driver {
    input: PipeWriter,
    output: PipeReader,
    host: JoinHandle<io::Result<()>>,
}

impl Driver {
    /// Starts the host.
    fn new() -> Self {
        let ((read, input), (output, write)) = (pipe().unwrap(), pipe().unwrap());
        let host = thread::spawn(move || keyroll_onhost::reach(read, write));
        Self { input, output, host }
    }

    /// The same after the greetings.
    fn greeted() -> (Self, HostHello) {
        let mut driver = Self::new();
        driver.input.write_all(&greeting()).unwrap();
        let Some(Frame::Hello(Hello::Host(hello))) = read_frame(&mut driver.output).unwrap() else {
            panic!("the host does not greet")
        };
        (driver, hello)
    }

    /// Asks for a connection.
    fn asks(host: &str, port: u16) -> (Self, ReachFrame) {
        let (mut driver, _) = Self::greeted();
        ReachFrame::Reach { host: host.to_owned(), port }.write(&mut driver.input).unwrap();
        let answer = ReachFrame::read(&mut driver.output).unwrap().expect("an answer");
        (driver, answer)
    }

    /// A connection to this server, and the server's end of it.
    fn reaches(server: &TcpListener) -> (Self, TcpStream) {
        let (driver, answer) = Self::asks("127.0.0.1", server.local_addr().unwrap().port());
        let (stream, client) = server.accept().unwrap();
        assert_eq!(answer, ReachFrame::Reached { local: client });
        (driver, stream)
    }

    /// The rest of what the host sends, and how it ended.
    fn rest(mut self) -> (Vec<u8>, io::Result<()>) {
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        (rest, self.host.join().expect("it does not panic"))
    }
}

fn greeting() -> Vec<u8> {
    encode(&Frame::Hello(Hello::Driver { versions: vec![VERSION], key: digits_of(&KEY) })).unwrap()
}

fn server() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn the_host_says_which_machine_it_is_before_it_is_asked_for_a_connection_and_takes_no_values() {
    let (driver, hello) = Driver::greeted();
    let here = machine_ids().id.map(|id| machine_digest(&KEY, "id", &id));
    assert_eq!((hello.version, hello.machine, hello.seal.as_str()), (VERSION, here, ""));
    // A driver that refuses the machine goes.
    let Driver { input, mut output, host } = driver;
    drop(input);
    assert_eq!(output.read(&mut [0; 1]).unwrap(), 0);
    host.join().unwrap().unwrap();
}

#[test]
fn bytes_go_both_ways_and_the_end_of_the_server_is_the_end_of_the_program() {
    let server = server();
    let (mut driver, mut stream) = Driver::reaches(&server);
    // Each part arrives by itself, without a line end, while the connection stays open.
    let mut part = [0; 4];
    for _ in 0..3 {
        driver.input.write_all(b"ping").unwrap();
        stream.read_exact(&mut part).unwrap();
        assert_eq!(&part, b"ping");
        stream.write_all(b"\0pon").unwrap();
        driver.output.read_exact(&mut part).unwrap();
        assert_eq!(&part, b"\0pon");
    }
    stream.write_all(b"last").unwrap();
    drop(stream);
    // Its input is still open.
    let Driver { input, mut output, host } = driver;
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"last");
    host.join().unwrap().unwrap();
    drop(input);
}

#[test]
fn a_server_hears_the_end_of_what_is_sent_and_its_answer_still_arrives() {
    let server = server();
    let (driver, mut stream) = Driver::reaches(&server);
    let Driver { mut input, mut output, host } = driver;
    input.write_all(b"all").unwrap();
    drop(input);
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"all");
    stream.write_all(b"answer").unwrap();
    drop(stream);
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"answer");
    host.join().unwrap().unwrap();
}

#[test]
fn more_bytes_than_any_buffer_holds_go_both_ways_at_once() {
    const MIB: usize = 1 << 20;
    let server = server();
    let (driver, mut stream) = Driver::reaches(&server);
    let Driver { mut input, mut output, host } = driver;
    let all: Vec<u8> = (0..8 * MIB).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let echo = thread::spawn(move || {
        let mut back = stream.try_clone().unwrap();
        io::copy(&mut stream, &mut back).unwrap();
    });
    let sent = all.clone();
    let sends = thread::spawn(move || input.write_all(&sent).unwrap());
    let mut heard = Vec::new();
    output.read_to_end(&mut heard).unwrap();
    assert!(heard == all, "{} bytes of {}", heard.len(), all.len());
    sends.join().unwrap();
    echo.join().unwrap();
    host.join().unwrap().unwrap();
}

#[test]
fn a_port_that_refuses_is_named_by_the_kind_of_its_failure_and_the_program_ends() {
    let port = keyroll_testkit::free_port().unwrap();
    let (driver, answer) = Driver::asks("127.0.0.1", port);
    assert_eq!(answer, ReachFrame::NotReached { why: "connection refused".to_owned() });
    let (rest, ended) = driver.rest();
    assert_eq!(rest, b"");
    ended.unwrap();
}

#[test]
fn a_name_with_a_control_character_or_one_that_is_too_long_is_not_looked_up() {
    let long = "a.".repeat(127);
    for name in ["localhost\n", "127.0.0.1\0", "", long.as_str()] {
        let (driver, answer) = Driver::asks(name, 443);
        assert_eq!(answer, ReachFrame::NotReached { why: "the name cannot be used".to_owned() });
        driver.rest().1.unwrap();
    }
}

#[test]
fn what_is_no_question_ends_the_program_with_nothing_but_its_greeting() {
    let local = "127.0.0.1:1".parse().unwrap();
    let mut answer = Vec::new();
    ReachFrame::Reached { local }.write(&mut answer).unwrap();
    let order = encode(&Frame::Cancel { id: 1 }).unwrap();
    for garbage in [b"\0\0\0\x02{}".to_vec(), b"\xff\xff\xff\xff".to_vec(), answer, order, greeting()] {
        let (mut driver, _) = Driver::greeted();
        driver.input.write_all(&garbage).unwrap();
        let (rest, ended) = driver.rest();
        assert!(rest.is_empty() && ended.is_err(), "{garbage:?}: {rest:?}");
    }
    let mut driver = Driver::new();
    driver.input.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (rest, ended) = driver.rest();
    assert!(rest.is_empty() && ended.is_err(), "{rest:?}");
}
