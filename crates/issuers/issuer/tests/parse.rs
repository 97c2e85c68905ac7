//! Invalid specs, and their errors: line, column, suggestion, and never a value of the text.

use keyroll_issuer::{Spec, SpecError};
use keyroll_port::Failure;

const GOOD: &str = include_str!("../../../../issuers/openrouter.toml");

fn wrong(from: &str, to: &str) -> SpecError {
    assert!(GOOD.contains(from), "{from}");
    Spec::parse(&GOOD.replacen(from, to, 1), "acme.toml").expect_err(to)
}

/// Line and column of the first place of a text within the changed spec.
fn place(from: &str, to: &str, at: &str) -> (usize, usize) {
    let text = GOOD.replacen(from, to, 1);
    let offset = text.find(to).unwrap() + to.find(at).unwrap();
    let before = &text[..offset];
    (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap().chars().count() + 1)
}

#[test]
fn an_unknown_key_gets_its_place_and_a_suggestion() {
    for (from, to, key, near) in [
        ("title =", "titel =", "titel", "title"),
        ("alive =", "alife =", "alife", "alive"),
        ("json_has = [\"/data\"]", "json_hass = [\"/data\"]", "json_hass", "json_has"),
        ("[propagation]", "[propagations]", "propagations", "propagation"),
        ("[fields.value]", "[fields.value]\nprefx = \"x\"", "prefx", "prefix"),
        ("birth_max", "birth_maxi", "birth_maxi", "birth_max"),
    ] {
        let error = wrong(from, to);
        assert_eq!(error.code, "K0100");
        assert_eq!(error.message, format!("unknown key `{key}`"));
        assert!(
            error.help.as_deref().unwrap().contains(&format!("did you mean `{near}`?")),
            "{:?}",
            error.help
        );
        assert_eq!((error.line, error.column), place(from, to, key), "{to}");
    }
    let error = wrong("kind = \"offset\"", "kind = \"ofset\"");
    assert_eq!(error.message, "unknown word `ofset`");
    assert!(error.help.unwrap().contains("did you mean `offset`?"));
    let shown = wrong("title =", "titel =");
    assert!(shown.to_string().starts_with("acme.toml:4:1: "), "{shown}");
    let failure = Failure::from(shown);
    assert_eq!(failure.to_string(), "could not read the issuer spec acme.toml");
}

#[test]
fn no_value_of_the_text_is_repeated() {
    let canary = "sk-or-v1-0123456789abcdef0123456789abcdef";
    for (from, to) in [
        ("spec = 1", format!("spec = \"{canary}\"")),
        ("spec = 1", format!("spec = 1\n\"{canary}\" = 1")),
        ("minted_by = \"api\"", format!("minted_by = \"{canary}\"")),
        ("\"Bearer {admin}\"", format!("\"Bearer {canary}\"")),
        ("\"Bearer {admin}\"", format!("\"Bearer {{{canary}}}\"")),
        ("items = \"/data\"", format!("items = \"{canary}\"")),
        ("birth_max = \"60s\"", format!("birth_max = \"{canary}\"")),
        ("hosts = [\"openrouter.ai\"]", format!("hosts = [\"{canary}/\"]")),
        ("method = \"POST\"", format!("method = \"{canary}\"")),
        ("spec = 1", format!("spec = 1\nspec = \"{canary}\"")),
        ("spec = 1", format!("spec = 1\n{canary} {canary}")),
        ("status = [401]", format!("status = [\"{canary}\"]")),
    ] {
        let error = wrong(from, &to);
        let text = format!("{error} {error:?} {:?}", Failure::from(error.clone()));
        assert!(!text.contains("0123456789abcdef"), "{text}");
    }
}

