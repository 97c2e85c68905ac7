//! `init` on hosts: keyroll.toml gets what each host has, once, and no value.

use std::fs;

use keyroll_config::Config;
use keyroll_testkit::free_port;

use super::scene::{Fleet, OWN, reasons, table, wish};

/// A host, with the folder of its service.
fn with_folder(name: &str, address: &str) -> String {
    format!("{}folder = \"/srv/api\" # ours\n", table(name, address))
}

#[test]
fn what_hosts_have_is_written_once_and_hosts_that_cannot_be_searched_are_named() {
    let wishes = [wish("web-1"), wish("web-2"), wish("web-3")];
    let Some(fleet) = Fleet::raise("init on hosts", &wishes) else { return };
    let nobody = format!("127.0.0.1:{}", free_port().unwrap());
    let up = ["web-1", "web-2", "web-3"].map(|name| with_folder(name, name)).concat();
    fleet.configure(&format!("{up}{}{}", with_folder("absent", &nobody), table("bare", "web-1")));
    let file = fleet.root().join("keyroll.toml");
    let before = fs::read_to_string(&file).unwrap();
    let value = fleet.shared("value");
    fleet.worker("web-1", &value);
    fleet.worker("web-2", &value);
    // The same name, and another value.
    fleet.worker("web-3", OWN);

    let shown = fleet.told(&["init", "--dry-run", "--host", "web-1", "/srv", "--memory", "0"]);
    shown.exits(0).says(&["host  = \"web-1\"", "./api.env", "nothing was written"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let words = ["init", "--host", "*", "/srv", "--memory", "0"];
    let ran = fleet.keyroll(&words);
    ran.exits(1);
    let reasons = reasons(&ran);
    let codes: Vec<(&str, &str)> =
        reasons.iter().map(|(host, why)| (host.as_str(), why.split(':').next().unwrap())).collect();
    assert_eq!(codes, [("absent", "K0960"), ("bare", "K0004")], "{}", ran.text);
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(&before), "{written}");
    let config = Config::load(&file).unwrap();
    let consumers: Vec<Vec<String>> = config
        .secrets
        .values()
        .map(|secret| {
            let consumers = secret.consumers.iter();
            consumers.map(|one| format!("{} {}: {}", one.name, one.host, one.reads[0].place)).collect()
        })
        .collect();
    // Both hosts with the same value have one table.
    assert_eq!(
        consumers,
        [
            vec![
                "api@web-1 web-1: /srv/api/api.env (OPENAI_API_KEY)".to_owned(),
                "api@web-2 web-2: /srv/api/api.env (OPENAI_API_KEY)".to_owned(),
            ],
            vec!["api web-3: /srv/api/api.env (OPENAI_API_KEY)".to_owned()],
        ],
        "{written}"
    );
    assert_eq!(written.matches("unit = \"api.service\"").count(), 2, "{written}");
    assert!(written.contains("web-1, web-2 have the same value, by its fingerprint"), "{written}");

    let again = fleet.keyroll(&words);
    again.exits(1);
    assert_eq!(fs::read_to_string(&file).unwrap(), written, "{}", again.text);

    // The values are compared where they are.
    for (name, ran) in [("shown", &shown), ("ran", &ran), ("again", &again)] {
        fs::write(fleet.shared(name), &ran.text).unwrap();
    }
    let file = file.display();
    let said = ["shown", "ran", "again"].map(|name| fleet.shared(name)).join(" ");
    for (host, own) in [("web-1", value.as_str()), ("web-3", OWN)] {
        fleet.run(host, &format!("grep -qF -f {own} /srv/api/api.env"));
        fleet.run(
            host,
            &format!(
                "for one in {file} {said}; do test -s $one; if grep -qF -f {own} $one; then exit 1; fi; done"
            ),
        );
    }
}
