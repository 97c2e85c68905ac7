//! The template of a line contains no other secret of that line, whether or not that secret was found.

use keyroll_trace::{Writable, writable};

use super::{Home, generated, of};

/// Lines with the value at `@` and an unknown short password at `#`, and the template for each.
const LINES: [(&str, Option<&str>); 9] = [
    ("Environment=\"DB_PASSWORD=#\" \"OPENAI_API_KEY=@\"", Some("OPENAI_API_KEY={value}\"")),
    ("ExecStart=/bin/bot --db-password=# --api-key=@ --fast", Some("--api-key={value} ")),
    ("Environment=DB_PASSWORD=# OPENAI_API_KEY=@", Some("OPENAI_API_KEY={value}")),
    ("ExecStart=/bin/bot # --api-key @", None),
    ("ExecStart=/bin/curl -u bot:# -H \"Authorization: Bearer @\" http://127.0.0.1/", None),
    ("Environment=OPENAI_API_KEY=#:@", None),
    ("Environment=OPENAI_API_KEY=@ DB_PASSWORD=#", Some("OPENAI_API_KEY={value} ")),
    ("Environment=DB_PASSWORD=# DB_URL=postgres://app:@@h/d", Some("postgres://app:{value}@")),
    ("Environment=DB_URL=https://#:@@h/d", None),
];

#[test]
fn a_template_holds_no_other_secret_of_its_line() {
    let home = Home::new();
    let planted: Vec<(String, String)> = LINES
        .iter()
        .enumerate()
        .map(|(number, (line, _))| {
            // Too short to be redacted from the output.
            let (value, short) = (generated(), generated()[..9].to_owned());
            let line = line.replace('#', &short).replacen('@', &value, 1);
            home.write(&format!("unit{number}.service"), format!("[Service]\n{line}\n"));
            // The value also stands alone in another file, so it is known.
            home.write(&format!("known{number}.env"), format!("OPENAI_API_KEY={value}\n"));
            (value, short)
        })
        .collect();
    let survey = home.survey();
    for (number, ((line, wanted), (value, short))) in LINES.iter().zip(&planted).enumerate() {
        let known = of(&survey, value)[0].value;
        let path = home.at(&format!("unit{number}.service"));
        let drafted = writable(&survey, (&path, 2), "", known);
        let template = match &drafted {
            Ok(Writable::Within(template)) => Some(template.as_str()),
            Ok(Writable::Slot(..)) => panic!("{line}: in a place"),
            Err(_) => None,
        };
        assert!(
            template.is_none_or(|template| !template.contains(short.as_str())),
            "{line}: with another secret"
        );
        assert_eq!(template, *wanted, "{line}");
    }
}

#[test]
fn an_ordinary_word_that_is_a_value_is_not_written_as_a_name() {
    let home = Home::new();
    let (value, word) = (generated(), "mytoken".to_owned() + &generated()[2..4]);
    home.write("known.env", format!("OPENAI_API_KEY={value}\nDB_PASSWORD={word}\n"));
    let path = home.write("bot.service", format!("[Service]\nExecStart=/bin/bot {word}={value}\n"));
    let survey = home.survey();
    let known = of(&survey, &value)[0].value;
    let named = of(&survey, &word).iter().any(|one| one.name.as_deref() == Some("DB_PASSWORD"));
    assert!(named, "it is not known");
    assert!(writable(&survey, (&path, 2), &word, known).is_err());
}
