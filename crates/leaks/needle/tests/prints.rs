//! Values are found by their fingerprints wherever `Needles` finds them, and the fingerprints reveal nothing about
//! them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use keyroll_needle::{
    Encoding, FingerprintFileError, FingerprintHit, FingerprintLabel, FingerprintSet, FingerprintState,
    NeedleId, Needles, NotFingerprinted,
};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn label(number: usize) -> FingerprintLabel {
    let state = FingerprintState::ALL[number % FingerprintState::ALL.len()];
    FingerprintLabel { name: format!("secret-{number}"), version: number as u64, state }
}

/// A set that was written and read again; `None` where a value is refused.
fn prints(values: &[Vec<u8>]) -> Option<FingerprintSet> {
    let mut builder = FingerprintSet::builder().expect("random numbers");
    for (number, value) in values.iter().enumerate() {
        builder.add(label(number), &SecretBytes::new(value.clone())).ok()?;
    }
    let written = builder.build().to_bytes();
    Some(FingerprintSet::from_bytes(&written).expect("what was written"))
}

type Place = (String, Encoding, usize, usize);

fn place(hit: FingerprintHit<'_>) -> Place {
    (hit.label.name.clone(), hit.encoding, hit.start, hit.end)
}

fn found(prints: &FingerprintSet, text: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    prints.find(text, &mut |hit| places.push(place(hit)));
    places
}

fn found_across(prints: &FingerprintSet, text: &[u8]) -> Vec<Place> {
    let mut places = Vec::new();
    prints.find_across(text, &mut |hit| places.push(place(hit)));
    places
}

/// The oracle: what `Needles` finds.
fn known(values: &[Vec<u8>], text: &[u8]) -> Vec<Place> {
    let mut builder = Needles::builder();
    for (number, value) in (0..).zip(values) {
        builder = builder.add(NeedleId(number), &SecretBytes::new(value.clone()));
    }
    let mut places = Vec::new();
    builder.build().expect("build").find(text, &mut |hit| {
        places.push((format!("secret-{}", hit.id.0), hit.encoding, hit.start, hit.end));
    });
    places
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let digit = |at: usize| (0..5).fold(0, |digit, offset| digit << 1 | bit(5 * at + offset));
    (0..(8 * bytes.len()).div_ceil(5)).map(|at| char::from(ALPHABET[digit(at)])).collect()
}

/// The escape of each of these letters.
fn written(value: &str, escape: impl Fn(char) -> Option<String>) -> String {
    value.chars().map(|letter| escape(letter).unwrap_or_else(|| letter.to_string())).collect()
}

fn json(value: &str, slash: bool, html: bool) -> String {
    written(value, |letter| match letter {
        '"' | '\\' => Some(format!("\\{letter}")),
        '/' if slash => Some("\\/".to_owned()),
        '<' | '>' | '&' if html => Some(format!("\\u{:04x}", letter as u32)),
        _ if !letter.is_ascii() => {
            Some(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect())
        }
        _ => None,
    })
}

fn percent(value: &str, kept: &str, upper: bool) -> String {
    written(value, |letter| {
        let plain = letter.is_ascii_alphanumeric() || kept.contains(letter);
        let digits = || hex(letter.to_string().as_bytes(), upper);
        (!plain).then(|| {
            digits().as_bytes().chunks(2).map(|pair| format!("%{}", String::from_utf8_lossy(pair))).collect()
        })
    })
}

fn xml(value: &str, apostrophe: &str) -> String {
    written(value, |letter| match letter {
        '&' => Some("&amp;".to_owned()),
        '<' => Some("&lt;".to_owned()),
        '>' => Some("&gt;".to_owned()),
        '"' => Some("&quot;".to_owned()),
        '\'' => Some(apostrophe.to_owned()),
        _ => None,
    })
}

fn twice(value: &str, marks: &str) -> String {
    written(value, |letter| marks.contains(letter).then(|| format!("{letter}{letter}")))
}

