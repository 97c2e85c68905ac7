//! `keyroll serve` by real curl: a leaked key is replaced without a redeploy, each refusal has its status, and a server
//! that is killed in the middle loses nothing.

mod attacked;
mod killed;
pub mod served;
mod unit;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use keyroll_testkit::command::wait;
use keyroll_testkit::issuer::{Ask, ResponseFault};
use rustix::process::Signal;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::hostile::scene::put;
use served::{Answer, Served};

/// Everything of a rotation that needed nobody and left the old key alive.
#[track_caller]
fn rotated(served: &Served, answer: &Answer, id: &str, of: u64) -> String {
    assert_eq!(answer.code, 200, "{answer:?}");
    let rotation = answer.text("rotation").to_owned();
    let hash = answer.text("new_hash");
    assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{answer:?}");
    for (key, value) in [("status", json!("rotated")), ("moved", json!(of)), ("of", json!(of))] {
        assert_eq!(answer.body[key], value, "{answer:?}");
    }
    for name in served.consumers() {
        assert_eq!(served.scene.holds(&format!("{name}/api.env")).as_deref(), Some(id), "{name}");
        wait("the consumer calls with the new key", || {
            served.scene.issuer.last_of(&name).as_deref() == Some(id)
        });
    }
    rotation
}

#[test]
fn two_curl_lines_move_every_consumer() {
    let served = Served::start(4, "");
    assert_eq!(served.status()["rotation_log"], json!([]));
    let (id, value) = served.scene.issuer.mint("made at the console");
    // The variable of the copies names the secret, if it is only one secret's.
    let answer = served.rotate("KEY", &value, &[]);
    let rotation = rotated(&served, &answer, &id, 4);
    assert_eq!(answer.text("secret_name"), "KEY");
    assert_eq!(answer.text("old_key"), "alive", "nobody consented to its end");
    assert_eq!(answer.text("next"), format!("keyroll resume {rotation} --confirm=ring"));
    wait("the driver waits for consent", || served.drivers().is_empty());
    assert!(served.scene.issuer.deletions().is_empty(), "nobody consented");
    let status = served.status();
    assert!(status["open"][0]["why"].as_str().unwrap().contains("consent"), "{status}");
    assert_eq!(status["secrets"], json!(["ring"]));
    let entry = &status["rotation_log"][0];
    assert_eq!(entry["secret"], "ring");
    assert_eq!(entry["new_hash"], answer.body["new_hash"]);
    assert!(
        entry["old_hash"].as_str().is_some_and(|hash| hash.len() == 8)
            && entry["old_hash"] != entry["new_hash"]
    );
    assert!(entry["rotated_at"].as_u64().is_some_and(|at| at > 1_700_000_000), "{status}");
    // The same body again gives the same rotation, by each of its names; another key is refused.
    for name in ["KEY", "THE_RING", "ring"] {
        let again = served.rotate(name, &value, &[]);
        assert_eq!((again.code, again.text("rotation")), (200, rotation.as_str()), "{again:?}");
    }
    let (_, other) = served.scene.issuer.mint("another");
    let refused = served.rotate("ring", &other, &[]);
    assert_eq!((refused.code, refused.text("rotation")), (409, rotation.as_str()), "{refused:?}");
    // The answer's command ends the old key.
    served.scene.run(&["resume", &rotation, "--confirm=ring"]).exits(0).ended("done");
    assert_eq!(served.scene.issuer.deletions(), std::slice::from_ref(&served.scene.old));
    let after = served.rotate("ring", &value, &[]);
    assert_eq!(
        (after.code, after.text("old_key"), after.text("rotation")),
        (200, "dead", rotation.as_str()),
        "{after:?}"
    );
    served.nothing_leaked(&[&value, &other]);
}

/// The configuration consents: the leaked key is dead when the answer comes, and no call of a consumer failed.
#[test]
fn a_leaked_key_is_dead_and_no_call_failed() {
    let served = Served::start(3, "emergency_revoke = true");
    let (id, value) = served.scene.issuer.mint("made at the console");
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    rotated(&served, &answer, &id, 3);
    assert_eq!(answer.text("old_key"), "dead", "{answer:?}");
    assert_eq!(served.scene.issuer.deletions(), std::slice::from_ref(&served.scene.old));
    assert_eq!(fs::read_to_string(served.scene.path("log/refused")).unwrap(), "", "calls that failed");
    assert_eq!(served.status()["open"], json!([]));
    served.nothing_leaked(&[&value]);
}

