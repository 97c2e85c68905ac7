use keyroll_database::rusqlite::Connection;
use keyroll_testkit::alphanumeric;
use keyroll_trace::{Names, Survey, secrets};

use super::{Home, generated, of};

/// Alternating capital letters, small letters and digits: not a word, also in small letters.
fn random() -> String {
    let letters = alphanumeric(400);
    let letters = letters.chars().filter(char::is_ascii_alphabetic).take(14);
    letters.zip((0..10).cycle()).map(|(letter, digit)| format!("{letter}{digit}")).collect()
}

/// Every name that the findings show.
fn shown(survey: &Survey) -> Vec<String> {
    let names = Names::of(survey);
    let called = secrets(survey, &[]).into_iter().map(|found| found.name);
    let there = survey.sightings.iter().filter_map(|one| one.name.as_deref());
    called.chain(there.map(|name| names.shown(name))).collect()
}

/// No shown text has eight or more letters of the value, even with other capitals and marks.
fn none_has(all: &[String], value: &str) {
    let small = |text: &str| -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).collect()
    };
    assert!(!all.is_empty());
    for name in all {
        let name = small(name);
        assert!(!small(value).windows(8).any(|part| name.windows(8).any(|own| own == part)), "{all:?}");
    }
}

#[test]
fn a_document_whose_key_is_a_value_gives_nobody_its_name() {
    let home = Home::new();
    let (known, unknown) = (random(), random());
    let formed = keyroll_testkit::github_token();
    // A word that differs from other words only because it is a value.
    let word =
        format!("Summer-{}-of-1999", alphanumeric(200).chars().find(char::is_ascii_uppercase).unwrap());
    home.write(".env", format!("OTHER_API_KEY={known}\nMORE_PASSWORD={word}\n"));
    for value in [&known, &unknown, &formed, &word] {
        let path = format!("{}/tenants.json", value.len());
        home.write(&path, format!("{{\"tenants\":{{\"{value}\":{{\"token\":\"{}\"}}}}}}", generated()));
    }
    let all = shown(&home.survey());
    for value in [&known, &unknown, &formed, &word] {
        none_has(&all, value);
    }
    assert!(all.iter().any(|name| name == "tenants.….token"), "{all:?}");
    assert!(all.iter().any(|name| name == "other"), "{all:?}");
}

#[test]
fn a_key_that_has_a_value_in_another_form_gives_nobody_its_name() {
    let home = Home::new();
    let word = |letters: &str| format!("Haus-{letters}@Garten!19");
    let letters = alphanumeric(400);
    let letters: String = letters.chars().filter(char::is_ascii_lowercase).take(8).collect();
    let (first, second) = letters.split_at(4);
    let encoded = |word: &str| word.replace('@', "%40").replace('!', "%21");
    let (known, derived) = (word(first), word(second));
    // The second form is itself a value.
    let settings =
        format!("MORE_PASSWORD={known}\nOTHER_PASSWORD={derived}\nTHIRD_PASSWORD={}\n", encoded(&derived));
    home.write(".env", settings);
    for (value, name) in [(&known, "one"), (&derived, "two")] {
        let key = format!("bob:{}@registry", encoded(value));
        home.write(
            &format!("{name}/tenants.json"),
            format!("{{\"tenants\":{{\"{key}\":{{\"token\":\"{}\"}}}}}}", generated()),
        );
    }
    let all = shown(&home.survey());
    none_has(&all, &known);
    none_has(&all, &derived);
}

#[test]
fn a_row_whose_key_is_a_value_gives_nobody_its_name() {
    let home = Home::new();
    let (key, payload) = (random(), generated());
    let open = Connection::open(home.at("state.sqlite")).unwrap();
    open.execute_batch("CREATE TABLE api_keys (key TEXT, payload TEXT);").unwrap();
    open.execute("INSERT INTO api_keys VALUES (?1, ?2)", [&key, &payload]).unwrap();
    home.write(".env", format!("API_KEY={payload}\n"));
    let survey = home.survey();
    assert!(
        of(&survey, &payload).iter().any(|one| one.name.as_deref() == Some(&key)),
        "its row has that name"
    );
    none_has(&shown(&survey), &key);
}

#[test]
fn a_file_or_a_folder_that_is_called_by_a_value_gives_nobody_its_name() {
    let home = Home::new();
    let (own, folder) = (random(), random());
    home.write(&format!("keys/{own}.key"), &own);
    home.write(&format!("keys/{own}.secret"), generated());
    for folder in [&folder, "plain"] {
        home.write(&format!("{folder}/.env"), format!("SHOP_TOKEN={}\n", generated()));
    }
    let all = shown(&home.survey());
    none_has(&all, &own);
    none_has(&all, &folder);
    assert!(all.iter().any(|name| name == "shop.plain"), "{all:?}");
}
