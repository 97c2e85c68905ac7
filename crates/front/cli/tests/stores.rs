//! Rotations of a secret whose source of truth is another store, with a service that fetches its value from there by a login of
//! its own: AWS Secrets Manager (moto, which checks signatures and policies), Vault (a fake that does what its documents say),
//! a file, a program and a Secret of the real Kubernetes. The recipe as people do it by hand, its rollback, and what goes wrong: keyroll killed at each step, a
//! second writer, a value that somebody changed by hand, a store that is away, sealed, deleted or put back. In some cases the
//! service is a project of a real docker compose.
//!
//! moto and the fake have the values in their memory, where a search of all processes would find them. Each scene therefore
//! runs in a namespace of processes of its own, as if the store were on another machine. The engine of its containers is
//! within.

pub(crate) mod at_aws;
pub(crate) mod at_kubernetes;
pub(crate) mod at_vault;
pub(crate) mod beside;
pub(crate) mod by_hand;
pub(crate) mod cells;
pub(crate) mod changed;
pub(crate) mod cluster;
pub(crate) mod compose;
pub(crate) mod door;
pub(crate) mod exchange;
pub(crate) mod followers;
pub(crate) mod in_cluster;
pub(crate) mod killed;
pub(crate) mod kind;
pub(crate) mod needles;
pub(crate) mod part;
pub(crate) mod reader;
pub(crate) mod recipe;
pub(crate) mod relay;
pub(crate) mod scene;
pub(crate) mod signed;
pub(crate) mod untrusted;

use std::fs;

use door::{Door, End, of_vault, serve};
use keyroll_needle::Needles;
use keyroll_testkit::{Engine, FakeVault, Moto, MotoUser, TempDir, VaultUser};
use kind::Kind;
use scene::Scene;

use crate::kill::apart;
use crate::stores::needles::needles_of;
use crate::way::listen;

/// The case in which a key that is in use is revoked first: the calls with it are refused.
const EMERGENCY: &str = "emergency";

/// What the names of the cases begin with in which the instances are containers.
const COMPOSE: &str = "compose-";

/// One case, in a scene of its own.
type Case = fn(&Scene);

/// The cases by name, each with its kind of store.
const CASES: [(&str, Kind, Case); 37] = [
    ("recipe", Kind::Aws, recipe::forward_and_back),
    ("drift", Kind::Aws, recipe::drift_is_shown),
    ("killed-forward", Kind::Aws, killed::forward),
    ("killed-back", Kind::Aws, killed::back),
    ("second-writer", Kind::Aws, by_hand::a_second_writer),
    ("changed", Kind::Aws, by_hand::a_value_that_somebody_changed),
    ("taken-over", Kind::Aws, by_hand::a_changed_value_is_taken_over),
    ("owed", Kind::Aws, by_hand::a_value_whose_key_is_still_to_be_revoked),
    ("other-key", Kind::Aws, by_hand::another_key_of_the_same_secret_is_kept),
    ("away", Kind::Aws, by_hand::a_store_that_does_not_answer),
    (EMERGENCY, Kind::Aws, by_hand::a_leaked_key_while_the_store_cannot_be_used),
    ("compose-recipe", Kind::Aws, compose::forward),
    ("compose-back", Kind::Aws, compose::back),
    ("compose-killed", Kind::Aws, killed::in_containers),
    ("compose-other-key", Kind::Aws, compose::another_variable),
    ("vault-recipe", Kind::Vault, cells::forward_and_back),
    ("vault-killed", Kind::Vault, cells::killed_at_vault),
    ("vault-changed", Kind::Vault, changed::by_somebody),
    ("vault-sealed", Kind::Vault, changed::sealed),
    ("vault-deleted", Kind::Vault, changed::deleted),
    ("vault-restored", Kind::Vault, changed::restored),
    ("file-recipe", Kind::File, cells::forward_and_back),
    ("file-killed", Kind::File, cells::killed_at_a_file),
    ("file-changed", Kind::File, changed::a_file),
    ("program-recipe", Kind::Program, cells::forward_and_back),
    ("program-killed", Kind::Program, cells::killed_at_a_program),
    ("followed", Kind::Vault, followers::forward_and_back),
    ("followed-killed", Kind::Aws, followers::killed),
    ("followed-changed", Kind::Vault, followers::changed_by_somebody),
    ("followed-left", Kind::Vault, followers::changed_before_it_is_given_out),
    ("kubernetes-recipe", Kind::Kubernetes, in_cluster::forward_and_back),
    ("kubernetes-killed", Kind::Kubernetes, in_cluster::killed),
    ("kubernetes-changed", Kind::Kubernetes, changed::by_somebody),
    ("kubernetes-away", Kind::Kubernetes, in_cluster::server_away),
    ("kubernetes-lost", Kind::Kubernetes, in_cluster::server_lost),
    ("kubernetes-anew", Kind::Kubernetes, in_cluster::made_anew),
    ("kubernetes-followed", Kind::Kubernetes, followers::forward_and_back),
];

