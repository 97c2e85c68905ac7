//! Values are found in the output of other programs: literal outputs of common encoders, and encoders of other crates.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use keyroll_needle::{BuildError, Encoding, NeedleId, Needles};
use keyroll_secret::SecretBytes;
use proptest::prelude::*;

fn needles(value: &[u8]) -> Needles {
    Needles::builder().add(NeedleId(1), &SecretBytes::new(value.to_vec())).build().expect("build")
}

fn found_as(value: &[u8], text: &[u8]) -> Vec<Encoding> {
    let mut encodings = Vec::new();
    needles(value).find(text, &mut |hit| encodings.push(hit.encoding));
    encodings.sort_unstable();
    encodings.dedup();
    encodings
}

/// What Python 3.11, Go 1.22, Node 20 and PHP 8 write for these values.
#[test]
fn the_outputs_of_common_encoders() {
    let password = br#"p/w+"q" <&> it's=1"#;
    let url = b"postgres://u:p@h/db?x=1&y=2";
    let pem = b"-----BEGIN X-----\nMIIB+/==\n-----END X-----\n";
    let accent = "caf\u{e9}-\u{1f511}-key".as_bytes();
    let cases: &[(&[u8], Encoding, &str)] = &[
        (password, Encoding::Percent, "p%2Fw%2B%22q%22%20%3C%26%3E%20it%27s%3D1"), // Python quote(safe='')
        (password, Encoding::Percent, "p/w%2B%22q%22%20%3C%26%3E%20it%27s%3D1"),   // Python quote
        (password, Encoding::Percent, "p%2Fw%2B%22q%22%20%3C%26%3E%20it's%3D1"),   // encodeURIComponent
        (password, Encoding::Percent, "p%2Fw+%22q%22%20%3C&%3E%20it%27s=1"),       // Go url.UserPassword
        (password, Encoding::Form, "p%2Fw%2B%22q%22+%3C%26%3E+it%27s%3D1"), // quote_plus, URLSearchParams
        (password, Encoding::Json, r#"p/w+\"q\" <&> it's=1"#),              // json.dumps, JSON.stringify
        (password, Encoding::Json, r#"p\/w+\"q\" <&> it's=1"#),             // PHP json_encode
        (password, Encoding::Json, r#"p/w+\"q\" \u003c\u0026\u003e it's=1"#), // Go json.Marshal
        (password, Encoding::JsonTwice, r#"p/w+\\\"q\\\" <&> it's=1"#),
        (password, Encoding::JsonTwice, r#"p/w+\\\"q\\\" \\u003c\\u0026\\u003e it's=1"#),
        (password, Encoding::JsonTwice, r#"p\\\/w+\\\"q\\\" <&> it's=1"#),
        (password, Encoding::Xml, r#"p/w+"q" &lt;&amp;&gt; it's=1"#), // xml.sax.saxutils.escape
        (password, Encoding::Xml, "p/w+&quot;q&quot; &lt;&amp;&gt; it&#x27;s=1"), // Python html.escape
        (password, Encoding::Xml, "p/w+&#34;q&#34; &lt;&amp;&gt; it&#39;s=1"), // Go html.EscapeString
        (password, Encoding::Xml, "p/w+&quot;q&quot; &lt;&amp;&gt; it&apos;s=1"),
        (password, Encoding::Quoted, r#"p/w+"q" <&> it''s=1"#), // YAML, SQL
        (password, Encoding::Quoted, r#"p/w+""q"" <&> it's=1"#), // PgBouncer's userlist.txt, CSV
        (b"a$1'b\\c:d$", Encoding::Dollars, r"a$$1'b\c:d$$"),   // compose
        (b"a$1'b\\c:d$", Encoding::Dollars, r"a$$1''b\c:d$$"),  // compose, in single quotes
        (b"a$1'b\\c:d$", Encoding::Dollars, r"a$$1'b\\c:d$$"),  // compose, in double quotes
        (b"a$1'b\\c:d$", Encoding::Pgpass, r"a$1'b\\c\:d$"),    // .pgpass
        (password, Encoding::Json, r"p/w\u002B\u0022q\u0022 \u003C\u0026\u003E it\u0027s=1"), // System.Text.Json
        (password, Encoding::Json, r#"p/w+\"q\" \u003c\u0026\u003e it\u0027s\u003d1"#),       // Gson
        (password, Encoding::Json, r"p/w+\u0022q\u0022 \u003c\u0026\u003e it\u0027s=1"), // Json.NET, EscapeHtml
        (password, Encoding::Json, r"p\/w+\u0022q\u0022 \u003C\u0026\u003E it\u0027s=1"), // PHP, JSON_HEX_*
        (password, Encoding::JsonTwice, r"p/w\\u002B\\u0022q\\u0022 \\u003C\\u0026\\u003E it\\u0027s=1"),
        (password, Encoding::Xml, "p/w&#x2B;&quot;q&quot; &lt;&amp;&gt; it&#x27;s=1"), // .NET's HtmlEncoder
        (password, Encoding::Xml, "p/w&#43;&#34;q&#34; &lt;&amp;&gt; it&#39;s=1"),     // Go's html/template
        (password, Encoding::Xml, "p/w+&quot;q&quot; &lt;&amp;&gt; it&#x27;s&#x3D;1"), // Handlebars
        (password, Encoding::Xml, "p&#x2F;w+&quot;q&quot; &lt;&amp;&gt; it&#39;s&#x3D;1"), // mustache.js
        (password, Encoding::Xml, "p&#x2F;w+&quot;q&quot; &lt;&amp;&gt; it&#x27;s=1"), // OWASP
        (password, Encoding::Percent, "p%252Fw%252B%2522q%2522%2520%253C%2526%253E%2520it%2527s%253D1"), // twice
        (password, Encoding::Percent, "p%252fw%252b%2522q%2522%2520%253c%2526%253e%2520it's%253d1"),
        (password, Encoding::Percent, "p/w%252B%2522q%2522%2520%253C%2526%253E%2520it%2527s%253D1"), // quote(quote())
        (password, Encoding::Percent, "p%2Fw%252B%2522q%2522%2520%253C%2526%253E%2520it%2527s%253D1"), // quote(quote(), safe='')
        (password, Encoding::Form, "p%252Fw%252B%2522q%2522%2B%253C%2526%253E%2Bit%2527s%253D1"), // quote_plus twice
        (b"foobarbaz", Encoding::Percent, "%2566%256f%256f%2562%2561%2572%2562%2561%257a"),
        (password, Encoding::Shell, r#"p/w+"q" <&> it'\''s=1"#), // bash, `set`
        (password, Encoding::Shell, r#"p/w+"q" <&> it'"'"'s=1"#), // dash, Python shlex.quote
        (b"it's \\ 1$x", Encoding::Shell, r"it\'s \\ 1$x"),      // bash, `$'…'`
        (b"~a#b,c=~'d", Encoding::Shell, r"\~a#b\,c=\~\'d"),     // bash, `printf %q`
        (b"it's `1` $x", Encoding::Shell, r"it's \`1\` \$x"),    // bash, `declare -p`
        (b"foobarbaz", Encoding::Base64Twice, "Wm05dlltRnlZbUY2"),
        (b"foobarbaz", Encoding::Base64Twice, "ZGF0YTogWm05dlltRnlZbUY2Q2c9PQo="), // "data: ", and a line's end in both
        (url, Encoding::Percent, "postgres%3a%2f%2fu%3ap%40h%2fdb%3fx%3d1%26y%3d2"),
        (url, Encoding::Json, r"postgres://u:p@h/db?x=1\u0026y=2"),
        (url, Encoding::Xml, "postgres://u:p@h/db?x=1&amp;y=2"),
        (pem, Encoding::Json, r"-----BEGIN X-----\nMIIB+/==\n-----END X-----\n"),
        (pem, Encoding::JsonTwice, r"-----BEGIN X-----\\nMIIB+/==\\n-----END X-----\\n"),
        (accent, Encoding::Json, r"caf\u00e9-\ud83d\udd11-key"),
        (accent, Encoding::Json, r"caf\u00E9-\uD83D\uDD11-key"),
        (accent, Encoding::Percent, "caf%C3%A9-%F0%9F%94%91-key"),
        (accent, Encoding::Percent, "%63%61%66%c3%a9%2d%f0%9f%94%91%2d%6b%65%79"),
        (b"foobarbaz", Encoding::HexLower, "666f6f62617262617a"),
        (b"foobarbaz", Encoding::HexUpper, "666F6F62617262617A"),
        (b"foobarbaz", Encoding::Base32, "MZXW6YTBOJRGC6Q="),
        (b"foobarbaz", Encoding::Base32, "PBTG633CMFZGEYL2"), // with "x" before
        (b"foobarbaz", Encoding::Base64, "dXNlcjpmb29iYXJiYXo="), // "user:foobarbaz"
    ];
    for (value, encoding, written) in cases {
        let text = format!("before {written} after");
        assert_eq!(found_as(value, text.as_bytes()), [*encoding], "{written}");
        let mut other = text.clone().into_bytes();
        let middle = "before ".len() + written.len() / 2;
        other[middle] ^= 1;
        assert_eq!(found_as(value, &other), [], "{written}, one bit changed");
    }
}

#[test]
fn forms_that_do_not_differ_are_one() {
    let plain = needles(b"sk-proj-0123456789abcdef");
    // plain, 3 base64, at most 3 base64url, 2 hex, 5 base32, 2 UTF-16, 2 percent-encoded marks; with every byte escaped in percent,
    // JSON, hexadecimal and decimal XML and `\x`, 9; percent twice, with every byte escaped and with those marks, 4;
    // 3 of base64 in base64
    assert!(plain.forms() <= 34, "{}", plain.forms());
    assert_eq!(found_as(b"sk-proj-0123456789abcdef", b"sk-proj-0123456789abcdef"), [Encoding::Raw]);
}

/// A value as bash itself writes it, in every way that it has.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test looks from outside")]
fn what_a_shell_writes_is_found() {
    const WRITE: &str = r#"read -r -d '' v; printf '%q\n' "$v"; declare -p v; set | grep -a ^v=; echo "${v@Q}"; alias v="$v"; alias v
        exec 2>&1; set -x; : "$v""#;
    let values = [
        r#"p,w+"q" <&> it's=1$x`a`\b!~#{}[]*?^|;()%@:/-_."#,
        "~it's:~a=~b#c",
        "#0 \t it's\u{7}\u{8}\u{b}\u{c}\r\u{1b}[\u{1}\u{7f}\\ '",
        "caf\u{e9} it's \\ one",
        "p\u{e4}ssw\u{f6}rt-1",
    ];
    // Containers have the second one.
    for (value, letters) in values.iter().flat_map(|value| [(value, "C.UTF-8"), (value, "C")]) {
        let child = std::process::Command::new("bash")
            .args(["--norc", "-c", WRITE])
            .env("LC_ALL", letters)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn();
        let mut child = child.expect("bash");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{value}\0").as_bytes()).unwrap();
        let out = child.wait_with_output().expect("output").stdout;
        let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert!(lines.len() >= 6, "{}", String::from_utf8_lossy(&out));
        for line in lines {
            let found = found_as(value.as_bytes(), line);
            assert!(!found.is_empty(), "{letters}: {}", String::from_utf8_lossy(line));
        }
    }
}

#[test]
fn a_value_that_is_no_text_has_no_text_forms() {
    let value = [0xff, 0xfe, 0, 1, 2, 3, 4, 5, 6, 7];
    assert_eq!(found_as(&value, &value), [Encoding::Raw]);
    assert_eq!(found_as(&value, STANDARD.encode(value).as_bytes()), [Encoding::Base64]);
}

#[test]
fn values_that_cannot_be_searched_for_are_refused() {
    let build = |length: usize| {
        Needles::builder().add(NeedleId(4), &SecretBytes::new(vec![b'x'; length])).raw_only().build().err()
    };
    assert_eq!(build(0), Some(BuildError::TooShort { id: NeedleId(4), length: 0 }));
    assert_eq!(build(7), Some(BuildError::TooShort { id: NeedleId(4), length: 7 }));
    assert_eq!(build(8), None);
    assert_eq!(build(64 * 1024), None);
    assert_eq!(
        build(1024 * 1024 + 1),
        Some(BuildError::TooLong { id: NeedleId(4), length: 1024 * 1024 + 1 })
    );
    let none = Needles::builder().build().expect("build");
    assert!(none.is_clean(b"anything at all") && none.longest() == 0);
}

proptest! {
    #[test]
    fn base64_is_found_at_every_alignment(
        value in prop::collection::vec(any::<u8>(), 8..60), before: Vec<u8>, after: Vec<u8>
    ) {
        let all = [before, value.clone(), after].concat();
        for engine in [STANDARD, STANDARD_NO_PAD] {
            prop_assert!(found_as(&value, engine.encode(&all).as_bytes()).contains(&Encoding::Base64));
        }
        for engine in [URL_SAFE, URL_SAFE_NO_PAD] {
            let found = found_as(&value, engine.encode(&all).as_bytes());
            prop_assert!(found.contains(&Encoding::Base64Url) || found.contains(&Encoding::Base64));
        }
    }

    #[test]
    fn base64_in_base64_is_found_at_every_alignment(
        value in prop::collection::vec(any::<u8>(), 8..60), before: Vec<u8>, after: [Vec<u8>; 2]
    ) {
        let [inner_after, outer_after] = after;
        let inner = STANDARD.encode([value.clone(), inner_after].concat()).into_bytes();
        let outer = [before, inner, outer_after].concat();
        for text in [STANDARD.encode(&outer), URL_SAFE_NO_PAD.encode(&outer)] {
            prop_assert!(found_as(&value, text.as_bytes()).contains(&Encoding::Base64Twice));
        }
    }

    #[test]
    fn utf16_and_json_are_found(value in "[ -~\u{a0}-\u{17f}\u{1f511}\n]{8,40}", before in ".{0,9}", after in ".{0,9}") {
        let text = format!("{before}{value}{after}");
        let (le, be): (Vec<u8>, Vec<u8>) =
            (text.encode_utf16().flat_map(u16::to_le_bytes).collect(), text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        prop_assert!(found_as(value.as_bytes(), &le).contains(&Encoding::Utf16Le));
        prop_assert!(found_as(value.as_bytes(), &be).contains(&Encoding::Utf16Be));
    }
}
