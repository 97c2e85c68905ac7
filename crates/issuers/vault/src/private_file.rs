use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::{SecretBytes, is_private};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::attempt::Attempt;

/// The longest file with a login, bytes.
const FILE_BYTES_MAX: usize = 16 * 1024;

/// The next step where no login can be read.
pub(crate) const LOGIN: &str = "give keyroll a login: a token's file, AppRole, or the socket of an agent in keyroll.toml, or \
                                VAULT_TOKEN, or `vault login` as this user";

/// The text of a file that only its owner may read, without the white space around it. The kind and the rights are those of
/// the opened file: a link may lead to it.
pub(crate) fn read(attempt: &Attempt<'_>, path: &Path) -> Result<SecretBytes, Failure> {
    let refused = |code: Code, why: String| {
        attempt.fail(Class::Permanent, code).because(format!("{}: {why}", path.display()))
    };
    let unread = |error: &io::Error| refused(attempt.codes.access, error.kind().to_string()).help(LOGIN);
    // A FIFO must not block the call.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(opened.map_err(|error| unread(&io::Error::from(error)))?);
    let meta = file.metadata().map_err(|error| unread(&error))?;
    if !meta.is_file() {
        return Err(refused(attempt.codes.access, "it is not a regular file".to_owned()).help(LOGIN));
    }
    let mode = meta.mode() & 0o7777;
    if !is_private(mode, meta.uid(), meta.gid()) {
        let why = format!("other users can access it (mode {mode:04o})");
        return Err(refused(Code::OpenToOtherUsers, why).help(format!("chmod 600 {}", path.display())));
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&meta.uid()) {
        let why = format!("it belongs to user {}, who can read and replace it", meta.uid());
        return Err(refused(Code::OpenToOtherUsers, why).help("write the login into a file of your own"));
    }
    // In one buffer of the full size: a buffer that grows leaves a copy in memory.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
    let limit = u64::try_from(FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(|error| unread(&error))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(
            refused(attempt.codes.access, format!("it has more than {FILE_BYTES_MAX} bytes")).help(LOGIN)
        );
    }
    let login = text.trim_ascii();
    if login.is_empty() {
        return Err(refused(attempt.codes.access, "it is empty".to_owned()).help(LOGIN));
    }
    Ok(SecretBytes::new(login.to_vec()))
}
