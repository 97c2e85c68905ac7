//! An error rate stops a rotation: before a moved consumer counts, and while the old key is disabled.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use keyroll_testkit::{Prometheus, alphanumeric};
use serde_json::{Value, json};

use crate::hostile::ran::{Ran, wait};
use crate::hostile::scene::{Scene, put};

/// A server that answers as prometheus.io/docs/prometheus/latest/querying/api says, with the given samples, to clients
/// with its token.
struct Rates {
    port: u16,
    token: String,
    samples: Arc<Mutex<Vec<&'static str>>>,
    asked: Arc<Mutex<u32>>,
}

impl Rates {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rates = Self { port, token: alphanumeric(24), samples: Arc::default(), asked: Arc::default() };
        let (samples, asked, token) = (rates.samples.clone(), rates.asked.clone(), rates.token.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                *asked.lock().unwrap() += 1;
                let wanted = format!("Authorization: Bearer {token}");
                let query = "GET /api/v1/query?query=sum%28rate%28errors%5B1m%5D%29%29 HTTP/";
                let (status, body) = match (head[0].starts_with(query), head.contains(&wanted)) {
                    (true, true) => {
                        let sample =
                            |value: &&str| format!(r#"{{"metric":{{}},"value":[1435781451.781,"{value}"]}}"#);
                        let all: Vec<String> = samples.lock().unwrap().iter().map(sample).collect();
                        let result = all.join(",");
                        let data = format!(r#"{{"resultType":"vector","result":[{result}]}}"#);
                        ("200 OK", format!(r#"{{"status":"success","data":{data}}}"#))
                    }
                    (true, false) => ("401 Unauthorized", String::new()),
                    (false, _) => ("400 Bad Request", r#"{"status":"error"}"#.to_owned()),
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
                );
            }
        });
        rates
    }

    fn set(&self, samples: &[&'static str]) {
        *self.samples.lock().unwrap() = samples.to_vec();
    }

    fn scene(&self, more: &str) -> Scene {
        let scene = Scene::made(|config, _| {
            let at = config.find("[[secrets.ring.consumers]]").unwrap();
            let gate = format!(
                "[secrets.ring.gate]\nurl = \"http://127.0.0.1:{}\"\nquery = \"sum(rate(errors[1m]))\"\nmax = 0.01\n\
                 bearer = \"file:./token\"\n{more}\n",
                self.port
            );
            config.insert_str(at, &gate);
        });
        put(&scene.path("token"), &[&self.token, "\n"], 0o600);
        scene
    }
}

#[test]
fn a_low_rate_lets_it_pass_and_it_is_asked() {
    let rates = Rates::start();
    rates.set(&["0", "0.009"]);
    let scene = rates.scene("");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(0).ended("done");
    scene.rotated();
    assert!(*rates.asked.lock().unwrap() > 1, "nobody asked");
}

#[test]
fn a_consumer_whose_errors_rose_goes_back() {
    let rates = Rates::start();
    rates.set(&["0", "0.5"]);
    let scene = rates.scene("");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).says(&["K0368", "0.5"]);
    scene.as_before();
}

#[test]
fn errors_that_rise_while_the_old_key_is_off_switch_it_on_again() {
    let rates = Rates::start();
    rates.set(&["0.001"]);
    let scene = rates.scene("");
    let id = scene.until("soak");
    rates.set(&["0.2"]);
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["K0368"]);
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    rates.set(&["0.001"]);
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

#[test]
fn a_rate_that_nobody_can_tell_is_not_a_low_one() {
    let rates = Rates::start();
    rates.set(&[]);
    let scene = rates.scene("");
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).says(&["K0368"]);
    scene.as_before();
}

/// The endpoint from which a real server collects its numbers: one number in the text format of
/// prometheus.io/docs/instrumenting.
struct Numbers {
    port: u16,
    share: Arc<Mutex<&'static str>>,
}

impl Numbers {
    fn start(share: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let numbers =
            Self { port: listener.local_addr().unwrap().port(), share: Arc::new(Mutex::new(share)) };
        let share = numbers.share.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
                let body =
                    format!("# TYPE share_of_failures gauge\nshare_of_failures {}\n", share.lock().unwrap());
                let length = body.len();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close";
                let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            }
        });
        numbers
    }

    /// Changes the number, and waits until the server returns it.
    fn become_known(&self, share: &'static str, server: u16) {
        *self.share.lock().unwrap() = share;
        wait("the number at the server", || {
            let mut stream = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let ask = "GET /api/v1/query?query=max(share_of_failures) HTTP/1.0\r\n\r\n";
            stream.write_all(ask.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).is_ok() && answer.contains(&format!("\"{share}\"]"))
        });
    }
}

