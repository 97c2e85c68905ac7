use std::ops::Range;

use crate::candidate::{CandidateSource, NamedValue};
use crate::inline_context::program_options::{
    OF_CURL, PIPED, PROGRAMS, PasswordPosition, ProgramOptions, names_a_program,
};
use crate::inline_context::words::unquoted;

/// Passwords on command lines and in pipes: `mysql -pvalue`, `curl -u user:value`, `docker login -u app -p value`,
/// `-passin pass:value`, `echo app:value | chpasswd`.
pub(crate) fn in_commands(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    // Most lines are no commands: they have no option, no verb and no pipe.
    let says = |word: &Range<usize>| {
        let word = raw(word);
        let option = matches!(word, [b'-', b'-' | b'a'..=b'z' | b'A'..=b'Z', ..] | [b'/', b'p', b':', ..]);
        option || word == b"|" || said(word).is_some() || is_plain(word)
    };
    if !words.iter().any(says) {
        return;
    }
    let programs: Vec<&[u8]> = words.iter().map(|word| program(raw(word))).collect();
    let mut add = |span: Range<usize>| {
        found.push(("password".to_owned(), unquoted(line, &span), CandidateSource::Place))
    };
    let any = programs.iter().any(|name| names_a_program(name, false));
    for takes in PROGRAMS.iter().filter(|_| any) {
        let named = |name: &&[u8]| takes.programs.iter().any(|one| one.as_bytes() == *name);
        let Some(first) = programs.iter().position(named) else { continue };
        let verb = |verb: &str| words.iter().skip(first).position(|word| raw(word) == verb.as_bytes());
        let Some(first) = takes.verb.map_or(Some(first), |one| Some(first + verb(one)?)) else { continue };
        taken(line, words.get(first + 1..).unwrap_or_default(), takes, &mut add);
    }
    // A long command continues on lines of its own.
    let goes_on = words.first().is_some_and(|first| raw(first).starts_with(b"-"));
    if goes_on && !programs.contains(&b"curl".as_slice()) {
        taken(line, words, &OF_CURL, &mut add);
    }
    // `htpasswd -b FILE USER PASSWORD`.
    let batch = |word: &Range<usize>| raw(word).starts_with(b"-") && raw(word).contains(&b'b');
    let first = programs.iter().position(|name| *name == b"htpasswd");
    if first.is_some_and(|first| words.iter().skip(first).any(batch)) {
        words.last().into_iter().for_each(|last| add(last.clone()));
    }
    for word in words {
        if let Some(password) = said(raw(word)) {
            add(word.end - password.len()..word.end);
        }
    }
    in_pipes(line, words, &mut add);
}

/// `net use Z: \\nas\share VALUE /user:bob` of Windows: the word that is no drive, share or option.
pub(crate) fn in_shares(line: &[u8], words: &[Range<usize>], found: &mut Vec<NamedValue>) {
    let raw = |span: &Range<usize>| line.get(unquoted(line, span)).unwrap_or_default();
    let is = |word: &Range<usize>, name: &[u8]| program(raw(word)).eq_ignore_ascii_case(name);
    let mounts = |pair: &[Range<usize>]| match pair {
        [net, verb] => {
            let ends = raw(verb).last_chunk::<3>().is_some_and(|end| end.eq_ignore_ascii_case(b"use"));
            ends && is(verb, b"use") && (is(net, b"net") || is(net, b"net.exe"))
        }
        _ => false,
    };
    let Some(at) = words.windows(2).position(mounts) else { return };
    let ends =
        |word: &&Range<usize>| raw(word).iter().any(|byte| matches!(byte, b'|' | b'>')) || raw(word) == b"&&";
    let given: Vec<&Range<usize>> = words.iter().skip(at + 2).take_while(|word| !ends(word)).collect();
    let is_share = |word: &Range<usize>| raw(word).starts_with(br"\\");
    let other =
        |word: &Range<usize>| is_share(word) || raw(word).starts_with(b"/") || raw(word).ends_with(b":");
    let mut left = given.iter().filter(|word| !other(word));
    if let (Some(password), None) = (left.next(), left.next())
        && given.iter().any(|word| is_share(word))
    {
        found.push(("password".to_owned(), unquoted(line, password), CandidateSource::Place));
    }
}

/// Whether a word names a program that takes a password on its command line, also with its folder.
pub(crate) fn is_program(word: &[u8]) -> bool {
    names_a_program(word.rsplit(|byte| *byte == b'/').next().unwrap_or_default(), false)
}

/// Whether a word names a program that takes a password without an option.
fn is_plain(word: &[u8]) -> bool {
    names_a_program(program(word), true)
}

