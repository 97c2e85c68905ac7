use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Seek};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use keyroll_observe::detach;
use keyroll_secret::SecretBytes;
use rustix::fs::{MemfdFlags, SealFlags};

use crate::environment::with_plain_environment;
use crate::wait::ended_by;

/// How much of a command's output is kept, bytes.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// How long a list may be, bytes: hundreds of apps with their whole environments.
const LIST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The longest answer of a program that gives out a value, bytes: 64 KiB of which each byte is six in JSON, and the words
/// around them.
const ANSWER_BYTES_MAX: u64 = 512 * 1024;

/// How long the rest of the output is awaited after the command ended, milliseconds.
const OUTPUT_END_MS_MAX: u64 = 300;

/// How often keyroll checks whether the rest has arrived, milliseconds.
const OUTPUT_STEP_MS: u64 = 5;

/// A service that a command left running may hold the output open for ever: an output that was empty so many times in a
/// row counts as complete.
const OUTPUT_EMPTY_TIMES: u32 = 3;

/// Keeps the beginning and discards the rest: at most 1024 pieces of 4 KiB are written as they arrive.
const SWALLOW: &str = "dd bs=4096 count=1024 2>/dev/null; exec cat >/dev/null";

/// The output of a command that may leave a service running behind it.
///
/// Such a service often inherits the command's output. A pipe that ended with keyroll would kill it at its next
/// line, and a file would grow without limit; so a small process of its own reads the pipe as long as it is open.
pub(crate) struct Drain {
    kept: File,
    reader: PipeReader,
    swallower: Child,
}

impl Drain {
    #[expect(clippy::disallowed_methods, reason = "a command that only shows: the same limits")]
    pub(crate) fn open() -> std::io::Result<(Self, PipeWriter)> {
        let (reader, writer) = std::io::pipe()?;
        let kept = memory_file()?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SWALLOW])
            .stdin(reader.try_clone()?)
            .stdout(kept.try_clone()?)
            .stderr(Stdio::null());
        with_plain_environment(&mut command, None);
        let swallower = detach(&mut command).spawn()?;
        Ok((Self { kept, reader, swallower }, writer))
    }

    /// What has arrived so far. All writers in this process must be closed.
    pub(crate) fn kept(mut self) -> SecretBytes {
        let deadline = Instant::now() + Duration::from_millis(OUTPUT_END_MS_MAX);
        let mut empty = 0;
        while empty < OUTPUT_EMPTY_TIMES && Instant::now() < deadline {
            if ended_by(&self.swallower, Instant::now() + Duration::from_millis(OUTPUT_STEP_MS))
                .unwrap_or(true)
            {
                drop(self.swallower.wait());
                break;
            }
            let waiting = rustix::io::ioctl_fionread(&self.reader).unwrap_or(0);
            empty = if waiting == 0 { empty + 1 } else { 0 };
        }
        beginning_of(&mut self.kept)
    }
}

/// A file in memory, for the whole output of a command that leaves nothing behind.
pub(crate) fn memory_file() -> std::io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?))
}

/// A file in memory that cannot grow: a command that writes without end gets an error, and takes no more memory.
pub(crate) fn small_memory_file() -> std::io::Result<File> {
    sealed_memory_file(OUTPUT_BYTES_MAX)
}

/// The same for the answer of a program that gives out a value.
pub(crate) fn answer_memory_file() -> std::io::Result<File> {
    sealed_memory_file(ANSWER_BYTES_MAX * 2)
}

fn sealed_memory_file(bytes: u64) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("complaint", flags)?);
    file.set_len(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW)?;
    Ok(file)
}

/// All of a list; nothing if it is longer than any can be.
pub(crate) fn list_in(file: &mut File) -> Option<SecretBytes> {
    let long = file.metadata().ok().map(|meta| meta.len()).filter(|long| *long <= LIST_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(usize::try_from(long).ok()?.saturating_add(1));
    file.rewind().and_then(|()| file.take(long).read_to_end(&mut bytes)).ok()?;
    Some(SecretBytes::new(bytes))
}

/// Everything that was written to such a file; nothing if that may be incomplete, because a value could be cut in two
/// at its end.
pub(crate) fn written_to(file: &mut File) -> Option<SecretBytes> {
    all_within(file, OUTPUT_BYTES_MAX / 2)
}

/// The same for the answer of a program that gives out a value.
pub(crate) fn answer_in(file: &mut File) -> Option<SecretBytes> {
    all_within(file, ANSWER_BYTES_MAX)
}

fn all_within(file: &mut File, bytes_max: u64) -> Option<SecretBytes> {
    // The descriptor is shared with the writer: its position is after the last byte.
    let end = file.stream_position().ok().filter(|end| *end <= bytes_max)?;
    // One byte more than there is: a vector that grows leaves a copy of the value in freed memory.
    let mut bytes = Vec::with_capacity(usize::try_from(end).ok()?.saturating_add(1));
    file.rewind().and_then(|()| file.take(end).read_to_end(&mut bytes)).ok()?;
    Some(SecretBytes::new(bytes))
}

pub(crate) fn beginning_of(file: &mut File) -> SecretBytes {
    let mut bytes = Vec::with_capacity(usize::try_from(OUTPUT_BYTES_MAX).unwrap_or(0));
    // The output is for a person: a part that cannot be read is omitted.
    drop(file.rewind().and_then(|()| file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)));
    SecretBytes::new(bytes)
}
