#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]
use std::time::Instant;
fn main() {
    let begun = Instant::now();
    let rules = keyroll_leak::Rules::shipped().unwrap();
    println!("load {:?}", begun.elapsed());
    for path in std::env::args().skip(1) {
        let text = std::fs::read(&path).unwrap();
        let (mut n, mut t) = (0, f64::MAX);
        for _ in 0..3 {
            n = 0;
            let begun = Instant::now();
            rules.find(&text, &mut |_| n += 1);
            t = t.min(begun.elapsed().as_secs_f64());
        }
        println!("{path}: {} MB, {n} found, {:.0} MB/s", text.len() / 1_000_000, text.len() as f64 / t / 1e6);
        let mut by = std::collections::BTreeMap::new();
        rules.find(&text, &mut |f| *by.entry(f.rule.id.clone()).or_insert(0) += 1);
        println!("{by:?}");
    }
}