#[test]
fn parts_that_do_not_fit_together() {
    for (from, to, at) in [
        ("spec = 1", "spec = 2", "spec"),
        ("id = \"openrouter-api-key\"", "id = \"Open Router\"", "id"),
        ("{ kind = \"independent\" }", "{ kind = \"grace\" }", "overlap"),
        ("{ kind = \"independent\" }", "{ kind = \"two-slots\", max = 3 }", "overlap"),
        ("minted_by = \"api\"", "minted_by = \"human\"", "minted_by"),
        ("status = [401]", "status = [401, 429]", "dead"),
        ("status = [401]", "status = [500]", "dead"),
        ("status = [401]", "status = [302]", "dead"),
        ("status = [401]", "status = []", "dead"),
        ("alive = [{ status = [200], json_has = [\"/data\"] }]", "alive = []", ""),
        ("\"Bearer {cred.value}\"", "\"Bearer {cred.token}\"", ""),
        ("\"Bearer {cred.value}\"", "\"Bearer {admin}\"", ""),
        ("\"Bearer {admin}\"", "\"Bearer {cred.value}\"", ""),
        ("\"Bearer {admin}\"", "\"Bearer fixed\"", ""),
        ("Authorization = \"Bearer {admin}\"", "Host = \"{admin}\"", ""),
        ("hosts = [\"openrouter.ai\"]", "hosts = [\"example.com\"]", ""),
        ("hosts = [\"openrouter.ai\"]", "hosts = [\"openrouter.ai:8443\"]", ""),
        ("url = \"https://openrouter.ai/api/v1/key\"", "url = \"https://evil.example/api/v1/key\"", ""),
        ("name = \"{label}\"", "name = \"{cred.value}\"", ""),
        ("name = \"{label}\"", "name = \"{copy.other}\"", ""),
        ("name = \"{label}\"", "name = \"fixed\"", ""),
        ("query = { include_disabled = \"true\" }", "query = { include_disabled = \"{admin}\" }", ""),
        ("disabled = { at = \"/disabled\", is = [true] }", "", ""),
        ("\"offset\", query = \"offset\"", "\"offset\"", ""),
        ("kind = \"offset\", query = \"offset\"", "kind = \"cursor\", query = \"offset\"", ""),
        ("alphabet = \"0-9a-f\"", "", ""),
        ("alphabet = \"0-9a-f\"", "alphabet = \"_\"", ""),
        ("length_max = 73", "length_max = 5", ""),
        ("checked = \"2026-11-20\"", "checked = \"2026-13-20\"", ""),
        (
            "take = { id = \"/data/hash\", fields = { value = \"/key\" } }",
            "take = { id = \"/data/hash\" }",
            "",
        ),
    ] {
        let error = wrong(from, to);
        assert_eq!(error.code, "K0100", "{to}: {error}");
        if !at.is_empty() && at != "minted_by" {
            assert_eq!(error.line, place(from, to, "").0, "{to}: {error}");
        }
    }
    let half = GOOD.replace("[op.disable", "[op.end_session");
    assert_eq!(Spec::parse(&half, "x.toml").unwrap_err().message, "op.disable and op.enable go together");
}

#[test]
fn positions_and_hosts_are_refused_in_form() {
    for (from, to) in [
        ("https://openrouter.ai/api/v1/key\"", "http://openrouter.ai/api/v1/key\""),
        ("https://openrouter.ai/api/v1/key\"", "https://{cred.value}.openrouter.ai/api/v1/key\""),
        ("https://openrouter.ai/api/v1/key\"", "https://openrouter.ai/api/v1/key?x={cred.value}\""),
        ("https://openrouter.ai/api/v1/key\"", "file:///etc/passwd\""),
        ("\"Bearer {admin}\"", "\"Bearer {admin\""),
        ("items = \"/data\"", "items = \"data\""),
        ("method = \"DELETE\"", "method = \"TRACE\""),
        ("death_max = \"10m\"", "death_max = 600"),
        ("death_max = \"10m\"\n", ""),
    ] {
        assert_eq!(wrong(from, to).code, "K0100", "{to}");
    }
}

#[test]
fn hostile_texts_end_in_an_error() {
    let texts = [
        String::new(),
        "\u{feff}spec = 1".to_owned(),
        "spec = 1\r".to_owned(),
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("{}=1", "a.".repeat(50_000)),
        "#".repeat(300 * 1024),
        "\0".to_owned(),
    ];
    for text in texts {
        assert!(Spec::parse(&text, "x.toml").is_err());
    }
}

