use std::ops::Range;

use crate::beside::{Beside, unquoted};
use crate::candidates::By;

/// A program, and the letter behind which it takes a password.
struct Letter {
    program: &'static [u8],
    letter: &'static [u8],
    /// A word that must stand between them.
    verb: Option<&'static [u8]>,
    /// The password may stand in the same word.
    joined: bool,
    /// The password may stand in the next word.
    apart: bool,
}

impl Letter {
    const fn joined(program: &'static [u8]) -> Self {
        Self { program, letter: b"-p", verb: None, joined: true, apart: false }
    }

    const fn apart(program: &'static [u8], letter: &'static [u8]) -> Self {
        Self { program, letter, verb: None, joined: false, apart: true }
    }

    const fn login(program: &'static [u8]) -> Self {
        Self { program, letter: b"-p", verb: Some(b"login"), joined: false, apart: true }
    }
}

/// What the manuals of these programs say.
const LETTERS: [Letter; 20] = [
    Letter::joined(b"mysql"),
    Letter::joined(b"mysqldump"),
    Letter::joined(b"mysqladmin"),
    Letter::joined(b"mysqlimport"),
    Letter::joined(b"mariadb"),
    Letter { program: b"sshpass", letter: b"-p", verb: None, joined: true, apart: true },
    Letter::apart(b"mongo", b"-p"),
    Letter::apart(b"mongosh", b"-p"),
    Letter::apart(b"mongodump", b"-p"),
    Letter::apart(b"mongorestore", b"-p"),
    Letter::apart(b"redis-cli", b"-a"),
    Letter::apart(b"ldapsearch", b"-w"),
    Letter::apart(b"ldapmodify", b"-w"),
    Letter::apart(b"ldapadd", b"-w"),
    Letter::apart(b"openssl", b"-k"),
    Letter::login(b"docker"),
    Letter::login(b"podman"),
    Letter::login(b"helm"),
    Letter::login(b"az"),
    Letter::login(b"oc"),
];

/// Programs that read a password from what is piped to them, and whether that has the user's name and a colon before it.
const PIPED: [(&[u8], bool); 2] = [(b"chpasswd", true), (b"--password-stdin", false)];

/// What programs are given on their command lines behind a letter, or through a pipe: `mysql -pvalue`, `curl -u user:value`,
/// `docker login -u app -p value`, `-passin pass:value`, `echo app:value | chpasswd`.
pub(crate) fn in_commands(line: &[u8], words: &[Range<usize>], found: &mut Vec<Beside>) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    // Most lines are no command: nothing in them stands behind a letter, and nothing is piped.
    let option = |word: &Range<usize>| matches!(raw(word), [b'-', b'-' | b'a'..=b'z', ..]);
    let dash = words.iter().any(option);
    let says = |word: &Range<usize>| raw(word) == b"|" || said(raw(word)).is_some();
    if !dash && !words.iter().any(says) {
        return;
    }
    let programs: Vec<&[u8]> = words.iter().map(|word| program(raw(word))).collect();
    let at = |name: &[u8]| programs.iter().position(|program| *program == name);
    let behind = |letter: &Letter| {
        let first = at(letter.program)?;
        let verb = |verb| words.iter().skip(first).position(|word| raw(word) == verb);
        letter.verb.map_or(Some(first), |one| Some(first + verb(one)?))
    };
    let mut add = |span: Range<usize>| found.push(("password".to_owned(), unquoted(line, &span), By::Place));
    for letter in LETTERS.iter().filter(|_| dash) {
        let Some(first) = behind(letter) else { continue };
        for (index, word) in words.iter().enumerate().skip(first + 1) {
            let rest = raw(word).strip_prefix(letter.letter);
            match (rest, words.get(index + 1)) {
                (Some([]), Some(next)) if letter.apart => add(next.clone()),
                (Some([_, _, ..]), _) if letter.joined => add(word.start + letter.letter.len()..word.end),
                _ => {}
            }
        }
    }
    // A long command goes on in lines of its own.
    let goes_on = words.first().is_some_and(|first| raw(first).starts_with(b"-"));
    if dash && (goes_on || at(b"curl").is_some()) {
        for pair in words.windows(2) {
            let [flag, login] = pair else { continue };
            if matches!(raw(flag), b"-u" | b"--user") {
                let login = unquoted(line, login);
                let colon = raw(&login).iter().position(|byte| *byte == b':');
                let Some(colon) = colon.map(|at| login.start + at) else { continue };
                // Some services take a token for the user, without a password.
                add(if colon + 1 < login.end { colon + 1..login.end } else { login.start..colon });
            }
        }
    }
    // `htpasswd -b FILE USER PASSWORD`.
    let batch = |word: &Range<usize>| raw(word).starts_with(b"-") && raw(word).contains(&b'b');
    if at(b"htpasswd").is_some_and(|first| words.iter().skip(first).any(batch)) {
        words.last().into_iter().for_each(|last| add(last.clone()));
    }
    for word in words {
        if let Some(password) = said(raw(word)) {
            add(word.end - password.len()..word.end);
        }
    }
    in_pipes(line, words, &mut add);
}

