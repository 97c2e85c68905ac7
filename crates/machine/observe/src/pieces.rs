use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::SeekFrom as Reach;
use zeroize::Zeroizing;

use crate::NotVisible;
use crate::reading::version;

/// How much of a large file is read at once, bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A file that is too large to be read whole, piece by piece. Holes are not read: 10 GB of nothing cost nothing.
pub struct Pieces<'a> {
    file: File,
    /// The end of the last piece, then the bytes after it.
    buffer: Zeroizing<Vec<u8>>,
    filled: usize,
    /// Where the next piece begins in the file.
    at: u64,
    /// The end of the file when it was opened: later writes after it are not read.
    end: u64,
    /// The line at which the buffer begins, from 1 on.
    line: u64,
    /// How much may still be read of all large files together, bytes.
    budget: &'a AtomicU64,
    left: u64,
    read: u64,
    /// Reports that the reader is not stuck; `false` = the caller no longer waits for it.
    goes_on: &'a dyn Fn() -> bool,
    /// Why the end was not reached.
    stopped: Option<String>,
}

/// A part of a file.
pub struct Piece<'b> {
    /// Its bytes.
    pub bytes: &'b [u8],
    /// How many of them repeat the end of the previous piece.
    pub again: usize,
    /// The line at which they begin, from 1 on; holes have no lines.
    pub line: u64,
}

impl<'a> Pieces<'a> {
    /// `file_bytes_max` limits one file, and `budget` all files together.
    pub(crate) fn new(
        file: File,
        end: u64,
        file_bytes_max: u64,
        budget: &'a AtomicU64,
        goes_on: &'a dyn Fn() -> bool,
    ) -> Self {
        let (buffer, left) = (Zeroizing::default(), file_bytes_max);
        let (filled, at, line, read, stopped) = (0, 0, 1, 0, None);
        Self { file, buffer, filled, at, end, line, budget, left, read, goes_on, stopped }
    }

    /// The next piece, which begins with the last `keep` bytes of the previous one: a value across the border is
    /// complete in one of them. `None` at the end, or at a limit.
    pub fn next(&mut self, keep: usize) -> Option<Piece<'_>> {
        match self.fill(keep) {
            Ok(again) => {
                let (again, bytes) = (again?, self.buffer.get(..self.filled)?);
                Some(Piece { bytes, again, line: self.line })
            }
            Err(reason) => {
                self.stopped.get_or_insert(reason);
                None
            }
        }
    }

    /// How many bytes of the last piece were kept; `None` at the end.
    fn fill(&mut self, keep: usize) -> Result<Option<usize>, String> {
        if !(self.goes_on)() {
            return Err(NotVisible::Stuck.to_string());
        }
        let said = |error: std::io::Error| NotVisible::of_io(&error).to_string();
        let here = rustix::fs::seek(&self.file, Reach::Data(self.at));
        let data = match here {
            Ok(data) => data,
            // After the last data, or the file system does not report holes.
            Err(rustix::io::Errno::NXIO) => return Ok(None),
            Err(_) => self.file.seek(SeekFrom::Start(self.at)).map_err(said)?,
        };
        if data >= self.end {
            return Ok(None);
        }
        // The whole buffer is allocated at once: a buffer that grows leaves copies behind.
        self.buffer.resize(keep + PIECE_BYTES, 0);
        let kept = if data == self.at { keep.min(self.filled) } else { 0 };
        let dropped = self.filled - kept;
        let lines = self.buffer.get(..dropped).unwrap_or_default();
        self.line += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.buffer.copy_within(dropped..self.filled, 0);
        self.at = data;
        self.filled = kept;
        let wanted = self.afford(self.end - data)?;
        while self.filled < kept + wanted {
            let Some(room) = self.buffer.get_mut(self.filled..kept + wanted) else { break };
            match self.file.read(room) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(said(error)),
            }
        }
        let read = (self.filled - kept) as u64;
        self.at += read;
        self.read += read;
        Ok((read > 0).then_some(kept))
    }

    /// How much may be read now.
    fn afford(&mut self, there: u64) -> Result<usize, String> {
        let wanted = (PIECE_BYTES as u64).min(self.left).min(there);
        let take = |left: u64| (left >= wanted && wanted > 0).then(|| left - wanted);
        if self.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            let why = if self.left == 0 { "as one file" } else { "as all large files together" };
            let mebi = |bytes: u64| bytes >> 20;
            return Err(format!(
                "{} of {} MiB were searched: as much {why} may cost",
                mebi(self.read),
                mebi(self.end)
            ));
        }
        self.left -= wanted;
        Ok(usize::try_from(wanted).unwrap_or(PIECE_BYTES))
    }

    /// Why a part of the file was not read.
    pub(crate) fn finish(self, before: &std::fs::Metadata) -> Option<String> {
        let changed = self.file.metadata().is_ok_and(|after| version(&after) != version(before));
        self.stopped.or_else(|| changed.then(|| "it changed while it was read".to_owned()))
    }
}
