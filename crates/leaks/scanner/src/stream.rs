pub(crate) mod emitted;
pub(crate) mod helper_threads;
pub(crate) mod lines;
pub(crate) mod window;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope};

use jiff::civil::Date;
use keyroll_leak::gitleaks::TextOrigin;
use zeroize::Zeroizing;

use crate::detector::Detector;
use crate::detector::text_kind::{NamedReading, TextReading};
use crate::stream::emitted::Emitted;
use crate::stream::helper_threads::HelperThreads;
use crate::stream::lines::Lines;
use crate::stream::window::{LocatedHit, Room, Window, WindowFindings, WindowScan, Windows};

/// The size of a window, bytes; larger for long known values.
const WINDOW_BYTES: usize = 1 << 20;

/// The initial size of a window, bytes: most texts are shorter.
const FIRST_BYTES: usize = 64 << 10;

/// The windows of a text that the reader scans alone: starting helpers takes as long as a part of one.
const ALONE_WINDOWS: usize = 2;

/// The windows of a helper: the current one, and the next.
const WAITING: usize = 2;

/// The most memory for the windows of one text, bytes: with large windows fewer threads help.
const WINDOWS_BYTES_MAX: usize = 64 << 20;

/// What is known about a text before it is read.
#[derive(Clone, Copy)]
pub(crate) struct TextContext<'a> {
    pub(crate) reading: NamedReading,
    /// The name of all of it, such as the column of a cell.
    pub(crate) name: Option<&'a str>,
    pub(crate) origin: TextOrigin<'a>,
}

/// Scans streams of any length, one window at a time, reusing memory.
///
/// One thread reads; others help to scan the windows of a long text. Each window is scanned by itself, and findings
/// are reported in the order of the text, whatever the number of threads.
pub(crate) struct Stream<'s> {
    detector: &'s Detector,
    helpers: &'s HelperThreads,
    room: Room,
    window: usize,
    today: Date,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(detector: &'s Detector, today: Date, helpers: &'s HelperThreads) -> Self {
        let window = WINDOW_BYTES.max(4 * detector.reach());
        Self { detector, helpers, room: Zeroizing::new(vec![0; FIRST_BYTES]), window, today }
    }

    /// Reports all findings of a text in order. Returns the length of the text, bytes.
    pub(crate) fn scan(
        &mut self,
        from: &mut dyn Read,
        about: TextContext<'_>,
        take: &mut dyn FnMut(LocatedHit),
    ) -> io::Result<u64> {
        let mut windows = Windows::new(from, self.window, self.detector.reach());
        let mut telling = OrderedOutput { lines: Lines::new(), taken: Emitted::default(), take };
        let mut window = windows.next(std::mem::take(&mut self.room));
        let reading = TextReading::under(about.name, window.bytes(), about.reading);
        let looking = WindowScan { detector: self.detector, today: self.today, reading, place: about.origin };
        for _ in 1..ALONE_WINDOWS {
            if !window.is_last {
                telling.tell(&window, looking.at(&window));
                window = windows.next(window.into_room());
            }
        }
        let most = if window.is_last { 0 } else { WINDOWS_BYTES_MAX / (WAITING * self.window) };
        let helpers = self.helpers.take(most);
        self.room = match helpers.count() {
            0 => alone(&mut windows, window, &looking, &mut telling),
            count => together(count, &mut windows, window, &looking, &mut telling),
        };
        windows.read()
    }
}

/// Scans a window and all following ones.
fn alone(
    windows: &mut Windows<'_>,
    mut window: Window,
    looking: &WindowScan<'_>,
    telling: &mut OrderedOutput<'_>,
) -> Room {
    loop {
        telling.tell(&window, looking.at(&window));
        if window.is_last {
            return window.into_room();
        }
        window = windows.next(window.into_room());
    }
}

/// Does the same with `count` helpers. Windows are handed out, and results collected, in turn: in the order of the
/// text.
fn together(
    count: usize,
    windows: &mut Windows<'_>,
    mut window: Window,
    looking: &WindowScan<'_>,
    telling: &mut OrderedOutput<'_>,
) -> Room {
    thread::scope(|scope| {
        let helpers: Vec<Helper> = (0..count).map(|_| Helper::new(scope, looking)).collect();
        let mut waiting = VecDeque::new();
        let mut room = Room::default();
        for helper in helpers.iter().cycle() {
            let is_last = window.is_last;
            // A helper that panicked receives nothing; the end of the scope reports it.
            if helper.given.send(window).is_err() {
                break;
            }
            waiting.push_back(helper);
            let left = if is_last { 0 } else { WAITING * count - 1 };
            while waiting.len() > left
                && let Some((window, seen)) = waiting.pop_front().and_then(|one| one.seen.recv().ok())
            {
                telling.tell(&window, seen);
                room = window.into_room();
            }
            if is_last {
                break;
            }
            window = windows.next(std::mem::take(&mut room));
        }
        room
    })
}

