use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use zeroize::{Zeroize, Zeroizing};

use super::MESSAGE_BYTES_MAX;

/// Bytes that were read from a connection and not yet consumed. The buffer never grows: growing would leave a copy in
/// memory.
pub(crate) struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    filled: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(vec![0; MESSAGE_BYTES_MAX]), filled: 0 }
    }

    /// The unread bytes.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Reads more from the stream; 0 means that the other side closed, an error that the message is too long.
    pub(crate) async fn fill(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::Error::other("a message longer than the buffer"));
        }
        let read = stream.read(room).await?;
        self.filled += read;
        Ok(read)
    }

    /// Consumes the first `count` bytes: the following bytes move to the front, and the rest is overwritten.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.bytes.copy_within(count..self.filled, 0);
        let kept = self.filled - count;
        if let Some(gone) = self.bytes.get_mut(kept..self.filled) {
            gone.zeroize();
        }
        self.filled = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_consumed_is_overwritten() {
        let mut buffer = Buffer::new();
        buffer.bytes[..6].copy_from_slice(b"abcdef");
        buffer.filled = 6;
        buffer.consume(4);
        assert_eq!(buffer.filled(), b"ef");
        assert!(buffer.bytes[2..].iter().all(|byte| *byte == 0));
    }
}
