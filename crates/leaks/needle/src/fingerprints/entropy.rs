//! Estimates the unpredictable bits of a value, conservatively.

use std::ops::Range;

/// The most bytes of a value that count: more than enough for a credential.
const LOOKED_AT_BYTES_MAX: usize = 512;
/// The shortest sequence (`aaaaa`, `12345`, `edcba`) that counts as predictable, bytes.
const SEQUENCE_BYTES_MIN: usize = 5;
/// The shortest repetition of earlier bytes that counts as predictable, bytes.
const REPEAT_BYTES: usize = 5;
/// The fewest letters of a word.
const WORD_BYTES_MIN: usize = 4;
/// Base32 is mostly letters, so that short runs often look like words.
const BASE32_WORD_BYTES_MIN: usize = 10;
/// The bits of a punctuation character, in hundredths: people and generators use few of them.
const SIGN_CENTIBITS: u32 = 400;
/// The longest published prefix (`sk-proj-`), bytes.
const BEGINNING_BYTES_MAX: usize = 16;
/// The random bits of a UUID of version 4 (RFC 9562).
const UUID_RANDOM_BITS: u32 = 122;
/// The most random bits of other UUIDs: versions 6 and 7; version 1 has fewer.
const UUID_TIMED_BITS: u32 = 62;

/// For `a` to `z`: the letters that often follow in words.
const FOLLOWS: [&[u8]; 26] = [
    b"bcdfgiklmnprstuvwy",
    b"aeijlorsuy",
    b"acehiklorstuy",
    b"adeigorsuy",
    b"acdefgilmnopqrstvwxy",
    b"aefilortuy",
    b"aeghilnorsuy",
    b"aeiortuy",
    b"abcdefgklmnoprstvz",
    b"aeou",
    b"aeilnosy",
    b"adefiklmopstuvy",
    b"abeimopsuy",
    b"acdefgiknostuvy",
    b"abcdfgiklmnoprstuvwy",
    b"aehiloprstuy",
    b"u",
    b"acdegiklmnoprstuvy",
    b"aceghiklmnopqstuwy",
    b"aeghilorstuwy",
    b"abcdegilmnprstz",
    b"aeiouy",
    b"aehinorsy",
    b"aceiptuy",
    b"aeilmnopst",
    b"aeiouyz",
];

/// The bits of a value that remain unpredictable to somebody who knows its format.
///
/// Words, sequences, repetitions and a published prefix count for nothing. Of a value with parts (an address, a file)
/// only the best part counts, because the others may be known.
pub(crate) fn bits(value: &[u8]) -> u32 {
    let value = value.get(..LOOKED_AT_BYTES_MAX).unwrap_or(value);
    match is_text(value) {
        false => binary(value),
        true if has_parts(value) => value.split(|byte| is_separator(*byte)).map(part).max().unwrap_or(0),
        true => part(value),
    }
}

pub(crate) fn is_text(value: &[u8]) -> bool {
    let control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    // The last character may be cut.
    let whole = std::str::from_utf8(value).map_or_else(|error| error.error_len().is_none(), |_| true);
    whole && !value.iter().any(control)
}

fn has_parts(value: &[u8]) -> bool {
    value.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'"')
        || value.windows(3).any(|three| three == b"://")
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"',;:@?&(){}[]<>|\\".contains(&byte)
}

fn binary(value: &[u8]) -> u32 {
    let guessed = guessed(value, None);
    let each = kinds(value.iter().copied(), 256).map_or(800, |kinds| 100 * kinds.ilog2());
    sum(guessed.iter().filter(|guessed| !**guessed).map(|_| each)) / 100
}

fn part(value: &[u8]) -> u32 {
    let value = without_beginning(value);
    if let Some(bits) = uuid(value) {
        return bits;
    }
    let alphabet = Alphabet::of(value);
    let letter = alphabet.centibits(value);
    let guessed = guessed(value, alphabet.shortest_word());
    let unknown = || value.iter().zip(&guessed).filter(|(_, guessed)| !**guessed).map(|(byte, _)| *byte);
    let letters = match alphabet {
        // Letters of one case may be words.
        Alphabet::OneCase => 0,
        Alphabet::Digits
        | Alphabet::Hex
        | Alphabet::Base32
        | Alphabet::OneCaseAndDigits
        | Alphabet::Letters
        | Alphabet::All => sum(unknown().filter(u8::is_ascii_alphanumeric).map(|_| letter)),
    };
    // Padding does not count.
    let signs =
        sum(unknown().filter(|byte| !byte.is_ascii_alphanumeric() && *byte != b'=').map(|_| SIGN_CENTIBITS));
    (letters + signs.min(letters / 2)) / 100
}

fn sum(centibits: impl Iterator<Item = u32>) -> u32 {
    centibits.fold(0, u32::saturating_add)
}