/// Everything that other programs make of this value between these neighbours.
fn writings(value: &str, before: &str, after: &str) -> Vec<Vec<u8>> {
    let whole = [before, value, after].concat();
    let mut all: Vec<Vec<u8>> = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .into_iter()
        .map(|engine| engine.encode(&whole).into_bytes())
        .collect();
    all.extend(
        [hex(whole.as_bytes(), false), hex(whole.as_bytes(), true), base32(whole.as_bytes())]
            .map(String::into_bytes),
    );
    let between = |form: String| [before, &form, after].concat().into_bytes();
    let dollars = twice(value, "$");
    all.extend(
        [
            value.to_owned(),
            json(value, false, false),
            json(value, true, false),
            json(value, false, true),
            json(&json(value, false, false), false, false),
            json(&json(value, true, true), true, true),
            percent(value, "-._~", true),
            percent(value, "-._~/", false),
            percent(value, "-._~!*'()", true),
            percent(value, "-._~$&+,;=", true),
            xml(value, "&apos;"),
            xml(value, "&#39;"),
            xml(value, "&#x27;"),
            twice(value, "'"),
            twice(value, "\""),
            twice(value, "$'"),
            json(&dollars, false, false),
            dollars,
            written(value, |letter| matches!(letter, ':' | '\\').then(|| format!("\\{letter}"))),
        ]
        .map(between),
    );
    let units = |order: fn(u16) -> [u8; 2]| whole.encode_utf16().flat_map(order).collect();
    all.extend([units(u16::to_le_bytes), units(u16::to_be_bytes)]);
    all
}

/// Letters, digits and, in some, the signs that writers escape.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9]{24,60}",
        "[a-f0-9]{36,64}",
        "sk-[A-Za-z0-9_-]{28,80}",
        "[A-Za-z0-9+/]{30,90}=?",
        r#"([A-Za-z0-9]{3}[/"'$&<>:%+\\=]){10,20}"#,
        r#"([A-Za-z0-9]{9}[/"'$&<>:%+\\=é🔑]{1,3}){4,8}"#,
    ]
}

/// Nothing that would be of an escape.
fn neighbour() -> impl Strategy<Value = String> {
    "[A-Za-z0-9 .,:;=(){}\n-]{0,40}"
}

/// Checks that both find the same in every written form of a value.
fn found_alike(value: &str, before: &str, after: &str) -> Result<(), TestCaseError> {
    let values = [value.as_bytes().to_vec()];
    let prints = prints(&values);
    prop_assume!(prints.is_some());
    let prints = prints.unwrap();
    for text in writings(value, before, after) {
        let (known, found) = (known(&values, &text), found(&prints, &text));
        // `Needles` looks for letters beyond ASCII in UTF-16, too; a print does not.
        if !value.is_ascii()
            && known.iter().all(|place| matches!(place.1, Encoding::Utf16Le | Encoding::Utf16Be))
        {
            continue;
        }
        prop_assert!(!known.is_empty(), "{:?}", String::from_utf8_lossy(&text));
        // UTF-16 may be read in both byte orders.
        let slack = |encoding| usize::from(matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be));
        for (_, encoding, start, end) in &known {
            let slack = slack(*encoding);
            let holds = |(_, _, from, to): &Place| *from <= start + slack && *end <= to + slack;
            prop_assert!(found.iter().any(holds), "{encoding} in {:?}", String::from_utf8_lossy(&text));
        }
        for (_, encoding, from, to) in &found {
            let near = |one: &usize, other: &usize| one.abs_diff(*other) <= slack(*encoding);
            let same = |(_, _, start, end): &Place| near(from, start) && near(to, end);
            prop_assert!(known.iter().any(same), "{encoding} in {:?}", String::from_utf8_lossy(&text));
        }
    }
    Ok(())
}

