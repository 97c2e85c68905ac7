//! Runs the fuzz targets (`fuzz/`) with mutated valid inputs, so that the targets keep compiling and earlier finds stay
//! covered.

#![allow(unreachable_pub, clippy::wildcard_enum_match_arm, reason = "shared with a package of its own")]

#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

/// Inputs of each target; fewer for the target that opens a connection for each.
const INPUTS: u64 = 20_000;
const INPUTS_OVER_TCP: u64 = 1_500;

/// Changes of one input at most.
const CHANGES_MAX: u64 = 6;

/// Splitmix64: the same inputs in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// A valid input with a few changes: a changed byte, a piece that is removed, doubled or copied from another input,
    /// or a special piece.
    fn input(&mut self, seeds: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(CHANGES_MAX as usize + 1) {
            let at = self.below(input.len() + 1);
            let until = (at + self.below(24)).min(input.len());
            match self.below(5) {
                0 if at < input.len() => input[at] = self.below(256) as u8,
                1 => drop(input.drain(at..until)),
                2 => {
                    let piece = input[at..until].to_vec();
                    input.splice(at..at, piece);
                }
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let to = (from + self.below(40)).min(other.len());
                    input.splice(at..until, other[from..to].iter().copied());
                }
                _ => drop(input.splice(at..at, pieces[self.below(pieces.len())].iter().copied())),
            }
        }
        input
    }
}

fn run(target: fn(&[u8]), inputs: u64, seeds: &[Vec<u8>], pieces: &[&[u8]]) {
    seeds.iter().for_each(|seed| target(seed));
    let mut draw = Draw(0x6675_7a7a);
    for number in 0..inputs {
        let input = draw.input(seeds, pieces);
        let ran = std::panic::catch_unwind(|| target(&input));
        assert!(ran.is_ok(), "input {number}: {:?}", String::from_utf8_lossy(&input));
    }
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    // The bytes between the parts of an input are no text.
    texts
        .iter()
        .map(|text| text.bytes().map(|byte| if byte == b'|' { 0xff } else { byte }).collect())
        .collect()
}

const MARKS: [&[u8]; 12] =
    [b"\"", b"'", b"\\", b"\n", b"\r\n", b"#", b"=", b"export ", b"KEY=", b"$", b" ", b"\xff"];

#[test]
fn env_files() {
    let seeds = seeds(&[
        "new|abc|# The API\nLOG=info\nKEY=old\nPOOL=4\n",
        "new/+==|A-Z|export KEY='old value'\r\nB=\"x\"\r\n",
        "n\\ew|abc|KEY=\"o\\\"ld\"\nKEY=other\n",
        "|abc|A=1\n KEY = old # it\n",
    ]);
    run(targets::dotenv, INPUTS, &seeds, &MARKS);
}

#[test]
fn places() {
    let seeds = seeds(&[
        "0|new|abc|{\"o\": [1], \"a\": {\"k\": \"old\", }, // it\n}",
        "1|n'w|abc|# it\no: 1\na:\n  k: old # it\n  j: *x\n",
        "1|n\"w|abc|a: {k: 'old', j: \"x\"}\n",
        "2|n$w|abc|a:\n- j=1\n- k=o$$ld\n",
        "3|n\\w|abc|[a]\nk = \"old\" # it\n[[b]]\nk = 'old'\n",
        "4|new|A-Z|; it\n[a]\nk = old\n\n[b]\nk=old\n",
        "5|new|abc|k = \"old\"\nb=c\n",
        "6|n:w|abc|# it\nh:1:d:u:o\\:ld\n*:*:*:u:x\n",
        "7|new|abc|machine m login u password old\nmachine b\n password x\ndefault login c\n",
        "8|n@w|abc|https://u:o%40ld@h\nhttps://u:x@b/p\n",
    ]);
    let marks =
        [&MARKS[..], &[b"{", b"}", b"[", b"]", b": ", b"- ", b"/*", b"|\n", b"&x ", b"%", b":", b"machine "]];
    run(targets::place, INPUTS, &seeds, &marks.concat());
}

