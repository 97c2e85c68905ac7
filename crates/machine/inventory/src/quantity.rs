//! Counts with their unit.

/// A count and its noun, with an `s` unless it is one: `1 instance`, `2 instances`.
pub fn quantity(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::quantity;

    #[test]
    fn one_is_singular() {
        let shown = [0, 1, 2].map(|count| quantity(count, "instance"));
        assert_eq!(shown, ["0 instances", "1 instance", "2 instances"]);
    }
}
