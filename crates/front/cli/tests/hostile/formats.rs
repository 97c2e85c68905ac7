//! Copies inside files of known formats: replaced by position, with everything around them unchanged.

use std::fs;

use keyroll_testkit::issuer::PREFIX;
use zeroize::Zeroizing;

use crate::hostile::Case;
use crate::hostile::ran::wait;
use crate::hostile::scene::{Scene, put};

pub const CASES: &[Case] = &[
    ("consumers that read JSON, YAML, TOML and INI", moved),
    ("a value that stands there twice", twice),
    ("a place that is not there", absent),
    ("a copy that a script generates from another", generated),
    ("a structured file that is adopted", adopted),
];

/// The consumer's name, its file, and the text before and after the value.
const FILES: [(&str, &str, &str, &str, &str); 4] = [
    (
        "json",
        "api/settings.json",
        "/models/acme/key",
        "{\n  // the model\n  \"models\": {\"other\": {\"key\": \"x\"}, \"acme\": {\"key\": \"",
        "\", \"retries\": 3,}}\n}\n",
    ),
    (
        "yaml",
        "api/settings.yaml",
        "/models/acme/key",
        "# the model\nmodels:\n  acme:   # ours\n    key: '",
        "'   # of the issuer\n    retries: 3\n",
    ),
    (
        "toml",
        "api/settings.toml",
        "/models/acme/key",
        "# the model\n[models.acme]\nretries = 3\nkey = \"",
        "\" # of the issuer\n",
    ),
    (
        "ini",
        "api/settings.ini",
        "/acme/key",
        "; the model\n[acme]\nretries = 3\nkey = ",
        "\n[other]\nname = x\n",
    ),
];

/// A scene with all the files; each has a consumer.
fn scene(at: impl Fn(&str, &str) -> String) -> Scene {
    let mut tables = String::new();
    for (name, file, pointer, ..) in FILES {
        let at = at(name, pointer);
        tables.push_str(&format!(
            "\n[[secrets.ring.consumers]]\nname  = \"{name}\"\n\
             runs  = {{ restart = [\"./restart.sh\", \"{name}\", \"{file}\"], pid_file = \"./run/{name}.pid\" }}\n\
             reads = {{ file = \"./{file}\", format = \"{name}\", at = \"{at}\" }}\n\
             log   = {{ file = \"./log/refused\", failure = \"was refused\" }}\n"
        ));
    }
    let scene = Scene::made(|config, _| config.push_str(&tables));
    for (name, file, _, before, behind) in FILES {
        fs::write(scene.path("before"), before).unwrap();
        fs::write(scene.path("behind"), behind).unwrap();
        // The value goes from file to file without passing this process.
        scene.sh(&format!(
            "umask 077; {{ cat before; sed -n 's/^KEY=//p' api/api.env | tr -d '\\n'; cat behind; }} > {file}; \
             rm before behind"
        ));
        if name == "json" {
            // This worker's own reader takes no comments.
            scene.sh(&format!("sed -i -e '/the model/d' -e 's/3,/3/' {file}"));
        }
        scene.restart(name, file);
    }
    scene
}

/// The text of a file before and after the value, and whose key it is. The test's own process never keeps the key.
fn around(scene: &Scene, file: &str) -> Option<(String, String, String)> {
    let text = Zeroizing::new(fs::read_to_string(scene.path(file)).unwrap());
    let start = text.find(PREFIX)?;
    let end = start + text[start..].find(['"', '\'', '\n'])?;
    let whose = scene.issuer.whose(text[start..end].as_bytes())?;
    Some((text[..start].to_owned(), whose, text[end..].to_owned()))
}

fn moved() {
    let scene = scene(|_, at| at.to_owned());
    let before: Vec<_> = FILES.iter().map(|(_, file, ..)| around(&scene, file).unwrap()).collect();
    let ran = scene.apply();
    ran.exits(0).ended("done");
    scene.rotated();
    let live = scene.issuer.keys()[0].id.clone();
    for ((name, file, ..), (left, old, right)) in FILES.iter().zip(before) {
        assert_eq!(old, scene.old);
        assert_eq!(around(&scene, file), Some((left, live.clone(), right)), "{file}");
        wait("the worker calls with the live key", || scene.issuer.last_of(name).as_deref() == Some(&live));
    }
}