#[test]
fn a_log_that_is_promised_is_described() {
    let said = "refusals = \"issuer-log\"";
    let line = "minted_by = \"api\"";
    let said = &format!("{line}\n{said}");
    let error = wrong(line, said);
    assert_eq!((error.line, error.column), place(line, said, "refusals"));
    assert!(error.message.contains("needs [op.refusals]"), "{}", error.message);
    let op = "[op.refusals]\nrequest = { method = \"GET\", url = \"https://openrouter.ai/api/v1/keys/{cred.id}/log\", \
              query = { since = \"{since}\" } }\nok = [{ status = [200] }]\nitems = \"/data\"\nid = \"/id\"\n\
              time = { at = \"/at\", form = \"unix-s\" }\nlag = \"1m\"\npage = { kind = \"none\" }\n\n[propagation]";
    let with = |edit: &dyn Fn(String) -> String| {
        Spec::parse(
            &GOOD.replacen(line, said, 1).replacen("[propagation]", &edit(op.to_owned()), 1),
            "acme.toml",
        )
    };
    with(&|op| op).unwrap();
    let cases = [
        ("id = \"/id\"\ntime = { at = \"/at\", form = \"unix-s\" }\n", "", "one of them is needed"),
        ("time = { at = \"/at\", form = \"unix-s\" }\n", "", "it needs `time`"),
        ("/{cred.id}/", "/all/", "whose use it was"),
        ("{since}", "{label}", "no value in this operation"),
        ("lag = \"1m\"\n", "", "`lag` is missing"),
        ("page = { kind = \"none\" }", "page = { kind = \"cursor\" }", "cursor has `next`"),
    ];
    for (from, to, why) in cases {
        let error = with(&|op| op.replacen(from, to, 1)).expect_err(why);
        assert!(error.message.contains(why), "{why}: {}", error.message);
    }
    let unused = wrong("[propagation]", op);
    assert!(unused.message.contains("goes with refusals"), "{}", unused.message);
}

/// A source of the form with `says` is read strictly, and the place of a mistake is the item.
#[test]
fn what_a_page_states_is_a_key_that_the_spec_has() {
    let from = GOOD.find("sources = [").unwrap();
    let to = GOOD.find("assumed = ").unwrap();
    let with = |pages: &str| format!("{}sources = [{pages}]\n{}", &GOOD[..from], &GOOD[to..]);
    let page =
        "{ at = \"https://openrouter.ai/docs\", says = [\"fields\", \"op.mint\"], checked = \"2026-11-21\" }";
    let text = with(&format!("\"https://openrouter.ai\", {page}"));
    let spec = Spec::parse(&text, "acme.toml").unwrap();
    let pages = spec.sources();
    assert_eq!(
        (pages[0].at, pages[0].says.len(), pages[0].checked),
        ("https://openrouter.ai", 0, "2026-11-20")
    );
    assert_eq!(
        (pages[1].says, pages[1].checked),
        (&["fields".to_owned(), "op.mint".to_owned()][..], "2026-11-21")
    );
    for (from, to, at, why) in [
        ("\"op.mint\"", "\"op.mnt\"", "\"op.mnt\"", "did you mean `op.mint`?"),
        ("\"op.mint\"", "\"sk-or-v1-0123456789abcdef\"", "\"sk-or", "it can state overlap, fields"),
        ("\"op.mint\"", "\"op.sessions\"", "\"op.sessions\"", "the spec has no `op.sessions`"),
        ("[\"fields\", \"op.mint\"]", "[]", "says =", "at least one key"),
        ("https://openrouter.ai/docs", "http://openrouter.ai/docs", "at =", "begins with https://"),
        ("2026-11-21", "2026-21-11", "checked =", "is a day"),
        ("says =", "sys =", "sys =", "unknown key `sys`"),
        (", says = [\"fields\", \"op.mint\"]", "", "{ at =", "`says` is missing"),
        (page, "7", "7", "this must be an address, or {"),
    ] {
        let text = with(&page.replacen(from, to, 1));
        let error = Spec::parse(&text, "acme.toml").expect_err(to);
        assert!(error.message.contains(why), "{to}: {}", error.message);
        assert!(!error.to_string().contains("0123456789abcdef"), "{error}");
        let line = text.lines().nth(error.line - 1).unwrap();
        let there: String = line.chars().skip(error.column - 1).collect();
        assert!(there.starts_with(at), "{to} is at {}:{}: {there}", error.line, error.column);
    }
}
