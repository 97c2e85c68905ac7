//! The secret parts of PEM private keys (RFC 7468).

/// The shortest line that is searched for by itself, bytes.
const LINE_BYTES_MIN: usize = 16;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const PRIVATE: &[u8] = b"PRIVATE KEY";

/// The PEM blocks in a value.
pub(crate) struct Pem<'v> {
    /// The content between the first and last line of each private key. Those two lines are the same for all keys.
    pub(crate) bodies: Vec<&'v [u8]>,
    /// Whether the value has text outside of its PEM blocks that may be secret.
    pub(crate) has_more: bool,
}

pub(crate) fn of(value: &[u8]) -> Pem<'_> {
    let (mut bodies, mut has_more, mut rest) = (Vec::new(), false, value);
    while let Some((before, behind)) = parted(rest, BEGIN) {
        let (Some((label, inside)), Some((body, _))) = (parted(behind, DASHES), parted(behind, END)) else {
            break;
        };
        has_more |= !is_blank(before);
        if label.ends_with(PRIVATE)
            && let Some(body) = body.get(label.len() + DASHES.len()..)
        {
            bodies.push(body.trim_ascii());
        }
        let last_line = parted(inside, END).map(|(_, last_line)| last_line);
        rest = last_line.map_or(inside, behind_label);
    }
    has_more |= !is_blank(rest);
    Pem { bodies, has_more }
}

/// The text after a block's last line, given the text after `END`; all of it if the line is cut.
fn behind_label(last_line: &[u8]) -> &[u8] {
    let named = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b' ');
    parted(last_line, DASHES).filter(|(name, _)| named(name)).map_or(last_line, |(_, behind)| behind)
}

/// Whether a text has only whitespace, line ends as escaped in strings, and quotes.
fn is_blank(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'n' | b'r' | b'"' | b'\''))
}

/// The lines of a body that distinguish this key: not a short last line, and not the first line of OpenSSH's format,
/// which names the cipher and is the same in most keys.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    all.filter(|line| {
        line.len() >= LINE_BYTES_MIN && !line.contains(&b':') && !line.starts_with(b"b3BlbnNzaC1rZXktdjE")
    })
}

/// The text before and after a part.
fn parted<'t>(text: &'t [u8], part: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::find(text, part)?;
    Some((text.get(..at)?, text.get(at + part.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_between_the_first_and_last_line() {
        let text = b"x\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n\r\nAAAABBBBCCCCDDDDEEEE\r\nFFFF=\r\n-----END RSA PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let pem = of(text);
        let all = pem.bodies;
        assert_eq!(all, [b"Proc-Type: 4,ENCRYPTED\r\n\r\nAAAABBBBCCCCDDDDEEEE\r\nFFFF=".as_slice()]);
        assert_eq!(lines(all[0]).collect::<Vec<_>>(), [b"AAAABBBBCCCCDDDDEEEE".as_slice()]);
        assert!(pem.has_more, "an x");
        assert!(of(b"-----BEGIN PRIVATE KEY-----").bodies.is_empty());
    }

    #[test]
    fn what_is_outside_of_blocks_is_seen() {
        let key = "-----BEGIN PRIVATE KEY-----\nAAAABBBBCCCCDDDDEEEE\n-----END PRIVATE KEY-----";
        let public = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for alone in [
            key.to_owned(),
            format!("\r\n {key}\n\n{public}"),
            format!("{public}{key}\n"),
            format!("\"{}\\n\"", key.replace('\n', "\\n")),
        ] {
            assert!(!of(alone.as_bytes()).has_more, "{alone}");
            assert_eq!(of(alone.as_bytes()).bodies.len(), 1, "{alone}");
        }
        for more in [
            format!("DB_PASSWORD=x\n{key}"),
            format!("{key}\nx"),
            format!("{key}\n0\n{public}"),
            key[..key.len() - 1].to_owned(),
            format!("{key}\n-----BEGIN "),
        ] {
            assert!(of(more.as_bytes()).has_more, "{more}");
            assert_eq!(of(more.as_bytes()).bodies.len(), 1, "{more}");
        }
    }
}
