use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::digits::bytes_of;
use crate::frame::{Call, End, Frame, Hello, HostHello};
use crate::outbox::{Outbox, Shared};
use crate::wire::{VERSION, read_frame};

/// How often a host that works says so. The driver waits for several of these.
const ALIVE_EVERY: Duration = Duration::from_secs(5);

/// Answers the driver's questions.
pub trait Answers {
    /// What is said first. The digests in it are made with this key.
    fn hello(&mut self, key: &[u8; 32]) -> HostHello;

    /// Answers one call. The parts of the answer go to `out`.
    fn answer(&mut self, call: Call, out: &mut Outbox<'_>) -> End;
}

/// What the thread that reads has heard.
enum Heard {
    Frame(Frame),
    Ended(io::Result<()>),
}

/// The host's side: answers one call after another, until the input ends or the driver cancels. `leave` is called when
/// it does, or when something came that is no call, also while a call is answered: nothing else ends a search.
///
/// # Errors
/// What the driver sent cannot be understood, or the answer cannot be written.
pub fn serve(
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    answers: &mut dyn Answers,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    serve_every(ALIVE_EVERY, (input, output), answers, leave)
}

/// The same, with the time between two signs of life.
fn serve_every(
    every: Duration,
    (mut input, output): (impl Read + Send + 'static, impl Write + Send + 'static),
    answers: &mut dyn Answers,
    leave: impl FnOnce(&io::Result<()>) + Send + 'static,
) -> io::Result<()> {
    let shared = Arc::new(Shared::new(output));
    let (say, heard) = mpsc::channel();
    let listening = Arc::clone(&shared);
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        let ended = listen(&mut input, &listening, &say);
        leave(&ended);
        // Nobody hears it if an answer could not be written.
        drop(say.send(Heard::Ended(ended)));
    })?;
    let (stops, stopped) = mpsc::channel::<()>();
    let beating = Arc::clone(&shared);
    thread::Builder::new().name("alive".to_owned()).spawn(move || {
        while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            beating.alive();
        }
    })?;
    let ended = answer_each(&heard, &shared, answers);
    drop(stops);
    ended
}

