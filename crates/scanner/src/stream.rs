use std::io::{self, Read};
use std::ops::Range;

use jiff::civil::Date;
use keyroll_leak::Text;
use keyroll_leak::gitleaks::At as InTree;
use zeroize::Zeroizing;

use crate::allow::{Allow, in_line, is_alone};
use crate::lines::Lines;
use crate::seeker::{Hit, Seeker};
use crate::taken::Taken;
use crate::{Accepted, Position};

/// What is looked at in one piece, bytes; more where known values may stretch further.
const WINDOW_BYTES: usize = 1 << 20;

/// What is made for it at first, bytes: most texts are shorter.
const FIRST_BYTES: usize = 64 << 10;

/// What stands before a place and is looked at for its sake, bytes.
const BEHIND_BYTES: usize = 4 << 10;

/// The most of a line that is looked at for a comment, bytes on either side.
const LINE_BYTES_MAX: usize = 4 << 10;

/// A text with a NUL among its first bytes is none that people read.
pub(crate) const BINARY_BYTES: usize = 8 << 10;

/// Goes through streams of any length, a window at a time. Its memory is used again for the next one.
pub(crate) struct Stream<'s> {
    seeker: &'s Seeker,
    buffer: Zeroizing<Vec<u8>>,
    window: usize,
    today: Date,
}

/// Something in a stream.
pub(crate) struct Spotted {
    pub(crate) hit: Hit,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) accepted: Option<Accepted>,
    pub(crate) remark: Option<String>,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(seeker: &'s Seeker, today: Date) -> Self {
        let window = WINDOW_BYTES.max(4 * seeker.reach());
        Self { seeker, buffer: Zeroizing::new(vec![0; FIRST_BYTES]), window, today }
    }

    /// What was there is wiped.
    fn widen(&mut self) {
        let mut wide = Zeroizing::new(vec![0; self.window]);
        wide.iter_mut().zip(self.buffer.iter()).for_each(|(to, from)| *to = *from);
        self.buffer = wide;
    }

    /// Everything in what is read, in its order. Returns how many bytes that was.
    ///
    /// Only what begins before the last bytes of a window is taken from it: the next one begins earlier and sees it whole.
    pub(crate) fn scan(
        &mut self,
        from: &mut dyn Read,
        (within, place): (Text, InTree<'_>),
        take: &mut dyn FnMut(Spotted),
    ) -> io::Result<u64> {
        let ahead = self.seeker.reach();
        let (mut filled, mut fresh, mut total) = (0, 0, 0_u64);
        let (mut lines, mut counted) = (Lines::new(), 0);
        let mut kind = None;
        // What overlaps those that were taken was seen.
        let mut taken = Taken::default();
        loop {
            // What was read before it broke is looked at, too.
            let (read, broken) = fill(from, self.buffer.get_mut(filled..).unwrap_or_default());
            filled += read;
            total += read as u64;
            let ended = broken.is_some() || filled < self.buffer.len();
            if !ended && filled < self.window {
                self.widen();
                continue;
            }
            let window = self.buffer.get(..filled).unwrap_or_default();
            let text = *kind.get_or_insert_with(|| {
                let first = window.get(..window.len().min(BINARY_BYTES)).unwrap_or_default();
                (!first.contains(&0)).then_some(within)
            });
            let limit = if ended { filled } else { filled.saturating_sub(ahead) };
            for hit in self.seeker.find(window, text, place) {
                let here = hit.span.start >= fresh && hit.span.start < limit;
                if !here || !taken.take(&hit.span, &hit.what) {
                    continue;
                }
                lines.pass(window.get(counted..hit.span.start).unwrap_or_default());
                counted = hit.span.start;
                let mut behind = lines;
                behind.pass(window.get(hit.span.clone()).unwrap_or_default());
                let allow = allowed(window, &hit.span, self.today);
                let (accepted, remark) = self.seeker.judged(allow, &hit.what);
                let (start, end) = (lines.position(), behind.position());
                take(Spotted { hit, start, end, accepted, remark });
            }
            if ended {
                return broken.map_or(Ok(total), Err);
            }
            let keep = limit.saturating_sub(BEHIND_BYTES);
            lines.pass(window.get(counted..limit.max(counted)).unwrap_or_default());
            self.buffer.copy_within(keep..filled, 0);
            counted = limit.max(counted) - keep;
            taken.move_on(keep);
            fresh = limit - keep;
            filled -= keep;
        }
    }
}