/// Without a value the issuer makes the key; with one, also where the issuer could make it.
#[test]
fn a_key_comes_from_the_caller_or_from_the_issuer() {
    let served = Served::with(1, "", |_| {});
    let answer = served.post(br#"{"secret_name":"ring"}"#, &[]);
    assert_eq!((answer.code, answer.text("status")), (200, "rotated"), "{answer:?}");
    let made = served.scene.holds("api/api.env").unwrap();
    assert!(made != served.scene.old && served.scene.issuer.made() == 2, "{:?}", served.scene.issuer.keys());
    // The same request again means the same emergency.
    let again = served.post(br#"{"secret_name":"ring"}"#, &[]);
    assert_eq!((again.code, again.text("rotation")), (200, answer.text("rotation")), "{again:?}");
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1);
    served.scene.run(&["resume", "--confirm=ring"]).exits(0).ended("done");
    let (id, value) = served.scene.issuer.mint("made at the console");
    let brought = served.rotate("ring", &value, &[]);
    rotated(&served, &brought, &id, 1);
    assert_eq!(served.scene.issuer.asked(Ask::Mint), 1, "the issuer made none");
    served.scene.run(&["resume", "--confirm=ring"]).exits(0).ended("done");
    assert_eq!(
        served.scene.issuer.keys().len(),
        1,
        "the API ended the one before: {:?}",
        served.scene.issuer.keys()
    );
}

/// Each refusal has its status, and leaves everything as it was.
#[test]
fn each_refusal_has_its_status() {
    let served = Served::start(1, "");
    let scene = &served.scene;
    served.put("wrong.header", &format!("X-Admin-Token: keyroll_admin_{}\n", "x".repeat(43)));
    let before = scene.snapshot();
    let (id, value) = scene.issuer.mint("made at the console");
    let code = |answer: &Answer| answer.code;
    for body in [
        r#"{"secret_name":"ring","new_value":7}"#,
        "",
        "{",
        r#"{"new_value":"x"}"#,
        r#"{"secret_name":"ring","value":"x"}"#,
    ] {
        assert_eq!(code(&served.post(body.as_bytes(), &[])), 400, "{body}");
    }
    // No token, a wrong one, two, and an empty one; before the body is read.
    let body = vec![b'x'; 1 << 20];
    for words in [
        &[][..],
        &["-H", "@wrong.header"],
        &["-H", "@ada.header", "-H", "@wrong.header"],
        &["-H", "X-Admin-Token;"],
    ] {
        let words = [&["-X", "POST", "--data-binary", "@-", "-H", "Expect:"], words].concat();
        let answer = served.curl("/rotate-secret", &words, &body);
        assert_eq!(code(&answer), 401, "{words:?} {answer:?}");
        assert!(answer.text("detail").contains("X-Admin-Token"));
    }
    assert_eq!(code(&served.curl("/secret-status", &[], b"")), 401);
    for name in ["nobody", "../ring", "KEY ", "", "ring\\u0000"] {
        let expected = if name.is_empty() { 400 } else { 404 };
        let answer = served.post(format!(r#"{{"secret_name":"{name}"}}"#).as_bytes(), &[]);
        assert_eq!(code(&answer), expected, "{name}: {answer:?}");
    }
    assert_eq!(code(&served.post(&body, &[])), 413);
    assert_eq!(code(&served.post(&body, &["-H", "Transfer-Encoding: chunked"])), 413);
    assert_eq!(code(&served.curl("/nothing", &["-H", "@ada.header"], b"")), 404);
    assert_eq!(code(&served.curl("/rotate-secret", &["-H", "@ada.header"], b"")), 405);
    for header in ["Host: example.org", "Origin: http://example.org", "Origin: null"] {
        assert_eq!(
            code(&served.curl("/secret-status", &["-H", "@ada.header", "-H", header], b"")),
            403,
            "{header}"
        );
    }
    assert_eq!(served.curl("/health", &[], b"").body, Value::String("ok\n".to_owned()));
    // The issuer refuses it: nobody got it. A form that cannot be is not even sent.
    let (ended, dead) = scene.issuer.mint("ended already");
    scene.issuer.end(&ended);
    for given in
        [dead.clone(), Zeroizing::new("not-a-key".to_owned()), Zeroizing::new(format!("{} ", *value))]
    {
        let answer = served.rotate("ring", &given, &[]);
        assert_eq!((code(&answer), answer.text("code")), (422, "K0112"), "{answer:?}");
        assert!(answer.text("detail").contains("nothing was begun"), "{answer:?}");
    }
    // The issuer does not answer: nothing is known, so nothing is begun.
    scene.issuer.mood(Ask::Me, ResponseFault::Html, 1_000);
    let answer = served.rotate("ring", &value, &[]);
    scene.issuer.calm();
    assert_eq!((code(&answer), answer.head.contains("retry-after: ")), (503, true), "{answer:?}");
    // The value that is stored already.
    let old = scene.held("api/api.env");
    assert_eq!(code(&served.rotate("ring", &old, &[])), 409);
    assert_eq!(served.status()["open"], json!([]), "nothing was begun");
    assert_eq!(served.status()["rotation_log"], json!([]));
    scene.issuer.end(&id);
    assert_eq!(scene.snapshot(), before);
    served.nothing_leaked(&[&value, &dead, &old]);
}

/// A caller that sends on after its answer is not cut off: it would read of a broken pipe, and not why it was refused.
#[test]
fn who_still_sends_reads_the_answer() {
    let served = Served::start(1, "");
    let token = Zeroizing::new(fs::read_to_string(served.scene.path("ada.token")).unwrap());
    for (token, code) in [(token.trim(), "413"), ("none", "401")] {
        let body = vec![b'x'; 1 << 20];
        let mut stream = TcpStream::connect(("127.0.0.1", served.port())).unwrap();
        write!(
            stream,
            "POST /rotate-secret HTTP/1.1\r\nHost: localhost\r\nX-Admin-Token: {token}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        assert!(stream.peek(&mut [0]).unwrap() > 0, "it is answered before the body");
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
    }
}

/// A process that nobody declared does not hold up the others: it stands in the answer.
#[test]
fn an_undeclared_process_stands_in_the_answer() {
    let served = Served::start(2, "emergency_revoke = true");
    let scene = &served.scene;
    scene.copy("api/api.env", "also/forgotten.env");
    let pid = scene.start_by_hand("forgotten", &scene.path("also/forgotten.env"), "");
    let (id, value) = scene.issuer.mint("made at the console");
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=60"]);
    // The configuration consents, so it is not done while the old key is alive.
    assert_eq!((answer.code, answer.text("status")), (202, "waiting"), "{answer:?}");
    assert_eq!((&answer.body["moved"], answer.text("old_key")), (&json!(2), "alive"), "{answer:?}");
    assert_eq!(served.scene.holds("a1/api.env").as_deref(), Some(id.as_str()));
    let still = answer.body["still_on_old"].to_string();
    assert!(still.contains(&format!("process {pid}")) && still.contains("forgotten.env"), "{answer:?}");
    assert!(scene.issuer.deletions().is_empty());
    scene.end(pid);
    fs::remove_file(scene.path("also/forgotten.env")).unwrap();
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=60"]);
    assert_eq!((answer.code, answer.text("old_key")), (200, "dead"), "{answer:?}");
}

/// Killed between any two entries, and started again: it goes on, and nothing happens twice.
#[test]
fn a_server_that_is_killed_goes_on() {
    let mut served = Served::start(3, "emergency_revoke = true");
    let (id, value) = served.scene.issuer.mint("made at the console");
    served.scene.sh("touch run/hold");
    let body = json!({"secret_name": "ring", "new_value": value.as_str()}).to_string();
    let mut caller =
        served.begin("/rotate-secret", &["-X", "POST", "-H", "@ada.header", "--data-binary", "@-"]);
    caller.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    wait("the canary is being restarted", || {
        served.scene.path("run/restarting-api").exists() && served.log().contains("ring")
    });
    wait("the rotation is open", || !served.status()["open"].as_array().unwrap().is_empty());
    let rotation = served.status()["open"][0]["rotation"].as_str().unwrap().to_owned();
    // As a machine that loses power: the server, and the process that drives.
    let drivers = served.drivers();
    assert_eq!(drivers.len(), 1);
    served.end(Signal::KILL);
    served.kill(drivers[0]);
    let _ = caller.wait();
    served.serve();
    // A driver that is killed alone is started again.
    wait("it is driven again", || served.drivers().len() == 1);
    served.kill(served.drivers()[0]);
    served.scene.sh("rm run/hold");
    wait("it goes on by itself", || served.status()["open"] == json!([]));
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    assert_eq!(rotated(&served, &answer, &id, 3), rotation, "the same rotation");
    assert_eq!(answer.text("old_key"), "dead", "{answer:?}");
    assert_eq!(served.scene.issuer.deletions(), std::slice::from_ref(&served.scene.old), "nothing twice");
    assert_eq!(served.scene.issuer.keys().len(), 1);
}

/// SIGTERM ends it after the step in hand; the next start goes on without a request.
#[test]
fn a_server_that_is_stopped_goes_on_at_the_next_start() {
    let mut served = Served::start(2, "emergency_revoke = true");
    let (id, value) = served.scene.issuer.mint("made at the console");
    served.scene.sh("touch run/hold");
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=2"]);
    assert_eq!((answer.code, answer.text("status")), (202, "rolling"), "{answer:?}");
    assert!(answer.head.contains("location: /secret-status"), "{answer:?}");
    let drivers = served.drivers();
    assert_eq!(drivers.len(), 1);
    served.not_shown_by(&[served.pid(), drivers[0]], &[&value]);
    let second = served.scene.run(&["serve"]);
    assert_eq!(second.code, Some(7), "{}", second.text);
    second.says(&["K0951", "another server runs"]);
    served.scene.sh("rm run/hold");
    assert_eq!(served.end(Signal::TERM), Some(0));
    assert!(served.log().contains("stopping"), "{}", served.log());
    served.scene.run(&["status"]).says(&["was asked to pause"]);
    served.serve();
    wait("the old key is dead", || served.status()["open"] == json!([]));
    assert_eq!(served.scene.issuer.deletions(), std::slice::from_ref(&served.scene.old));
    let answer = served.rotate("ring", &value, &[]);
    rotated(&served, &answer, &id, 2);
}

/// A rotation that is open becomes the emergency; its driver at the terminal lets go.
#[test]
fn an_open_rotation_becomes_the_emergency() {
    let served = Served::start(2, "");
    let plan = served.scene.plan();
    served.scene.run(&["apply", &plan]).exits(6).says(&["press New key"]);
    let (id, value) = served.scene.issuer.mint("made at the console");
    let answer = served.rotate("ring", &value, &[]);
    assert_eq!(rotated(&served, &answer, &id, 2), plan, "no second rotation");
    served.scene.run(&["status", &plan]).says(&["roll-first"]);
}

/// One that has no key yet takes the brought one, also before it waits for it.
#[test]
fn an_open_rotation_without_a_key_takes_it() {
    let served = Served::start(1, "emergency_revoke = true");
    let plan = served.scene.until("mint");
    let (ended, dead) = served.scene.issuer.mint("ended already");
    served.scene.issuer.end(&ended);
    let refused = served.rotate("ring", &dead, &[]);
    assert_eq!((refused.code, refused.text("code")), (422, "K0112"), "{refused:?}");
    let (id, value) = served.scene.issuer.mint("made at the console");
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    assert_eq!(rotated(&served, &answer, &id, 1), plan, "no second rotation");
    assert_eq!(answer.text("old_key"), "dead", "{answer:?}");
}

/// An emergency of another secret does not wait for one that takes long, which goes on by itself after it; and after a
/// restart both go on.
#[test]
fn two_emergencies_at_once_both_arrive() {
    let mut served = Served::with(1, "emergency_revoke = true", |config| {
        let side = crate::hostile::scene::side("./also/side.env");
        *config += &side.replace("[secrets.side]", "[secrets.side]\nemergency_revoke = true");
    });
    let (side, value) = served.scene.issuer.mint("of the side");
    put(&served.scene.path("also/side.env"), &["SIDE=", &value, "\n"], 0o600);
    served.scene.add("side", &side, &value).exits(0);
    // This process would be an undeclared one that holds it.
    drop(value);
    served.scene.sh("touch run/hold");
    let ring = served.post(br#"{"secret_name":"ring"}"#, &["-H", "Prefer: wait=1"]);
    assert_eq!((ring.code, ring.text("status")), (202, "rolling"), "{ring:?}");
    let side = std::thread::scope(|scope| {
        let second = scope.spawn(|| served.post(br#"{"secret_name":"side"}"#, &["-H", "Prefer: wait=90"]));
        wait("the second is asked for", || served.log().contains("side: asked for an emergency"));
        wait("the first is asked to pause", || served.log().contains("ring: asked to pause for another"));
        served.scene.sh("rm -f run/hold");
        second.join().unwrap()
    });
    assert_eq!((side.code, side.text("old_key")), (200, "dead"), "{side:?}");
    assert!(served.log().contains("ring: paused"), "{}", served.log());
    wait("the first goes on by itself", || served.status()["open"] == json!([]));
    assert_eq!(served.status()["rotation_log"].as_array().unwrap().len(), 2);
    // Both again, and a restart in the middle.
    served.scene.sh("touch run/hold; rm run/restarting-api");
    let (_, ring) = served.scene.issuer.mint("made at the console");
    let (_, side) = served.scene.issuer.mint("made at the console");
    let first = served.rotate("ring", &ring, &["-H", "Prefer: wait=2"]);
    assert_eq!(first.text("status"), "rolling", "{first:?}");
    let body = json!({"secret_name": "side", "new_value": side.as_str()}).to_string();
    let mut caller = served.begin("/rotate-secret", &["-H", "@ada.header", "--data-binary", "@-"]);
    caller.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    wait("the second is asked for", || served.log().contains("side: asked for an emergency with a new key"));
    served.scene.sh("rm run/hold");
    served.end(Signal::TERM);
    let _ = caller.wait();
    served.serve();
    let second = served.rotate("side", &side, &["-H", "Prefer: wait=90"]);
    assert_eq!((second.code, second.text("old_key")), (200, "dead"), "{second:?}");
    wait("both have ended", || served.status()["open"] == json!([]));
}

/// A key that a later rotation replaced may be the leaked one: it is never answered as the one in use.
#[test]
fn a_superseded_key_is_refused() {
    let served = Served::start(1, "emergency_revoke = true");
    let scene = &served.scene;
    let (_, first) = scene.issuer.mint("the first");
    assert_eq!(served.rotate("ring", &first, &["-H", "Prefer: wait=90"]).text("old_key"), "dead");
    let (id, second) = scene.issuer.mint("the second");
    scene.sh("touch run/hold");
    assert_eq!(served.rotate("ring", &second, &["-H", "Prefer: wait=2"]).text("status"), "rolling");
    // While it moves away from that key, driven and paused, and after it has.
    assert_eq!(served.rotate("ring", &first, &[]).code, 409);
    let pause = scene.start(&["pause"]);
    scene.sh("rm run/hold");
    pause.end().exits(4);
    wait("nobody drives", || served.drivers().is_empty());
    let refused = served.rotate("ring", &first, &[]);
    assert_eq!(refused.code, 409, "{refused:?}");
    let answer = served.rotate("ring", &second, &["-H", "Prefer: wait=90"]);
    rotated(&served, &answer, &id, 1);
    let again = served.rotate("ring", &first, &[]);
    assert!([409, 422].contains(&again.code), "{again:?}");
    // A file's line end is no part of a key.
    let with_end = served.rotate("ring", &Zeroizing::new(format!("{}\n", *second)), &[]);
    assert_eq!((with_end.code, with_end.text("rotation")), (200, answer.text("rotation")), "{with_end:?}");
}

/// Equal requests at the same moment begin one rotation.
#[test]
fn equal_requests_at_once_begin_one_rotation() {
    let served = Served::start(1, "");
    let (id, value) = served.scene.issuer.mint("made at the console");
    let answers = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| served.rotate("ring", &value, &[]))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let rotation = rotated(&served, &answers[0], &id, 1);
    for answer in answers {
        assert_eq!((answer.code, answer.text("rotation")), (200, rotation.as_str()), "{answer:?}");
    }
    assert_eq!(served.status()["rotation_log"].as_array().unwrap().len(), 1);
}

/// A driver at the terminal lets go of its rotation, which becomes the emergency; and an operator's pause stays.
#[test]
fn an_operator_and_the_server_share_a_rotation() {
    let served = Served::with(1, "", |_| {});
    let scene = &served.scene;
    let plan = scene.plan();
    scene.sh("touch run/hold");
    let at_terminal = scene.start(&["apply", &plan]);
    wait("its consumer is being restarted", || {
        scene.path("run/restarting-api").exists() && !scene.issuer.keys().is_empty()
    });
    wait("it is driven", || served.status()["open"][0]["status"] == "rolling");
    let answers = std::thread::scope(|scope| {
        let answer = scope.spawn(|| served.post(br#"{"secret_name":"ring"}"#, &["-H", "Prefer: wait=90"]));
        wait("it is asked for", || served.log().contains("goes on as an emergency"));
        scene.sh("rm run/hold");
        answer.join().unwrap()
    });
    assert_eq!((answers.code, answers.text("rotation")), (200, plan.as_str()), "{answers:?}");
    at_terminal.end().exits(130);
    scene.run(&["status", &plan]).says(&["roll-first"]);
    scene.run(&["resume", &plan, "--confirm=ring"]).exits(0).ended("done");
    // Now the other way round.
    fs::remove_file(scene.path("run/restarting-api")).unwrap();
    scene.sh("touch run/hold");
    let (id, value) = scene.issuer.mint("made at the console");
    let rolling = served.rotate("ring", &value, &["-H", "Prefer: wait=2"]);
    assert_eq!(rolling.text("status"), "rolling", "{rolling:?}");
    let pause = scene.start(&["pause", rolling.text("rotation")]);
    scene.sh("rm run/hold");
    pause.end().exits(4);
    wait("the driver has ended", || {
        served.log().contains(&format!("ring: rotation {}: ", rolling.text("rotation")))
    });
    assert_eq!(served.drivers(), Vec::<u32>::new());
    let open = &served.status()["open"][0];
    assert!(open["why"].as_str().unwrap().contains("asked to pause"), "{open}");
    let answer = served.rotate("ring", &value, &["-H", "Prefer: wait=90"]);
    rotated(&served, &answer, &id, 1);
}

/// Both tokens are valid while one is replaced, and a revoked one is refused from the next request on.
#[test]
fn a_token_is_replaced_while_the_server_runs() {
    let served = Served::start(1, "");
    let scene = &served.scene;
    let asks = |name: &str| served.curl("/secret-status", &["-H", &format!("@{name}.header")], b"").code;
    scene.run(&["token", "new", "bob", "--out", "bob.token"]).exits(0);
    served.header("bob");
    assert_eq!((asks("ada"), asks("bob")), (200, 200));
    scene.run(&["token", "new", "eve", "--out", "eve.token"]).refused(1, "K0950", &["ada and bob are valid"]);
    scene.run(&["token", "revoke", "ada"]).exits(0);
    assert_eq!((asks("ada"), asks("bob")), (401, 200));
    // A file that others can read lets nobody in.
    scene.sh("chmod 644 admin-token");
    assert_eq!(asks("bob"), 503);
    scene.sh("chmod 600 admin-token");
    assert_eq!(asks("bob"), 200);
    let token = Zeroizing::new(fs::read_to_string(scene.path("bob.token")).unwrap());
    served.nothing_leaked(&[&Zeroizing::new(token.trim().to_owned())]);
    assert!(!scene.run(&["token", "list"]).text.contains(token.trim()));
}

/// What a person does with paper and curl alone.
#[test]
fn the_runbook_names_every_step() {
    let served = Served::made(2, "owner = \"ada@example.org\"", |config, _| {
        *config = config.replace("127.0.0.1:0", "127.0.0.1:9090");
    });
    let page = served.scene.run(&["runbook", "ring"]);
    page.exits(0).says(&[
        "owner         ada@example.org",
        "1. ASSESS (2 min)",
        "7. AFTERWARDS (15 min)",
        "curl http://127.0.0.1:9090/rotate-secret",
        "api reads ",
        "keyroll resume ROTATION --confirm=ring",
        "begin with    cd ",
        "--state ",
    ]);
}
