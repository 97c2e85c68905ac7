use super::expansion::COMPUTED;
use super::state::Why;
use super::tokens::{Tokens, substitution};

/// A file whose lines a substitution prints.
pub(super) struct Printed<'t> {
    /// The word that names it; none if only names of variables are printed.
    pub(super) file: Option<&'t str>,
    /// Perhaps not all of its lines.
    pub(super) part: bool,
}

/// The file that the commands of a substitution print: `grep -v '^#' .env | xargs`, `<.env`.
pub(super) fn printed(word: &str) -> Result<Printed<'_>, Why> {
    let mut tokens = Tokens::of(substitution(word).ok_or(COMPUTED)?);
    let (mut file, mut part, mut names) = (None, false, false);
    loop {
        let (mut words, mut input) = (Vec::new(), None);
        while let Some(token) = tokens.peek().filter(|token| !token.operator || token.redirects()) {
            tokens.at += 1;
            match tokens.peek().filter(|_| token.operator) {
                Some(target) => {
                    tokens.at += 1;
                    input = Some(target.text).filter(|_| token.is("<")).or(input);
                }
                None => words.push(token.text),
            }
        }
        let (named, partly, only_names) = printer(&words)?;
        (part, names) = (part || partly, names || only_names);
        file = named.or(input).or(file);
        if !tokens.take("|") {
            break;
        }
    }
    if tokens.peek().is_some() || tokens.torn || file.is_none() {
        return Err(COMPUTED);
    }
    Ok(Printed { file: file.filter(|_| !names), part })
}

/// The file that one command prints, whether it may leave out lines, and whether it leaves out the values.
fn printer<'t>(words: &[&'t str]) -> Result<(Option<&'t str>, bool, bool), Why> {
    let Some((name, rest)) = words.split_first() else { return Ok((None, false, false)) };
    let option = |one: &str| rest.iter().any(|word| word.starts_with('-') && word.contains(one));
    let takes_next = |word: &str| match *name {
        "cut" => matches!(word, "-d" | "-f" | "-c"),
        "head" | "tail" => matches!(word, "-n" | "-c"),
        "grep" | "egrep" | "sed" | "awk" => matches!(word, "-e" | "-f" | "-F" | "-m"),
        _ => false,
    };
    let mut operands = Vec::new();
    let mut before = "";
    for word in rest {
        if !takes_next(before) && (!word.starts_with('-') || *word == "-") {
            operands.push(*word);
        }
        before = word;
    }
    let given = rest.iter().any(|word| matches!(*word, "-e" | "-f") || word.starts_with("--regexp"));
    let pattern = operands.first().copied().unwrap_or_default();
    match *name {
        "cat" => Ok((operands.last().copied(), operands.len() > 1, false)),
        "grep" | "egrep" => {
            let general = option("v") || pattern.contains('[') || pattern.trim_matches(['"', '\'']) == "=";
            Ok((operands.get(usize::from(!given)..).and_then(<[_]>::last).copied(), !general, false))
        }
        "sed" | "awk" => {
            let names = pattern.contains("=.*//") || pattern.contains("=.*$//");
            Ok((operands.get(usize::from(!given)..).and_then(<[_]>::last).copied(), *name == "awk", names))
        }
        "cut" => {
            let first = rest.windows(2).any(|two| matches!(two, ["-f", "1"]));
            Ok((operands.last().copied(), false, first || rest.contains(&"-f1")))
        }
        "head" | "tail" => Ok((operands.last().copied(), true, false)),
        "tr" => Ok((None, false, false)),
        // Its operands are a program.
        "xargs" => {
            let of = rest.iter().position(|word| matches!(*word, "-a" | "--arg-file"));
            Ok((of.and_then(|at| rest.get(at + 1)).copied(), false, false))
        }
        _ => Err(COMPUTED),
    }
}
