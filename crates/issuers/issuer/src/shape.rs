use aws_lc_rs::rand;
use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::answer::wipe;
use crate::document::{Checksum, FieldForm, ValueForm};
use crate::private_key;

/// The length of a value for which neither a model nor the spec gives a length.
const DRAWN_LENGTH: usize = 32;

/// A value that looks like `model` and is not it: the prefix and every separator stay, letters and digits after the
/// prefix are drawn anew. A digit becomes a digit again if the alphabet has digits.
pub(crate) fn decoy(model: &[u8], form: &FieldForm) -> SecretBytes {
    let prefix = form.prefix.as_bytes();
    let kept = if model.starts_with(prefix) { prefix.len() } else { 0 };
    let drawable = model.iter().skip(kept).any(u8::is_ascii_alphanumeric);
    if !drawable {
        let mut made = prefix.to_vec();
        made.extend(std::iter::repeat_n(b'a', model.len().saturating_sub(prefix.len()).max(DRAWN_LENGTH)));
        return decoy(&made, form);
    }
    let mut made: Vec<u8> = model.to_vec();
    for byte in made.iter_mut().skip(kept).filter(|byte| byte.is_ascii_alphanumeric()) {
        let choice = like(*byte, form);
        *byte = draw(&choice).unwrap_or_else(|| after(*byte, &choice));
    }
    if made == model
        && let Some(byte) = made.iter_mut().skip(kept).find(|byte| byte.is_ascii_alphanumeric())
    {
        *byte = after(*byte, &like(*byte, form));
    }
    SecretBytes::new(made)
}

/// A new value that we choose: the prefix and as many bytes of the alphabet as fit.
pub(crate) fn choose(form: &FieldForm) -> Result<SecretBytes, Failure> {
    let fail = || Failure::new(Class::Permanent, Code::IssuerSettingsInvalid, "choose a new value");
    let alphabet = form.alphabet.as_ref().ok_or_else(fail)?.bytes();
    let length = form.length_max.ok_or_else(fail)?;
    // `=` only fills up the end of Base64.
    let drawn: Vec<u8> = alphabet.iter().copied().filter(|byte| *byte != b'=').collect();
    let mut made = Vec::with_capacity(length);
    made.extend_from_slice(form.prefix.as_bytes());
    while made.len() < length {
        made.push(draw(&drawn).ok_or_else(|| fail().because("the system gives no randomness"))?);
    }
    Ok(SecretBytes::new(made))
}

/// Whether a value has the declared form.
pub(crate) fn fits(value: &[u8], form: &FieldForm) -> bool {
    let sized =
        value.len() >= form.length_min && form.length_max.is_none_or(|longest| value.len() <= longest);
    match form.form {
        ValueForm::Text => {}
        ValueForm::Json => return sized && is_json(value),
        ValueForm::Pem => return sized && is_pem(value),
    }
    let Some(rest) = value.strip_prefix(form.prefix.as_bytes()) else { return false };
    let spelled = form.alphabet.as_ref().is_none_or(|alphabet| rest.iter().all(|byte| alphabet.holds(*byte)));
    spelled && sized
}

fn is_json(value: &[u8]) -> bool {
    let mut json: Option<serde_json::Value> = serde_json::from_slice(value).ok();
    let object = json.as_ref().is_some_and(serde_json::Value::is_object);
    json.iter_mut().for_each(wipe);
    object
}

fn is_pem(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| private_key::pair(text).is_some())
}

/// Why a value of several lines cannot be right.
fn document_fault(value: &[u8], form: &FieldForm) -> Option<String> {
    let what = match form.form {
        ValueForm::Text => return None,
        ValueForm::Json if is_json(value) => None,
        ValueForm::Json => Some("is not a JSON document: give the whole file".to_owned()),
        ValueForm::Pem if is_pem(value) => None,
        ValueForm::Pem => Some("is not an RSA private key in PEM: give the whole file".to_owned()),
    };
    let long = form.length_max.is_some_and(|longest| value.len() > longest);
    what.or_else(|| {
        (!fits(value, form)).then(|| match long {
            true => "is longer than such a value is".to_owned(),
            false => "is shorter than such a value is: it was cut off".to_owned(),
        })
    })
}

