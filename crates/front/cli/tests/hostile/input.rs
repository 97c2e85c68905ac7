//! Unusable input from the operator or the issuer: refused before anything is changed.

use std::fs;

use zeroize::Zeroizing;

use crate::hostile::Case;
use crate::hostile::ran::Ran;
use crate::hostile::scene::Scene;
use keyroll_testkit::issuer::{Ask, ResponseFault};

pub const CASES: &[Case] = &[
    ("a key of the configuration that nobody knows", unknown_key),
    ("a host that is not there", missing_host),
    ("a target that cannot be read", unreadable_target),
    ("a copy that holds something else", another_value),
    ("a copy that nobody explains", unexplained_copy),
    ("a value that the file's format cannot carry, by its alphabet", alphabet_not_carried),
    ("a value that is not what the issuer's spec says", value_not_carried),
    ("a key of another account", wrong_account),
    ("no room for a second key", no_room),
    ("a second key that nobody knows, where there are two slots", second_slot_taken),
    ("values that are taken in wrongly", taken_in_wrongly),
];

/// A plan that is refused, with nothing changed.
#[track_caller]
fn refused(scene: &Scene, exit: i32, code: &str, words: &[&str]) -> Ran {
    let before = scene.snapshot();
    let ran = scene.run(&["plan", "ring"]);
    ran.refused(exit, code, words);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    ran
}

fn edit(scene: &Scene, from: &str, to: &str) {
    let path = scene.path("keyroll.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn unknown_key() {
    let scene = Scene::new();
    edit(&scene, "admin  =", "admni  =");
    refused(&scene, 1, "K0004", &["keyroll.toml:8:1", "`admni`", "did you mean `admin`"]);
}

fn missing_host() {
    let scene = Scene::new();
    edit(&scene, "name  = \"api\"", "name  = \"api\"\nhost = \"vps-b\"");
    refused(&scene, 1, "K0006", &["keyroll.toml:17", "[hosts."]);
}

fn unreadable_target() {
    let scene = Scene::new();
    for make in ["rm api/api.env", "mkdir api/api.env", "rmdir api/api.env; mkfifo api/api.env"] {
        scene.sh(make);
        let ran = scene.run(&["plan", "ring"]);
        ran.exits(1).says(&["api/api.env", "K03"]);
        assert_eq!(scene.issuer.asked(Ask::Mint), 0);
    }
}

fn another_value() {
    let scene = Scene::new();
    scene.sh("sed -i 's/^KEY=.*/KEY=nothing_of_ours/' api/api.env");
    refused(&scene, 1, "K0302", &["api/api.env", "it holds something else"]);
}

fn unexplained_copy() {
    let scene = Scene::new();
    scene.copy("api/api.env", "also/decoy.env");
    refused(&scene, 6, "K0836", &["also/decoy.env", "keyroll consumer adopt", "keyroll consumer waive"]);
}

fn alphabet_not_carried() {
    // A value without quotes cannot contain a dollar sign.
    let scene = Scene::made(|_, spec| *spec = spec.replace("A-Za-z0-9\"", "A-Za-z0-9$\""));
    let before = scene.snapshot();
    let plan = scene.run(&["plan", "ring"]);
    let ran = match plan.code {
        Some(0) => {
            let id = plan.plan();
            scene.run(&["apply", &id, "--confirm", "ring"])
        }
        _ => plan,
    };
    ran.exits(1).says(&["api/api.env", "help"]);
    assert_eq!(scene.snapshot(), before);
    assert_eq!(scene.issuer.asked(Ask::Mint), 0);
}

fn value_not_carried() {
    for tail in ["$(reboot)", "\n"] {
        let scene = Scene::new();
        scene.issuer.tail(tail);
        let before = scene.snapshot();
        // The new key is revoked by its label, and the mint is not retried for ever.
        scene.apply().exits(1).ended("rolled_back").says(&["K0105", "correct the spec"]);
        assert!((2..=6).contains(&scene.issuer.made()), "{} keys were made", scene.issuer.made());
        assert_eq!(scene.snapshot(), before);
        scene.as_before();
    }
}

fn wrong_account() {
    let scene = Scene::new();
    scene.issuer.mood(Ask::Me, ResponseFault::Another, 99);
    refused(&scene, 1, "K0806", &["key_of_another"]);
}

fn no_room() {
    let scene = Scene::made(|_, spec| *spec = spec.replace("max = 0", "max = 2"));
    drop(scene.issuer.mint("of somebody"));
    refused(&scene, 1, "K0107", &["2 credentials", "revoke a key that nothing uses"]);
}

fn second_slot_taken() {
    let scene = Scene::made(|_, spec| {
        *spec = spec.replace("kind = \"independent\", max = 0", "kind = \"two-slots\"");
    });
    drop(scene.issuer.mint("of somebody"));
    refused(&scene, 1, "K0107", &["keyroll did not make the key"]);
}

/// Each is rejected at the prompt, not by a plan much later. A stored value can be corrected until a rotation has
/// replaced it.
fn taken_in_wrongly() {
    let scene = Scene::made(|config, _| {
        *config += "\n[secrets.side]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n";
    });
    let (side, value) = scene.issuer.mint("by hand");
    let text = |text: &str| Zeroizing::new(text.to_owned());
    let refused = |ran: Ran, words: &[&str]| {
        ran.refused(1, "K0806", words);
    };
    let blank = Zeroizing::new(format!("{} \n", *value));
    refused(scene.take_in(&["side", "--id", &side], &blank), &["ends with white space"]);
    let dead = text(&format!("acme_sk_{}", "0123456789".repeat(4)));
    refused(scene.take_in(&["side", "--id", &side], &dead), &["it is dead", "--anyway"]);
    refused(scene.take_in(&["side", "--id", "key_of_another"], &value), &["belongs to", &side]);
    scene.run(&["secret", "show", "side"]).exits(0).says(&[r#""versions":[]"#]);
    scene.take_in(&["side", "--id", &side, "--anyway"], &dead).exits(0).says(&["added anyway"]);
    scene.take_in(&["side", "--id", &side], &value).refused(1, "K0613", &["--replace"]);
    let taken = scene.take_in(&["side", "--id", &side, "--replace"], &value);
    taken.exits(0).says(&["accepted at", &format!("it belongs to {side}")]);
    scene.run(&["verify", "side"]).exits(0);
    // Not the value that the configured copy holds.
    let (other, another) = scene.issuer.mint("by hand");
    let words = ["ring", "--id", &other, "--replace"];
    refused(scene.take_in(&words, &another), &["api/api.env holds another value"]);
    let id = scene.until("mint");
    let words = ["ring", "--id", &other, "--replace", "--anyway"];
    scene.take_in(&words, &another).refused(7, "K0806", &[&format!("keyroll abort {id}")]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.take_in(&words, &another).refused(1, "K0613", &["keyroll plan ring"]);
}
