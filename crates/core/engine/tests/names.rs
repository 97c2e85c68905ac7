//! The names of undeclared processes and copies: a host decides how many it claims, and how long they are.

use std::collections::BTreeSet;

use keyroll_port::Named;
use keyroll_rotation::Phase;

use crate::parts::{Scene, locked};
use crate::shell::drive;

/// How many names of each kind a look may bring into the journal.
const NAMES_MAX: usize = 64;

#[test]
fn of_many_undeclared_processes_a_limited_number_is_described() {
    let scene = Scene::new("id-2", "value-two");
    *locked(&scene.host.strange_looks) = u32::MAX;
    (*locked(&scene.host.strange_host), *locked(&scene.host.strange_beside)) = (1, 99);
    let (_, state) = drive(&scene);
    assert_ne!(state.phase(), Phase::Done, "all of them count");
    assert_eq!(locked(&scene.book.names).len(), NAMES_MAX);
}

/// A name of nothing that was found takes no place of the others.
#[test]
fn only_names_of_undeclared_copies_are_remembered_and_a_limited_number_of_them() {
    let scene = Scene::new("id-2", "value-two");
    *locked(&scene.host.copies) = (100..200).collect();
    let named = |digest| Named { digest, name: format!("/srv/{digest}") };
    *locked(&scene.host.names) = (0..200).map(named).collect();
    let (_, state) = drive(&scene);
    assert_ne!(state.phase(), Phase::Done, "all of them count");
    let remembered: BTreeSet<u64> = locked(&scene.book.names).keys().copied().collect();
    assert_eq!(remembered, (100..164).collect());
}

#[test]
fn a_long_name_is_remembered_up_to_its_last_whole_character_within_the_limit() {
    let scene = Scene::new("id-2", "value-two");
    let named = |digest, name: String| Named { digest, name };
    // The limit of 512 bytes falls inside a character of the first name; the second name fits exactly.
    let (long, fits) = (format!("/{}", "é".repeat(400)), "x".repeat(512));
    *locked(&scene.host.copies) = vec![7, 8];
    *locked(&scene.host.names) = vec![named(7, long), named(8, fits.clone())];
    drive(&scene);
    let names = locked(&scene.book.names);
    assert_eq!(names.get(&7), Some(&format!("/{}", "é".repeat(255))));
    assert_eq!(names.get(&8), Some(&fits));
}
