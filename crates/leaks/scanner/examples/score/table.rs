//! What is printed.

use crate::corpus::Part;
use crate::fill::{CLASSES, Class, Filled};
use crate::judge::{Counts, Score};

/// What is scored.
pub fn corpus(files: &[Filled], seed: u64, part: Part) {
    let marks = || files.iter().flat_map(|file| &file.marks);
    let labels = marks().filter(|mark| mark.class != Class::Not).count();
    println!(
        "seed {seed}, {part:?}: {} files, {labels} secrets, {} that are none",
        files.len(),
        marks().count() - labels
    );
    println!(
        "{:<16} {:<9} {:>5} {:>5} {:>5} {:>9} {:>7} {:>6}",
        "", "class", "TP", "FP", "FN", "precision", "recall", "F1"
    );
}

/// A detector's score.
pub fn score(name: &str, score: &Score) {
    for class in CLASSES {
        row(name, class.name(), score.of(class));
    }
    row(name, "all", score.all());
}

fn row(name: &str, class: &str, counts: Counts) {
    println!(
        "{name:<16} {class:<9} {:>5} {:>5} {:>5} {:>9.3} {:>7.3} {:>6.3}",
        counts.found,
        counts.wrong,
        counts.missed,
        counts.precision(),
        counts.recall(),
        counts.f1()
    );
}

/// What was missed and what is wrong, by kind, and by place if that is asked for.
pub fn details(score: &Score, places: bool) {
    for (kind, (there, found)) in score.kinds.iter().filter(|(_, (there, found))| found < there) {
        println!("  missed {:>3} of {there:>3}  {kind}", there - found);
    }
    for (kind, count) in &score.wrong {
        println!("  wrong  {count:>10}  {kind}");
    }
    if places {
        score.places.iter().for_each(|place| println!("  {place}"));
    }
}
