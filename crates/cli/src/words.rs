/// Splits a command as a shell would: blanks, single and double quotes, backslashes; nothing is expanded.
/// `None` where a quote or a backslash stays open, or no word is there.
pub(crate) fn split(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = command.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let open = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        c => open.push(c),
                    }
                }
            }
            '"' => {
                let open = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' => open.push(rest.next()?),
                        c => open.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn commands_are_split_as_a_shell_does() {
        assert_eq!(split("./r.sh  2").unwrap(), ["./r.sh", "2"]);
        assert_eq!(split(r#"a 'b c' "d \" e" f\ g '' $x"#).unwrap(), ["a", "b c", "d \" e", "f g", "", "$x"]);
        for open in ["", "  ", "'a", "\"a", "a\\"] {
            assert!(split(open).is_none(), "{open}");
        }
    }
}