#[test]
fn templates() {
    let seeds = seeds(&[
        "p@ss|http://svc:p%40ss@127.0.0.1/|http://svc:{value}@127.0.0.1/",
        "abc|key=abc;|key={value};{{x}}",
        "abc|abc:abc|{user:raw}:{password}",
    ]);
    run(targets::template, INPUTS, &seeds, &[b"{", b"}", b"{{", b":raw", b"%", b"@", b"/", b"?", b"\xff"]);
}

#[test]
fn specs() {
    let seeds = [
        include_str!("../../../../issuers/openrouter.toml"),
        include_str!("../../../../issuers/sendgrid.toml"),
        include_str!("../../../testkit/src/issuer/acme.toml"),
    ];
    let seeds = seeds.map(|text| text.replace("@PORT@", "1").replace("@REQUEST_MAX@", "5s").into_bytes());
    run(targets::spec, INPUTS / 20, &seeds, &[b"{cred.id}", b"[op.mint]\n", b"\"", b"= 1\n", b"0s", b"\n"]);
}

#[test]
fn configurations() {
    let both = |first: &str| (first.to_owned() + include_str!("kill/consumers.toml")).into_bytes();
    let seeds = [
        both(include_str!("kill/http.toml")),
        both(include_str!("kill/postgres.toml")),
        include_bytes!("hostile/keyroll.toml").to_vec(),
    ];
    run(targets::config, INPUTS / 20, &seeds, &[b"\"", b"{copy}", b"[secrets.x]\n", b"= 1\n", b"../", b"\n"]);
}

#[test]
fn entries_of_the_journal() {
    let kept = [
        include_str!("../../../state/journal/tests/fixtures/v1-events.jsonl"),
        include_str!("../../../state/journal/tests/fixtures/v1-openings.jsonl"),
    ];
    let seeds: Vec<Vec<u8>> =
        kept.iter().flat_map(|text| text.lines()).map(|line| line.as_bytes().to_vec()).collect();
    run(
        targets::entry,
        INPUTS,
        &seeds,
        &[b"null", b"18446744073709551615", b"-1", b"{}", b"[", b"\"\"", b"1e9"],
    );
}

#[test]
fn files_of_prints() {
    let file = include_bytes!("../../../leaks/needle/tests/fixtures/v1.prints");
    let value = format!("tR9vWq2LxZ7n/B5cY{}", "+hJ4kPd8Gs0001");
    let digits: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let texts = [format!("a={value}\n"), digits, value.replace('/', "\\/"), value.replace("/B", "\\\n  /B")];
    let seeds: Vec<Vec<u8>> =
        texts.iter().map(|text| [file.as_slice(), b"\xff", text.as_bytes()].concat()).collect();
    let pieces: [&[u8]; 8] =
        [b"print ", b" ", b"\n", b"\xff", b"retired", b"18446744073709551615", b"\\u003d", b"65536"];
    run(targets::prints, INPUTS, &seeds, &pieces);
}