/// Reads frame by frame. The driver has one call at a time.
fn listen(input: &mut impl Read, shared: &Shared, say: &Sender<Heard>) -> io::Result<()> {
    loop {
        match read_frame(input)? {
            None | Some(Frame::Cancel { .. }) => return Ok(()),
            Some(frame) => {
                let call = matches!(frame, Frame::Call { .. });
                if call && shared.busy.swap(true, Ordering::SeqCst) {
                    return Err(io::Error::other("a call came before the last one was answered"));
                }
                if say.send(Heard::Frame(frame)).is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn answer_each(heard: &mpsc::Receiver<Heard>, shared: &Shared, answers: &mut dyn Answers) -> io::Result<()> {
    let mut greeted = false;
    loop {
        match heard.recv() {
            Ok(Heard::Frame(Frame::Hello(Hello::Driver { versions, key }))) if !greeted => {
                let key = bytes_of(&key).ok_or_else(|| io::Error::other("the first frame has no key"))?;
                shared.greet(answers.hello(&key));
                if !versions.contains(&VERSION) {
                    return Err(io::Error::other("the driver speaks another version of the protocol"));
                }
                greeted = true;
            }
            Ok(Heard::Frame(Frame::Call { id, call })) if greeted => {
                let mut outbox = Outbox::new(shared, id);
                let end = answers.answer(call, &mut outbox);
                outbox.end(&end);
            }
            Ok(Heard::Frame(_)) => return Err(io::Error::other("a frame came out of turn")),
            Ok(Heard::Ended(ended)) => return ended,
            Err(mpsc::RecvError) => return Ok(()),
        }
        shared.failed()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use super::*;
    use crate::frame::{Item, Note};
    use crate::wire::encode;

    /// Answers `check` once it was told to, and everything else at once.
    struct Fake(mpsc::Receiver<()>);

    impl Answers for Fake {
        fn hello(&mut self, key: &[u8; 32]) -> HostHello {
            HostHello {
                version: VERSION,
                keyroll: "0".to_owned(),
                machine: Some(format!("{:02x}", key[31])),
                hardware: None,
                boot: String::new(),
                now_unix_ms: 0,
                root: false,
                user: String::new(),
                seal: String::new(),
            }
        }

        fn answer(&mut self, call: Call, out: &mut Outbox<'_>) -> End {
            if call == Call::Check {
                self.0.recv().unwrap_or_default();
            }
            out.item(Item::Refused);
            End::Done
        }
    }

    fn hello(versions: &[u32]) -> Frame {
        let key = format!("{}0f", "00".repeat(31));
        Frame::Hello(Hello::Driver { versions: versions.to_vec(), key })
    }

    fn call(id: u64, call: Call) -> Frame {
        Frame::Call { id, call }
    }

    struct Driver {
        input: Option<io::PipeWriter>,
        output: io::PipeReader,
        go: Option<mpsc::Sender<()>>,
        left: mpsc::Receiver<bool>,
        ended: thread::JoinHandle<io::Result<()>>,
    }

    impl Driver {
        fn new() -> Self {
            let ((read, input), (output, write)) = (pipe().unwrap(), pipe().unwrap());
            let ((go, goes), (leaves, left)) = (mpsc::channel(), mpsc::channel());
            let leave = move |ended: &io::Result<()>| leaves.send(ended.is_ok()).unwrap_or_default();
            let every = Duration::from_millis(50);
            let serving = move || serve_every(every, (read, write), &mut Fake(goes), leave);
            let ended = thread::spawn(serving);
            Self { input: Some(input), output, go: Some(go), left, ended }
        }

        fn say(&mut self, frames: &[Frame]) {
            let input = self.input.as_mut().unwrap();
            frames.iter().for_each(|frame| input.write_all(&encode(frame).unwrap()).unwrap());
        }

        /// The next frame that is not only a sign of life.
        fn hear(&mut self) -> Option<Frame> {
            let alive = |frame: &Frame| matches!(frame, Frame::Note { note: Note::Alive, .. });
            loop {
                let frame = read_frame(&mut self.output).unwrap();
                if !frame.as_ref().is_some_and(alive) {
                    return frame;
                }
            }
        }
    }

    fn answered(id: u64) -> Frame {
        Frame::Answer { id, items: vec![Item::Refused], end: Some(End::Done) }
    }

    #[test]
    fn it_greets_answers_each_call_and_ends_with_its_input() {
        let mut driver = Driver::new();
        driver.say(&[hello(&[VERSION, VERSION + 1])]);
        let Some(Frame::Hello(Hello::Host(told))) = driver.hear() else { panic!("it does not greet") };
        assert_eq!(told.machine.as_deref(), Some("0f"));
        for id in [1, 2] {
            driver.say(&[call(id, Call::Scan)]);
            assert_eq!(driver.hear(), Some(answered(id)));
        }
        driver.input = None;
        assert!(driver.left.recv().unwrap());
        driver.ended.join().unwrap().unwrap();
    }

    #[test]
    fn while_it_works_it_says_that_it_lives_and_it_leaves_when_the_driver_does() {
        for cancels in [true, false] {
            let mut driver = Driver::new();
            driver.say(&[hello(&[VERSION]), call(1, Call::Check)]);
            assert!(matches!(driver.hear(), Some(Frame::Hello(_))));
            for _ in 0..3 {
                let alive = Frame::Note { id: 1, note: Note::Alive };
                assert_eq!(read_frame(&mut driver.output).unwrap(), Some(alive));
            }
            match cancels {
                true => driver.say(&[Frame::Cancel { id: 1 }]),
                false => driver.input = None,
            }
            // The call is not answered yet.
            assert!(driver.left.recv().unwrap());
            driver.go = None;
            driver.ended.join().unwrap().unwrap();
        }
    }

    #[test]
    fn a_second_call_before_the_answer_and_a_frame_out_of_turn_end_it() {
        let mut driver = Driver::new();
        driver.say(&[hello(&[VERSION]), call(1, Call::Check), call(2, Call::Scan)]);
        assert!(!driver.left.recv().unwrap());
        driver.go = None;
        assert!(driver.ended.join().unwrap().is_err());
        let out_of_turn = [
            vec![call(1, Call::Scan)],
            vec![hello(&[VERSION]), hello(&[VERSION])],
            vec![hello(&[VERSION]), Frame::Note { id: 1, note: Note::Alive }],
        ];
        for frames in out_of_turn {
            let mut driver = Driver::new();
            driver.say(&frames);
            assert!(driver.ended.join().unwrap().is_err(), "{frames:?}");
        }
    }

    #[test]
    fn of_another_version_it_says_its_own_and_answers_nothing() {
        let mut driver = Driver::new();
        driver.say(&[hello(&[VERSION + 1, VERSION + 2]), call(1, Call::Scan)]);
        assert!(matches!(driver.hear(), Some(Frame::Hello(Hello::Host(told))) if told.version == VERSION));
        driver.input = None;
        assert_eq!(driver.hear(), None);
        assert!(driver.ended.join().unwrap().is_err());
    }

    #[test]
    fn garbage_ends_it() {
        for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0\0\x09{"] {
            let mut driver = Driver::new();
            driver.input.take().unwrap().write_all(bytes).unwrap();
            assert!(!driver.left.recv().unwrap());
            assert!(driver.ended.join().unwrap().is_err(), "{bytes:?}");
        }
    }
}