proptest! {
    // One value in five is refused, which is more than usual with thousands of cases.
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn what_is_found_by_value_is_found_by_fingerprint(value in value(), before in neighbour(), after in neighbour()) {
        found_alike(&value, &before, &after)?;
    }

    #[test]
    fn bytes_are_found_in_digits_at_every_alignment(
        value in prop::collection::vec(any::<u8>(), 20..80), before: Vec<u8>, after: Vec<u8>
    ) {
        let prints = prints(std::slice::from_ref(&value));
        prop_assume!(prints.is_some());
        let prints = prints.unwrap();
        let whole = [before, value.clone(), after].concat();
        prop_assert!(!found(&prints, &whole).is_empty());
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            prop_assert_eq!(found(&prints, engine.encode(&whole).as_bytes()).len(), 1);
        }
        for text in [hex(&whole, false), hex(&whole, true), base32(&whole)] {
            prop_assert_eq!(found(&prints, text.as_bytes()).len(), 1);
        }
    }

    #[test]
    fn a_changed_file_is_refused(value in "[A-Za-z0-9]{30}", at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut builder = FingerprintSet::builder().unwrap();
        prop_assume!(builder.add(label(0), &SecretBytes::from(value)).is_ok());
        let written = builder.build().to_bytes();
        let mut changed = written.to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        prop_assert_eq!(FingerprintSet::from_bytes(&changed).is_ok(), changed == written.to_vec());
        prop_assert!(FingerprintSet::from_bytes(&written[..cut.index(written.len())]).is_err());
        changed = written.to_vec();
        changed.insert(at, byte);
        prop_assert!(FingerprintSet::from_bytes(&changed).is_err());
        changed = [written.as_slice(), &[byte]].concat();
        prop_assert!(FingerprintSet::from_bytes(&changed).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(
        bytes: Vec<u8>,
        lines in prop::collection::vec("(print|key|end|keyroll-prints)? ?[0-9a-f]{0,70} ?[0-9a-f]{0,40} ?[0-9]{0,20} ?[0-9]? ?(current)? ?[a-z]{0,9}", 0..9),
    ) {
        prop_assert!(FingerprintSet::from_bytes(&bytes).is_err());
        let key = format!("keyroll-prints 1\nkey {}\n", "5a".repeat(32));
        prop_assert!(FingerprintSet::from_bytes((key + &lines.join("\n")).as_bytes()).is_err());
    }

    #[test]
    fn any_text_is_searched_without_harm(
        parts in prop::collection::vec(prop_oneof![
            "[\\\\u0-9a-f&#;%$'\"x\n]{0,30}",
            "[A-Za-z0-9+/]{0,60}",
            "(.\0){0,30}",
        ], 0..12),
    ) {
        let prints = prints(&[b"0f1e2d3c4b5a69788796a5b4c3d2e1f00918".to_vec()]).expect("random enough");
        let text = parts.concat();
        prop_assert_eq!(found(&prints, text.as_bytes()), []);
        prop_assert_eq!(found_across(&prints, text.as_bytes()), []);
    }
}

/// A value in JSON with doubled `$` was found to its end by fingerprint only.
#[test]
fn values_with_signs_of_several_escapes_are_found_alike() {
    for value in
        ["a0AAA0AAa+A0a0AA00A\u{e9}aAAaaAAaA%Aa0aBcb1d$$", "q7WkT2mZx4\u{1f511}LdV9sB3cRp/Y6nH1j\\0tGf$"]
    {
        assert!(prints(&[value.as_bytes().to_vec()]).is_some(), "random enough");
        found_alike(value, "", "").unwrap();
    }
}

/// Letters that nobody chose; the same for the same seed (splitmix64).
fn random(seed: u64, length: usize) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) >> 32
    };
    (0..length).map(|_| LETTERS[next() as usize % LETTERS.len()]).collect()
}

#[test]
fn wrapped_base64_is_found_at_every_alignment() {
    let value = random(3, 40);
    let prints = prints(std::slice::from_ref(&value)).expect("random enough");
    for before in 0..60 {
        for columns in [60, 64, 70, 76] {
            for end in ["\n", "\r\n", "\n    ", "\\n", "\\\n"] {
                let plain =
                    [vec![b'.'; before], value.clone(), b" and more behind it, as files have it".repeat(3)]
                        .concat();
                let text: String = STANDARD
                    .encode(plain)
                    .as_bytes()
                    .chunks(columns)
                    .fold(String::new(), |text, line| text + std::str::from_utf8(line).unwrap() + end);
                let places =
                    [found(&prints, text.as_bytes()), found_across(&prints, text.as_bytes())].concat();
                assert_eq!(places.len(), 1, "{before} before it, {columns} columns, {end:?}");
            }
        }
    }
}

#[test]
fn a_private_key_is_found_whole_and_by_its_lines() {
    let lines: Vec<String> = (0..5).map(|seed| String::from_utf8(random(seed, 64)).unwrap()).collect();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let prints = prints(&[key.clone().into_bytes()]).expect("random enough");
    let both = |text: &str| {
        let places = [found(&prints, text.as_bytes()), found_across(&prints, text.as_bytes())].concat();
        places.iter().map(|place| place.3 - place.2).max().unwrap_or(0)
    };
    let body = lines.join("\n").len();
    assert_eq!(both(&key), body);
    assert!(both(&key.replace('\n', "\r\n")) > body);
    assert!(both(&key.replace('\n', "\\n")) > body);
    assert_eq!(both(&lines.concat()), 320);
    assert!(both(&STANDARD.encode(&key)) > body);
    assert_eq!(both(&lines[2]), 64);
    // Most of a first line does not belong to the key.
    assert_eq!(both(&lines[0]), 0);
    assert_eq!(both("-----BEGIN PRIVATE KEY-----"), 0);
}

