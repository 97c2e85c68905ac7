use crate::aws::ACCOUNT_HELP;
use crate::file_shape::FileShape;
use crate::mistake::Mistake;
use crate::{ConfigError, Kind};

/// Reads the text into its shape. Every error has its position and repeats none of the text.
pub(crate) fn parse_shape(text: &str, file: &str) -> Result<FileShape, ConfigError> {
    let place = |fault: Mistake, error: &toml::de::Error| {
        let fault = error.span().into_iter().fold(fault, |fault, span| fault.at(&span));
        fault.into_error(text, file)
    };
    // Distinguish first: text that is not TOML at all, and TOML whose keys are wrong.
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        let fault = Mistake::new(Kind::Syntax, format!("not TOML: {}", without_quotes(error.message())));
        return Err(place(fault, &error));
    }
    toml::from_str::<FileShape>(text).map_err(|error| place(explain(error.message()), &error))
}

/// Turns the deserializer's message into a fault. Its messages quote the file, which may contain a value by mistake.
/// Only key names are kept, and only those of unknown keys.
fn explain(message: &str) -> Mistake {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (written, tail) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = tail.split('`').skip(1).step_by(2).collect();
        return Mistake::unknown_key(written, &known);
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let mistake = Mistake::new(Kind::WrongForm, format!("the key `{key}` is missing"));
        return if key == "account" { mistake.help(ACCOUNT_HELP) } else { mistake };
    }
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| without_quotes(expected));
    match expected {
        Some(expected) => {
            Mistake::new(Kind::WrongForm, format!("the value has the wrong form: {expected} must stand here"))
        }
        None => Mistake::new(Kind::WrongForm, without_quotes(message)),
    }
}

/// The message without anything that it quotes.
fn without_quotes(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let head = message.get(..first).unwrap_or_default();
            let tail = message.get(last..).and_then(|tail| tail.strip_prefix('"')).unwrap_or_default();
            format!("{head}…{tail}")
        }
        _ => message.lines().next().unwrap_or_default().to_owned(),
    }
}