#[test]
fn frames_of_hosts() {
    let bodies = [
        r#"{"hello":{"driver":{"versions":[1],"key":"5f"}}}"#,
        r#"{"call":{"id":2,"call":{"name":{"managed":[{"name":"openai","versions":[{"number":7,"state":"current","values":[0]}]}],"digits":[[0,"9f3c21d07a11"]]}}}}"#,
        r#"{"note":{"id":1,"note":{"waiting":{"what":"memory","seconds_max":60}}}}"#,
        r#"{"answer":{"id":1,"items":[{"value":{"id":0,"print":"91"}},{"differs":"openai"},"refused",{"missed":{"what":"a","why":"b"}}],"end":"done"}}"#,
        r#"{"answer":{"id":4,"items":[{"found":{"shown":{"secret":"openai","managed":true,"values":[],"copies":[],"used_by":[{"keeper":"systemd","name":"api","processes":[4711]}],"shared":false,"risks":[]},"risk":"","programs":["api"]}},{"copies":{"secret":"openai","copies":[{"place":"/a:1","name":null,"value":"x","form":"plain"}]}}],"end":null}}"#,
        r#"{"answer":{"id":5,"items":[{"why":{"sentences":["a"],"instances":[],"differing":[["a",["b"]]],"chains":[]}}],"end":{"failed":{"code":"K0805","attempted":"a","causes":["b"],"help":null}}}}"#,
    ];
    let bodies: Vec<String> =
        bodies.into_iter().map(str::to_owned).chain(orders()).chain(replies()).collect();
    let framed =
        |body: &String| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> = bodies.iter().map(|body| body.as_bytes().to_vec()).collect();
    for seed in &seeds {
        assert!(keyroll_link::decode(seed).is_ok(), "no frame: {}", String::from_utf8_lossy(seed));
    }
    seeds.push(bodies.iter().flat_map(framed).collect());
    run(
        targets::frame,
        INPUTS,
        &seeds,
        &[b"null", b"18446744073709551615", b"[", b"{}", b"\"\"", b"\xff\xff\xff\xff"],
    );
}