/// The letters and digits of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Digits,
    Hex,
    Base32,
    OneCase,
    OneCaseAndDigits,
    Letters,
    All,
}

impl Alphabet {
    fn of(value: &[u8]) -> Self {
        let any = |is: fn(&u8) -> bool| value.iter().any(is);
        let all = |is: fn(&u8) -> bool| value.iter().filter(|byte| byte.is_ascii_alphanumeric()).all(is);
        match (any(u8::is_ascii_digit), any(u8::is_ascii_lowercase), any(u8::is_ascii_uppercase)) {
            (true, false, false) | (false, false, false) => Self::Digits,
            (true, true, false) if all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => Self::Hex,
            (true, false, true) if all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')) => Self::Hex,
            (true, false, true) if all(|byte| matches!(byte, b'2'..=b'7' | b'A'..=b'Z')) => Self::Base32,
            (true, true, false) | (true, false, true) => Self::OneCaseAndDigits,
            (false, true, false) | (false, false, true) => Self::OneCase,
            (false, true, true) => Self::Letters,
            (true, true, true) => Self::All,
        }
    }

    /// The size of the alphabet, and the bits of one character in hundredths, rounded down.
    fn size(self) -> (usize, u32) {
        match self {
            Self::Digits => (10, 332),
            Self::Hex => (16, 400),
            Self::Base32 => (32, 500),
            Self::OneCase => (26, 470),
            Self::OneCaseAndDigits => (36, 516),
            Self::Letters => (52, 570),
            Self::All => (62, 595),
        }
    }

    fn shortest_word(self) -> Option<usize> {
        match self {
            Self::Digits | Self::Hex => None,
            Self::Base32 => Some(BASE32_WORD_BYTES_MIN),
            Self::OneCase | Self::OneCaseAndDigits | Self::Letters | Self::All => Some(WORD_BYTES_MIN),
        }
    }

    fn centibits(self, value: &[u8]) -> u32 {
        let (size, each) = self.size();
        let own = value.iter().copied().filter(u8::is_ascii_alphanumeric);
        kinds(own, size).map_or(each, |kinds| 100 * kinds.ilog2())
    }
}

/// The number of distinct bytes, if they are too few for random choices from the alphabet.
fn kinds(bytes: impl Iterator<Item = u8>, size: usize) -> Option<usize> {
    let (mut seen, mut kinds, mut length) = ([false; 256], 0, 0_usize);
    for byte in bytes {
        length += 1;
        if let Some(seen) = seen.get_mut(usize::from(byte)).filter(|seen| !**seen) {
            *seen = true;
            kinds += 1;
        }
    }
    (kinds > 0 && 5 * kinds < 2 * length.min(size)).then_some(kinds)
}

/// Removes the text up to the last `-`, `_` or `.` of the first bytes, if it is made of lower-case letters and a
/// version number.
fn without_beginning(value: &[u8]) -> &[u8] {
    let near = value.get(..BEGINNING_BYTES_MAX).unwrap_or(value);
    let marks = near.iter().take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    let near = near.get(..marks.count()).unwrap_or_default();
    let end = near.iter().rposition(|byte| matches!(byte, b'-' | b'_' | b'.')).map_or(0, |at| at + 1);
    let digits = near.iter().take(end).filter(|byte| byte.is_ascii_digit()).count();
    if digits <= 2 { value.get(end..).unwrap_or_default() } else { value }
}

fn uuid(value: &[u8]) -> Option<u32> {
    let dashes = [8, 13, 18, 23];
    let shaped = value.len() == 36
        && value.iter().enumerate().all(|(at, byte)| match dashes.contains(&at) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        });
    shaped.then(|| if value.get(14) == Some(&b'4') { UUID_RANDOM_BITS } else { UUID_TIMED_BITS })
}

/// Which bytes follow from the bytes before them, or are part of a word.
fn guessed(value: &[u8], shortest_word: Option<usize>) -> Vec<bool> {
    let mut guessed = vec![false; value.len()];
    let mut mark = |from: usize, count: usize| {
        guessed.iter_mut().skip(from).take(count).for_each(|guessed| *guessed = true);
    };
    for (at, five) in value.windows(SEQUENCE_BYTES_MIN).enumerate() {
        let step = |pair: &[u8]| {
            pair.first().zip(pair.last()).map(|(first, last)| i16::from(*last) - i16::from(*first))
        };
        let first = five.windows(2).next().and_then(step);
        if matches!(first, Some(-1..=1)) && five.windows(2).all(|pair| step(pair) == first) {
            mark(at, SEQUENCE_BYTES_MIN);
        }
    }
    for (at, again) in value.windows(REPEAT_BYTES).enumerate() {
        let before = value.get(..at + REPEAT_BYTES - 1).unwrap_or_default();
        if before.windows(REPEAT_BYTES).any(|known| known == again) {
            mark(at, REPEAT_BYTES);
        }
    }
    let words = shortest_word.map_or_else(Vec::new, |shortest| words(value, shortest));
    words.into_iter().for_each(|word| mark(word.start, word.len()));
    guessed
}

