//! A real container engine and a real docker compose: a container keeps the settings of its creation.

use std::process::Command;

use keyroll_manager::Docker;
use keyroll_secret::SecretBytes;
use keyroll_testkit::Engine;
use keyroll_trace::{Doubt, Record, SurveyedSecret, Verdict, rows, secrets};

use crate::chains::scene::{NamedChain, Running, Scene, until};

const IMAGE: &str = "keyroll-chain:1";

const PROJECT: &str = r#"
services:
  web:
    image: keyroll-chain:1
    network_mode: none
    stop_signal: SIGKILL
    volumes: ["/usr:/usr:ro"]
    env_file: [all.env, web.env]
    environment: { BOTH_API_KEY: "{first}", FILLED_API_KEY: "${TOKEN}" }
    command: ["/bin/sleep", "100000"]
    secrets: [key]
secrets:
  key: { file: ./key.txt }
"#;

/// Values in files, one of which is in a volume, and variables that others set.
const FILES: &str = r#"
name: files
services:
  db:
    image: keyroll-chain:1
    network_mode: none
    stop_signal: SIGKILL
    volumes: ["/usr:/usr:ro", "kept:/kept", "./conf:/conf:ro"]
    environment:
      DB_PASSWORD_FILE: /run/secrets/key
      KEPT_TOKEN_FILE: /kept/token
      CONF_TOKEN_FILE: /conf/deep/token
      AWAY_TOKEN_FILE: /conf/deep/away
      LINK_TOKEN_FILE: /kept-link
      FILLED_API_KEY: "${TOKEN}"
      PASSED_API_KEY:
    command: ["/bin/sh", "-c", "while :; do sleep 1; done"]
    secrets: [key]
volumes:
  kept: {}
secrets:
  key: { file: ./key.txt }
"#;

struct Place {
    engine: Engine,
    scene: Scene,
}

impl Place {
    fn raise(what: &str) -> Option<Self> {
        let engine = Engine::start_or_skip(what)?;
        let mut scene = Scene::new();
        scene.managers.docker = Docker { host: engine.host(), ..Docker::default() };
        engine.image("keyroll-bare:1", "own").unwrap();
        let place = Self { engine, scene };
        let id = place.docker(&["create", "keyroll-bare:1", "/bin/true"]);
        let change = place.scene.filled("ENV IMAGE_API_KEY={first} OVER_API_KEY={first}");
        place.docker(&["commit", "--change", &change, &id, IMAGE]);
        place.docker(&["rm", &id]);
        Some(place)
    }