#[test]
fn a_real_prometheus_holds_a_rotation_up_and_lets_it_go_on() {
    let numbers = Numbers::start("0.001");
    let Some(server) = Prometheus::start_or_skip("an error rate of a real server", numbers.port) else {
        return;
    };
    numbers.become_known("0.001", server.port());
    let scene = Scene::made(|config, _| {
        let at = config.find("[[secrets.ring.consumers]]").unwrap();
        let gate = format!(
            "[secrets.ring.gate]\nurl = \"http://127.0.0.1:{}\"\nquery = \"max(share_of_failures)\"\nmax = 0.01\n\n",
            server.port()
        );
        config.insert_str(at, &gate);
    });
    let id = scene.until("soak");
    numbers.become_known("0.25", server.port());
    let ran = scene.run(&["resume", &id, "--confirm", "ring"]);
    ran.exits(6).says(&["K0368", "the error rate is 0.25, and 0.01 is the most that it may be"]);
    let told = ran.paused()["reason"].as_str().unwrap().to_owned();
    assert!(told.contains("the error rate of the gate rose"), "{told}");
    scene.run(&["status", &id]).exits(6).says(&[&told]);
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    numbers.become_known("0.001", server.port());
    scene.run(&["resume", &id, "--confirm", "ring"]).exits(0).ended("done");
    scene.rotated();
}

/// The query of the gate that asks SigNoz.
const ERRORS: &str = "sum(rate({\"http.server.errors\"}[5m]))";

/// The rate that SigNoz has of `ERRORS`, and for how long it has had no points of it.
#[derive(Clone, Copy)]
struct Series {
    rate: f64,
    silent_s: u64,
}

/// A server that answers `POST /api/v5/query_range` as SigNoz does, to clients with its key: a query in PromQL gives a
/// point at each step of the range, until its series ended.
///
/// Sources: signoz.io/docs/metrics-management/query-range-api; in SigNoz/signoz
/// pkg/types/querybuildertypes/querybuildertypesv5/req.go (an unknown field is refused) and resp.go (the answer; an empty
/// list is `null`), pkg/querier/promql_query.go (the points), pkg/http/render (`status`, and the status of an error).
struct SigNoz {
    port: u16,
    key: String,
    series: Arc<Mutex<Series>>,
    answered: Arc<Mutex<u32>>,
}

impl SigNoz {
    fn start(rate: f64, silent_s: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let series = Arc::new(Mutex::new(Series { rate, silent_s }));
        let signoz = Self { port, key: alphanumeric(44), series, answered: Arc::default() };
        let (key, series, answered) = (signoz.key.clone(), signoz.series.clone(), signoz.answered.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let lines = stream.by_ref().lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let (status, answer) = answer(&head, &body, &key, *series.lock().unwrap());
                *answered.lock().unwrap() += u32::from(status == "200 OK");
                let (answer, length) = (answer.to_string(), answer.to_string().len());
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
                let _ = write!(stream.get_mut(), "{head}\r\ncontent-length: {length}\r\n\r\n{answer}");
            }
        });
        signoz
    }

    fn set(&self, rate: f64, silent_s: u64) {
        *self.series.lock().unwrap() = Series { rate, silent_s };
    }

    /// A scene whose gate asks it with this key.
    fn scene(&self, key: &str) -> Scene {
        let scene = Scene::made(|config, _| {
            let at = config.find("[[secrets.ring.consumers]]").unwrap();
            let gate = format!(
                "[secrets.ring.gate]\napi = \"signoz\"\nurl = \"http://127.0.0.1:{}\"\nquery = '{ERRORS}'\nmax = 0.01\n\
                 bearer = \"file:./signoz.key\"\n\n",
                self.port
            );
            config.insert_str(at, &gate);
        });
        put(&scene.path("signoz.key"), &[key, "\n"], 0o600);
        scene
    }

    /// None of these commands said its key.
    #[track_caller]
    fn is_not_shown(&self, all: &[&Ran]) {
        assert!(all.iter().all(|ran| !ran.text.contains(&self.key)), "the key of SigNoz was said");
    }
}