/// The words: letters of one case, or with a capital first, of which nearly all follow each other as in words. A
/// single short word does not count: random letters often contain one.
fn words(value: &[u8], shortest: usize) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = value.get(at..).filter(|rest| !rest.is_empty()) {
        let upper = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let lower = rest.iter().skip(upper).take_while(|byte| byte.is_ascii_lowercase()).count();
        let length = if upper > 1 { upper } else { upper + lower };
        let word = rest.get(..length).unwrap_or_default();
        let usual = word.windows(2).filter(|pair| is_usual(pair)).count();
        if length >= shortest && 5 * usual >= 4 * (length - 1) {
            words.push(at..at + length);
        }
        at += length.max(1);
    }
    if matches!(words.as_slice(), [word] if word.len() == WORD_BYTES_MIN) {
        words.clear();
    }
    words
}

fn is_usual(pair: &[u8]) -> bool {
    let [first, second] = pair else { return false };
    let index = first.to_ascii_lowercase().checked_sub(b'a').map(usize::from);
    index
        .and_then(|index| FOLLOWS.get(index))
        .is_some_and(|follows| follows.contains(&second.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random letters, the same for the same seed (splitmix64).
    fn random(seed: u64, alphabet: &str, length: usize) -> String {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (mixed ^ (mixed >> 27)) >> 32
        };
        (0..length).map(|_| char::from(alphabet.as_bytes()[next() as usize % alphabet.len()])).collect()
    }

    const ALL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// How many of a thousand values of this kind reach 128 bits.
    fn accepted(alphabet: &str, length: usize, beginning: &str) -> usize {
        let value = |seed| format!("{beginning}{}", random(seed, alphabet, length));
        (0..1000).filter(|seed| bits(value(*seed).as_bytes()) >= 128).count()
    }

    #[test]
    fn values_of_issuers_are_recognised_as_random() {
        for (alphabet, length, beginning) in [
            ("0123456789abcdef", 32, ""),
            ("0123456789ABCDEF", 40, "key-"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32, ""),
            ("abcdefghijklmnopqrstuvwxyz0123456789", 40, ""),
            (ALL, 24, ""),
            (ALL, 36, "ghp_"),
            (ALL, 40, "sk-proj-"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 43, ""),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 43, ""),
        ] {
            let accepted = accepted(alphabet, length, beginning);
            assert!(accepted >= 950, "{length} of {alphabet}: {accepted}");
        }
        let bytes: Vec<u8> = (0..16u8).map(|number| number.wrapping_mul(167).wrapping_add(89)).collect();
        assert_eq!(bits(&bytes), 128);
    }

    #[test]
    fn no_more_is_said_than_there_is() {
        for (alphabet, length, beginning, truth) in [
            ("0123456789abcdef", 32, "key-", 128),
            ("0123456789", 40, "", 133),
            (ALL, 21, "", 126),
            (ALL, 16, "sk-live-", 96),
            ("ab", 100, "", 100),
        ] {
            let most = (0..1000)
                .map(|seed| bits(format!("{beginning}{}", random(seed, alphabet, length)).as_bytes()))
                .max();
            assert!(most.is_some_and(|most| most <= truth), "{length} of {alphabet}: {most:?}");
        }
    }

    #[test]
    fn what_people_choose_is_not() {
        for text in [
            "correct-horse-battery-staple-and-one-more-word",
            "CorrectHorseBatteryStapleAndOneMoreWord1",
            "Summer2024!Summer2024!Summer2024!Summer2024!",
            "0123456789abcdef0123456789abcdef",
            "00000000-0000-0000-0000-000000000000",
            "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababababababababababababab",
            "please change this password before the production release",
            "postgres://service:hunter2hunter2@db.internal.example.com:5432/production?sslmode=require&application_name=api",
            r#"{"user":"service","password":"hunter2hunter2","host":"db.internal.example.com","port":5432}"#,
            r#"{"a":"83k72Q","b":"x9w21R","c":"7Hq2zS","d":"Lk83vT","e":"9dW4zU","f":"m2X7cV","g":"Q8b3nW"}"#,
            "",
            "=",
            "----------------------------------------------------",
        ] {
            assert!(bits(text.as_bytes()) < 128, "{text}: {}", bits(text.as_bytes()));
        }
        // The same address with an unpredictable password.
        let address = format!("postgres://service:{}@db.example.com/x", random(1, ALL, 32));
        assert!(bits(address.as_bytes()) >= 128);
    }
}
