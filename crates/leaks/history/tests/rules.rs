//! The built-in rules find in the windows exactly what they find in whole objects.

use std::collections::BTreeMap;

use keyroll_history::{Blob, Bounds, History, Hit, Inspector, ObjectId, ObjectKind};
use keyroll_leak::Rules;

use crate::support::Ground;
use crate::support::marks::Kept;
use crate::support::random::{Change, Random, edit, stream};

struct Search {
    rules: &'static Rules,
    /// The rules' numbers, by their names.
    numbers: BTreeMap<&'static str, u64>,
}

impl Search {
    fn new() -> Search {
        let rules = Rules::shipped().unwrap();
        let numbers = rules.iter().zip(0..).map(|(rule, number)| (rule.id.as_str(), number)).collect();
        Search { rules, numbers }
    }

    fn find(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.rules.find(text, &mut |found| {
            hits.push(Hit { span: found.span, tag: self.numbers[found.rule.id.as_str()] });
        });
        hits
    }
}

impl Inspector for Search {
    fn inspect(&self, blob: &Blob<'_>, hits: &mut Vec<Hit>) {
        for window in blob.windows {
            let part = blob.around(window);
            for hit in self.find(&blob.bytes[part.clone()]) {
                let span = hit.span.start + part.start..hit.span.end + part.start;
                if window.start <= span.start && span.end <= window.end {
                    hits.push(Hit { span, tag: hit.tag });
                }
            }
        }
    }
}

/// Letters and digits, made here.
fn run(random: &mut Random, length: usize, of: &[u8]) -> String {
    (0..length).map(|_| of[random.below(of.len())] as char).collect()
}

/// A text like a line of a configuration, a log or a program; some lines have a text like a credential.
fn piece(random: &mut Random) -> Vec<u8> {
    let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let (upper, hex) = (&b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[..], &b"0123456789abcdef"[..]);
    let text = match random.below(14) {
        0 => format!("{}{}{}", "AK", "IA", run(random, 16, upper)),
        1 => format!("aws_secret_access_key = \"{}\"", run(random, 40, all)),
        2 => format!("postgres://app:{}@db.internal:5432/app", run(random, 20, all)),
        3 => format!("Authorization: {} {}", "Bearer", run(random, 40, all)),
        4 => format!("client_secret: '{}'", run(random, 32, hex)),
        5 => format!("{}{}{}", "gl", "pat-", run(random, 20, all)),
        6 => format!(
            "https://hooks.slack.com/{}/T{}/B{}/{}",
            "services",
            run(random, 9, upper),
            run(random, 9, upper),
            run(random, 24, all)
        ),
        7 => format!("password={}", run(random, 16, all)),
        8 if random.one_in(30) => {
            let (dashes, name) = ("-----", "RSA PRIVATE KEY");
            let lines: Vec<String> = (0..8).map(|_| run(random, 64, all)).collect();
            format!("{dashes}BEGIN {name}{dashes}\n{}\n{dashes}END {name}{dashes}", lines.join("\n"))
        }
        9 => format!("api_key:\n  {}", run(random, 32, all)),
        _ => (0..1 + random.below(9))
            .map(|_| {
                let length = 1 + random.below(9);
                run(random, length, b"abcdefghijklmnop") + ["; ", " = ", ", ", "\"", ":"][random.below(5)]
            })
            .collect(),
    };
    text.into_bytes()
}

fn changes(seed: u64) -> Vec<Change> {
    let mut random = Random(seed);
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for _ in 0..6 {
        let mut text = Vec::new();
        // One of them has a single long line, like a minified program.
        for _ in 0..if texts.is_empty() { 900 } else { 200 } {
            text.extend(piece(&mut random));
            text.push(if texts.is_empty() { b',' } else { b'\n' });
        }
        texts.push(text);
    }
    (0..150)
        .map(|number| {
            let at = if number < texts.len() { number } else { random.below(texts.len()) };
            edit(&mut random, &mut texts[at], &mut piece);
            Change {
                files: vec![(format!("f{at}"), Some(texts[at].clone()))],
                message: b"changed".to_vec(),
                time: 1_700_000_000 + number as u64,
                branch: "main",
                from: None,
                merges: Vec::new(),
            }
        })
        .collect()
}

#[test]
fn the_rules_find_in_the_windows_what_they_find_in_whole_objects() {
    let search = Search::new();
    for seed in 1..=3 {
        let ground = Ground::new();
        let at = ground.repository("r", &[]);
        ground.given(&at, &["fast-import", "--quiet", "--done"], &stream(&changes(seed)));
        ground.git(&at, &["repack", "-qadf", "--depth=50", "--window=50"]);
        let kept = Kept::default();
        let seen = History::open(&at).unwrap().scan(&search, &kept, &Bounds::default());
        let found = kept.all();
        let mut rules = std::collections::BTreeSet::new();
        let mut expected: BTreeMap<ObjectId, Vec<Hit>> = BTreeMap::new();
        for (id, (_, bytes)) in ground.objects(&at) {
            let hits = search.find(&bytes);
            rules.extend(hits.iter().map(|hit| hit.tag));
            if !hits.is_empty() {
                expected.insert(id, hits);
            }
        }
        assert!(rules.len() >= 4, "{} rules found something", rules.len());
        assert!(seen.window_bytes * 20 < seen.bytes * 19, "{seen:?}");
        for (id, hits) in &expected {
            assert_eq!(found.get(id), Some(hits), "{id}");
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn a_window_that_ends_within_a_run_makes_no_credential_of_it() {
    let search = Search::new();
    let mut random = Random(4);
    let long = run(&mut random, 90, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    let text = format!("{}aws_secret_access_key = {long}{}", "x ".repeat(4000), " y".repeat(4000));
    let bytes = text.as_bytes();
    assert!(search.find(bytes).is_empty());
    let start = text.find(&long).unwrap();
    let cut = &bytes[..start + 40];
    assert_eq!(search.find(cut).len(), 1, "it would be one if it ended there");
    for end in start..start + 90 {
        // Another window is before it.
        let windows = [0..10, start - 100..end];
        let blob = Blob {
            id: ObjectId::from_bytes(&[1; 20]).unwrap(),
            kind: ObjectKind::Blob,
            bytes,
            windows: &windows,
        };
        let mut hits = Vec::new();
        search.inspect(&blob, &mut hits);
        assert!(hits.is_empty(), "{end}");
    }
}