/// The value of a header; names of headers have no case.
fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let mut pairs = head.iter().filter_map(|line| line.split_once(": "));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The status and the body of SigNoz's answer.
fn answer(head: &[String], body: &[u8], key: &str, series: Series) -> (&'static str, Value) {
    let error = |code: &str| json!({"status": "error", "error": {"code": code, "message": "refused"}});
    if !head.first().is_some_and(|line| line.starts_with("POST /api/v5/query_range HTTP/")) {
        return ("404 Not Found", error("not_found"));
    }
    if header(head, "signoz-api-key") != Some(key) || header(head, "authorization").is_some() {
        return ("401 Unauthorized", error("unauthenticated"));
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let (start, end) = (asked["start"].as_u64().unwrap_or(0), asked["end"].as_u64().unwrap_or(0));
    let promql = json!({"type": "promql", "spec": {"name": "A", "query": ERRORS, "step": 30}});
    let known = json!({
        "schemaVersion": "v1", "start": start, "end": end, "requestType": "time_series", "noCache": true,
        "compositeQuery": {"queries": [promql]},
    });
    if asked != known || start >= end || header(head, "content-type") != Some("application/json") {
        return ("400 Bad Request", error("invalid_input"));
    }
    let until = end - series.silent_s * 1_000;
    let point = |at: u64| json!({"timestamp": at, "value": series.rate});
    let values: Vec<Value> = (start..=until).step_by(30_000).map(point).collect();
    let all = if values.is_empty() { Value::Null } else { json!([{"values": values}]) };
    let results =
        json!([{"queryName": "A", "aggregations": [{"index": 0, "alias": "", "meta": {}, "series": all}]}]);
    let meta = json!({"rowsScanned": 0, "bytesScanned": 0, "durationMs": 1});
    let data = json!({"type": "time_series", "data": {"results": results}, "meta": meta});
    ("200 OK", json!({"status": "success", "data": data}))
}

#[test]
fn signoz_holds_a_rotation_up_and_lets_it_go_on() {
    let signoz = SigNoz::start(0.001, 0);
    let scene = signoz.scene(&signoz.key);
    let id = scene.plan();
    let low = scene.run(&["apply", &id, "--confirm", "ring", "--until", "soak"]);
    low.exits(4).paused();
    assert!(*signoz.answered.lock().unwrap() > 0, "SigNoz answered nothing");
    signoz.set(0.25, 0);
    let high = scene.run(&["resume", &id, "--confirm", "ring"]);
    high.exits(6).says(&["K0368", "the error rate is 0.25, and 0.01 is the most that it may be"]);
    let keys = scene.issuer.keys();
    assert!(keys.len() == 2 && keys.iter().all(|key| !key.disabled), "{keys:?}");
    // Points come late, and one of a minute ago still counts.
    signoz.set(0.001, 60);
    let again = scene.run(&["resume", &id, "--confirm", "ring"]);
    again.exits(0).ended("done");
    scene.rotated();
    let (status, history) = (scene.run(&["status", &id]), scene.run(&["history"]));
    signoz.is_not_shown(&[&low, &high, &again, &status, &history]);
}

#[test]
fn a_rate_that_nobody_can_tell_since_its_points_are_old_is_not_a_low_one() {
    let signoz = SigNoz::start(0.001, 180);
    let scene = signoz.scene(&signoz.key);
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).says(&["K0368", "the newest point of a series is 180 s old"]);
    scene.as_before();
    signoz.is_not_shown(&[&ran]);
}

#[test]
fn a_rate_that_nobody_can_tell_without_the_key_of_signoz_is_not_a_low_one() {
    let signoz = SigNoz::start(0.001, 0);
    let other = alphanumeric(44);
    let scene = signoz.scene(&other);
    let plan = scene.plan();
    let ran = scene.run(&["apply", &plan, "--confirm", "ring"]);
    ran.exits(5).says(&["K0368", "HTTP status 401"]);
    scene.as_before();
    assert!(!ran.text.contains(&other), "the key was said");
}