/// As much as there is, up to the whole; and why there is no more, where that is an error.
pub(crate) fn fill(from: &mut dyn Read, into: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// What its line says of it, or the one before where that says nothing else.
pub(crate) fn allowed(text: &[u8], span: &Range<usize>, today: Date) -> Option<Allow> {
    let near = span.start.saturating_sub(LINE_BYTES_MAX);
    let before = text.get(near..span.start)?;
    let start = memchr::memrchr(b'\n', before).map_or(near, |last| near + last + 1);
    let far = text.len().min(span.end.saturating_add(LINE_BYTES_MAX));
    let behind = text.get(span.end..far)?;
    let end = memchr::memchr(b'\n', behind).map_or(far, |first| span.end + first);
    let own = in_line(text.get(start..end)?, today);
    own.or_else(|| {
        let above = text.get(near..start.checked_sub(1)?)?;
        let first = memchr::memrchr(b'\n', above).map_or(0, |last| last + 1);
        let line = above.get(first..).filter(|line| is_alone(line))?;
        in_line(line, today)
    })
}

#[cfg(test)]
mod tests {
    use keyroll_leak::Rules;
    use keyroll_needle::{NeedleId, Needles};
    use keyroll_secret::{FingerprintKey, SecretBytes};

    use super::*;
    use crate::seeker::Known;
    use crate::{Version, What};

    /// Made here, so that no file has it.
    fn token(number: usize) -> String {
        format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
    }

    /// Nothing that a rule or a name would not take for one, too.
    const KEPT: &str = "tR9vWq2LxZ7nB5cY";

    fn seeker_of(values: &[&str]) -> Seeker {
        let mut builder = Needles::builder();
        let mut versions = Vec::new();
        for (number, value) in (0..).zip(values) {
            builder = builder.add(NeedleId(number), &SecretBytes::from((*value).to_owned()));
            versions.push(Version {
                secret: if number == 0 { "openai".into() } else { format!("other {number}") },
                number: u64::from(number) + 7,
                state: "current",
                retired: false,
            });
        }
        let needles = builder.build().unwrap();
        let known = Known { needles: Some(needles), versions, ..Known::default() };
        Seeker::new(known, FingerprintKey::new(&[1; 32])).with_rules(Rules::shipped().unwrap()).with_names()
    }

    fn seeker() -> Seeker {
        seeker_of(&[KEPT])
    }

    /// Gives so many bytes at a time.
    struct Slow<'t>(&'t [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(into.len());
            let (now, rest) = self.0.split_at(length);
            into[..length].copy_from_slice(now);
            self.0 = rest;
            Ok(length)
        }
    }

    fn spotted(text: &[u8], step: usize) -> Vec<(u64, u64, u64, String, bool)> {
        let seeker = seeker();
        let mut all = Vec::new();
        let mut stream = Stream::new(&seeker, "2026-11-21".parse().unwrap());
        let read = stream.scan(&mut Slow(text, step), (Text::Program, InTree::default()), &mut |one| {
            let rule = one.hit.what.rule().to_owned();
            all.push((one.start.line, one.start.column, one.end.column, rule, one.accepted.is_some()));
        });
        assert_eq!(read.unwrap(), text.len() as u64);
        all
    }

    #[test]
    fn what_stands_where_windows_meet_is_found_once() {
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for number in 0..400 {
            let pad = "x ".repeat(4_000 + 7 * (number % 13));
            text.extend(format!("{pad}\n").as_bytes());
            let line = format!("né {} end\n", token(number));
            expected.push((2 * number as u64 + 2, 4, 4 + token(number).len() as u64));
            text.extend(line.as_bytes());
        }
        assert!(text.len() > 3 * WINDOW_BYTES);
        for step in [usize::MAX, 4_099] {
            let all = spotted(&text, step);
            let places: Vec<_> = all.iter().map(|one| (one.0, one.1, one.2)).collect();
            assert_eq!(places, expected);
            assert!(all.iter().all(|one| one.3 == "gitlab-token"), "{:?}", all.first());
        }
    }

    #[test]
    fn a_line_without_an_end_is_gone_through_in_bounded_memory() {
        let mut text = "y".repeat(5 << 20).into_bytes();
        text.extend(format!(" {} ", token(1)).as_bytes());
        text.extend(vec![b'z'; 3 << 20]);
        let all = spotted(&text, usize::MAX);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].0, all[0].1), (1, (5 << 20) + 2));
    }

    #[test]
    fn a_known_value_is_told_as_what_it_is_in_any_form_and_once() {
        let seeker = seeker();
        let mut stream = Stream::new(&seeker, "2026-11-21".parse().unwrap());
        let hex: String = KEPT.bytes().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("api_key = \"{KEPT}\"\nhex {hex}\nurl = postgres://u:q7{KEPT}K2@h/x\n");
        let mut all = Vec::new();
        stream
            .scan(&mut text.as_bytes(), (Text::Program, InTree::default()), &mut |one| {
                let What::Known(version) = &one.hit.what else { panic!("{}", one.hit.what.rule()) };
                all.push((version.number, one.start.line, one.hit.form, one.hit.identity));
            })
            .unwrap();
        assert_eq!(all.len(), 3, "also within what only its place tells");
        assert_eq!((all[0].0, all[0].1, all[0].2), (7, 1, None));
        assert_eq!((all[1].1, all[1].2), (2, Some("hex")));
        assert_eq!(all[0].3, all[1].3, "it is the same value");
    }

    #[test]
    fn a_comment_beside_or_above_a_value_accepts_it() {
        let text = format!(
            "a {} # keyroll:allow made by the test\n# keyroll:allow of a document\nb {}\nc {}\n",
            token(1),
            token(2),
            token(3)
        );
        let accepted: Vec<bool> = spotted(text.as_bytes(), usize::MAX).into_iter().map(|one| one.4).collect();
        assert_eq!(accepted, [true, true, false]);
    }

    #[test]
    fn what_people_do_not_read_has_no_names() {
        let named = b"api_key = \"8f3kQz71LmP0\"\n";
        assert_eq!(spotted(named, usize::MAX).len(), 1);
        assert!(spotted(&[b"\0", named.as_slice()].concat(), usize::MAX).is_empty());
    }

    #[test]
    fn what_overlaps_itself_is_told_once() {
        let (seeker, mut found) = (seeker_of(&["xyxyxyxyxyxy"]), 0);
        let mut stream = Stream::new(&seeker, "2026-11-21".parse().unwrap());
        stream
            .scan(&mut "xyxyxyxyxyxyxyxy".as_bytes(), (Text::Program, InTree::default()), &mut |_| found += 1)
            .unwrap();
        assert_eq!(found, 1);
    }

    #[test]
    fn a_value_within_another_is_told_too_wherever_a_window_ends() {
        let inner = "kD93hfQ0plm4XyT7";
        let outer = format!("Zq{inner}bQe1");
        let seeker = seeker_of(&[&outer, inner]);
        let window = WINDOW_BYTES.max(4 * seeker.reach());
        for before in [0, window - seeker.reach() - 3, window - seeker.reach() + 3, window - 5] {
            let mut text = vec![b' '; before];
            text.extend(outer.as_bytes());
            text.extend(vec![b' '; 2 * window]);
            let mut all = Vec::new();
            let mut stream = Stream::new(&seeker, "2026-11-21".parse().unwrap());
            let place = (Text::Program, InTree::default());
            stream.scan(&mut &text[..], place, &mut |one| all.push(one.hit.what.rule().to_owned())).unwrap();
            assert_eq!(all.len(), 2, "{before}: {all:?}");
        }
    }

    #[test]
    fn a_value_that_a_window_cuts_is_told_whole_and_the_rest_of_a_word_is_no_value() {
        let seeker = seeker();
        let window = WINDOW_BYTES.max(4 * seeker.reach());
        let mut stream = Stream::new(&seeker, "2026-11-21".parse().unwrap());
        let mut spotted = |text: &[u8], within: Text| {
            let mut all = Vec::new();
            stream
                .scan(&mut &text[..], (within, InTree::default()), &mut |one| all.push((one.start, one.end)))
                .unwrap();
            all
        };
        // The window ends within the value.
        let mut text = "x\n".repeat(window / 2 - 10).into_bytes();
        let value = "kD93hfQ0plm4XyT7bQe1".repeat(4);
        text.extend(format!("PASSWORD={value}\nx\n").as_bytes());
        let line = (window / 2 - 9) as u64;
        let at = |column| Position { line, column };
        assert_eq!(spotted(&text, Text::Settings), [(at(10), at(10 + value.len() as u64))]);
        // The next window begins within a word, right where a token would begin.
        let keep = window - seeker.reach() - BEHIND_BYTES;
        let mut text = "x\n".repeat(keep / 2 - 1).into_bytes();
        text.resize(keep, b'y');
        text.extend(format!("{}\n", token(1)).as_bytes());
        text.resize(window + 10, b'\n');
        assert!(spotted(&text, Text::Program).is_empty());
    }
}
