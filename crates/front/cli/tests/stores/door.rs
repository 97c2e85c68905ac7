//! What happens to the store at a word of the scene. The store is in the process outside, where no search of the scene's
//! processes finds its values.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use keyroll_testkit::FakeVault;

/// The end of the words.
pub const END: &str = "end";

/// The answer to each word.
pub const DONE: &str = "done";

/// The way from the scene to the process outside, by its port.
#[derive(Debug, Clone, Copy)]
pub struct Door(pub u16);

impl Door {
    /// Returns once it has happened; with the fake Vault: `seal`, `unseal`, `standby`, `active`, `snapshot`, `restore`.
    #[track_caller]
    pub fn ask(self, word: &str) {
        assert_eq!(self.told(word), DONE, "{word}");
    }

    /// What is answered to a word.
    #[track_caller]
    pub fn told(self, word: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0)).unwrap();
        writeln!(stream, "{word}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// Ends the words when it is dropped, however a lane ended.
pub struct End(pub Door);

impl Drop for End {
    fn drop(&mut self) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.0.0));
        let _ = stream.and_then(|mut stream| writeln!(stream, "{END}"));
    }
}

/// Answers what `act` says to each word, until the end.
pub fn serve(listener: &TcpListener, mut act: impl FnMut(&str) -> String) {
    for stream in listener.incoming().flatten() {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        match line.trim_end() {
            END => return,
            word => (&stream).write_all(act(word).as_bytes()).unwrap(),
        }
    }
}

/// Does to the fake Vault what a word says.
pub fn of_vault(vault: &FakeVault) -> impl FnMut(&str) -> String {
    let mut snapshot = None;
    move |word: &str| {
        match word {
            "seal" => {
                vault.seal(true);
            }
            "unseal" => {
                vault.seal(false);
            }
            "standby" => {
                vault.standby(true);
            }
            "active" => {
                vault.standby(false);
            }
            "snapshot" => snapshot = Some(vault.snapshot()),
            "restore" => {
                vault.restore(snapshot.as_ref().unwrap());
            }
            other => panic!("there is no word {other}"),
        }
        DONE.to_owned()
    }
}