/// A thread that scans windows.
struct Helper {
    given: SyncSender<Window>,
    seen: Receiver<(Window, WindowFindings)>,
}

impl Helper {
    fn new<'scope>(scope: &'scope Scope<'scope, '_>, looking: &'scope WindowScan<'_>) -> Self {
        let (given, windows) = sync_channel::<Window>(WAITING);
        let (tell, seen) = sync_channel(WAITING);
        scope.spawn(move || {
            let look = |window: Window| {
                let seen = looking.at(&window);
                tell.send((window, seen))
            };
            windows.into_iter().try_for_each(look)
        });
        Self { given, seen }
    }
}

/// Reports the findings of windows in order.
struct OrderedOutput<'t> {
    lines: Lines,
    /// The reported findings that others may overlap.
    taken: Emitted,
    take: &'t mut dyn FnMut(LocatedHit),
}

impl OrderedOutput<'_> {
    fn tell(&mut self, window: &Window, seen: WindowFindings) {
        for mut one in seen.spotted {
            if self.taken.take(&one.hit.span, &one.hit.what) {
                one.start = self.lines.further(one.start);
                one.end = self.lines.further(one.end);
                (self.take)(one);
            }
        }
        self.lines.add(seen.lines);
        self.taken.move_on(window.passed());
    }
}

#[cfg(test)]
mod tests {
    use keyroll_leak::{Rules, TextKind};
    use keyroll_needle::{NeedleId, Needles};
    use keyroll_secret::{FingerprintKey, SecretBytes};

    use super::*;
    use crate::detector::KnownValues;
    use crate::stream::window::BEHIND_BYTES;
    use crate::{FindingKind, Position, SecretVersion};

    /// Built here, so that no file contains it.
    fn token(number: usize) -> String {
        format!("glpat-{}{number:04}", "kD93hfQ0plm4XyT7")
    }

    /// A value that no rule or name finds.
    const KEPT: &str = "tR9vWq2LxZ7nB5cY";

