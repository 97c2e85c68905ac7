use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::digits::digits_of;
use crate::frame::{Call, End, Frame, Hello, HostHello, Item, Note};
use crate::one_line::one_line;
use crate::wire::{FrameError, LENGTH_BYTES, VERSION, decode, encode, length};

/// How long a host may say nothing while a call is answered. It says every five seconds that it lives.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The longest limit of a call: the clock cannot add every duration.
const LIMIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the link tries to say that it waits no longer.
const CANCEL_MAX: Duration = Duration::from_secs(1);

/// What a host may send as the answer to one call: bytes, items, and frames that bring no item.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const ITEMS_MAX: usize = 250_000;
/// A scan for leaks says every second how far it is, for a day at most.
const NOTES_MAX: usize = 200_000;

/// Why a host's answer cannot be used. Nothing that the host sent is repeated but the text of a failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The connection ended.
    #[error("the connection was cut: {0}")]
    Cut(String),
    /// Nothing was heard, not even that the host works.
    #[error("nothing was heard for {seconds} s")]
    Silent {
        /// For so long.
        seconds: u64,
    },
    /// The host works, and took too long.
    #[error("there was no answer within {seconds} s")]
    Late {
        /// Within this time.
        seconds: u64,
    },
    /// What came is not what the protocol allows here.
    #[error("what came is not understood: {0}")]
    Garbage(String),
    /// The host sends more than it may, or the question is too long.
    #[error("{bytes} bytes are more than may be sent")]
    TooLarge {
        /// So many.
        bytes: u64,
    },
    /// The host's program speaks another version of the protocol.
    #[error("keyroll-host is of another version: {0}")]
    OtherVersion(String),
    /// The host answered that it failed.
    #[error("could not {attempted}")]
    Failed {
        /// The number of the error's page.
        code: String,
        /// What was attempted.
        attempted: String,
        /// Why it failed.
        causes: Vec<String>,
        /// What to do.
        help: Option<String>,
    },
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { bytes } => Self::TooLarge { bytes },
            FrameError::Garbage(why) => Self::Garbage(why),
        }
    }
}

/// What the host sends.
pub(crate) type ReadHalf = Box<dyn AsyncRead + Unpin + Send>;

/// What is sent to the host.
pub(crate) type WriteHalf = Box<dyn AsyncWrite + Unpin + Send>;

/// The driver's side of a connection. Dropping it closes the connection, and ends the host's program.
pub struct Link {
    read: ReadHalf,
    write: WriteHalf,
    silence: Duration,
    /// The last call.
    id: u64,
    /// No call is open, and no frame is half read.
    usable: bool,
}

impl Link {
    /// Greets the host's program, which was started. `key` makes the digests that identify the host.
    ///
    /// # Errors
    /// Within `wait` no such program answers, or it is of another version.
    pub async fn open(
        read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
        key: &[u8; 32],
        wait: Duration,
    ) -> Result<(Self, HostHello), LinkError> {
        let (read, write) = (Box::new(read), Box::new(write));
        let mut link = Self { read, write, silence: SILENCE_MAX, id: 0, usable: true };
        let until = Until::new(SILENCE_MAX, wait);
        let key = digits_of(key);
        link.send(&encode(&Frame::Hello(Hello::Driver { versions: vec![VERSION], key }))?, &until).await?;
        match link.receive(&until).await?.0 {
            Frame::Hello(Hello::Host(hello)) if hello.version == VERSION => Ok((link, hello)),
            Frame::Hello(Hello::Host(hello)) => {
                Err(LinkError::OtherVersion(format!("version {} of the protocol", hello.version)))
            }
            Frame::Hello(Hello::Driver { .. })
            | Frame::Call { .. }
            | Frame::Answer { .. }
            | Frame::Cancel { .. }
            | Frame::Note { .. } => Err(LinkError::Garbage("the first frame is no greeting".to_owned())),
        }
    }

