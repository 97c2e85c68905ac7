//! The words of a command line that may be shown: nobody but its program knows what the others mean.

use std::path::Path;

use super::source::word;

/// The longest number: of a port, of workers.
const DIGITS_MAX: usize = 5;

/// Words by which programs name what they do.
const VERBS: [&str; 14] = [
    "start",
    "run",
    "serve",
    "server",
    "worker",
    "workers",
    "web",
    "api",
    "main",
    "up",
    "daemon",
    "dev",
    "prod",
    "scheduler",
];

/// Options that are followed by a module.
const OF_MODULES: [&str; 7] = ["-m", "-A", "-k", "--app", "--worker-class", "-r", "--require"];

/// Letters that turn the direction of a text, or that nobody sees.
const UNSEEN: [(char, char); 5] = [
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ad}', '\u{ad}'),
];

/// A text as a shell takes it, as one word. `None` = it moves a cursor, or is not shown as it is.
pub(super) fn shown_word(text: &str) -> Option<String> {
    let odd =
        |letter: char| letter.is_control() || UNSEEN.iter().any(|(from, to)| (*from..=*to).contains(&letter));
    (!text.contains(odd)).then(|| word(text))
}

/// The words behind the program's name. `None` = one of them may be a secret: it is neither an option, nor a file, nor a
/// number, an address, a module or a verb.
pub(super) fn allowed_words(words: &[impl AsRef<str>], folder: &Path) -> Option<Vec<String>> {
    let mut before = "";
    let mut all = Vec::new();
    for one in words {
        let text = one.as_ref();
        let value = text.split_once('=').filter(|(name, _)| is_option(name));
        let good = match value {
            Some((_, value)) => is_value(value, folder),
            None => {
                is_option(text) || is_value(text, folder) || VERBS.contains(&text) || is_module(text, before)
            }
        };
        if !good {
            return None;
        }
        all.push(shown_word(text)?);
        before = text;
    }
    Some(all)
}

/// `-w`, `--reload`, `--env-file`: an option without a value.
fn is_option(text: &str) -> bool {
    let Some(name) = text.strip_prefix("--") else {
        let letter = text.strip_prefix('-').filter(|name| name.len() == 1);
        return letter.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    name.split('-').all(plain)
}

fn is_value(text: &str, folder: &Path) -> bool {
    is_number(text) || is_address(text) || is_path(text, folder)
}

fn is_number(text: &str) -> bool {
    (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `127.0.0.1`, `0.0.0.0:8000`, `[::]:80`, `localhost:80`
fn is_address(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    text.parse::<std::net::IpAddr>().is_ok() || is_number(port) && (ip || host == "localhost")
}

/// A file or folder that is there, or a socket in a folder that is there.
fn is_path(text: &str, folder: &Path) -> bool {
    let socket = text.strip_prefix("unix:").map(|path| folder.join(path));
    let in_folder = |path: &Path| path.parent().is_some_and(Path::is_dir);
    !text.is_empty() && folder.join(text).exists() || socket.is_some_and(|path| in_folder(&path))
}

/// `shop.main` behind `-m`, `app:app` of a server, `dotenv/config` behind `-r`: words without digits, of which at least
/// one part says that it is a module.
fn is_module(text: &str, before: &str) -> bool {
    let name =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let (module, object) = text.split_once(':').unwrap_or((text, "x"));
    let named = module.split(['.', '/']).all(name) && object.split('.').all(name);
    named && (OF_MODULES.contains(&before) || text.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_everybody_knows_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("api.py"), "").unwrap();
        std::fs::write(folder.path().join("it's $HOME"), "").unwrap();
        let shown = |line: &str| {
            let words: Vec<&str> = line.split('|').collect();
            allowed_words(&words, folder.path()).map(|all| all.join(" "))
        };
        for (line, wanted) in [
            ("api.py|--reload|--port=8000|-w|4", "api.py --reload --port=8000 -w 4"),
            ("--bind|0.0.0.0:8000|--host|127.0.0.1|app:app", "--bind 0.0.0.0:8000 --host 127.0.0.1 app:app"),
            ("-m|shop.main|start", "-m shop.main start"),
            ("-r|dotenv/config|api.py", "-r dotenv/config api.py"),
            ("it's $HOME", "'it'\\''s $HOME'"),
        ] {
            assert_eq!(shown(line).as_deref(), Some(wanted));
        }
        for line in [
            "-pGx7kQ9mZ",
            "-psecret",
            "-u|alice:S3cretPw99",
            "--auth=alice:S3cretPw99",
            "--key|8f3a9c1d7e5b2046",
            "--pin|482913",
            "app/S3cretPw99@ORCL",
            "--dsn=app:S3cretPw99@tcp(db:3306)/x",
            "https://hooks.example/services/T00/B00",
            "--cookie=session=abcdef",
            "-p|hunter",
            "--unlock=hunter",
            "correct",
            "-c|echo",
            "{\"password\":\"x\"}",
            "Authorization: Bearer abc",
        ] {
            assert_eq!(shown(line), None, "{line}");
        }
        assert_eq!(shown_word("a\u{202e}b"), None);
        assert_eq!(shown_word("a\nb"), None);
    }
}
