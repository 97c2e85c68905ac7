use aws_lc_rs::rand;
use keyroll_port::{Class, Failure};
use keyroll_secret::SecretBytes;

use crate::document::FieldForm;

/// How many letters and digits a value has where neither a model nor a length says it.
const DRAWN_LENGTH: usize = 32;

/// A value that looks like `model` and is not it: the prefix and every separator stay, letters and digits after the
/// prefix are drawn anew, digits as digits where the alphabet has them.
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
    let fail = || Failure::new(Class::Permanent, "K0110", "choose a new value");
    let alphabet = form.alphabet.as_ref().ok_or_else(fail)?.bytes();
    let length = form.length_max.ok_or_else(fail)?;
    let mut made = Vec::with_capacity(length);
    made.extend_from_slice(form.prefix.as_bytes());
    while made.len() < length {
        made.push(draw(alphabet).ok_or_else(|| fail().because("the system gives no randomness"))?);
    }
    Ok(SecretBytes::new(made))
}

/// Whether a value has the declared form.
pub(crate) fn fits(value: &[u8], form: &FieldForm) -> bool {
    let Some(rest) = value.strip_prefix(form.prefix.as_bytes()) else { return false };
    let spelled = form.alphabet.as_ref().is_none_or(|alphabet| rest.iter().all(|byte| alphabet.holds(*byte)));
    spelled && value.len() >= form.length_min && form.length_max.is_none_or(|longest| value.len() <= longest)
}

/// Letters and digits of the alphabet of the same kind as this one, or of any kind where there are fewer than two.
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

/// The next one in the choice: never the same where there are two.
fn after(byte: u8, choice: &[u8]) -> u8 {
    let at = choice.iter().position(|other| *other == byte).map_or(0, |at| at + 1);
    choice.get(at).or_else(|| choice.first()).copied().unwrap_or(byte)
}

/// One of the choice, each as likely as any other; `None` without randomness or choice.
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
            prefix: prefix.to_owned(),
            alphabet,
            length_min: length,
            length_max: Some(length),
        }
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