    /// Asks the host, and waits for its whole answer. What it says meanwhile goes to `heard`.
    ///
    /// # Errors
    /// The host fails, and can be asked again; or the answer cannot be used, and then the link cannot be either.
    pub async fn call(
        &mut self,
        call: Call,
        limit: Duration,
        heard: &mut (dyn FnMut(Note) + Send),
    ) -> Result<Vec<Item>, LinkError> {
        if !self.usable {
            return Err(LinkError::Cut("the last call had no answer that could be used".to_owned()));
        }
        let id = self.id.saturating_add(1);
        let asked = encode(&Frame::Call { id, call })?;
        // If this future is dropped, a frame may be half read.
        (self.id, self.usable) = (id, false);
        let until = Until::new(self.silence, limit);
        let answered = match self.send(&asked, &until).await {
            Ok(()) => self.answer(&until, heard).await,
            Err(error) => Err(error),
        };
        self.usable = matches!(answered, Ok(_) | Err(LinkError::Failed { .. }));
        if matches!(answered, Err(LinkError::Late { .. }))
            && let Ok(cancel) = encode(&Frame::Cancel { id })
        {
            // The host's program ends with the connection too, if this does not reach it.
            let _ = timeout(CANCEL_MAX, self.write.write_all(&cancel)).await;
            let _ = timeout(CANCEL_MAX, self.write.flush()).await;
        }
        answered
    }

    /// The answer to the last call.
    async fn answer(
        &mut self,
        until: &Until,
        heard: &mut (dyn FnMut(Note) + Send),
    ) -> Result<Vec<Item>, LinkError> {
        let (mut items, mut received, mut notes): (Vec<Item>, u64, usize) = (Vec::new(), 0, 0);
        loop {
            let (frame, bytes) = self.receive(until).await?;
            received = received.saturating_add(bytes);
            if received > ANSWER_BYTES_MAX {
                return Err(LinkError::TooLarge { bytes: received });
            }
            match frame {
                Frame::Note { id, note } if id == self.id => {
                    notes += 1;
                    heard(note);
                }
                Frame::Answer { id, items: some, end } if id == self.id => {
                    notes += usize::from(some.is_empty());
                    items.extend(some);
                    if let Some(end) = end {
                        return ended(end, items);
                    }
                }
                Frame::Note { .. } | Frame::Answer { .. } => {
                    return Err(LinkError::Garbage("an answer to another call".to_owned()));
                }
                Frame::Hello(_) | Frame::Call { .. } | Frame::Cancel { .. } => {
                    return Err(LinkError::Garbage("a frame that is no answer".to_owned()));
                }
            }
            if notes > NOTES_MAX || items.len() > ITEMS_MAX {
                return Err(LinkError::Garbage("more frames or items than an answer has".to_owned()));
            }
        }
    }

    /// Sends the bytes of one frame, and waits for the body of the frame that answers it. No call can be made afterwards.
    pub(crate) async fn ask_once(&mut self, asked: &[u8], limit: Duration) -> Result<Vec<u8>, LinkError> {
        if !self.usable {
            return Err(LinkError::Cut("the last call had no answer that could be used".to_owned()));
        }
        self.usable = false;
        let until = Until::new(self.silence, limit);
        self.send(asked, &until).await?;
        Ok(self.receive_body(&until).await?.0)
    }

    /// What is read and written after the last frame.
    pub(crate) fn into_halves(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    async fn send(&mut self, bytes: &[u8], until: &Until) -> Result<(), LinkError> {
        until.wait(self.write.write_all(bytes)).await?;
        until.wait(self.write.flush()).await
    }

    /// The next frame, and how many bytes it had.
    async fn receive(&mut self, until: &Until) -> Result<(Frame, u64), LinkError> {
        let (body, bytes) = self.receive_body(until).await?;
        Ok((decode(&body)?, bytes))
    }

    /// The body of the next frame, with cleaned texts, and how many bytes the frame had.
    async fn receive_body(&mut self, until: &Until) -> Result<(Vec<u8>, u64), LinkError> {
        let mut announced = [0; LENGTH_BYTES];
        self.fill(&mut announced, until).await?;
        let mut body = vec![0; length(announced)?];
        self.fill(&mut body, until).await?;
        let bytes = u64::try_from(LENGTH_BYTES + body.len()).unwrap_or(u64::MAX);
        let body = one_line(&body).ok_or_else(|| LinkError::Garbage("a frame is not UTF-8".to_owned()))?;
        Ok((body, bytes))
    }

    /// Reads until the buffer is full. A large frame over a slow line is no silence.
    async fn fill(&mut self, buffer: &mut [u8], until: &Until) -> Result<(), LinkError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match until.wait(self.read.read(rest)).await? {
                0 => return Err(LinkError::Cut("the host's program ended".to_owned())),
                count => filled += count,
            }
        }
        Ok(())
    }
}

