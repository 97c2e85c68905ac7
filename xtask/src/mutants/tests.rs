//! The generator: which mutants small sources have, and that they do what they say when they run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::mutation::Mutation;
use super::workspace::{Generated, generate_from};

fn generated(source: &str) -> Generated {
    generate_from(vec![("a.rs".to_owned(), source.to_owned())]).unwrap()
}

fn shown(mutations: &[Mutation]) -> Vec<String> {
    let one = |it: &Mutation| format!("{}: {} → {}", it.operator, it.original, it.mutated);
    mutations.iter().map(one).collect()
}

/// The mutants of a function's body, without those of the function as a whole.
fn mutants_of(body: &str) -> Vec<String> {
    let all = shown(&generated(&format!("fn f() -> Text {{ {body} }}")).mutations);
    all.into_iter().filter(|it| !it.starts_with("early return")).collect()
}

#[test]
fn a_condition_is_mutated_as_a_whole_by_operand_and_at_its_bound() {
    assert_eq!(
        mutants_of("if a < 20 && b { c() }"),
        [
            "condition: a < 20 && b → true",
            "condition: a < 20 && b → false",
            "operand: a < 20 → true",
            "operand: b → true",
            "and, or: a < 20 && b → a < 20 || b",
            "comparison: a < 20 → a <= 20",
            "number: 20 → 20 * 2",
            "number: 20 → 0",
        ]
    );
}

#[test]
fn a_chain_with_let_can_only_fail_and_lose_its_other_conditions() {
    assert_eq!(
        mutants_of("if let Some(a) = b && a.ok { c() }"),
        ["condition: let Some(a) = b && a.ok → false", "operand: a.ok → true"]
    );
}

#[test]
fn a_truth_that_is_no_condition_is_negated() {
    assert_eq!(mutants_of("let x = a == b;"), ["comparison: a == b → a != b"]);
    assert_eq!(mutants_of("let x = !a;"), ["negation removed: !a → a"]);
    assert_eq!(mutants_of("let x = a.is_some();"), ["negation: a.is_some() → !a.is_some()"]);
    assert_eq!(
        mutants_of("a.all(|x| x.ok)"),
        ["condition: x.ok → true", "condition: x.ok → false", "method: a.all(|x| x.ok) → a.any(|x| x.ok)"]
    );
}

#[test]
fn statements_are_omitted_and_their_errors_ignored() {
    assert_eq!(
        mutants_of("a.b()?; for x in y { if c { continue; } *d = e; }"),
        [
            "statement omitted: a.b()?; → ",
            "error ignored: a.b()?; → let _ = a.b();",
            "loop: for → break;",
            "statement omitted: *d = e; → ",
            "condition: c → true",
            "condition: c → false",
            "statement omitted: continue; → ",
        ]
    );
}

#[test]
fn arms_are_swapped_and_alternatives_moved_or_dropped() {
    assert_eq!(
        mutants_of("match a { A | B => c, C(x) if x.ok => d(x), D => e }"),
        [
            "arm swapped: c → e",
            "alternative moved: c → A: e",
            "alternative moved: c → B: e",
            "condition: x.ok → true",
            "condition: x.ok → false",
            "arm swapped: d(x) → e",
            "arm swapped: e → c",
        ]
    );
    assert_eq!(
        mutants_of("let x = matches!(a, A | B if c);"),
        [
            "negation: matches!(a, A | B if c) → !matches!(a, A | B if c)",
            "alternative dropped: matches!(a, A | B if c) → without A",
            "alternative dropped: matches!(a, A | B if c) → without B",
            "condition: c → true",
            "condition: c → false",
        ]
    );
}