/// The part that this program plays when it was started as one.
#[test]
fn part() {
    part::play();
}

/// One case, where this program was started as a lane: the store's address, the file of its users, the port of the door to
/// the fake, and the case. What a store on this host does not have is a dash.
#[test]
fn lane() {
    let Some((report, words)) = apart::lane() else { return };
    let words: Vec<&str> = words.split(' ').collect();
    let [store, users, door, name] = words[..] else { panic!("a lane has four words") };
    let (_, kind, case) = CASES.iter().find(|(one, ..)| *one == name).unwrap();
    let door = Door(door.parse().unwrap_or_default());
    let engine = name.starts_with(COMPOSE).then(|| Engine::start().unwrap());
    let scene = Scene::new(*kind, store, users.as_ref(), door, engine);
    case(&scene);
    if name != EMERGENCY {
        scene.was_never_refused();
    }
    // Nothing searches this process any more. The store's log is searched outside.
    let values = scene.end();
    fs::write(report, serde_json::to_string(&values).unwrap()).unwrap();
}

/// Runs a case with a store of its own, and searches the store's log for every value.
pub(crate) fn run(name: &str) {
    if !apart::namespaces_or_skip(name) {
        return;
    }
    // A lane could not leave its case out.
    if name.starts_with(COMPOSE) && Engine::start_or_skip(name).is_none() {
        return;
    }
    let (_, kind, _) = CASES.iter().find(|(one, ..)| *one == name).unwrap();
    match kind {
        Kind::Aws => run_with_aws(name),
        Kind::Vault => run_with_vault(name),
        Kind::Kubernetes => cluster::run(name),
        Kind::File | Kind::Program => {
            drop(needles(&apart::run("stores::lane", &format!("- - - {name}")).unwrap()))
        }
    }
}

fn run_with_aws(name: &str) {
    let Some(moto) = Moto::start_or_skip(&format!("a rotation with AWS Secrets Manager, {name}")) else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, identities(&moto)).unwrap();
    let words = format!("127.0.0.1:{} {} - {name}", moto.port(), users.display());
    let needles = needles(&apart::run("stores::lane", &words).unwrap());
    let log = moto.log();
    assert!(log.contains("POST / "), "the store's log has no request: {log}");
    assert!(needles.is_clean(log.as_bytes()), "the store's log has a value");
}

fn run_with_vault(name: &str) {
    let vault = FakeVault::start();
    let folder = TempDir::new().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, logins(&vault)).unwrap();
    let (listener, port) = listen();
    let words = format!("127.0.0.1:{} {} {port} {name}", vault.port(), users.display());
    let report = std::thread::scope(|scope| {
        let lane = scope.spawn(move || {
            let _end = End(Door(port));
            apart::run("stores::lane", &words)
        });
        serve(&listener, of_vault(&vault));
        lane.join().unwrap()
    });
    let needles = needles(&report.unwrap());
    let log = vault.log();
    assert!(log.contains("/v1/kv/data/prod/ring"), "the store's log has no request: {log}");
    assert!(needles.is_clean(log.as_bytes()), "the store's log has a value");
}

/// What finds every value of a scene, by its report.
fn needles(report: &str) -> Needles {
    let values: Vec<Vec<u8>> = serde_json::from_str(report).unwrap();
    assert!(values.len() >= 4, "{} values were looked for", values.len());
    needles_of(&values)
}

