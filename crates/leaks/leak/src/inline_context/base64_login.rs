use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// Padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest base64 that is decoded, bytes.
const LOGIN_BYTES_MAX: usize = 1024;

/// The password in base64 of `user:password`, as after `Basic` (RFC 7617) and in Docker's configuration; `None` for
/// anything else. May be empty: some services take a token as the user.
pub(crate) fn password_of(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut login = decoded(value)?;
    let sign = login.iter().position(|byte| *byte == b':').filter(|sign| *sign > 0)?;
    let written = str::from_utf8(&login).is_ok_and(|text| !text.contains(char::is_control));
    login.drain(..=sign);
    written.then_some(login)
}

/// Decodes base64, unless it is long.
pub(crate) fn decoded(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let short = !value.is_empty() && value.len() <= LOGIN_BYTES_MAX;
    short.then(|| BASE64.decode(value).ok().map(Zeroizing::new)).flatten()
}

/// The length of a percent-encoded value, decoded; `None` if it has other characters than letters, digits and marks.
pub(crate) fn decoded_bytes(value: &[u8]) -> Option<usize> {
    let (mut bytes, mut rest) = (0, value);
    while let Some((first, behind)) = rest.split_first() {
        let pair = behind.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = pair.and_then(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
        if byte.is_some_and(|byte| !byte.is_ascii_graphic()) {
            return None;
        }
        rest = if byte.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
        bytes += 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_base64_has_a_password() {
        let login = |text: &str| password_of(BASE64.encode(text).as_bytes()).map(|found| found.to_vec());
        assert_eq!(login("app:kD93:fQ0"), Some(b"kD93:fQ0".to_vec()));
        assert_eq!(login(":kD93"), None);
        assert_eq!(login("app:"), Some(Vec::new()));
        assert_eq!(login("no login"), None);
        assert_eq!(login("app:\u{1}\u{2}"), None);
        assert_eq!(login("app:p\u{e4}ss"), Some("p\u{e4}ss".as_bytes().to_vec()));
        assert_eq!(password_of(b"app:kD93"), None);
        assert_eq!(password_of(b"YTpi"), Some(b"b".to_vec().into()));
        assert_eq!(password_of(b"YTpiYw"), Some(b"bc".to_vec().into()), "not filled");
    }

    #[test]
    fn what_is_percent_encoded_is_counted_as_it_is_meant() {
        assert_eq!(decoded_bytes(b"p%40ss%2fx"), Some(6));
        assert_eq!(decoded_bytes(b"100%sure%4"), Some(10));
        assert_eq!(decoded_bytes(b"my%20pass"), None);
        assert_eq!(decoded_bytes(b"%F0%9F"), None);
    }
}