/// Why a value that the operator entered cannot be right, as a clause without any part of the value. The most likely
/// mistake is checked first.
pub(crate) fn fault(value: &[u8], form: &FieldForm) -> Option<String> {
    let said = |text: &str| Some(text.to_owned());
    if form.form != ValueForm::Text {
        return document_fault(value, form);
    }
    let (first, last) = (value.first()?, value.last()?);
    if value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return said("has a line break in it: give the value alone");
    }
    if [first, last].into_iter().any(|end| matches!(end, b'"' | b'\'' | b'`')) {
        return said("stands in quotes: give the value alone");
    }
    if value.iter().any(u8::is_ascii_whitespace) {
        return said("has white space in it: give the value alone");
    }
    if is_placeholder(value, form) {
        return said("is a placeholder or a shortened display, not a key");
    }
    if !value.starts_with(form.prefix.as_bytes()) {
        return Some(format!("does not begin with `{}`: it is another kind of key", form.prefix));
    }
    if value.len() < form.length_min {
        let (is, least) = (value.len(), form.length_min);
        return Some(format!("has {is} characters, and such a key has at least {least}: it was cut off"));
    }
    if form.length_max.is_some_and(|longest| value.len() > longest) {
        return Some(format!("has {} characters, which is more than such a key has", value.len()));
    }
    if !fits(value, form) {
        return said("has a character that such a key never has");
    }
    if form.checksum.is_some_and(|checksum| !adds_up(value, form, checksum)) {
        return said("does not add up by its checksum: a character is wrong or missing");
    }
    None
}

/// Placeholders that documents and consoles show in place of a value.
fn is_placeholder(value: &[u8], form: &FieldForm) -> bool {
    let lower = value.to_ascii_lowercase();
    let has = |word: &str| lower.windows(word.len()).any(|part| part == word.as_bytes());
    let words =
        ["...", "…", "***", "•••", "xxxxxx", "your_", "your-", "yourkey", "redacted", "changeme", "<", "${"];
    let rest = value.strip_prefix(form.prefix.as_bytes()).unwrap_or(value);
    let same = rest.len() > 3 && rest.iter().all(|byte| Some(byte) == rest.first());
    same || words.into_iter().any(has)
}

/// Characters of a checksum.
pub(crate) const CHECKSUM_BYTES: usize = 6;

/// Digits of base 62, in the order of those who publish such checksums.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn adds_up(value: &[u8], form: &FieldForm, checksum: Checksum) -> bool {
    let Checksum::GithubCrc32 = checksum;
    let rest = value.strip_prefix(form.prefix.as_bytes()).unwrap_or_default();
    let Some(at) = rest.len().checked_sub(CHECKSUM_BYTES) else { return false };
    let (body, end) = rest.split_at(at);
    end == checksum_of(body)
}

/// The six characters that such a body ends with.
fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut left = crc32(body);
    let mut made = [b'0'; CHECKSUM_BYTES];
    for place in made.iter_mut().rev() {
        let digit = usize::try_from(left % 62).unwrap_or_default();
        *place = BASE_62.get(digit).copied().unwrap_or(b'0');
        left /= 62;
    }
    made
}

/// CRC-32 as zlib and Ethernet have it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

/// The letters or digits of the alphabet that are of the same kind as this byte; of any kind if fewer than two are of
/// the same kind.
fn like(byte: u8, form: &FieldForm) -> Vec<u8> {
    let alphabet = form.alphabet.as_ref().map(|alphabet| alphabet.bytes()).unwrap_or(b"0123456789abcdef");
    let kind = |other: &&u8| match byte {
        b'0'..=b'9' => other.is_ascii_digit(),
        b'a'..=b'z' => other.is_ascii_lowercase(),
        _ => other.is_ascii_uppercase(),
    };
    let same: Vec<u8> = alphabet.iter().filter(kind).copied().collect();
    if same.len() >= 2 {
        return same;
    }
    alphabet.iter().copied().filter(u8::is_ascii_alphanumeric).collect()
}