/// Two values under one name: programs differ in which one they read, so the rotation does not start.
fn twice() {
    let scene = scene(|_, at| at.to_owned());
    scene.sh("sed -i 's/\"retries\": 3/\"key\": \"y\"/' api/settings.json");
    let before = scene.snapshot();
    scene.run(&["plan", "ring"]).refused(1, "K0302", &["api/settings.json", "line 2", "stands there twice"]);
    assert_eq!(scene.snapshot(), before);
}

fn absent() {
    let scene = scene(|name, at| if name == "yaml" { "/models/acmee/key".to_owned() } else { at.to_owned() });
    let before = scene.snapshot();
    scene.run(&["plan", "ring"]).refused(
        1,
        "K0302",
        &["api/settings.yaml", "the value at /models/acmee/key is not in the file"],
    );
    assert_eq!(scene.snapshot(), before);
}

/// Its consumer fetches it: keyroll reads it back, and only the script writes it.
fn generated() {
    let scene = Scene::made(|config, _| {
        config.push_str(
            "\n[[secrets.ring.consumers]]\nname  = \"web\"\nfetch = [\"./render.sh\"]\n\
             runs  = { restart = [\"./restart.sh\", \"web\", \"api/web.json\"], pid_file = \"./run/web.pid\" }\n\
             reads = { file = \"./api/web.json\", format = \"json\", at = \"/models/acme/key\" }\n\
             log   = { file = \"./log/refused\", failure = \"was refused\" }\n",
        );
    });
    let script = "#!/bin/sh\nset -eu\numask 077\necho made >>log/renders\nkey=$(sed -n 's/^KEY=//p' api/api.env)\n\
                  printf '{\"by\": \"render.sh\", \"models\": {\"acme\": {\"key\": \"%s\"}}}\\n' \"$key\" >api/.web\n\
                  mv api/.web api/web.json\n";
    put(&scene.path("render.sh"), &[script], 0o755);
    scene.sh("./render.sh");
    scene.restart("web", "api/web.json");
    scene.apply().exits(0).ended("done");
    scene.rotated();
    let live = scene.issuer.keys()[0].id.clone();
    let (left, whose, right) = around(&scene, "api/web.json").unwrap();
    assert_eq!(
        (left.as_str(), right.as_str()),
        ("{\"by\": \"render.sh\", \"models\": {\"acme\": {\"key\": \"", "\"}}}\n")
    );
    assert_eq!(whose, live);
    let renders = fs::read_to_string(scene.path("log/renders")).unwrap();
    assert!(renders.lines().count() > 1, "its script made it again");
    wait("the worker calls with the live key", || scene.issuer.last_of("web").as_deref() == Some(&live));
}

/// A copy that the search finds by its value, in a file that holds more.
fn adopted() {
    let scene = Scene::new();
    scene.sh(
        "umask 077; { printf '{\"models\": {\"acme\": {\"key\": \"'; sed -n 's/^KEY=//p' api/api.env | tr -d '\\n'; \
         printf '\"}}}\\n'; } > also/found.json",
    );
    scene.run(&["plan", "ring"]).refused(6, "K0836", &["also/found.json"]);
    let words =
        ["consumer", "adopt", "also/found.json", "--name", "found", "--check", "./check.sh KEY {copy}"];
    scene.run(&[&words[..], &["--format", "jsn", "--at", "/models/acme/key"]].concat()).exits(2);
    scene.run(&[&words[..], &["--format", "json", "--at", "/models/acme/key"]].concat()).exits(0);
    scene.apply().exits(0).ended("done");
    scene.rotated();
    let (left, whose, right) = around(&scene, "also/found.json").unwrap();
    assert_eq!((left.as_str(), right.as_str()), ("{\"models\": {\"acme\": {\"key\": \"", "\"}}}\n"));
    assert_eq!(whose, scene.issuer.keys()[0].id);
}
