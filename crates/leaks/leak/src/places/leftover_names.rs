/// What people and programs append to the name of a file when they keep an old version. A number or a date may follow
/// and, if the name had an extension before, words: `.bak.1`, `.dpkg-old`.
const LEFTOVER_MARKS: [&str; 12] = [
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".save",
    ".saved",
    ".last-good",
    ".migrated",
    ".copy",
    ".dpkg",
    ".rpmsave",
    "~",
];

/// The fewest digits of a date after a file name: `api.env.20251104`.
const DATE_DIGITS_MIN: usize = 8;

/// The name that a file had before it became a leftover: `api.env` for `api.env.bak.1` and for `api.env~`. Otherwise the
/// name itself.
pub fn original_name(name: &str) -> &str {
    let mut left = name;
    while let Some(shorter) = shortened(left) {
        left = shorter;
    }
    left
}

/// Whether a name has a mark of old versions; a date alone does not count, because logs have dates too.
pub fn is_marked_as_leftover(name: &str) -> bool {
    without_mark(name).is_some()
}

fn shortened(name: &str) -> Option<&str> {
    let date = || {
        let before = name.trim_end_matches(of_date);
        let digits = name.get(before.len()..)?.bytes().filter(u8::is_ascii_digit).count();
        (digits >= DATE_DIGITS_MIN).then(|| before.strip_suffix('.').unwrap_or(before))
    };
    without_mark(name).or_else(date).filter(|before| !before.is_empty())
}

/// The part of a name before the mark, if there is one.
fn without_mark(name: &str) -> Option<&str> {
    let bytes = name.as_bytes();
    let before = |mark: &&str| {
        // A mark begins with a sign, which has no case.
        let is_here = |at: &usize| {
            bytes.get(*at..*at + mark.len()).is_some_and(|part| part.eq_ignore_ascii_case(mark.as_bytes()))
        };
        let at = memchr::memrchr_iter(*mark.as_bytes().first()?, bytes).find(is_here).filter(|at| *at > 0)?;
        let (before, behind) = (name.get(..at)?, name.get(at + mark.len()..)?);
        let words = behind.starts_with(['-', '_']) && !behind.contains('.') && before.contains('.');
        let number = behind.strip_prefix('.').unwrap_or(behind).chars().all(of_date);
        (number || words).then_some(before)
    };
    LEFTOVER_MARKS.iter().filter_map(before).min_by_key(|before| before.len())
}

fn of_date(letter: char) -> bool {
    letter.is_ascii_digit() || matches!(letter, '-' | '_' | 'T' | ':')
}
