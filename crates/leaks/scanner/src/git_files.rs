use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use keyroll_leak::is_log_in_git;
use zeroize::Zeroizing;

use crate::error_text::why;
use crate::scan::{Location, Worker};

/// The largest log of references that is read, bytes.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Scans a file of git's own folder, which is at `below` in it.
pub(crate) fn scan_git_file(worker: &mut Worker<'_>, at: Location<'_>, below: &Path, file: File) {
    if !is_log_in_git(below) {
        return worker.file(at, file);
    }
    let mut text = Zeroizing::new(Vec::new());
    match file.take(LOG_BYTES_MAX + 1).read_to_end(&mut text) {
        Ok(length) if length as u64 > LOG_BYTES_MAX => {
            worker.skip(at, format!("a log of references is read up to {} MiB", LOG_BYTES_MAX >> 20));
        }
        Ok(_) => worker.text(at, &mut with_addresses(&text).as_slice()),
        Err(error) => worker.skip(at, why(&error)),
    }
}

/// The lines of a log that have an address, such as that of a clone, in their places. The others repeat messages of
/// commits, which belong to the history.
fn with_addresses(log: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(log.len() + 1));
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        match memchr::memmem::find(line, b"://") {
            Some(_) => kept.extend_from_slice(line),
            None => kept.push(b'\n'),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_the_addresses_stay_in_their_lines() {
        let log = b"0 1 n <a@b> 1 +0000\tclone: from https://u:p@h/r\n1 2 n <a@b> 2 +0000\tcommit: token\n2 3 x://y";
        let kept = with_addresses(log);
        let lines: Vec<&[u8]> = kept.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with(b"u:p@h/r") && lines[1].is_empty() && lines[2].ends_with(b"x://y"));
    }
}
