//! The workers behind one address, each asked and replaced individually: real workers of uvicorn, in which the proxy
//! runs, with a program that behaves like the proxy's workers. Other tests rotate the proxy itself.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keyroll_agents::{ProxyConfig, Versions};
use keyroll_manager::{LiteLlm, ModelAnswer, Proxy, ProxyEndpoint, Workload, apply, ask_model, instances};
use keyroll_observe::{ProcessId, processes};
use keyroll_port::Class;
use keyroll_secret::SecretBytes;
use keyroll_testkit::{ManagerTools, TempDir, alphanumeric, free_port};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const CONFIG: &str = "model_list: [{model_name: l1, litellm_params: {model: m, api_key: os.environ/KEY}}]";

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often a test checks that something does not happen.
const LOOKS: u32 = 30;

/// How often a client asks again after its worker ended before the request.
const ASKS: u32 = 5;

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Scene {
    folder: TempDir,
    address: SocketAddr,
    master: Child,
}

impl Scene {
    fn start(what: &str, value: &str, workers: u8, with: &[(&str, &str)]) -> Option<Self> {
        let tools = ManagerTools::or_skip(what, env!("CARGO_TARGET_TMPDIR"))?;
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("app.py"), include_str!("litellm.py")).unwrap();
        fs::write(folder.path().join("key"), value).unwrap();
        let port = free_port().unwrap();
        let master = Command::new(tools.program("uvicorn"))
            .args(["app:app", "--host", "127.0.0.1", "--no-access-log", "--lifespan", "off"])
            .args(["--port", &port.to_string(), "--workers", &workers.to_string()])
            .current_dir(folder.path())
            .envs(with.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let scene = Self { folder, address: SocketAddr::from(([127, 0, 0, 1], port)), master };
        let all = usize::from(workers);
        until("every worker answers", || {
            let Some(proxy) = scene.proxy() else { return false };
            let ready = |worker| scene.asks(&proxy, worker, "nobody's") == ModelAnswer::Unknown;
            proxy.workers.len() == all && proxy.workers.iter().all(ready)
        });
        Some(scene)
    }

    fn proxy(&self) -> Option<Proxy> {
        let listing = processes(Duration::from_secs(10)).unwrap();
        Proxy::at(self.address, &listing).unwrap()
    }

    fn asks(&self, proxy: &Proxy, worker: &ProcessId, id: &str) -> ModelAnswer {
        ask_model(proxy, &ProxyEndpoint { address: self.address, key: None }, worker, id, false)
    }

    /// Each worker's answer for an id.
    fn each(&self, id: &str) -> Vec<(ProcessId, ModelAnswer)> {
        let proxy = self.proxy().expect("a proxy");
        proxy.workers.iter().map(|worker| (*worker, self.asks(&proxy, worker, id))).collect()
    }

    fn run(&self) -> LiteLlm {
        LiteLlm { address: self.address, variables: vec!["KEY".to_owned()] }
    }

    fn workers(&self) -> BTreeSet<ProcessId> {
        instances(&self.run()).unwrap().into_iter().map(|one| one.process).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.master.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.master.wait();
    }
}

/// The ids of the model under both values.
fn ids(old: &str, new: &str) -> (String, String) {
    let (old, new) = (SecretBytes::from(old.to_owned()), SecretBytes::from(new.to_owned()));
    let config = ProxyConfig::read(CONFIG.as_bytes()).unwrap();
    let told = config.foretell(Versions { old: &old, new: &new }, &|_| Some(old.duplicate()));
    let told = told[0].1.as_ref().unwrap();
    (told.old.clone(), told.new.clone())
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

/// A worker that ends closes idle connections without an answer: the client then asks again, as with any HTTP server.
fn answered(address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        Ok(said)
    };
    let said = (0..ASKS).map(|_| asked().unwrap_or_default()).find(|said| !said.is_empty());
    said.is_some_and(|said| said.starts_with(b"HTTP/1.1 200"))
}

fn end(worker: &ProcessId) {
    kill_process(Pid::from_raw(i32::try_from(worker.pid).unwrap()).unwrap(), Signal::TERM).unwrap();
}

