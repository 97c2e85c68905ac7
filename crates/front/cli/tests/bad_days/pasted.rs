//! Wrong text that is pasted in place of the current key: rejected at the prompt, with the reason.

use keyroll_testkit::issuer::{Ask, ResponseFault};
use zeroize::Zeroizing;

use crate::bad_days::silent;
use crate::hostile::scene::Scene;

/// A further secret, which has no value yet.
fn scene() -> Scene {
    Scene::made(|config, _| {
        *config += "\n[secrets.side]\nissuer = \"file:./acme.toml\"\nadmin = \"file:./admin.key\"\n";
    })
}

#[test]
fn what_is_pasted_in_place_of_a_key_is_refused_by_what_is_wrong_with_it() {
    let scene = scene();
    let (id, value) = scene.issuer.mint("by hand");
    let (ended, dead) = scene.issuer.mint("ended already");
    scene.issuer.end(&ended);
    let (first, second) = value.split_at(20);
    let cases = [
        ("a line break", format!("{first}\n{second}"), "has a line break"),
        ("quotes", format!("'{}'", *value), "stands in quotes"),
        ("a line of a file", format!("KEY={}", *value), "does not begin with `acme_sk_`"),
        ("a placeholder", "acme_sk_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(), "is a placeholder"),
        (
            "a shortened display",
            format!("{first}...{}", &value[44..]),
            "is a placeholder or a shortened display",
        ),
        ("a truncated one", first.to_owned(), "it was cut off"),
        ("one of another issuer", format!("other_{}", &value[8..]), "does not begin with `acme_sk_`"),
        ("an old one", dead.to_string(), "it is dead"),
    ];
    let asked = scene.issuer.asked(Ask::Me);
    for (what, given, why) in cases {
        let given = Zeroizing::new(given);
        let before = scene.snapshot();
        let ran = scene.take_in(&["side", "--id", &id], &given);
        ran.refused(1, "K0806", &[why, "enter the value that the consumers use now"]);
        assert!(!ran.text.contains(given.as_str()), "{what}: what was given is repeated");
        silent(&scene, &ran);
        assert_eq!(scene.snapshot(), before, "{what}");
        scene.run(&["secret", "show", "side"]).exits(0).says(&[r#""versions":[]"#]);
        // A value of the wrong form may be anybody's secret.
        let sent = scene.issuer.asked(Ask::Me) - asked;
        assert_eq!(sent > 0, why == "it is dead", "{what}: it was sent {sent} times");
        assert_eq!(ran.text.contains("nothing was sent"), sent == 0, "{what}: {}", ran.text);
    }
    // Of another account, as the issuer says.
    scene.issuer.mood(Ask::Me, ResponseFault::Another, 2);
    let ran = scene.take_in(&["side", "--id", &id], &value);
    ran.refused(1, "K0806", &["key_of_another"]);
    scene.issuer.calm();
    scene.take_in(&["side", "--id", &id], &value).exits(0).says(&["accepted at"]);
}

/// A key of an older form is accepted if the operator insists; until then it is sent nowhere.
#[test]
fn a_key_of_another_form_is_taken_in_where_a_person_says_so_and_is_not_sent() {
    let scene = Scene::made(|config, spec| {
        *config += "\n[secrets.side]\nissuer = \"file:./new.toml\"\nadmin = \"file:./admin.key\"\n";
        let _ = spec;
    });
    scene.sh("sed 's/acme_sk_/acme_v2_/' acme.toml >new.toml");
    let (id, value) = scene.issuer.mint("by hand");
    let asked = scene.issuer.asked(Ask::Me);
    scene.take_in(&["side", "--id", &id], &value).refused(1, "K0806", &["does not begin with", "--anyway"]);
    scene.take_in(&["side", "--id", &id, "--anyway"], &value).exits(0).says(&["added anyway"]);
    assert_eq!(scene.issuer.asked(Ask::Me), asked);
    scene.run(&["verify", "side"]).says(&["alive"]);
}