    fn docker(&self, words: &[&str]) -> String {
        let output = self.engine.docker(words).current_dir(self.scene.dir()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pid(&self, container: &str) -> u32 {
        self.engine.first_process(container).unwrap()
    }

    fn chain(&self, name: &str) -> NamedChain {
        self.scene.chain("compose", "shop/web", name)
    }
}

#[test]
fn a_service_of_compose_gets_what_its_project_says_when_it_is_made_anew() {
    let Some(place) = Place::raise("chains of compose") else { return };
    place.scene.write("compose.yaml", &PROJECT.replace("services:", "name: shop\nservices:"));
    place.scene.write("all.env", "FILE_API_KEY={third}\n");
    place.scene.write("web.env", "FILE_API_KEY={first}\nBOTH_API_KEY={second}\n");
    place.scene.write(".env", "TOKEN={first}\n");
    place.scene.write("key.txt", "{first}\n");
    place.docker(&["compose", "up", "--detach"]);
    let web = "shop-web-1";
    let before = place.pid(web);
    let both = place.chain("BOTH_API_KEY");
    assert_eq!((both.next.as_str(), both.pids.as_slice()), ("first", &[before][..]), "{both:#?}");
    assert_eq!(both.links[0], "wins first environment: in @/compose.yaml");
    assert_eq!(both.links[1], "shadowed second env_file: @/web.env");
    assert_eq!(place.chain("IMAGE_API_KEY").next, "first");
    let secret = place.chain("/run/secrets/key");
    assert_eq!(
        (secret.next.as_str(), secret.links[0].as_str()),
        ("first", "wins first @/key.txt mounted at /run/secrets/key")
    );

    place.scene.write("web.env", "FILE_API_KEY={second}\nBOTH_API_KEY={second}\n");
    place.scene.write(".env", "TOKEN={second}\n");
    let file = place.chain("FILE_API_KEY");
    assert_eq!(file.next, "second", "{file:#?}");
    assert_eq!(
        file.links,
        [
            "wins second env_file: @/web.env",
            "shadowed third env_file: @/all.env",
            "not read first what the container shop-web-1 was made with"
        ]
    );
    let filled = place.chain("FILLED_API_KEY");
    assert_eq!(
        filled.links[0], "wins second @/.env fills TOKEN into environment: of @/compose.yaml",
        "{filled:#?}"
    );
    // What seems to apply it, and what does.
    place.docker(&["compose", "restart", "web"]);
    let restarted = place.pid(web);
    assert_ne!(restarted, before);
    assert_eq!(place.scene.started_with(restarted, "FILE_API_KEY"), "first");
    place.docker(&["compose", "up", "--detach", "--no-deps", "web"]);
    for name in ["FILE_API_KEY", "FILLED_API_KEY", "BOTH_API_KEY", "IMAGE_API_KEY"] {
        assert_eq!(place.scene.started_with(place.pid(web), name), place.chain(name).next, "{name}");
    }
    // Compose can no longer tell what it would start.
    place.scene.write("compose.yaml", "services: [");
    let lost = place.chain("FILE_API_KEY");
    assert_eq!(lost.next, "-", "{lost:#?}");
    assert!(
        place
            .scene
            .survey()
            .unseen
            .iter()
            .any(|one| one.reason == "compose cannot read the project any more")
    );
}

#[test]
fn files_that_variables_name_and_what_a_caller_brings_are_told() {
    let Some(place) = Place::raise("chains of files in containers") else { return };
    place.scene.write("compose.yaml", FILES);
    place.scene.write("key.txt", "{first}\n");
    place.scene.write("conf/deep/token", "{third}");
    place.scene.write("host.txt", "{fourth}");
    std::os::unix::fs::symlink(place.scene.path("host.txt"), place.scene.path("conf/deep/away")).unwrap();
    place.scene.write(".env", "TOKEN={first}\n");
    place.docker(&["compose", "up", "--detach"]);
    let write = place.scene.filled("printf {second} >/kept/token");
    place.docker(&["compose", "exec", "-T", "db", "/bin/sh", "-c", &write]);
    let link = format!("/bin/ln -s {} /kept-link", place.scene.path("host.txt").display());
    place.docker(&["compose", "exec", "-T", "db", "/bin/sh", "-c", &link]);
    let of = |name: &str| place.scene.chain("compose", "files/db", name);
    // A link that a container made leads to no file of this machine.
    let chains = place.scene.survey().services.into_iter().flat_map(|one| one.chains);
    let away = |name: &str| ["/conf/deep/away", "/kept-link"].contains(&name);
    assert_eq!(chains.filter(|one| away(&one.name)).count(), 0);
    let inside = |path: &str| {
        let said = place.docker(&["compose", "exec", "-T", "db", "/bin/cat", path]);
        place.scene.version(said.as_bytes())
    };
    for (path, names) in [
        ("/run/secrets/key", "DB_PASSWORD_FILE"),
        ("/kept/token", "KEPT_TOKEN_FILE"),
        ("/conf/deep/token", "CONF_TOKEN_FILE"),
    ] {
        let chain = of(path);
        assert!(chain.links[0].ends_with(&format!("mounted at {path}, which {names} names")), "{chain:#?}");
        assert_eq!(chain.next, inside(path), "{chain:#?}");
        assert_ne!(chain.next, "-", "{chain:#?}");
    }
    assert_eq!(of("FILLED_API_KEY").next, "first");
    // A shell that exports another value: what compose would take depends on where it is called.
    let export = place.scene.value("second");
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r _"]).env("TOKEN", export).env("PASSED_API_KEY", export);
    let shell = Running::start(&mut shell);
    let filled =
        until("the shell has begun", || Some(of("FILLED_API_KEY")).filter(|one| one.links.len() > 2));
    assert_eq!(filled.next, "-", "{filled:#?}");
    assert_eq!(filled.links[0], format!("not visible second TOKEN as shell {} exports it", shell.pid()));
    let passed = of("PASSED_API_KEY");
    assert_eq!(
        (passed.next.as_str(), passed.links[0].starts_with("not visible second ")),
        ("-", true),
        "{passed:#?}"
    );
    let mut up = place.engine.docker(&["compose", "up", "--detach"]);
    up.current_dir(place.scene.dir()).env("TOKEN", export);
    assert!(up.output().unwrap().status.success());
    assert_eq!(place.scene.started_with(place.pid("files-db-1"), "FILLED_API_KEY"), "second");
    drop(shell);
    assert_eq!(of("FILLED_API_KEY").next, "first", "a plain `up` takes the file again");
    // The project names another file for the secret.
    place.scene.write("other.txt", "{fourth}\n");
    place.scene.write("compose.yaml", &FILES.replace("./key.txt", "./other.txt"));
    let secret = of("/run/secrets/key");
    assert_eq!(
        (secret.next.as_str(), inside("/run/secrets/key").as_str()),
        ("fourth", "first"),
        "{secret:#?}"
    );
    assert!(secret.links[1].starts_with("not read first @/key.txt mounted"), "{secret:#?}");
    place.docker(&["compose", "up", "--detach"]);
    assert_eq!(inside("/run/secrets/key"), "fourth");
    // A second file that compose reads by itself.
    let over = "services: { db: { environment: { FILLED_API_KEY: '{third}' } } }\n";
    place.scene.write("compose.override.yaml", &place.scene.filled(over));
    let filled = of("FILLED_API_KEY");
    assert_eq!(filled.next, "-", "{filled:#?}");
    assert_eq!(filled.links[0], "not visible third environment: in @/compose.override.yaml");
    place.docker(&["compose", "up", "--detach"]);
    assert_eq!(place.scene.started_with(place.pid("files-db-1"), "FILLED_API_KEY"), "third");
    assert_eq!(of("FILLED_API_KEY").links[0], "wins third environment: in @/compose.override.yaml");
}

#[test]
fn an_image_that_nothing_runs_of_is_a_place_of_its_values() {
    let Some(place) = Place::raise("values in images") else { return };
    let survey = place.scene.survey();
    let value = survey.values.of(&SecretBytes::new(place.scene.value("first").as_bytes().to_vec()));
    let (of, variable) = (IMAGE.to_owned(), "IMAGE_API_KEY".to_owned());
    let baked = keyroll_trace::Place::Record { record: Record::Image, of, variable };
    assert!(
        survey.sightings.iter().any(|one| Some(one.value) == value && one.place == baked),
        "{:?}",
        survey.sightings
    );
}

#[test]
fn a_container_made_by_hand_keeps_what_it_was_made_with() {
    let Some(place) = Place::raise("chains of containers") else { return };
    place.scene.write("run.env", "FILE_API_KEY={first}\n");
    let over_second = place.scene.filled("OVER_API_KEY={second}");
    let usr = ["--volume", "/usr:/usr:ro", "--network", "none", "--stop-signal", "SIGKILL"];
    let words = [
        &["run", "--detach", "--name", "plain"][..],
        &usr,
        &["--env", &over_second, "--env-file", "run.env"],
    ]
    .concat();
    place.docker(&[&words[..], &[IMAGE, "/bin/sleep", "100000"]].concat());
    place.scene.write("run.env", "FILE_API_KEY={second}\n");
    let of = |name: &str| place.scene.chain("docker", "plain", name);
    let file = of("FILE_API_KEY");
    assert_eq!(file.links, ["wins first what the container plain was made with"]);
    let over = of("OVER_API_KEY");
    assert_eq!(
        over.links,
        [
            "wins second what the container plain was made with",
            "shadowed first ENV of the image keyroll-chain:1"
        ]
    );
    assert_eq!(of("IMAGE_API_KEY").links, ["wins first ENV of the image keyroll-chain:1"]);
    place.docker(&["restart", "plain"]);
    for name in ["FILE_API_KEY", "OVER_API_KEY", "IMAGE_API_KEY"] {
        assert_eq!(place.scene.started_with(place.pid("plain"), name), of(name).next, "{name}");
    }
    // A line of its command wins over the settings of its creation: the next value of that name is not predicted.
    let line = place.scene.filled("export OVER_API_KEY={third}; exec /bin/sleep 100000");
    let words = [&["run", "--detach", "--name", "odd"][..], &usr, &["--env", &over_second]].concat();
    place.docker(&[&words[..], &[IMAGE, "/bin/sh", "-c", &line]].concat());
    let odd = until("its command has begun", || {
        let pid = place.pid("odd");
        (place.scene.started_with(pid, "OVER_API_KEY") == "third")
            .then(|| place.scene.chain("docker", "odd", "OVER_API_KEY"))
    });
    assert_eq!(odd.next, "-", "{odd:#?}");
    assert!(odd.links[0].starts_with("not visible third whatever set it "), "{odd:#?}");
    // A container that does not run has a chain, too.
    place.docker(&["stop", "--time", "0", "plain"]);
    let stopped = of("FILE_API_KEY");
    assert_eq!((stopped.next.as_str(), stopped.pids.len()), ("first", 0));
}

/// A file that a container was made with: its values agree but for one, which was changed since.
#[test]
fn a_container_made_from_a_file_is_likely_stale_once_that_is_changed_and_a_restart_does_not_help() {
    let Some(place) = Place::raise("files of containers") else { return };
    let file = |version: &str| format!("PORT=8080\nSHOP_API_KEY={{{version}}}\nSHOP_TOKEN={{fourth}}\n");
    place.scene.write("shop/run.env", &file("first"));
    let run = |name: &str| {
        let usr = ["--volume", "/usr:/usr:ro", "--network", "none", "--stop-signal", "SIGKILL"];
        let words = [&["run", "--detach", "--name", name, "--env-file", "shop/run.env"][..], &usr].concat();
        place.docker(&[&words[..], &["keyroll-bare:1", "/bin/sleep", "100000"]].concat());
    };
    let verdicts = |name: &str| {
        // Its program runs before the survey begins.
        let pid = place.pid(name);
        let survey = place.scene.survey();
        let found = secrets(&survey, &[]);
        let of = |found: &&SurveyedSecret| {
            found.sightings.iter().any(|one| one.name.as_deref() == Some("SHOP_API_KEY"))
        };
        let found: Vec<&SurveyedSecret> = found.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "the file and the container have one secret: {found:?}");
        let rows = rows(&survey, found[0]);
        rows.into_iter().filter(|row| row.process.pid == pid).map(|row| row.verdict).collect::<Vec<_>>()
    };
    run("shop");
    assert_eq!(verdicts("shop"), [Verdict::Current]);
    place.scene.write("shop/run.env", &file("first"));
    assert_eq!(verdicts("shop"), [Verdict::Current], "its time alone is another one");
    place.scene.write("shop/run.env", &file("second"));
    place.docker(&["restart", "shop"]);
    assert_eq!(place.scene.started_with(place.pid("shop"), "SHOP_API_KEY"), "first");
    assert_eq!(verdicts("shop"), [Verdict::LikelyStale(Doubt::NoChain)]);
    let link = || {
        let survey = place.scene.survey();
        let service = survey.services.iter().find(|one| one.name == "shop").unwrap();
        service.chain("SHOP_API_KEY").unwrap().likely().unwrap().clone()
    };
    let (link, path) = (link(), place.scene.path("shop/run.env"));
    assert!(link.applies.unwrap().ends_with(&format!("with --env-file {}", path.display())));
    assert_eq!(link.seems.as_deref(), Some("docker restart shop"));
    // One that was made from it since is current.
    run("shop2");
    assert_eq!(verdicts("shop2"), [Verdict::Current]);
    assert_eq!(verdicts("shop"), [Verdict::LikelyStale(Doubt::NoChain)]);
    // The same name in a file with other values says nothing about the container.
    place.scene.write("shop/run.env", &file("second").replace("{fourth}", "{third}"));
    assert_eq!(verdicts_alone(&place, "shop"), [Verdict::Current]);
}

fn verdicts_alone(place: &Place, name: &str) -> Vec<Verdict> {
    let pid = place.pid(name);
    let survey = place.scene.survey();
    let found = secrets(&survey, &[]);
    let rows = found.iter().flat_map(|found| rows(&survey, found));
    let of = |row: &keyroll_trace::Row<'_>| row.chain.is_some_and(|chain| chain.name == "SHOP_API_KEY");
    rows.filter(|row| row.process.pid == pid && of(row)).map(|row| row.verdict).collect()
}

/// `docker run --env-file` takes no quotes off: the container has them, and the file's readers have not.
#[test]
fn quotes_that_docker_keeps_make_no_second_version() {
    let Some(place) = Place::raise("quotes of docker") else { return };
    place.scene.write("exported.env", "QUOTED_API_KEY='{third}'\nDOUBLE_API_KEY=\"{fourth}\"\n");
    let words = ["run", "--detach", "--name", "quoted", "--network", "none", "--volume", "/usr:/usr:ro"];
    let words = [&words[..], &["--env-file", "exported.env", IMAGE, "/bin/sleep", "100000"]].concat();
    place.docker(&words);
    let pid = place.pid("quoted");
    let survey = place.scene.survey();
    let found = secrets(&survey, &[]);
    for name in ["QUOTED_API_KEY", "DOUBLE_API_KEY"] {
        let of = |one: &&SurveyedSecret| one.sightings.iter().any(|at| at.name.as_deref() == Some(name));
        let own: Vec<_> = found.iter().filter(of).collect();
        let [own] = own.as_slice() else { panic!("{name}: {}", own.len()) };
        assert!(own.values.len() == 1 && !own.copies_differ(), "{name}");
        let rows: Vec<_> = rows(&survey, own).into_iter().filter(|row| row.process.pid == pid).collect();
        assert_eq!(rows.iter().map(|row| row.verdict).collect::<Vec<_>>(), [Verdict::Current], "{name}");
        let what = &rows[0].chain.unwrap().winner().unwrap().what;
        assert!(what.contains("; there it stands in quotes, which `docker run --env-file`"), "{what}");
    }
}
