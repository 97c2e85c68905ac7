//! Values in a line of hundreds of KiB, as programs write, are found as in a short line.

use keyroll_leak::{Rules, TextKind, in_anything};

fn value(number: usize) -> String {
    format!("kD93hfQ0p{:06}", number * 7_919 % 1_000_000)
}

fn found(text: &str) -> Vec<&str> {
    let all = in_anything(text.as_bytes(), Rules::shipped().unwrap()).into_iter();
    let likely = all.filter(|one| one.is_likely(text.as_bytes(), TextKind::Program));
    likely.map(|one| &text[one.span]).collect()
}

/// A program as a bundler leaves it.
fn code(bytes: usize) -> String {
    let mut code = String::new();
    for number in 0.. {
        if code.len() >= bytes {
            break;
        }
        code += &match number % 4 {
            0 => format!("function k{number}(e,t){{return e.token&&t.apiKey(e),void 0===e?null:t.key}}"),
            1 => format!("var a{number}=n({number}),password=!0;"),
            2 => format!("n.exports={{key:a{number},label:\"Password\",token:e.token,type:\"a{number}\"}};"),
            _ => format!("for(let e of t.auth)o.push(e.secret({number}));"),
        };
    }
    code
}

#[test]
fn in_a_program_of_one_line() {
    let [one, two, three, four] = [1, 2, 3, 4].map(value);
    let text = format!(
        "{}const c={{host:\"h\",apiKey:\"{one}\",x:1}};{}n.password='{two}',{}let s={{clientSecret:\"{three}\"}};{}r.headers={{authorization:\"Bearer {four}\"}}{}\n",
        code(100_000),
        code(50_000),
        code(20_000),
        code(5_000),
        code(30_000)
    );
    assert_eq!(found(&text), [&one, &two, &three, &four]);
    assert!(found(&code(200_000)).is_empty());
}

#[test]
fn in_words_and_in_pairs_of_a_name_and_a_value() {
    let secret = value(7);
    let words = "x y of z ".repeat(10_000);
    assert_eq!(found(&format!("{words} api_key={secret} user=bob {words}")), [&secret]);
    assert_eq!(found(&format!("{words} f?a=b&password={secret}&c=d {words}")), [&secret]);
    let pairs: String =
        (0..3_000).map(|number| format!("{{\"name\":\"VAR_{number}\",\"value\":\"x{number}\"}},")).collect();
    let text = format!("[{pairs}{{\"name\":\"DB_PASSWORD\",\"value\":\"{secret}\"}},{pairs}1]");
    assert_eq!(found(&text), [&secret]);
}

#[test]
fn in_a_list_of_secrets_of_kubernetes() {
    // The password of the other test of them, in base64.
    let secret = "a0Q5M2hmUTBwbG00";
    let object = |kind: &str, number: usize| {
        format!(
            r#"{{"apiVersion":"v1","data":{{"entry{number}":"{secret}"}},"kind":"{kind}","metadata":{{"name":"n{number}","annotations":{{"x":"{}"}}}},"type":"Opaque"}}"#,
            "words of it ".repeat(30)
        )
    };
    let all: Vec<String> =
        (0..200).map(|number| object(if number % 2 == 0 { "Secret" } else { "ConfigMap" }, number)).collect();
    let text = format!(r#"{{"apiVersion":"v1","items":[{}],"kind":"List"}}"#, all.join(","));
    assert!(text.len() > 50_000 && found(&text) == vec![secret; 100]);
}