/// The passwords among the words after a program.
fn taken(line: &[u8], words: &[Range<usize>], takes: &ProgramOptions, add: &mut dyn FnMut(Range<usize>)) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    let mut part = |word: &Range<usize>| {
        if let Some(span) = behind_sign(line, word, takes.sign) {
            add(span);
        }
    };
    match takes.place {
        PasswordPosition::Joined(letters) => {
            for word in words {
                let letter = letters.iter().find(|letter| raw(word).starts_with(letter.as_bytes()));
                // The option prompts for it.
                if let Some(letter) = letter.filter(|letter| word.len() > letter.len() + 1) {
                    part(&(word.start + letter.len()..word.end));
                }
            }
        }
        PasswordPosition::Next(letters) => {
            for pair in words.windows(2) {
                let [letter, next] = pair else { continue };
                if letters.iter().any(|one| one.as_bytes() == last_letter(raw(letter), takes)) {
                    part(next);
                }
            }
            for word in words {
                let long = letters.iter().filter(|letter| letter.starts_with("--"));
                let sign = |letter: &&str| raw(word).strip_prefix(letter.as_bytes())?.strip_prefix(b"=");
                if let Some(value) = long.filter_map(sign).next() {
                    part(&(word.end - value.len()..word.end));
                }
            }
        }
        PasswordPosition::Word(number) => {
            let word = number.checked_sub(1).and_then(|at| words.get(at));
            word.filter(|word| !raw(word).starts_with(b"-")).into_iter().for_each(part);
        }
        PasswordPosition::Signed => words.iter().for_each(part),
    }
}

/// The last of curl's options in one word, if those before it take no argument: `-sSu` is `-u`.
fn last_letter<'w>(word: &'w [u8], takes: &ProgramOptions) -> &'w [u8] {
    match word {
        [b'-', before @ .., b'u'] if takes.programs == OF_CURL.programs && !before.is_empty() => {
            if before.iter().all(|byte| b"01246GIJLNOSRafgijklnpqsv#".contains(byte)) { b"-u" } else { word }
        }
        _ => word,
    }
}

/// The password after a user name; the whole word if no user name is expected.
fn behind_sign(line: &[u8], word: &Range<usize>, sign: Option<u8>) -> Option<Range<usize>> {
    let Some(sign) = sign else { return Some(word.clone()) };
    let login = unquoted(line, word);
    let raw = line.get(login.clone())?;
    let start =
        login.start + raw.iter().position(|byte| *byte == sign).filter(|at| *at > 0 || sign == b':')? + 1;
    match sign {
        // Some services take a token as the user, without a password.
        b':' if start == login.end => Some(login.start..start - 1),
        // The name of a database follows.
        b'/' => {
            let at = line.get(start..login.end)?.iter().rposition(|byte| *byte == b'@');
            at.map(|at| start..start + at)
        }
        _ => Some(start..login.end),
    }
}

/// `pass:value` of OpenSSL, `/pass:value` of Windows.
fn said(word: &[u8]) -> Option<&[u8]> {
    word.strip_prefix(b"/").unwrap_or(word).strip_prefix(b"pass:")
}

/// The name of a program, without folder, quote or call.
fn program(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| b"/\\\"'`($".contains(byte)).next().unwrap_or_default()
}

fn in_pipes(line: &[u8], words: &[Range<usize>], add: &mut dyn FnMut(Range<usize>)) {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    let ends = |word: &Range<usize>| raw(word).ends_with(b";") || matches!(raw(word), b"&&" | b"||" | b"&");
    for command in words.split_inclusive(ends) {
        let mut rest = command;
        while let Some(pipe) = rest.iter().position(|word| raw(word) == b"|") {
            let (before, behind) = rest.split_at_checked(pipe).unwrap_or_default();
            rest = behind.get(1..).unwrap_or_default();
            let has = |word: &&str| {
                let mut names = rest.iter().map(|span| {
                    let word = raw(span);
                    program(word.strip_suffix(b";").unwrap_or(word))
                });
                names.any(|name| name == word.as_bytes())
            };
            let Some((_, login)) = PIPED.iter().find(|(says, _)| says.iter().all(has)) else { continue };
            let Some(said) = said_by(line, before).map(|said| unquoted(line, said)) else { continue };
            let colon = raw(&said).iter().position(|byte| *byte == b':').filter(|_| *login);
            add(colon.map_or(said.start, |at| said.start + at + 1)..said.end);
        }
    }
}

