use std::io::{self, BufRead, BufReader, Read};

use lz4_flex::frame::FrameDecoder;

use crate::zstandard::pass_over;

/// Of one without an end.
pub(crate) const CUT_OFF: &str = "its LZ4 frame is cut off";

/// Reads what LZ4 has packed: one frame behind the other, as one text. A frame has blocks of 8 MiB at most, three of which are held.
pub(crate) struct Lz4<R: Read> {
    frames: FrameDecoder<Whole<R>>,
    ended: bool,
}

/// What is read of a frame that has no end is an error: the decoder takes it for one that has.
struct Whole<R>(BufReader<R>);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 if !into.is_empty() => Err(io::Error::other(CUT_OFF)),
            read => Ok(read),
        }
    }
}

impl<R: Read> Lz4<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { frames: FrameDecoder::new(Whole(BufReader::new(from))), ended: false }
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !into.is_empty() {
            let read = self.frames.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            // Where one ends another may begin; one may be empty.
            let from = &mut self.frames.get_mut().0;
            pass_over(from)?;
            self.ended = from.fill_buf()?.is_empty();
        }
        Ok(0)
    }
}