fn ended(end: End, items: Vec<Item>) -> Result<Vec<Item>, LinkError> {
    match end {
        End::Done => Ok(items),
        End::Failed { code, attempted, causes, help } => {
            Err(LinkError::Failed { code, attempted, causes, help })
        }
    }
}

/// How long something is waited for: each byte, and all of it.
struct Until {
    silence: Duration,
    limit: Duration,
    end: Instant,
}

impl Until {
    fn new(silence: Duration, limit: Duration) -> Self {
        Self { silence, limit, end: Instant::now() + limit.min(LIMIT_MAX) }
    }

    async fn wait<T>(&self, done: impl Future<Output = io::Result<T>> + Send) -> Result<T, LinkError> {
        let late = LinkError::Late { seconds: self.limit.as_secs() };
        let left = self.end.saturating_duration_since(Instant::now());
        // A host that always has something to say would never be late otherwise.
        if left.is_zero() {
            return Err(late);
        }
        match timeout(left.min(self.silence), done).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(LinkError::Cut(error.to_string())),
            Err(_) if self.silence < left => Err(LinkError::Silent { seconds: self.silence.as_secs() }),
            Err(_) => Err(late),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    /// A link that has greeted, and the host's end of it.
    fn link(silence: Duration) -> (Link, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (read, write) = tokio::io::split(ours);
        (Link { read: Box::new(read), write: Box::new(write), silence, id: 0, usable: true }, theirs)
    }

    #[tokio::test]
    async fn a_silent_host_is_cut_and_is_not_asked_again() {
        let (mut link, _theirs) = link(SHORT);
        let answered = link.call(Call::Scan, LONG, &mut |_| {}).await;
        assert_eq!(answered, Err(LinkError::Silent { seconds: 0 }));
        let again = link.call(Call::Scan, LONG, &mut |_| {}).await;
        assert!(matches!(again, Err(LinkError::Cut(_))), "{again:?}");
    }

    #[tokio::test]
    async fn a_half_frame_is_silence_too() {
        let (mut link, mut theirs) = link(SHORT);
        theirs.write_all(b"\0\0\0\x20{\"answer\"").await.unwrap();
        let answered = link.call(Call::Scan, LONG, &mut |_| {}).await;
        assert_eq!(answered, Err(LinkError::Silent { seconds: 0 }));
    }

    #[tokio::test]
    async fn a_host_that_only_says_that_it_lives_is_late_and_is_told_so() {
        let (mut link, theirs) = link(LONG);
        let (mut hears, mut says) = tokio::io::split(theirs);
        let alive = encode(&Frame::Note { id: 1, note: Note::Alive }).unwrap();
        let saying = tokio::spawn(async move {
            while says.write_all(&alive).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let answered = link.call(Call::Scan, SHORT, &mut |_| {}).await;
        assert_eq!(answered, Err(LinkError::Late { seconds: 0 }));
        drop(link);
        saying.await.unwrap();
        let mut heard = Vec::new();
        hears.read_to_end(&mut heard).await.unwrap();
        assert!(heard.ends_with(&encode(&Frame::Cancel { id: 1 }).unwrap()));
    }

    #[tokio::test]
    async fn a_call_that_was_given_up_leaves_no_link_to_use() {
        let (mut link, mut theirs) = link(LONG);
        assert!(timeout(SHORT, link.call(Call::Scan, LONG, &mut |_| {})).await.is_err());
        let end = Frame::Answer { id: 2, items: Vec::new(), end: Some(End::Done) };
        theirs.write_all(&encode(&end).unwrap()).await.unwrap();
        let again = link.call(Call::Scan, LONG, &mut |_| {}).await;
        assert!(matches!(again, Err(LinkError::Cut(_))), "{again:?}");
    }
}