#[test]
fn each_worker_is_asked_by_itself_and_replaced_while_another_answers() {
    let (old, new) = (alphanumeric(40), alphanumeric(40));
    let (old_id, new_id) = ids(&old, &new);
    let what = "each_worker_is_asked_by_itself_and_replaced_while_another_answers";
    let Some(scene) = Scene::start(what, &old, 2, &[]) else { return };
    let before = scene.workers();
    assert_eq!(before.len(), 2);
    assert!(scene.each(&old_id).iter().all(|(_, said)| *said == ModelAnswer::Answered));
    assert!(scene.each(&new_id).iter().all(|(_, said)| *said == ModelAnswer::Unknown));
    // A worker that ends by itself is replaced by one with the file's present value: two keys behind one address.
    fs::write(scene.folder.path().join("key"), &new).unwrap();
    let ended = before.first().unwrap();
    end(ended);
    until("another worker", || {
        let now = scene.workers();
        now.len() == 2
            && !now.contains(ended)
            && scene.each(&new_id).iter().any(|(_, said)| *said == ModelAnswer::Answered)
    });
    // In either order, and each twice: an answer comes from the worker that was asked.
    let proxy = scene.proxy().expect("a proxy");
    let (forth, back) = (proxy.workers.iter(), proxy.workers.iter().rev());
    for worker in forth.clone().chain(back.clone()).chain(back).chain(forth) {
        let (known, unknown) = if before.contains(worker) { (&old_id, &new_id) } else { (&new_id, &old_id) };
        assert_eq!(scene.asks(&proxy, worker, known), ModelAnswer::Answered, "{worker:?}");
        assert_eq!(scene.asks(&proxy, worker, unknown), ModelAnswer::Unknown, "{worker:?}");
    }
    // Replaced one by one: no client is without an answer meanwhile.
    let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stops, fails, address) = (Arc::clone(&stop), Arc::clone(&failed), scene.address);
    let caller = std::thread::spawn(move || {
        let mut sent = 0;
        while !stops.load(Ordering::Relaxed) {
            sent += 1;
            fails.fetch_add(usize::from(!answered(address)), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
        sent
    });
    let between = scene.workers();
    let done = apply(&scene.run(), None, deadline(), &mut |_| {});
    stop.store(true, Ordering::Relaxed);
    let sent: usize = caller.join().unwrap();
    assert_eq!((failed.load(Ordering::Relaxed), sent > 0), (0, true));
    assert!(done.unwrap().done.contains("2 workers"));
    assert!(scene.workers().is_disjoint(&between));
    assert!(scene.each(&new_id).iter().all(|(_, said)| *said == ModelAnswer::Answered));
}

#[test]
fn a_value_of_its_environment_and_a_worker_alone_are_refused() {
    let what = "a_value_of_its_environment_and_a_worker_alone_are_refused";
    let value = alphanumeric(40);
    let Some(scene) = Scene::start(what, &value, 2, &[("KEY", "anything")]) else { return };
    let before = scene.workers();
    let failure = apply(&scene.run(), None, deadline(), &mut |_| {}).err().unwrap();
    assert_eq!((failure.code.as_str(), failure.class), ("K0364", Class::Permanent));
    let agent = scene.run();
    assert_eq!(agent.objections()[0].code, "K0364");
    assert_eq!(scene.workers(), before, "nothing was done");
    drop(scene);
    let Some(scene) = Scene::start(what, &value, 1, &[]) else { return };
    let before = scene.workers();
    let failure = apply(&scene.run(), None, deadline(), &mut |_| {}).err().unwrap();
    assert_eq!((failure.code.as_str(), failure.class), ("K0434", Class::Permanent));
    assert_eq!(scene.workers(), before, "nothing was done");
}

/// One at a time, and only while another one answers.
#[test]
fn no_worker_ends_before_the_one_in_the_last_ones_place_answers() {
    let what = "no_worker_ends_before_the_one_in_the_last_ones_place_answers";
    let value = alphanumeric(40);
    let Some(scene) = Scene::start(what, &value, 3, &[]) else { return };
    let path = |name: &str, worker: &ProcessId| scene.folder.path().join(format!("{name}.{}", worker.pid));
    let waits = |worker: &&ProcessId| path("waits", worker).exists();
    let stay = |workers: &BTreeSet<ProcessId>| {
        for _ in 0..LOOKS {
            let now = scene.workers();
            assert!(workers.is_subset(&now), "{workers:?} of {now:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    fs::write(scene.folder.path().join("gated"), "").unwrap();
    let before = scene.workers();
    let alone = *before.first().unwrap();
    before.iter().filter(|worker| **worker != alone).for_each(end);
    let come = |than: &BTreeSet<ProcessId>, count: usize| -> BTreeSet<ProcessId> {
        let mut new = BTreeSet::new();
        until("new workers", || {
            new = scene.workers().difference(than).filter(waits).copied().collect();
            new.len() >= count
        });
        new
    };
    let two = come(&before, 2);
    let run = scene.run();
    let rolls = std::thread::spawn(move || apply(&run, None, deadline(), &mut |_| {}).map(|done| done.done));
    stay(&BTreeSet::from([alone]));
    two.iter().for_each(|worker| fs::write(path("go", worker), "").unwrap());
    let third = come(&before.union(&two).copied().collect(), 1);
    assert!(!scene.workers().contains(&alone));
    stay(&two);
    third.iter().for_each(|worker| fs::write(path("go", worker), "").unwrap());
    until("the others are replaced", || {
        scene.workers().iter().filter(waits).for_each(|worker| fs::write(path("go", worker), "").unwrap());
        rolls.is_finished()
    });
    assert!(rolls.join().unwrap().unwrap().contains("3 workers"));
    assert!(scene.workers().is_disjoint(&before.union(&two).copied().collect()));
}
