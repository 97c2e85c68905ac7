//! The parameters of a request, read as strictly as a body.

/// The parameters of a query with their values, each once and each one that the page knows. Nothing is decoded, because no
/// name, no id and no number has a character that is encoded in a query.
pub(super) fn parameters<'q>(
    query: &'q str,
    known: &[&str],
) -> Result<Vec<(&'q str, &'q str)>, &'static str> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, given) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&name) {
            return Err("it has a parameter that this page does not know");
        }
        if all.iter().any(|(seen, _)| *seen == name) {
            return Err("a parameter is given twice");
        }
        all.push((name, given));
    }
    Ok(all)
}
