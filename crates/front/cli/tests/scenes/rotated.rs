//! Rotations that meet one of the causes. Most causes have theirs in other tests, which are named here; the rest is here.

use std::fs;
use std::path::Path;

use keyroll_testkit::Engine;
use keyroll_testkit::command::Ran;

use crate::hostile::scene::Scene;

/// For each cause: the file below `tests`, and the name of the test that covers it.
const ELSEWHERE: [(u8, &str, &str); 12] = [
    (1, "matrix/rows.rs", "name: \"unit-environment\""),
    (1, "hostile/input.rs", "a copy that holds something else"),
    (2, "hostile/input.rs", "a copy that nobody explains"),
    (4, "docker.rs", "fn services_are_moved_one_by_one_while_they_call"),
    (4, "hostile/drift.rs", "a late instance on the old value"),
    (5, "managers/pm2.rs", "fn an_app_of_pm2_is_moved_with_its_dump_and_comes_back"),
    (5, "managers/pm2.rs", "fn a_dump_of_pm2_that_kept_the_old_value_holds_the_end_up"),
    (5, "matrix/rows.rs", "name: \"compose-one\""),
    (6, "hostile/word.rs", "a holder that is waived by its process id"),
    (7, "hostile/formats.rs", "a copy that a script generates from another"),
    (8, "docker.rs", "elsewhere/compose.yaml"),
    (11, "managers/master.rs", "fn workers_of_a_preloading_gunicorn_are_not_believed"),
];

const HERE: [(u8, fn()); 5] =
    [(3, fallback), (7, connection_string), (9, image), (10, export), (11, snapshot)];

pub fn all() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (cause, file, name) in ELSEWHERE {
        let text = fs::read_to_string(tests.join(file)).unwrap();
        assert!(text.contains(name), "{cause}: {name} is not in {file}");
    }
    for cause in 1..=11 {
        let proven = ELSEWHERE.iter().any(|(of, ..)| *of == cause) || HERE.iter().any(|(of, _)| *of == cause);
        assert!(proven, "no rotation meets cause {cause}");
    }
    std::thread::scope(|scope| {
        let all = HERE.map(|(cause, case)| (cause, scope.spawn(case)));
        for (cause, case) in all {
            assert!(case.join().is_ok(), "the rotation that meets cause {cause}");
        }
    });
}

/// Both keys work, and nobody was refused.
#[track_caller]
fn both_live(scene: &Scene, ran: &Ran) {
    let keys = scene.issuer.keys();
    let old = keys.iter().find(|key| key.id == scene.old);
    assert!(old.is_some_and(|key| !key.disabled), "the old key was ended: {keys:?} {}", ran.text);
    assert_eq!(fs::read_to_string(scene.path("log/refused")).unwrap(), "", "{}", ran.text);
}

/// A consumer that fails soon if it does not show the new value.
const SOON: (&str, &str) = ("[secrets.ring.revoke]", "unit_deadline = \"8s\"\n\n[secrets.ring.revoke]");

/// It was rolled back: the old key is in use, and nothing else is left.
#[track_caller]
fn goes_back(scene: &Scene) {
    let ran = scene.apply();
    ran.exits(5).ended("rolled_back");
    both_live(scene, &ran);
    scene.as_before();
}

/// The program reads another copy if its preferred one does not exist.
fn fallback() {
    let scene = Scene::made(|config, _| *config = config.replace(SOON.0, SOON.1));
    scene.sh("mkdir elsewhere; cp -p api/api.env elsewhere/fallback.env\n\
              sed -i 's#^cd .*#&\\n[ -r current/api.env ] \\&\\& set -- api current/api.env || set -- api elsewhere/fallback.env#' restart.sh");
    scene.restart("api", "api/api.env");
    goes_back(&scene);
}

/// An undeclared connection string contains the value.
fn connection_string() {
    let scene = Scene::new();
    scene.sh("umask 077; printf 'DATABASE_URL=postgres://app:%s@127.0.0.1/app\\n' \"$(sed -n 's/^KEY=//p' api/api.env)\" >also/url.env");
    let before = scene.snapshot();
    scene.run(&["plan", "ring"]).refused(6, "K0836", &["also/url.env", "keyroll consumer adopt"]);
    assert_eq!(scene.snapshot(), before);
}

/// An undeclared container has the value from its image.
fn image() {
    let Some(engine) = Engine::start_or_skip("a rotation beside an image that holds the value") else {
        return;
    };
    let scene = Scene::new();
    engine.image("keyroll-rotated:1", "own").unwrap();
    let docker = format!("docker --host {}", engine.host());
    scene.sh(&format!(
        "id=$({docker} create keyroll-rotated:1 /bin/true)\n\
         {docker} commit --change \"ENV KEY=$(sed -n 's/^KEY=//p' api/api.env)\" $id keyroll-baked:1 >run/image\n\
         {docker} run --detach --name baked --network none --volume /usr:/usr:ro keyroll-baked:1 /bin/sleep 100000 >run/container\n\
         rm run/image run/container"
    ));
    let pid = engine.first_process("baked").unwrap();
    let ran = scene.apply();
    ran.exits(6).paused();
    let blocked = ran.of("blocked");
    assert!(blocked.iter().any(|one| one["holder"]["pid"] == pid), "{pid} is not named: {}", ran.text);
    both_live(&scene, &ran);
    scene.run(&["abort"]).exits(5).ended("rolled_back");
    scene.as_before();
}

/// What starts the program exports the old value, and that wins over the file.
fn export() {
    let scene = Scene::made(|config, _| *config = config.replace(SOON.0, SOON.1));
    scene.sh("sed -n 's/^KEY=//p' api/api.env >../exported; chmod 600 ../exported\n\
              sed -i 's#^KEYROLL_TEST_PART=\"worker#set -a; . ./$2; KEY=$(cat ../exported); set +a\\n& from=KEY#' restart.sh");
    scene.restart("api", "api/api.env");
    goes_back(&scene);
}

/// A reload that succeeds and reads nothing.
fn snapshot() {
    let restart = "restart = [\"./restart.sh\", \"api\", \"api/api.env\"]";
    let scene = Scene::made(|config, _| {
        *config = config.replace(restart, "signal = \"HUP\"").replace(SOON.0, SOON.1);
    });
    scene.sh("sed -i 's|exec 9>&-;|trap \"\" HUP; &|' restart.sh");
    scene.restart("api", "api/api.env");
    goes_back(&scene);
}
