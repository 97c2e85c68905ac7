//! Private keys with something before each of their lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_leak::{Rules, TextKind, in_anything};

/// A line of a key on a curve.
fn lines() -> Vec<String> {
    let mut der = vec![0x30, 0x77, 2, 1, 1, 4, 0x20];
    der.extend((0..114_u32).map(|at| (at * at * 31 + at * 7) as u8));
    let body = STANDARD.encode(der);
    let body = body.as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap());
    let (dashes, label) = ("-----", "EC PRIVATE KEY");
    [format!("{dashes}BEGIN {label}{dashes}")]
        .into_iter()
        .chain(body)
        .chain([format!("{dashes}END {label}{dashes}")])
        .collect()
}

fn found(text: &str) -> Vec<(&str, &str)> {
    let all = in_anything(text.as_bytes(), Rules::shipped().unwrap()).into_iter();
    let likely = all.filter(|one| one.is_likely(text.as_bytes(), TextKind::Program));
    likely.map(|one| (one.rule.map_or("", |rule| rule.id.as_str()), &text[one.span])).collect()
}

/// The lines with others after the first one and after the second one.
fn with_others(lead: usize, others: usize) -> String {
    let lines = lines();
    let other = |count| "db-1 | ready for 5 connections\n".repeat(count);
    let (first, second, rest) = (&lines[0], &lines[1], lines[2..].iter());
    let rest: String = rest.map(|line| format!("api-1 | {line}\n")).collect();
    format!("api-1 | {first}\n{}api-1 | {second}\n{}{rest}", other(lead), other(others))
}

#[test]
fn a_key_is_one_finding_from_its_first_line_on() {
    let lines = lines();
    for (before, behind) in [
        ("api-1 | ", ""),
        ("> ", ""),
        ("- ", ""),
        ("// ", ""),
        ("\u{2502} ", " \u{2502}"),
        ("2026-01-01T00:00:00Z stdout F ", ""),
        ("Nov 27 06:41:06 host app[12]: ", ""),
        ("{\"log\":\"", "\\n\",\"stream\":\"stdout\"}"),
    ] {
        let text: String = lines.iter().map(|line| format!("{before}{line}{behind}\n")).collect();
        let whole = found(&text);
        assert_eq!(whole.len(), 1, "{text}");
        assert_eq!(whole[0].0, "ec-private-key");
        assert!(whole[0].1.starts_with(&lines[0]) && whole[0].1.ends_with(&lines[lines.len() - 2]), "{text}");
    }
    // Of a block in parts the first one counts.
    let text = with_others(1, 1);
    let parts = found(&text);
    assert_eq!(parts.len(), 1, "{parts:?}");
    assert!(parts[0].1.starts_with(&lines[0]) && parts[0].1.ends_with(&lines[1]), "{parts:?}");
    let text = "api-1 | token ".to_owned() + &with_others(0, 0);
    assert_eq!(found(&text).len(), 1, "{text}");
}

#[test]
fn a_key_on_one_line_has_any_sign_for_its_line_ends() {
    let lines = lines();
    for end in [
        "",
        " ",
        "|",
        " | ",
        "\\n",
        "\\\\n",
        "&#10;",
        "&#xA;",
        "&#13;&#10;",
        "<br>",
        "<br />",
        "%0A",
        "%0d%0a",
    ] {
        let key = lines.join(end);
        for text in [format!("KEY={key}\n"), format!("<k a=\"{key}\">\n"), format!("{{\"k\": \"{key}\"}}\n")]
        {
            let all = found(&text);
            assert_eq!(all.len(), 1, "{text}");
            assert_eq!(all[0].0, "ec-private-key", "{text}");
            assert!(
                all[0].1.contains(lines[1].as_str()) && all[0].1.contains(&lines[lines.len() - 2]),
                "{text}"
            );
        }
    }
}

#[test]
fn lines_of_others_are_few() {
    let rules = Rules::shipped().unwrap();
    let parts = |text: &str| {
        let mut count = 0;
        rules.find(text.as_bytes(), &mut |_| count += 1);
        count
    };
    for (lead, others, count) in
        [(0, 0, 1), (8, 0, 1), (9, 0, 0), (0, 1, 2), (0, 16, 2), (8, 16, 2), (0, 17, 1)]
    {
        assert_eq!(parts(&with_others(lead, others)), count, "{lead} and {others}");
    }
}

#[test]
fn a_mention_and_a_public_key_are_none() {
    let lines = lines();
    let public: String =
        lines.iter().map(|line| format!("> {}\n", line.replace("EC PRIVATE", "PUBLIC"))).collect();
    assert!(found(&public).is_empty());
    let sealed = [&lines[..1], &["Proc-Type: 4,ENCRYPTED".to_owned(), String::new()], &lines[1..]].concat();
    let sealed: String = sealed.iter().map(|line| format!("api-1 | {line}\n")).collect();
    assert!(found(&sealed).is_empty());
    let mention = format!("> {}\n", lines[0]);
    assert!(found(&mention).is_empty());
    assert!(found(&(mention + &public)).is_empty());
}