#[test]
fn constants_of_the_crate_are_replaced_by_their_neighbours() {
    let source = "enum E { A, B(u8), C } const N: u64 = 3; struct K(u8);
        impl K { const X: Self = Self(1); const Y: Self = Self(2); }
        fn f() -> E { g(E::C, N, K::X, true) }";
    assert_eq!(
        shown(&generated(source).mutations),
        [
            "early return: fn → return E::A;",
            "early return: fn → return E::C;",
            "variant: E::C → E::A",
            "number: N → N + 1",
            "number: N → 0",
            "variant: K::X → K::Y",
            "constant: true → false",
        ]
    );
}

#[test]
fn what_tests_or_must_be_constant_is_not_mutated() {
    let source = "const A: u64 = 1 + 2; static B: bool = true; #[cfg(test)] mod tests { fn f() { g(1); } }
        #[test] fn t() { g(1); } struct S([u8; 3]); impl std::fmt::Display for S { fn fmt() { g(1); } }
        fn f(x: [u8; 4]) { assert!(x == 1); let 5 = [x; 6]; }";
    assert_eq!(shown(&generated(source).mutations), ["early return: fn → return;"]);
}

#[test]
fn an_identity_stays_when_other_code_moves() {
    let of = |source: &str| -> Vec<String> {
        generated(source).mutations.iter().map(Mutation::identity).filter(|it| it.contains("| f |")).collect()
    };
    let before = of("fn f() { if a { b(1, 1).c(A { .. }); } }");
    let after = of(
        "fn e() { if a { b(1, 1); } }\n\n\nfn f() {\n    if a {\n        b(\n            1,\n            1,\n        )\n        // Why.\n        .c(A { .. });\n    }\n}",
    );
    assert_eq!(before.len(), 8);
    assert_eq!(before, after);
    let distinct: BTreeSet<&String> = before.iter().collect();
    assert_eq!(distinct.len(), before.len(), "equal code in one function is counted");
}

/// Builds a source with all of its mutants and the switch itself, without Cargo. Returns the program.
fn built(folder: &Path, source: &str) -> (Generated, PathBuf) {
    let rustc = |words: &[&str]| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-Awarnings"]).args(words).current_dir(folder);
        let output = rustc.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let generated = generated(source);
    let rewritten = generated.rewritten(&generated.sources[0], &BTreeSet::new());
    fs::write(folder.join("mutated.rs"), &rewritten.text).unwrap();
    let switch = crate::run::root().join("crates/core/mutation/src/lib.rs");
    rustc(&["--crate-type", "rlib", "--crate-name", "keyroll_mutation", switch.to_str().unwrap()]);
    rustc(&["--extern", "keyroll_mutation=libkeyroll_mutation.rlib", "mutated.rs"]);
    (generated, folder.join("mutated"))
}

#[test]
fn every_planted_mutant_is_found_except_for_the_equivalent_one() {
    // With a = b both sides are the same value, so the bound makes no difference.
    let source = "
        fn larger(a: u32, b: u32) -> u32 { if a > b { a } else { b } }
        fn first(all: &[u32]) -> Option<u32> {
            for one in all { if *one > 3 && *one != 5 { return Some(*one); } }
            None
        }
        fn main() {
            assert!(larger(2, 1) == 2 && larger(1, 2) == 2 && larger(1, 1) == 1);
            assert!(first(&[1, 3, 5, 7, 9]) == Some(7) && first(&[4]) == Some(4) && first(&[2]) == None);
        }";
    let folder = std::env::temp_dir().join(format!("keyroll-mutants-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (generated, program) = built(&folder, source);
    let passes = |number: u32| {
        let output = Command::new(&program).env("KEYROLL_MUTANT", number.to_string()).output().unwrap();
        output.status.success()
    };
    assert!(passes(0), "without a mutant");
    let survivors: Vec<String> = generated
        .mutations
        .iter()
        .filter(|it| it.function != "main" && passes(it.number))
        .map(Mutation::identity)
        .collect();
    fs::remove_dir_all(&folder).unwrap();
    assert!(generated.mutations.len() > 15, "{}", generated.mutations.len());
    assert_eq!(survivors, ["a.rs | larger | comparison | a > b → a >= b | 1"]);
}