    fn of_kind(kind: TextKind) -> TextContext<'static> {
        let reading = NamedReading { kind, format: None };
        TextContext { reading, name: None, origin: TextOrigin::default() }
    }

    fn detector_of(values: &[&str]) -> Detector {
        let mut builder = Needles::builder();
        let mut versions = Vec::new();
        for (number, value) in (0..).zip(values) {
            builder = builder.add(NeedleId(number), &SecretBytes::from((*value).to_owned()));
            versions.push(SecretVersion {
                secret: if number == 0 { "openai".into() } else { format!("other {number}") },
                number: u64::from(number) + 7,
                state: "current",
                retired: false,
            });
        }
        let needles = builder.build().unwrap();
        let known = KnownValues { needles: Some(needles), versions, ..KnownValues::default() };
        Detector::new(known, FingerprintKey::new(&[1; 32])).with_rules(Rules::shipped().unwrap()).with_names()
    }

    fn detector() -> Detector {
        detector_of(&[KEPT])
    }

    fn today() -> Date {
        "2026-11-21".parse().unwrap()
    }

    /// Returns so many bytes at a time.
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
        let (detector, helpers) = (detector(), HelperThreads::default());
        let mut all = Vec::new();
        let mut stream = Stream::new(&detector, today(), &helpers);
        let read = stream.scan(&mut Slow(text, step), of_kind(TextKind::Program), &mut |one| {
            let rule = one.hit.what.rule().to_owned();
            all.push((one.start.line, one.start.column, one.end.column, rule, one.accepted.is_some()));
        });
        assert_eq!(read.unwrap(), text.len() as u64);
        all
    }

    #[test]
    fn a_value_where_windows_meet_is_found_once() {
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
    fn a_line_without_an_end_is_scanned_in_bounded_memory() {
        let mut text = "y".repeat(5 << 20).into_bytes();
        text.extend(format!(" {} ", token(1)).as_bytes());
        text.extend(vec![b'z'; 3 << 20]);
        let all = spotted(&text, usize::MAX);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].0, all[0].1), (1, (5 << 20) + 2));
    }

    #[test]
    fn a_known_value_is_reported_as_what_it_is_in_any_form_and_once() {
        let (detector, helpers) = (detector(), HelperThreads::default());
        let mut stream = Stream::new(&detector, today(), &helpers);
        let hex: String = KEPT.bytes().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("api_key = \"{KEPT}\"\nhex {hex}\nurl = postgres://u:q7{KEPT}K2@h/x\n");
        let mut all = Vec::new();
        stream
            .scan(&mut text.as_bytes(), of_kind(TextKind::Program), &mut |one| {
                let FindingKind::Known(version) = &one.hit.what else { panic!("{}", one.hit.what.rule()) };
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
            "a {} # keyroll:allow made by the test\nx {}\n# keyroll:allow of a document\nb {}\nc {}\n",
            token(1),
            token(4),
            token(2),
            token(3)
        );
        let accepted: Vec<bool> = spotted(text.as_bytes(), usize::MAX).into_iter().map(|one| one.4).collect();
        assert_eq!(accepted, [true, false, true, false]);
    }

    #[test]
    fn binary_data_has_no_names() {
        let named = b"api_key = \"8f3kQz71LmP0\"\n";
        assert_eq!(spotted(named, usize::MAX).len(), 1);
        assert!(spotted(&[b"\0", named.as_slice()].concat(), usize::MAX).is_empty());
    }

    #[test]
    fn what_overlaps_itself_is_reported_once() {
        let (detector, helpers, mut found) = (detector_of(&["xyxyxyxyxyxy"]), HelperThreads::default(), 0);
        let mut stream = Stream::new(&detector, today(), &helpers);
        stream
            .scan(&mut "xyxyxyxyxyxyxyxy".as_bytes(), of_kind(TextKind::Program), &mut |_| found += 1)
            .unwrap();
        assert_eq!(found, 1);
    }

    #[test]
    fn a_value_within_another_is_reported_too_wherever_a_window_ends() {
        let inner = "kD93hfQ0plm4XyT7";
        let outer = format!("Zq{inner}bQe1");
        let (detector, helpers) = (detector_of(&[&outer, inner]), HelperThreads::default());
        let window = WINDOW_BYTES.max(4 * detector.reach());
        for before in [0, window - detector.reach() - 3, window - detector.reach() + 3, window - 5] {
            let mut text = vec![b' '; before];
            text.extend(outer.as_bytes());
            text.extend(vec![b' '; 2 * window]);
            let mut all = Vec::new();
            let mut stream = Stream::new(&detector, today(), &helpers);
            let place = of_kind(TextKind::Program);
            stream.scan(&mut &text[..], place, &mut |one| all.push(one.hit.what.rule().to_owned())).unwrap();
            assert_eq!(all.len(), 2, "{before}: {all:?}");
        }
    }

    #[test]
    fn a_value_that_a_window_cuts_is_reported_whole_and_the_rest_of_a_word_is_no_value() {
        let (detector, helpers) = (detector(), HelperThreads::default());
        let window = WINDOW_BYTES.max(4 * detector.reach());
        let mut stream = Stream::new(&detector, today(), &helpers);
        let mut spotted = |text: &[u8], within: TextKind| {
            let mut all = Vec::new();
            stream.scan(&mut &text[..], of_kind(within), &mut |one| all.push((one.start, one.end))).unwrap();
            all
        };
        // The window ends within the value.
        let mut text = "x\n".repeat(window / 2 - 10).into_bytes();
        let value = "kD93hfQ0plm4XyT7bQe1".repeat(4);
        text.extend(format!("PASSWORD={value}\nx\n").as_bytes());
        let line = (window / 2 - 9) as u64;
        let at = |column| Position { line, column };
        assert_eq!(spotted(&text, TextKind::Settings), [(at(10), at(10 + value.len() as u64))]);
        // The next window begins within a word, where a token would begin.
        let keep = window - detector.reach() - BEHIND_BYTES;
        let mut text = "x\n".repeat(keep / 2 - 1).into_bytes();
        text.resize(keep, b'y');
        text.extend(format!("{}\n", token(1)).as_bytes());
        text.resize(window + 10, b'\n');
        assert!(spotted(&text, TextKind::Program).is_empty());
    }

    /// Pseudorandom text with values and various surroundings, the same for the same number.
    fn made(mut number: u64, length: usize) -> Vec<u8> {
        let mut next = |below: u64| {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            number % below
        };
        let head = ["user,password", "a line"][usize::try_from(next(2)).unwrap()];
        let mut text = format!("{head}\n").into_bytes();
        while text.len() < length {
            let value = format!("kD93hfQ0p{:06}", next(1_000_000));
            let filler = usize::try_from(next(6)).unwrap() * usize::try_from(next(900)).unwrap();
            let wide = "x".repeat(usize::try_from(next(7_000)).unwrap());
            let (data, kind) = ("data:\n  pass-one: a0Q5M2hmUTBwbG00\n", "kind: Secret\n");
            let notes = format!("notes:\n{}", "  x: lines of the text\n".repeat(wide.len() / 120));
            let piece = match next(17) {
                0 => token(usize::try_from(next(9_999)).unwrap()),
                1 => format!("PASSWORD={value}\n"),
                2 => format!("\n- name: API_TOKEN\n  value: {value}\n"),
                3 => format!("\nvariable \"db_password\" {{\n  type = string\n  default = \"{value}\"\n}}\n"),
                4 => format!(" {KEPT}{KEPT} "),
                5 => format!("postgres://app:{value}@db/x # keyroll:allow made here\n"),
                6 => "x".repeat(filler),
                12 => format!("\n---\n{data}{notes}{kind}---\n"),
                13 => format!("\n---\n{kind}{notes}{data}---\n"),
                14 => format!("\n{{\"kty\":\"OKP\",\"x\":\"{wide}\",\"d\":\"{value}{value}\"}}\n"),
                15 => format!("\n{{\"d\":\"{value}{value}\",\n\"x\":\"{wide}\",\n\"kty\":\"OKP\"}}\n"),
                16 => format!("\nu{filler},{value}\n"),
                7 => "é ".repeat(filler),
                _ => "line of the text\n".repeat(filler / 16),
            };
            text.extend(piece.into_bytes());
        }
        text
    }

    /// All findings with their positions.
    fn all_of(text: &[u8], window: usize, helpers: usize) -> Vec<(String, Position, Position, bool)> {
        let (detector, free) = (detector(), HelperThreads::new(helpers));
        let mut stream = Stream { window, ..Stream::new(&detector, today(), &free) };
        let mut all = Vec::new();
        let place = of_kind(TextKind::Settings);
        stream
            .scan(&mut &text[..], place, &mut |one| {
                let what = format!("{} {}", one.hit.what.rule(), one.hit.identity);
                all.push((what, one.start, one.end, one.accepted.is_some()));
            })
            .unwrap();
        assert_eq!(free.take(usize::MAX).count(), helpers, "all are given back");
        all
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

        #[test]
        fn it_is_the_same_wherever_windows_end_and_with_any_number_of_threads(number in 1_u64.., more in 0_usize..9_000) {
            let text = made(number, 400_000 + more);
            let whole = all_of(&text, text.len() + 1, 0);
            assert!(whole.len() > 40, "{}", whole.len());
            for (window, helpers) in [(64 << 10, 0), (64 << 10, 1), ((64 << 10) + more, 3)] {
                let all = all_of(&text, window, helpers);
                let first = all.iter().zip(&whole).find(|(one, other)| one != other);
                assert_eq!(all.len(), whole.len(), "{window} {helpers} {first:?}");
                assert_eq!(first, None, "{window} {helpers}");
            }
        }
    }

    /// Fails at its end.
    struct Breaks<'t>(&'t [u8]);

    impl Read for Breaks<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into) {
                Ok(0) => Err(io::Error::other("no more")),
                other => other,
            }
        }
    }

    #[test]
    fn what_was_read_before_it_broke_is_scanned_by_helpers_too() {
        let (detector, helpers) = (detector(), HelperThreads::new(2));
        let mut stream = Stream::new(&detector, today(), &helpers);
        let text = [vec![b'x'; 5 << 20], format!(" {} ", token(3)).into_bytes()].concat();
        let mut found = 0;
        let read = stream.scan(&mut Breaks(&text), of_kind(TextKind::Program), &mut |_| found += 1);
        assert_eq!((read.unwrap_err().to_string().as_str(), found), ("no more", 1));
        assert_eq!(spotted(&text[(5 << 20) - 9..], usize::MAX).len(), 1);
    }

    #[test]
    fn a_value_that_works_is_accepted_by_no_comment() {
        let line = |value: &str| format!("a {value} # keyroll:allow of the test\n");
        let text = line(KEPT) + &line(&token(1));
        let accepted: Vec<bool> = spotted(text.as_bytes(), usize::MAX).into_iter().map(|one| one.4).collect();
        assert_eq!(accepted, [false, true]);
    }

    #[test]
    fn long_values_widen_a_window_up_to_a_bound() {
        let long: String =
            (0..12_000).map(|number: u32| format!("{:05x}", number * 7_919 % 1_048_576)).collect();
        assert_eq!(detector_of(&[&long]).reach(), 4 << 20);
    }
}
