/// How much of a call's arguments is read, bytes.
const ARGUMENTS_BYTES_MAX: usize = 2_000;

/// The file that a call in a program's text makes a library read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Which {
    /// The file with this path, relative to the working folder.
    Named(String),
    /// A file with this name in the folder of the text or in one above it.
    Above(String),
    /// A file with this name in the working folder or in one above it.
    AboveHere(String),
    /// `.env` of the working folder.
    Here,
    /// The path is computed.
    Computed,
}

/// A call that reads a file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) which: Which,
    /// Its variables win over the environment.
    pub(super) overrides: bool,
}

/// The calls of a text, in its order. Source: python-dotenv 1.0.1, `load_dotenv`, `find_dotenv`; dotenv 16 of npm,
/// `config`.
pub(super) fn calls(text: &str, python: bool) -> Vec<Call> {
    let mut all: Vec<Call> = Vec::new();
    for begin in ["load_dotenv(", "dotenv.config(", "dotenv').config(", "dotenv\").config("] {
        for (at, _) in text.match_indices(begin) {
            // A commented line, or the definition of the function.
            let line =
                text.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default().trim_start();
            if line.starts_with(['#', '*']) || line.starts_with("//") || line.starts_with("def ") {
                continue;
            }
            let arguments = arguments(text.get(at + begin.len()..).unwrap_or_default());
            let of_python = begin == "load_dotenv(";
            let which = if of_python { python_names(arguments) } else { node_names(arguments) };
            all.push(Call { which, overrides: overrides(arguments) });
        }
    }
    let speaks = text.contains("dotenv") || text.contains(".env\"") || text.contains(".env'");
    if all.is_empty() && speaks {
        let which = if python { Which::Above(".env".to_owned()) } else { Which::Here };
        all.push(Call { which, overrides: overrides(text) });
    }
    all
}

/// Up to the bracket that closes the call.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    for (at, letter) in text.char_indices().take(ARGUMENTS_BYTES_MAX) {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text.get(..at).unwrap_or_default();
        }
    }
    ""
}

fn overrides(text: &str) -> bool {
    let packed: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    packed.contains("override=True") || packed.contains("override:true")
}

fn python_names(arguments: &str) -> Which {
    let dotenv = || ".env".to_owned();
    if let Some((_, inner)) = arguments.split_once("find_dotenv(") {
        let name = literal(inner.trim_start().trim_start_matches("filename=")).unwrap_or_else(dotenv);
        let packed: String = inner.chars().filter(|letter| !letter.is_whitespace()).collect();
        return if packed.contains("usecwd=True") { Which::AboveHere(name) } else { Which::Above(name) };
    }
    let first = arguments.trim_start();
    let named = first
        .split_once("dotenv_path")
        .map(|(_, rest)| rest.trim_start().trim_start_matches('=').trim_start());
    let plain = first.split(['=', ',']).next().unwrap_or_default().trim();
    let keyword = ["override", "verbose", "interpolate", "encoding"].contains(&plain);
    match named {
        Some(rest) => literal(rest).map_or(Which::Computed, Which::Named),
        None if first.is_empty() || keyword => Which::Above(dotenv()),
        None => literal(first).map_or(Which::Computed, Which::Named),
    }
}

fn node_names(arguments: &str) -> Which {
    let Some((_, rest)) = arguments.split_once("path") else { return Which::Here };
    let rest = rest.trim_start_matches(['"', '\'']).trim_start();
    let rest = rest.strip_prefix(':').map(str::trim_start);
    rest.and_then(literal).map_or(Which::Computed, Which::Named)
}

/// A quoted text that is the whole argument.
fn literal(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '\'' | '`'))?;
    let (inner, behind) = text.get(1..)?.split_once(quote)?;
    let alone = behind.trim_start().chars().next().is_none_or(|letter| matches!(letter, ',' | ')' | '}'));
    (alone && !inner.is_empty() && !inner.contains(['\\', '$', '{'])).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_says_of_its_file_is_read_and_nothing_else_is_guessed() {
        let of = |text: &str, python: bool| -> Vec<(Which, bool)> {
            calls(text, python).into_iter().map(|call| (call.which, call.overrides)).collect()
        };
        let above = |name: &str| Which::Above(name.to_owned());
        let named = |name: &str| Which::Named(name.to_owned());
        for (text, which, overrides) in [
            ("load_dotenv()", above(".env"), false),
            ("load_dotenv(override = True)", above(".env"), true),
            ("load_dotenv('conf/.env')", named("conf/.env"), false),
            ("load_dotenv(dotenv_path=\"/srv/x.env\", override=True)", named("/srv/x.env"), true),
            ("load_dotenv(find_dotenv(usecwd=True))", Which::AboveHere(".env".to_owned()), false),
            ("load_dotenv(find_dotenv('x.env'))", above("x.env"), false),
            ("load_dotenv(Path(__file__).parent / 'x')", Which::Computed, false),
            ("load_dotenv(f'{home}/.env')", Which::Computed, false),
            ("import dotenv\n# load_dotenv('no')\n", above(".env"), false),
            ("require('dotenv').config()", Which::Here, false),
            ("dotenv.config({ path: './a.env', override: true })", named("./a.env"), true),
            ("dotenv.config({ path: join(home, 'a.env') })", Which::Computed, false),
        ] {
            assert_eq!(of(text, !text.contains("config")), [(which, overrides)], "{text}");
        }
        assert_eq!(of("import 'dotenv/config'", false), [(Which::Here, false)]);
        assert_eq!(of("print('nothing')", true), []);
        assert_eq!(of("load_dotenv('a')\nload_dotenv('b')", true).len(), 2);
    }
}