#[test]
fn a_long_run_is_decoded_in_blocks() {
    let value = random(5, 60);
    let prints = prints(std::slice::from_ref(&value)).expect("random enough");
    // A block ends at about 65,900 digits.
    for before in (65_400..66_400).step_by(20).chain([200_000]) {
        let plain = [random(9, before / 4 * 3), value.clone(), random(8, 100_000)].concat();
        assert_eq!(found(&prints, STANDARD.encode(plain).as_bytes()).len(), 1, "{before}");
    }
}

#[test]
fn a_value_at_the_end_of_a_text_is_found() {
    for length in 28..60 {
        let value = random(1, length);
        let prints = prints(std::slice::from_ref(&value)).expect("random enough");
        for before in 0..20 {
            let text = [vec![b'.'; before], value.clone()].concat();
            assert_eq!(found(&prints, &text).len(), 1, "{length} behind {before}");
            assert_eq!(found(&prints, hex(&text, false).as_bytes()).len(), 1, "{length} behind {before}");
        }
    }
}

fn each_is_told(values: &[Vec<u8>]) {
    let prints = prints(values).expect("random enough");
    for (number, value) in values.iter().enumerate().step_by(7) {
        let text = [b"key = \"".as_slice(), value, b"\"\n"].concat();
        assert_eq!(found(&prints, &text), [(format!("secret-{number}"), Encoding::Raw, 7, 7 + value.len())]);
        let hit = &mut |hit: FingerprintHit<'_>| assert_eq!(*hit.label, label(number));
        prints.find(&text, hit);
        let mut other = text.clone();
        other[9] ^= 1;
        assert_eq!(found(&prints, &other), []);
    }
}

#[test]
fn values_are_distinguished() {
    let values: Vec<Vec<u8>> = (0..5000).map(|seed| random(seed, 32 + seed as usize % 40)).collect();
    // More than four thousand are searched for by another filter.
    [300, 5000].into_iter().filter_map(|count| values.get(..count)).for_each(each_is_told);
    // One value under two labels.
    let mut builder = FingerprintSet::builder().unwrap();
    for number in [1, 2] {
        builder.add(label(number), &SecretBytes::new(values[0].clone())).unwrap();
    }
    assert_eq!(found(&builder.build(), &values[0]).len(), 2);
}

#[test]
fn what_could_be_guessed_is_refused_with_its_reason() {
    let add = |value: &[u8]| {
        FingerprintSet::builder().unwrap().add(label(0), &SecretBytes::new(value.to_vec())).err().inspect(
            |error| {
                assert!(
                    value.len() < 3
                        || !error.to_string().contains(&String::from_utf8_lossy(value).into_owned())
                );
            },
        )
    };
    assert_eq!(add(b""), Some(NotFingerprinted::TooShort { length: 0 }));
    assert_eq!(add(b"short"), Some(NotFingerprinted::TooShort { length: 5 }));
    assert!(matches!(add(b"Summer2024!Summer2024!"), Some(NotFingerprinted::Guessable { needed: 128, .. })));
    assert_eq!(add(&vec![b'x'; 64 * 1024 + 1]), Some(NotFingerprinted::TooLong { length: 64 * 1024 + 1 }));
    assert_eq!(add(&[random(1, 30), b" ".to_vec(), random(2, 30)].concat()), Some(NotFingerprinted::Blanks));
    let even = [random(1, 40), vec![b'x'; 26], random(2, 6)].concat();
    assert_eq!(add(&even), Some(NotFingerprinted::Even));
    assert_eq!(add(&random(1, 30)), None);
    let name = |name: &str| {
        let label = FingerprintLabel { name: name.to_owned(), ..label(0) };
        FingerprintSet::builder().unwrap().add(label, &SecretBytes::new(random(1, 30))).err()
    };
    for wrong in ["", " a", "a ", "a\nb", "a\u{1b}b", &"x".repeat(257)] {
        assert_eq!(name(wrong), Some(NotFingerprinted::Name), "{wrong:?}");
    }
    assert_eq!(name("acme / prod é"), None);
}

/// Every substring of this length.
fn windows(bytes: &[u8], length: usize) -> BTreeSet<&[u8]> {
    bytes.windows(length).collect()
}

