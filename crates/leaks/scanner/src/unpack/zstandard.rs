use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error_text::NO_FRAME;
use crate::unpack::format::{SKIPPED_FIRST, SKIPPED_REST};

/// Decodes Zstandard: concatenated frames as one text, without skippable frames. One frame needs at most 100 MiB.
pub(crate) struct Zstandard<R: Read> {
    from: BufReader<R>,
    decoder: FrameDecoder,
    within: bool,
    ended: bool,
}

impl<R: Read> Zstandard<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from: BufReader::new(from), decoder: FrameDecoder::new(), within: false, ended: false }
    }

    /// Starts the next frame. Anything else is an error, once.
    fn next_frame(&mut self) -> io::Result<()> {
        pass_over(&mut self.from)?;
        if self.from.fill_buf()?.is_empty() {
            self.ended = true;
            return Ok(());
        }
        match self.decoder.reset(&mut self.from) {
            Ok(()) => {
                self.within = true;
                Ok(())
            }
            Err(_) => {
                self.ended = true;
                Err(io::Error::other(NO_FRAME))
            }
        }
    }
}

impl<R: Read> Read for Zstandard<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !into.is_empty() {
            if !self.within {
                self.next_frame()?;
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let next = self.decoder.decode_blocks(&mut self.from, BlockDecodingStrategy::UptoBlocks(1));
                if let Err(error) = next {
                    self.ended = true;
                    return Err(io::Error::other(error));
                }
            }
            let read = self.decoder.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            // Another frame may follow; a frame may be empty.
            self.within = false;
        }
        Ok(0)
    }
}

/// The length of a skippable frame's header, bytes.
pub(crate) const SKIPPED_HEAD_BYTES: usize = 8;

/// The length of a skippable frame of LZ4 or Zstandard, from its header; `None` for another one. Sources: RFC 8878,
/// 3.1.2; the LZ4 frame format 1.6.
pub(crate) fn skipped_bytes(head: &[u8; SKIPPED_HEAD_BYTES]) -> Option<u64> {
    let [first, magic @ .., a, b, c, d] = *head;
    let is_one = SKIPPED_FIRST.contains(&first) && magic == SKIPPED_REST;
    is_one.then(|| u64::from(u32::from_le_bytes([a, b, c, d])))
}

/// Skips such frames.
pub(crate) fn pass_over(from: &mut impl BufRead) -> io::Result<()> {
    while from.fill_buf()?.first().is_some_and(|first| SKIPPED_FIRST.contains(first)) {
        let mut head = [0; SKIPPED_HEAD_BYTES];
        from.read_exact(&mut head)?;
        let bytes = skipped_bytes(&head).ok_or(io::ErrorKind::InvalidData)?;
        io::copy(&mut from.by_ref().take(bytes), &mut io::sink())?;
    }
    Ok(())
}