/// The users of AWS, one a line: name, key id, secret key.
fn identities(moto: &Moto) -> String {
    let line = |(name, user): (&str, MotoUser)| {
        let profile = moto.profile(name, user, moto.port());
        let of = |key: &str| profile.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        format!("{name} {} {}\n", of("aws_access_key_id = "), of("aws_secret_access_key = "))
    };
    [("keyroll", MotoUser::Keyroll), ("reader", MotoUser::Reader)].map(line).concat()
}

/// The users of Vault in the same form: keyroll logs in by AppRole, the others have a token.
fn logins(vault: &FakeVault) -> String {
    let line = |name: &str, id: &str, secret: &str| format!("{name} {id} {secret}\n");
    let (role, secret) = vault.approle(VaultUser::Keyroll);
    let token = |name: &str, user: VaultUser| line(name, "token", &vault.token(user));
    [line("keyroll", &role, &secret), token("reader", VaultUser::Reader), token("writer", VaultUser::Writer)]
        .concat()
}

#[test]
fn the_recipe_by_hand_and_the_previous_version_back() {
    run("recipe");
}

#[test]
fn drift_shows_what_the_store_says_beside_what_runs() {
    run("drift");
}

#[test]
fn killed_at_each_step_forward() {
    run("killed-forward");
}

#[test]
fn killed_at_each_step_back() {
    run("killed-back");
}

#[test]
fn a_pending_version_of_somebody_else_is_never_overwritten() {
    run("second-writer");
}

#[test]
fn a_value_that_somebody_changed_meanwhile_is_never_overwritten() {
    run("changed");
}

#[test]
fn a_value_that_somebody_changed_is_taken_over_by_import() {
    run("taken-over");
}

#[test]
fn a_value_whose_key_is_still_to_be_revoked_is_not_taken_over() {
    run("owed");
}

#[test]
fn what_somebody_changed_in_another_key_of_the_document_stays() {
    run("other-key");
}

#[test]
fn a_store_that_does_not_answer_is_seen_before_anything_is_made() {
    run("away");
}

#[test]
fn a_leaked_key_is_revoked_first_while_the_store_cannot_be_used() {
    run(EMERGENCY);
}

#[test]
fn compose_the_recipe_by_hand_one_container_after_the_other() {
    run("compose-recipe");
}

#[test]
fn compose_the_previous_version_back() {
    run("compose-back");
}

#[test]
fn compose_killed_at_each_step_it_goes_on() {
    run("compose-killed");
}

#[test]
fn compose_another_variable_that_somebody_changed_is_made_live_only_by_name() {
    run("compose-other-key");
}

#[test]
fn vault_the_recipe_forward_and_back_and_nothing_waits_there() {
    run("vault-recipe");
}

#[test]
fn vault_killed_at_each_request_it_is_written_once() {
    run("vault-killed");
}

#[test]
fn vault_a_value_that_somebody_changed_is_not_overwritten_and_is_taken_over() {
    run("vault-changed");
}

#[test]
fn vault_sealed_or_without_an_active_node_nothing_is_given_out() {
    run("vault-sealed");
}

#[test]
fn vault_a_deleted_version_is_refused_with_the_command_that_restores_it() {
    run("vault-deleted");
}

#[test]
fn vault_put_back_from_a_snapshot_the_key_that_it_gives_out_is_not_revoked() {
    run("vault-restored");
}

#[test]
fn a_file_the_recipe_forward_and_back() {
    run("file-recipe");
}

#[test]
fn a_file_killed_at_each_step() {
    run("file-killed");
}

#[test]
fn a_file_that_others_may_read_or_that_cannot_be_replaced_is_refused_and_a_change_is_not_overwritten() {
    run("file-changed");
}

#[test]
fn a_program_the_recipe_forward_and_back() {
    run("program-recipe");
}

#[test]
fn a_program_that_ends_after_it_wrote_has_written_once() {
    run("program-killed");
}

#[test]
fn programs_that_read_the_store_forward_and_back() {
    run("followed");
}

#[test]
fn programs_that_read_the_store_while_keyroll_is_killed() {
    run("followed-killed");
}

#[test]
fn programs_that_read_the_store_are_not_restarted_to_take_what_somebody_put_there() {
    run("followed-changed");
}

#[test]
fn programs_that_read_the_store_are_left_alone_by_a_rollback_before_the_new_value_was_given_out() {
    run("followed-left");
}
