//! Private keys in PEM (RFC 7468): what of them is secret.

/// The fewest bytes of a line that is looked for by itself.
const LINE_BYTES_MIN: usize = 16;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// What stands between the first and the last line of each private key; the same for every key are those alone.
pub(crate) fn bodies(value: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = value;
    while let Some(begin) = place(rest, BEGIN) {
        rest = rest.get(begin + BEGIN.len()..).unwrap_or_default();
        let (Some(label), Some(end)) = (place(rest, b"-----"), place(rest, END)) else { break };
        let first_line = rest.get(..label + 5).unwrap_or_default();
        if first_line.ends_with(PRIVATE)
            && let Some(body) = rest.get(first_line.len()..end)
        {
            found.push(body.trim_ascii());
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    found
}

/// The lines of a body that no other key has. The last one may be short, and says little; the first of OpenSSH's own format
/// names the cipher, and is the same in most keys.
pub(crate) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    all.filter(|line| {
        line.len() >= LINE_BYTES_MIN && !line.contains(&b':') && !line.starts_with(b"b3BlbnNzaC1rZXktdjE")
    })
}

fn place(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_stands_between() {
        let text = b"x\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n\r\nAAAABBBBCCCCDDDDEEEE\r\nFFFF=\r\n-----END RSA PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let all = bodies(text);
        assert_eq!(all, [b"Proc-Type: 4,ENCRYPTED\r\n\r\nAAAABBBBCCCCDDDDEEEE\r\nFFFF=".as_slice()]);
        assert_eq!(lines(all[0]).collect::<Vec<_>>(), [b"AAAABBBBCCCCDDDDEEEE".as_slice()]);
        assert!(bodies(b"-----BEGIN PRIVATE KEY-----").is_empty());
    }
}
