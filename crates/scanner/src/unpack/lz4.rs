use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::Range;

use lz4_flex::block::decompress_into;
use lz4_flex::frame::FrameDecoder;
use zeroize::Zeroizing;

use crate::unpack::packed::{LZ4, LZ4_FIRST, SKIPPED_FIRST, SKIPPED_REST};
use crate::unpack::zstandard::pass_over;

/// Of one without an end.
pub(crate) const CUT_OFF: &str = "its LZ4 frame is cut off";

/// Of what stands where a block of the first form should.
pub(crate) const NO_BLOCK: &str = "what follows, or all of it, is no block of LZ4 in its first form";

/// What a block of the first form unpacks to at the most, bytes, and what such a one is packed to where nothing in it repeats.
/// Source: the LZ4 frame format 1.6, "Legacy frame".
const BLOCK_BYTES_MAX: usize = 8 << 20;
const PACKED_BYTES_MAX: usize = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 255 + 16;

/// Reads what LZ4 has packed: one frame behind the other, as one text, also those of its first form, as kernels have them. A frame
/// has blocks of 8 MiB at most, three of which are held, and two of the first form.
pub(crate) struct Lz4<R: Read> {
    frames: FrameDecoder<Whole<R>>,
    next: Next,
    /// A block of the first form that was unpacked, in room for the largest; what of it is still to be read; and what it was packed to.
    block: Zeroizing<Vec<u8>>,
    rest: Range<usize>,
    packed: Zeroizing<Vec<u8>>,
}

/// What is read next.
enum Next {
    Frame,
    /// More of a frame.
    Bytes,
    /// Of a frame of the first form, of which so many bytes have come out.
    Block {
        unpacked: u64,
    },
    End,
}

/// What is read of a frame that has no end is an error: the decoder takes it for one that has.
struct Whole<R> {
    /// What was read to see what it is, and is to be read again.
    again: Cursor<[u8; 4]>,
    from: BufReader<R>,
}

impl<R: Read> Whole<R> {
    /// The next four bytes, which are read again where that is asked for; none at the end.
    fn four(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut four = [0; 4];
        match self.fill_buf()?.is_empty() {
            true => Ok(None),
            false => self.read_exact(&mut four).map(|()| Some(four)),
        }
    }
}

impl<R: Read> Read for Whole<R> {
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

impl<R: Read> BufRead for Whole<R> {
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
        let frames = FrameDecoder::new(Whole { again, from: BufReader::new(from) });
        let (block, packed) = (Zeroizing::default(), Zeroizing::default());
        Self { frames, next: Next::Frame, block, rest: 0..0, packed }
    }

    /// What a frame begins with.
    fn begin(&mut self) -> io::Result<Next> {
        let from = self.frames.get_mut();
        pass_over(from)?;
        Ok(match from.four()? {
            None => Next::End,
            Some(LZ4_FIRST) => Next::Block { unpacked: 0 },
            Some(other) => {
                from.again = Cursor::new(other);
                Next::Bytes
            }
        })
    }

    /// The next block of a frame of the first form. That has no end of its own: behind it may stand zeros, its length, as kernels have
    /// it, or another frame.
    fn next_block(&mut self, unpacked: u64) -> io::Result<Next> {
        let from = self.frames.get_mut();
        let Some(four) = from.four()? else { return Ok(Next::End) };
        let (bytes, [first, rest @ ..]) = (u32::from_le_bytes(four), four);
        if bytes == 0 {
            return Ok(Next::Block { unpacked });
        }
        if four == LZ4 || four == LZ4_FIRST || SKIPPED_FIRST.contains(&first) && rest == SKIPPED_REST {
            from.again = Cursor::new(four);
            return Ok(Next::Frame);
        }
        if u64::from(bytes) == unpacked & u64::from(u32::MAX) && from.fill_buf()?.is_empty() {
            return Ok(Next::End);
        }
        if bytes as usize > PACKED_BYTES_MAX {
            return Err(io::Error::other(NO_BLOCK));
        }
        self.packed.clear();
        from.by_ref().take(bytes.into()).read_to_end(&mut self.packed)?;
        // Filled once: of small blocks there may be very many.
        self.block.resize(BLOCK_BYTES_MAX, 0);
        let length =
            decompress_into(&self.packed, &mut self.block).map_err(|_| io::Error::other(NO_BLOCK))?;
        self.rest = 0..length;
        Ok(Next::Block { unpacked: unpacked.saturating_add(length as u64) })
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
                Next::Frame => self.begin()?,
                Next::Block { unpacked } => self.next_block(unpacked)?,
                Next::Bytes => match self.frames.read(into)? {
                    // Where one ends another may begin; one may be empty.
                    0 => Next::Frame,
                    read => return Ok(read),
                },
                Next::End => return Ok(0),
            };
        }
    }
}