/// Frames with orders of a rotation.
fn orders() -> impl Iterator<Item = String> {
    const VALUES: &str = r#""values":{"enc":"0f","text":"aa"}"#;
    const SESSIONS: &str =
        r#"{"old":[{"client":"192.0.2.7:40112","pid":null,"busy":true,"handle":"17","calls":3}],"new":null}"#;
    const ASKED: &str = r#""asked":{"intent":41,"until_ms":5000}"#;
    const OF: &str = r#""of":{"consumer":2,"slot":null,"which":1,VALUES,"watched":true}"#;
    let orders = [
        r#"{"open":{"installation":"0f0f","secret":"acme","rotation":"17ab","epoch":3,"driver":"1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e","before":[[2,"2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d"]],"turn":1,"changes":true,"config":"[secrets.acme]\n","folder":"/srv","issuer":{"attributes":true,"alphabet":[97,98],"length_max":64,"endpoints":["acme.example:443"]},"search":{"memory_bytes_max":8589934592,"time_ms_max":60000},"folders":["/srv/app"],"digests":"07","planned":{"known":[["/srv/a.env","/srv/b.env"]]},"reads_required":false}}"#,
        r#"{"survey":{VALUES,"next":null,"sessions":SESSIONS,"begins_on_new":false,"restarts":true,"rehearses":true}}"#,
        r#""live""#,
        r#"{"deliver":{"file":4,"which":0,VALUES,ASKED}}"#,
        r#"{"delivered":{"file":4,"which":1,VALUES,"intent":42}}"#,
        r#"{"before_given_out":{"which":1,VALUES,"sessions":SESSIONS}}"#,
        r#"{"fetch":{"consumer":3,"which":1,VALUES,ASKED}}"#,
        r#"{"apply":{"consumer":3,"slot":1,ASKED,"accepted":[{"name":"api:LOG_LEVEL","digest":9}]}}"#,
        r#"{"await_end":{"intent":43}}"#,
        r#"{"enumerate":{VALUES,"sessions":SESSIONS,"stays":1}}"#,
        r#"{"prepare":{OF,"before":SESSIONS}}"#,
        r#"{"go":{"prepared":9,"reads_again":true,OF,"after":SESSIONS}}"#,
        r#"{"describe":{"who":{"process":{"boot":1,"pid":2,"start_ticks":3,"program":4}}}}"#,
        r#"{"caller":{"client":"[2001:db8::7]:40112"}}"#,
        r#"{"sweep":{VALUES}}"#,
    ];
    orders.into_iter().map(|order| {
        let order = order.replace("OF", OF).replace("VALUES", VALUES);
        let order = order.replace("SESSIONS", SESSIONS).replace("ASKED", ASKED);
        format!(r#"{{"call":{{"id":3,"call":{{"order":{{"sent_ms":1000,"order":{order}}}}}}}}}"#)
    })
}

/// Frames with replies to them.
fn replies() -> impl Iterator<Item = String> {
    let replies = [
        r#"{"failed":{"attempted":"a","class":2,"code":"K0402","kind":"","help":null,"causes":["b","c"]}}"#,
        r#"{"opened":{"files":[{"path":"/a","real":"/b","digest":"0f"}]}}"#,
        r#""done""#,
        r#"{"copies":[[0,null],[2,"it has two"]]}"#,
        r#"{"delivered":1}"#,
        r#"{"applied":{"done":false,"changes":[{"difference":{"name":"api:LOG_LEVEL","digest":9},"what":"a","since_unix_ms":7}]}}"#,
        r#"{"looked":{"enumeration":{"complete":true,"took_ms":0,"instances":[{"who":{"process":{"boot":1,"pid":2,"start_ticks":3,"program":4}},"consumer":0,"slot":0,"old":1,"new":0,"by":0}],"files":[[0,1]],"sessions":[{"who":{"at_rest":{"consumer":1}},"busy":false}],"strangers":[7],"unsearched":[{"who":{"at_rest":{"consumer":1}},"limit":1}],"bystanders":[{"who":{"at_rest":{"consumer":1}},"id":9}]},"names":[{"digest":7,"name":"/srv/a"}],"not_visible":["a"],"downtimes":[{"consumer":0,"length_ms":18446744073709551615,"back":1}]}}"#,
        r#"{"prepared":{"number":9,"reads_again":true}}"#,
        r#"{"proved":{"evidence":{"seen":{"proofs":[{"who":{"at_rest":{"consumer":0}},"slot":0,"version":1,"paths":[5,0,0,0,0,0,0,0],"other_session":2}],"against":false}},"remarks":[],"failing_checks":[[0,"a"]],"downtimes":[]}}"#,
        r#"{"holder":{"pid":1,"name":"a","found_by":"b","how_to_move":"c"}}"#,
        r#"{"refusals":{"count":1,"remarks":[]}}"#,
        r#"{"swept":{"residues":[["/a","b"]],"not_visible":["c"],"downtimes":[]}}"#,
    ];
    replies
        .into_iter()
        .map(|reply| format!(r#"{{"answer":{{"id":3,"items":[{{"reply":{reply}}}],"end":"done"}}}}"#))
}

#[test]
fn values_that_are_sealed_for_orders() {
    let seeds = seeds(&["deliver|a-value|", "delivered|a-value|\u{1}a", "apply||zz", "|é|\0\0\u{7f}\u{1}"]);
    // Each input is sealed, and opened five times.
    run(targets::order, INPUTS / 20, &seeds, &[b"\xff", b"x", b"\0", b"\x80\x01", b"\xfe\x0f"]);
}

#[test]
fn answers_of_issuers() {
    let mut all = Vec::new();
    for ask in 0u8..5 {
        for status in [0u8, 1, 5, 7, 9, 10] {
            for body in [
                r#"{"id":"key_1","account":"acme"}"#,
                r#"{"data":[{"id":"key_1","name":"keyroll/1/1","disabled":false}],"next":null}"#,
                r#"{"id":"key_2","key":"acme_sk_0"}"#,
                r#"{"error":{"code":"invalid_key"}}"#,
                r#"{"data":[{"handle":"127.0.0.1:1","client":"127.0.0.1:1","busy":false,"calls":3}]}"#,
                r#"{"id":"key_1","deleted":true}"#,
            ] {
                all.push([&[ask, status, 0, 0xff], body.as_bytes()].concat());
            }
        }
    }
    run(
        targets::answer,
        INPUTS_OVER_TCP,
        &all,
        &[b"null", b"[[[[", b"\"", b"{}", b"<html>", b"\xff", b"1e400"],
    );
}
