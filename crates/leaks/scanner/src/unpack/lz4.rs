use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::Range;

use lz4_flex::block::decompress_into;
use lz4_flex::frame::FrameDecoder;
use zeroize::Zeroizing;

use crate::error_text::{CUT_OFF, NO_BLOCK};
use crate::unpack::format::{LZ4, LZ4_FIRST, SKIPPED_FIRST, SKIPPED_REST};
use crate::unpack::zstandard::pass_over;

/// The largest block of the legacy format, unpacked and packed without compression, bytes. Source: the LZ4 frame
/// format 1.6, "Legacy frame".
const BLOCK_BYTES_MAX: usize = 8 << 20;
const PACKED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 255 + 16;

/// Decodes LZ4: concatenated frames as one text, also of the legacy format. A frame has blocks of at most 8 MiB,
/// three of which are in memory, or two of the legacy format.
pub(crate) struct Lz4<R: Read> {
    frames: FrameDecoder<CompleteFrames<R>>,
    next: NextRead,
    /// An unpacked legacy block; its unread part; and the packed block.
    block: Zeroizing<Vec<u8>>,
    rest: Range<usize>,
    packed: Zeroizing<Vec<u8>>,
}

/// What is read next.
enum NextRead {
    Frame,
    /// More of a frame.
    Bytes,
    /// The next block of a legacy frame, with the number of unpacked bytes so far.
    Block {
        unpacked: u64,
    },
    End,
}

/// Fails if a frame is truncated: the decoder takes that for its end.
struct CompleteFrames<R> {
    /// Bytes that were read ahead.
    again: Cursor<[u8; 4]>,
    from: BufReader<R>,
}

impl<R: Read> CompleteFrames<R> {
    /// The next four bytes, which can be read again; `None` at the end.
    fn four(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut four = [0; 4];
        match self.fill_buf()?.is_empty() {
            true => Ok(None),
            false => self.read_exact(&mut four).map(|()| Some(four)),
        }
    }
}

impl<R: Read> Read for CompleteFrames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let again = self.again.read(into)?;
        if again > 0 {
            return Ok(again);
        }
        match self.from.read(into)? {
            0 if !into.is_empty() => Err(io::Error::other(CUT_OFF)),
            read => Ok(read),
        }
    }
}

impl<R: Read> BufRead for CompleteFrames<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.again.position() {
            4.. => self.from.fill_buf(),
            _ => self.again.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self.again.position() {
            4.. => self.from.consume(count),
            _ => self.again.consume(count),
        }
    }
}

impl<R: Read> Lz4<R> {
    pub(crate) fn new(from: R) -> Self {
        let mut again = Cursor::new([0; 4]);
        again.set_position(4);
        let frames = FrameDecoder::new(CompleteFrames { again, from: BufReader::new(from) });
        let (block, packed) = (Zeroizing::default(), Zeroizing::default());
        Self { frames, next: NextRead::Frame, block, rest: 0..0, packed }
    }

    /// Reads the start of a frame.
    fn begin(&mut self) -> io::Result<NextRead> {
        let from = self.frames.get_mut();
        pass_over(from)?;
        Ok(match from.four()? {
            None => NextRead::End,
            Some(LZ4_FIRST) => NextRead::Block { unpacked: 0 },
            Some(other) => {
                from.again = Cursor::new(other);
                NextRead::Bytes
            }
        })
    }

    /// Reads the next block of a legacy frame. Such a frame has no end mark: zeros may follow it, its length, as in
    /// kernels, or another frame.
    fn next_block(&mut self, unpacked: u64) -> io::Result<NextRead> {
        let from = self.frames.get_mut();
        let Some(four) = from.four()? else { return Ok(NextRead::End) };
        let (bytes, [first, rest @ ..]) = (u32::from_le_bytes(four), four);
        if bytes == 0 {
            return Ok(NextRead::Block { unpacked });
        }
        if four == LZ4 || four == LZ4_FIRST || SKIPPED_FIRST.contains(&first) && rest == SKIPPED_REST {
            from.again = Cursor::new(four);
            return Ok(NextRead::Frame);
        }
        if u64::from(bytes) == unpacked & u64::from(u32::MAX) && from.fill_buf()?.is_empty() {
            return Ok(NextRead::End);
        }
        if bytes as usize > PACKED_BYTES_MAX {
            return Err(io::Error::other(NO_BLOCK));
        }
        self.packed.clear();
        from.by_ref().take(bytes.into()).read_to_end(&mut self.packed)?;
        // Allocated once, because there may be very many small blocks.
        self.block.resize(BLOCK_BYTES_MAX, 0);
        let length =
            decompress_into(&self.packed, &mut self.block).map_err(|_| io::Error::other(NO_BLOCK))?;
        self.rest = 0..length;
        Ok(NextRead::Block { unpacked: unpacked.saturating_add(length as u64) })
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.get(self.rest.clone()).unwrap_or_default().read(into)?;
            self.rest.start += read;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            self.next = match self.next {
                NextRead::Frame => self.begin()?,
                NextRead::Block { unpacked } => self.next_block(unpacked)?,
                NextRead::Bytes => match self.frames.read(into)? {
                    // Another frame may follow; a frame may be empty.
                    0 => NextRead::Frame,
                    read => return Ok(read),
                },
                NextRead::End => return Ok(0),
            };
        }
    }
}