/// `pass:value` of OpenSSL, `/pass:value` of Windows.
fn said(word: &[u8]) -> Option<&[u8]> {
    word.strip_prefix(b"/").unwrap_or(word).strip_prefix(b"pass:")
}

/// The name of a program, whatever folder, quote or call stands before it.
fn program(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| b"/\\\"'`($".contains(byte)).next().unwrap_or_default()
}

fn in_pipes(line: &[u8], words: &[Range<usize>], add: &mut dyn FnMut(Range<usize>)) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    let Some(pipe) = words.iter().position(|word| raw(word) == b"|") else { return };
    let reads = |(name, _): &&(&[u8], bool)| words.iter().skip(pipe).any(|word| program(raw(word)) == *name);
    let Some((_, login)) = PIPED.iter().find(reads) else { return };
    let said = pipe.checked_sub(2).and_then(|at| words.get(at..pipe));
    if let Some([echo, said]) = said
        && matches!(program(raw(echo)), b"echo" | b"printf")
    {
        let said = unquoted(line, said);
        let colon = raw(&said).iter().position(|byte| *byte == b':').filter(|_| *login);
        add(colon.map_or(said.start, |at| said.start + at + 1)..said.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beside::words;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_commands(line.as_bytes(), &words(line.as_bytes()), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_password_stands_behind_the_letter_of_its_program() {
        for line in [
            "mysqldump -u root -pkD93hfQ0plm4 shop",
            "mysql -uroot -p'kD93hfQ0plm4' shop",
            "run(\"mysql -pkD93hfQ0plm4 shop\")",
            "sshpass -pkD93hfQ0plm4 ssh h",
            "sshpass -p kD93hfQ0plm4 ssh h",
            "/usr/bin/curl -u 'admin:kD93hfQ0plm4' http://h",
            "  -u developer:kD93hfQ0plm4",
            "curl -u kD93hfQ0plm4: http://h",
            "curl --user kevin:'kD93hfQ0plm4' http://h",
            "docker login -u app -p kD93hfQ0plm4 registry",
            "mongosh -u app -p \"kD93hfQ0plm4\" shop",
            "redis-cli -a kD93hfQ0plm4 ping",
            "ldapsearch -x -w kD93hfQ0plm4 -b dc=x",
            "openssl rsa -passin pass:kD93hfQ0plm4 -in a.pem",
            "cmdkey /add:nas /pass:kD93hfQ0plm4",
            "htpasswd -nb app kD93hfQ0plm4",
            "echo app:kD93hfQ0plm4 | chpasswd",
            "RUN echo \"app:kD93hfQ0plm4\" | chpasswd",
            "echo 'kD93hfQ0plm4' | docker login --password-stdin",
        ] {
            assert_eq!(shown(line), ["kD93hfQ0plm4"], "{line}");
        }
    }

    #[test]
    fn of_other_programs_the_letter_means_something_else() {
        for line in [
            "docker run -p 8080:80 web",
            "mkdir -p some/where",
            "mysql -p",
            "docker compose -p project up",
            "htpasswd -c file app",
            "echo app:kD93hfQ0plm4 | tee file",
            "cp -pkD93hfQ0plm4 x",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