/// The file's words, and what its hexadecimal ones say.
fn words(file: &[u8]) -> BTreeSet<Vec<u8>> {
    let words = file.split(|byte| matches!(byte, b' ' | b'\n'));
    let unhex = |word: &[u8]| -> Option<Vec<u8>> {
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        word.chunks(2).map(pair).collect()
    };
    words.flat_map(|word| [Some(word.to_vec()), unhex(word)]).flatten().collect()
}

/// Six bytes: by chance they are the same in one of ten million runs.
#[test]
fn no_part_of_a_value_is_in_the_file() {
    let values: Vec<Vec<u8>> = (0..20).map(|seed| random(seed, 40)).collect();
    let mut builder = FingerprintSet::builder().unwrap();
    for (number, value) in values.iter().enumerate() {
        builder.add(label(number), &SecretBytes::new(value.clone())).unwrap();
    }
    let file = builder.build().to_bytes();
    assert!(words(&file).contains(b"secret-7".as_slice()), "what is in the file is looked at");
    let words = words(&file);
    for value in &values {
        let text = String::from_utf8(value.clone()).unwrap();
        for (form, length) in [
            (value.clone(), 6),
            (value.iter().rev().copied().collect(), 6),
            (STANDARD.encode(value).into_bytes(), 8),
            (STANDARD.encode([b".", value.as_slice()].concat()).into_bytes(), 8),
            (STANDARD.encode([b"..", value.as_slice()].concat()).into_bytes(), 8),
            (hex(value, false).into_bytes(), 12),
            (base32(value).into_bytes(), 10),
            (text.encode_utf16().flat_map(u16::to_le_bytes).collect(), 12),
        ] {
            let parts = windows(&form, length);
            assert!(words.iter().all(|word| windows(word, length).is_disjoint(&parts)));
        }
    }
}

#[test]
fn two_sets_of_the_same_values_have_nothing_in_common() {
    let values: Vec<Vec<u8>> = (0..8).map(|seed| random(seed, 40)).collect();
    let file = || {
        let mut builder = FingerprintSet::builder().unwrap();
        for (number, value) in values.iter().enumerate() {
            builder.add(label(number), &SecretBytes::new(value.clone())).unwrap();
        }
        builder.build().to_bytes()
    };
    let (one, other) = (words(&file()), words(&file()));
    let shared: BTreeSet<&Vec<u8>> = one.intersection(&other).filter(|word| word.len() > 2).collect();
    let header: Vec<Vec<u8>> =
        ["keyroll-prints", "key", "print", "end", "pending", "current", "previous", "retired"]
            .map(|word| word.as_bytes().to_vec())
            .into_iter()
            .chain((0..8).map(|number| label(number).name.into_bytes()))
            .collect();
    assert_eq!(shared, header.iter().collect());
}

/// Written by another program, from the documented form: a file that was written once must stay readable.
#[test]
fn a_file_of_version_1_is_read_and_written_as_it_was() {
    let file = include_bytes!("fixtures/v1.prints");
    let prints = FingerprintSet::from_bytes(file).expect("what was written");
    assert_eq!(*prints.to_bytes(), file);
    let (first, second) =
        (format!("tR9vWq2LxZ7n/B5cY{}", "+hJ4kPd8Gs0001"), format!("q8ZtLw3nXv6RbK1m{}", "Yc5HdJ0pFs"));
    let text = format!("a={first}\nb={}\n", STANDARD.encode(second));
    let mut told = Vec::new();
    prints.find(text.as_bytes(), &mut |hit| {
        told.push((hit.label.name.clone(), hit.label.version, hit.label.state, hit.encoding));
    });
    let (openai, orders) = ("openai".to_owned(), "orders db".to_owned());
    let first = (openai, 7, FingerprintState::Current, Encoding::Raw);
    assert_eq!(told, [first, (orders, 2, FingerprintState::Retired, Encoding::Base64)]);
}

#[test]
fn a_file_that_was_cut_says_so() {
    let mut builder = FingerprintSet::builder().unwrap();
    builder.add(label(0), &SecretBytes::new(random(1, 30))).unwrap();
    let file = builder.build().to_bytes();
    let end = file.windows(4).position(|word| word == b"end ").unwrap();
    assert_eq!(FingerprintSet::from_bytes(&file[..end]).err(), Some(FingerprintFileError::Cut));
    assert_eq!(FingerprintSet::from_bytes(&file[..file.len() - 1]).err(), Some(FingerprintFileError::Cut));
}
