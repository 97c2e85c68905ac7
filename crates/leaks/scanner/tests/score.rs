//! The scanner by a labelled corpus, and what scores it: docs/design/corpus.md.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "shared with the example that scores")]

#[path = "../examples/score/corpus.rs"]
mod corpus;
#[path = "../examples/score/fill.rs"]
mod fill;
#[path = "../examples/score/judge.rs"]
mod judge;
#[path = "../examples/score/keys.rs"]
mod keys;
#[path = "../examples/score/not.rs"]
mod not;
#[path = "../examples/score/ours.rs"]
mod ours;
#[path = "../examples/score/passwords.rs"]
mod passwords;
#[path = "../examples/score/place.rs"]
mod place;
#[path = "../examples/score/providers.rs"]
mod providers;
#[path = "../examples/score/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};

use self::corpus::{Part, Template};
use self::fill::{CLASSES, Class, Filled, fill};
use self::judge::{Counts, judge};
use self::place::{DetectorFinding, Span};

/// Seeds of the values; a rule that fits one by chance does not fit all.
const SEEDS: [u64; 3] = [1, 2, 3];

/// The minimum scores of the scanner for all templates, with each seed. They may only rise.
const FLOORS: [(Class, f64, f64); 3] =
    [(Class::Provider, 0.99, 0.985), (Class::Key, 0.98, 0.96), (Class::Password, 0.99, 0.92)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn filled(seed: u64) -> Vec<Filled> {
    corpus::templates(&folder()).iter().map(|one| fill(one, seed)).collect()
}

fn small() -> Vec<Filled> {
    let text = "▶ a/.env\nNAME=x\nA=⟦password:token⟧ ⟦not:uuid⟧\nB=⟦provider:github-pat⟧\n▶ b\n  k: |\n  ⟦key:pem-ec⟧\n  c: é⟦password:weak@w⟧ ⟦password:weak@w⟧\n";
    corpus::parts(text).iter().map(|one| fill(one, 1)).collect()
}

/// A detector that finds every label, and says `rule`.
fn all_of(files: &[Filled], rule: &str) -> Vec<DetectorFinding> {
    let found = |file: &Filled| {
        let labels = file.marks.iter().filter(|mark| mark.class != Class::Not);
        let all = labels.map(|mark| DetectorFinding {
            path: file.path.clone(),
            span: mark.span,
            rule: rule.to_owned(),
        });
        all.collect::<Vec<_>>()
    };
    files.iter().flat_map(found).collect()
}

#[test]
fn who_finds_all_has_one_and_who_finds_nothing_has_none() {
    let files = small();
    let score = judge(&files, &all_of(&files, "generic"));
    assert_eq!(score.all(), Counts { found: 5, wrong: 0, missed: 0 });
    assert!((score.all().f1() - 1.0).abs() < f64::EPSILON);
    assert_eq!(score.of(Class::Password), Counts { found: 3, wrong: 0, missed: 0 });
    let none = judge(&files, &[]);
    assert_eq!(none.all(), Counts { found: 0, wrong: 0, missed: 5 });
    assert!(none.all().f1() == 0.0 && none.all().precision() == 0.0);
    assert_eq!(none.places.len(), 5);
}

#[test]
fn what_is_wrong_is_counted_once_and_by_what_it_is() {
    let files = small();
    let uuid = files[0].marks.iter().find(|mark| mark.class == Class::Not).unwrap();
    let mut found = all_of(&files, "generic");
    for rule in ["generic", "some-token"] {
        found.push(DetectorFinding { path: "a/.env".to_owned(), span: uuid.span, rule: rule.to_owned() });
    }
    found.push(DetectorFinding {
        path: "a/.env".to_owned(),
        span: Span { start: (1, 1), end: (1, 4) },
        rule: "private-key".to_owned(),
    });
    let score = judge(&files, &found);
    assert_eq!(score.all(), Counts { found: 5, wrong: 2, missed: 0 });
    assert_eq!(score.of(Class::Key).wrong, 1);
    assert_eq!(score.wrong.get("uuid (generic)"), Some(&1));
    assert_eq!(score.wrong.get("beside every slot (private-key)"), Some(&1));
    assert!((score.all().precision() - 5.0 / 7.0).abs() < 1e-9);
}

#[test]
fn who_tells_lines_alone_finds_what_is_in_them_and_nothing_else() {
    let files = small();
    let at = |path: &str, line| DetectorFinding {
        path: path.to_owned(),
        span: Span::lines(line, line),
        rule: "secret".to_owned(),
    };
    assert_eq!(judge(&files, &[at("a/.env", 2)]).all(), Counts { found: 1, wrong: 0, missed: 4 });
    assert_eq!(judge(&files, &[at("a/.env", 1)]).all(), Counts { found: 0, wrong: 1, missed: 5 });
    assert_eq!(judge(&files, &[at("b", 3)]).of(Class::Key).found, 1, "a line of a key is the key");
    assert_eq!(
        judge(&files, &[at("c", 2)]).all(),
        Counts { found: 0, wrong: 0, missed: 5 },
        "of another file"
    );
}

#[test]
fn a_value_is_where_its_mark_says() {
    let files = small();
    let line = |file: &Filled, line: usize| file.text.lines().nth(line - 1).unwrap().to_owned();
    let token = &files[0].marks[0];
    let inside: String =
        line(&files[0], token.span.start.0).chars().skip(token.span.start.1 - 1).take(32).collect();
    assert_eq!((token.span.start, token.span.end), ((2, 3), (2, 35)));
    assert!(inside.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let (key, one, two) = (&files[1].marks[0], &files[1].marks[1], &files[1].marks[2]);
    assert!(line(&files[1], key.span.start.0).starts_with("  -----BEGIN EC"), "as it is indented");
    assert!(line(&files[1], key.span.end.0).starts_with("  -----END EC"));
    let last = line(&files[1], one.span.start.0);
    let text =
        |span: Span| last.chars().skip(span.start.1 - 1).take(span.end.1 - span.start.1).collect::<String>();
    assert_eq!(one.span.start.1, 7, "a letter of two bytes is one column");
    assert_eq!(text(one.span), text(two.span), "the same name is the same value");
}

#[test]
fn a_seed_makes_the_corpus_and_no_template_holds_a_value() {
    let (one, again, other) = (filled(1), filled(1), filled(2));
    assert!(one.len() >= 120, "{} templates", one.len());
    let mut paths: Vec<&str> = one.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    assert!(paths.windows(2).all(|two| two[0] != two[1]), "every file has a path of its own");
    assert!(one.iter().zip(&again).all(|(one, two)| one.text == two.text));
    let labelled = |file: &&Filled| file.marks.iter().any(|mark| mark.class != Class::Not);
    assert!(one.iter().filter(labelled).count() >= 100);
    let differs = |file: &Filled| other.iter().any(|two| two.path == file.path && two.text != file.text);
    assert!(one.iter().filter(labelled).all(differs));
    assert!(one.iter().all(|file| !file.text.contains(['⟦', '⟧', '▶', '␛'])));
    let found = ours::scan(&folder());
    assert!(
        found.is_empty(),
        "{:?}",
        found.iter().map(|one| (&one.path, one.span.start.0)).collect::<Vec<_>>()
    );
}

#[test]
fn both_parts_have_every_class() {
    let templates = corpus::templates(&folder());
    let of = |part| templates.iter().filter(|one: &&Template| one.is_in(part)).collect::<Vec<_>>();
    let (tuned, held) = (of(Part::Tuned), of(Part::Held));
    assert_eq!(tuned.len() + held.len(), templates.len());
    for part in [tuned, held] {
        let files: Vec<Filled> = part.into_iter().map(|one| fill(one, 1)).collect();
        for class in [Class::Provider, Class::Key, Class::Password, Class::Not] {
            let count = files.iter().flat_map(|file| &file.marks).filter(|mark| mark.class == class).count();
            assert!(count >= 8, "{} {count}", class.name());
        }
    }
}

#[test]
fn the_scanner_keeps_its_floors() {
    for seed in SEEDS {
        let files = filled(seed);
        let root = tempfile::tempdir().unwrap();
        for file in &files {
            let path = root.path().join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &file.text).unwrap();
        }
        let score = judge(&files, &ours::scan(root.path()));
        assert_eq!(CLASSES.len(), FLOORS.len());
        for (class, precision, f1) in FLOORS {
            let counts = score.of(class);
            let reached = counts.precision() >= precision && counts.f1() >= f1;
            assert!(
                reached,
                "seed {seed}, {}: {counts:?}, {:.3}\n{:#?}",
                class.name(),
                counts.f1(),
                score.places
            );
        }
    }
}