/// The byte that follows in the choice: another byte if the choice has two.
fn after(byte: u8, choice: &[u8]) -> u8 {
    let at = choice.iter().position(|other| *other == byte).map_or(0, |at| at + 1);
    choice.get(at).or_else(|| choice.first()).copied().unwrap_or(byte)
}

/// One byte of the choice, each equally likely. `None` if the choice is empty or the system has no randomness.
fn draw(choice: &[u8]) -> Option<u8> {
    let count = u8::try_from(choice.len()).ok().filter(|count| *count > 0)?;
    let fair = u8::MAX - u8::MAX % count;
    loop {
        let mut byte = [0];
        rand::fill(&mut byte).ok()?;
        let [byte] = byte;
        if byte < fair {
            return choice.get(usize::from(byte % count)).copied();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alphabet::Alphabet;

    fn form(prefix: &str, alphabet: &str, length: usize) -> FieldForm {
        let alphabet = Some(Alphabet::try_from(alphabet.to_owned()).unwrap());
        FieldForm {
            secret: true,
            form: ValueForm::Text,
            prefix: prefix.to_owned(),
            alphabet,
            length_min: length,
            length_max: Some(length),
            checksum: None,
        }
    }

    /// The check value that every publication of this CRC gives.
    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum_of(b""), *b"000000");
    }

    #[test]
    fn what_a_person_pastes_wrongly_is_told() {
        let form = FieldForm { checksum: Some(Checksum::GithubCrc32), ..form("ghp_", "A-Za-z0-9", 40) };
        let body = choose(&self::form("", "A-Za-z0-9", 30)).unwrap();
        let good = [b"ghp_", body.expose(), &checksum_of(body.expose())].concat();
        assert_eq!(fault(&good, &form), None);
        let told = |value: &[u8]| fault(value, &form).unwrap();
        assert!(told(&[&good[..], b"\n"].concat()).contains("line break"));
        assert!(told(&[b"\"", &good[..], b"\""].concat()).contains("quotes"));
        assert!(told(&[b" ", &good[..]].concat()).contains("white space"));
        assert!(told(b"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx").contains("placeholder"));
        assert!(told(b"ghp_aB3...9xYz").contains("shortened"));
        assert!(told(b"<your token>".as_slice().strip_suffix(b" token>").unwrap()).contains("placeholder"));
        assert!(told(&good[1..]).contains("begin with `ghp_`"));
        assert!(told(&good[..20]).contains("cut off"));
        assert!(told(&[&good[..], b"a"].concat()).contains("more than"));
        let mut odd = good.clone();
        odd[9] = b'+';
        assert!(told(&odd).contains("never has"));
        let mut swapped = good.clone();
        swapped[9] = if good[9] == b'a' { b'b' } else { b'a' };
        assert!(told(&swapped).contains("checksum"), "one wrong character");
    }

    #[test]
    fn a_decoy_keeps_shape_and_nothing_else() {
        let hex = form("sk-or-v1-", "0-9a-f", 73);
        let model = choose(&hex).unwrap();
        assert!(fits(model.expose(), &hex));
        let made = decoy(model.expose(), &hex);
        assert!(fits(made.expose(), &hex) && made != model);

        let dotted = form("SG.", "A-Za-z0-9_.-", 69);
        let made = decoy(b"SG.aaaaaaaaaaaaaaaaaaaaaa.bbbbbbbb_bbbbbbbbbbbbbbbbbb-bbbbbbbbbbbbbbb", &dotted);
        assert_eq!(made.expose().iter().filter(|byte| **byte == b'.').count(), 2);
        assert_eq!(made.len(), 69);
        assert!(
            made.expose().starts_with(b"SG.") && !made.expose().starts_with(b"SG.aaaaaaaaaaaaaaaaaaaaaa.")
        );
    }

    #[test]
    fn a_decoy_differs_even_where_there_is_little_to_draw() {
        let two = form("", "ab", 1);
        for _ in 0..64 {
            assert!(decoy(b"a", &two).expose() != b"a");
        }
        assert!(decoy(b"___", &form("", "a-z_", 3)).expose() != b"___");
        assert!(!decoy(b"", &form("", "a-z", 3)).is_empty());
    }
}