/// The output of `echo VALUE` or `printf '%s' VALUE`: its last word.
fn said_by<'w>(line: &[u8], words: &'w [Range<usize>]) -> Option<&'w Range<usize>> {
    let raw = |span: &Range<usize>| line.get(span.clone()).unwrap_or_default();
    let echo = words.iter().rposition(|word| matches!(program(raw(word)), b"echo" | b"printf"))?;
    let (said, between) = words.get(echo + 1..)?.split_last()?;
    let form =
        |word: &Range<usize>| raw(word).starts_with(b"-") || raw(&unquoted(line, word)).starts_with(b"%");
    between.iter().all(form).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inline_context::words::words;

    fn shown(line: &str) -> Vec<&str> {
        let mut found = Vec::new();
        in_commands(line.as_bytes(), &words(line.as_bytes()), &mut found);
        found.into_iter().map(|one| &line[one.1]).collect()
    }

    #[test]
    fn a_password_is_after_the_letter_of_its_program() {
        for line in [
            "mysqldump -u root -pkD93hfQ0plm4 shop",
            "mysql -uroot -p'kD93hfQ0plm4' shop",
            "run(\"mysql -pkD93hfQ0plm4 shop\")",
            "sshpass -pkD93hfQ0plm4 ssh h",
            "sshpass -p kD93hfQ0plm4 ssh h",
            "/usr/bin/curl -u 'admin:kD93hfQ0plm4' http://h",
            "  -u developer:kD93hfQ0plm4",
            "curl -u kD93hfQ0plm4: http://h",
            "curl -u \":kD93hfQ0plm4\" http://h",
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
            "echo kD93hfQ0plm4 | sudo -S id",
            "http -a admin:kD93hfQ0plm4 GET https://h/x",
            "smbclient //nas/share -U 'bob%kD93hfQ0plm4'",
            "lftp -u bob,kD93hfQ0plm4 ftp.h",
            "sqlcmd -S db -U sa -P kD93hfQ0plm4 -Q x",
            "sqlplus -s scott/kD93hfQ0plm4@orcl",
            "xfreerdp /u:bob /p:kD93hfQ0plm4 /v:h",
            "7z a -pkD93hfQ0plm4 out.7z a",
            "keytool -list -storepass kD93hfQ0plm4 -keystore k",
            "rabbitmqctl add_user app kD93hfQ0plm4",
            "vault login kD93hfQ0plm4",
            "mc alias set minio https://h key kD93hfQ0plm4",
            "aws configure set aws_secret_access_key kD93hfQ0plm4",
            "ls | wc -l; echo 'kD93hfQ0plm4' | docker login --password-stdin",
            "ls | wc -l && echo kD93hfQ0plm4 | docker login --password-stdin; ls",
            "printf '%s' 'kD93hfQ0plm4' | docker login --password-stdin",
            "echo -n kD93hfQ0plm4 | tr -d x | docker login -u app --password-stdin",
            "curl --user=app:kD93hfQ0plm4 http://h",
            "curl -uapp:kD93hfQ0plm4 http://h",
            "curl -sSu app:kD93hfQ0plm4 http://h",
            "docker login -pkD93hfQ0plm4 registry",
            "snmpwalk -v2c -c kD93hfQ0plm4 h",
            "snmpget -v3 -u bob -l authPriv -a SHA -A kD93hfQ0plm4 h sysDescr.0",
            "./check_snmp -H h -C 'kD93hfQ0plm4' -o x",
        ] {
            assert_eq!(shown(line), ["kD93hfQ0plm4"], "{line}");
        }
    }

    #[test]
    fn a_share_is_mounted_with_a_password() {
        let shown = |line: &'static str| {
            let mut found = Vec::new();
            in_shares(line.as_bytes(), &words(line.as_bytes()), &mut found);
            found.into_iter().map(|one| &line[one.1]).collect::<Vec<_>>()
        };
        for line in [
            r"net use Z: \\nas\share kD93hfQ0plm4 /user:CORP\bob /persistent:no",
            r"NET USE \\nas\share /user:bob kD93hfQ0plm4 >nul 2>&1",
            r#"C:\Windows\System32\net.exe use "\\nas\share" "kD93hfQ0plm4""#,
        ] {
            assert_eq!(shown(line), ["kD93hfQ0plm4"], "{line}");
        }
        for line in [
            r"net use Z: \\nas\share /user:bob",
            r"net use Z: /delete",
            r"the net use of kD93hfQ0plm4",
            r"net user bob kD93hfQ0plm4 \\nas\share",
            r"net use \\nas\share one of kD93hfQ0plm4",
        ] {
            assert!(shown(line).is_empty(), "{line}");
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
            "vault login -method=userpass",
            "sqlplus scripts/kD93hfQ0plm4",
            "msbuild /p:kD93hfQ0plm4",
            "test -a admin:kD93hfQ0plm4",
            "curl -ou app:kD93hfQ0plm4 http://h",
            "echo kD93hfQ0plm4 | tee file; sudo -S id",
            "docker compose -pkD93hfQ0plm4 up",
            "echo some of kD93hfQ0plm4 | sudo -S id",
        ] {
            assert!(shown(line).is_empty(), "{line}");
        }
    }
}
