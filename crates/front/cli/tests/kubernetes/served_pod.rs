//! keyroll as people install it: the shipped manifests in a cluster of its own, with the server in its pod, as nobody, on two
//! volumes, with the service account of the pod. The pod is deleted in the middle of a rotation.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use keyroll_testkit::Kubernetes;
use keyroll_testkit::command::Ran;
use serde_json::{Deserializer, Value, json};

use super::rotate_scene::{KEYROLL, OWN, Scene, is_here_or_skip};
use super::served_scene::{Base, STORY, Served, deployed};
use crate::hostile::scene::files;

/// The namespace and the pod of the manifests, and the user and group that it runs as.
const HOME: &str = "keyroll";
const POD: &str = "keyroll-0";
const NOBODY: u32 = 65_532;

/// Where the manifests have what keyroll is given.
const TOKENS: &str = "/etc/keyroll/tokens";
const FOLDER: &str = "/etc/keyroll/namespaces/shop";

/// The Secret with what objects refer to.
const FOLDER_SECRET: &str = "keyroll-shop";

struct InPod {
    served: Served,
}

impl InPod {
    fn raise() -> Self {
        let scene = Scene::at(Arc::new(Kubernetes::with_node()), OWN);
        scene.make(&scene.value);
        let mut pod = Self { served: Served::of(scene, HOME, "") };
        pod.served.place.config = pod.volumes().join(format!("state-{POD}/config/keyroll.toml"));
        pod.keyroll_image(Path::new(KEYROLL));
        pod.install();
        pod
    }

    fn scene(&self) -> &Scene {
        &self.served.scene
    }

    /// What kubectl says in the namespace of keyroll.
    #[track_caller]
    fn kubectl(&self, words: &[&str]) -> String {
        self.scene().cluster.kubectl(&[&["-n", HOME][..], words].concat())
    }

    /// Makes the image of this program, with what it needs to start, and a shell.
    fn keyroll_image(&self, program: &Path) {
        let folder = self.scene().home().join("image");
        fs::create_dir(&folder).unwrap();
        let (stripped, users) = (folder.join("keyroll"), folder.join("passwd"));
        fs::write(&users, format!("keyroll:x:{NOBODY}:{NOBODY}::/tmp:/bin/sh\n")).unwrap();
        let strip = Command::new("strip").arg("-o").arg(&stripped).arg(program).output();
        if !strip.is_ok_and(|ran| ran.status.success()) {
            fs::copy(program, &stripped).unwrap();
        }
        let busybox = output(Command::new("sh").args(["-c", "command -v busybox"]));
        let busybox = Path::new(busybox.trim());
        let libraries = libraries_of(program);
        let mut all: Vec<(&Path, &str)> =
            libraries.iter().map(|path| (path.as_path(), path.to_str().unwrap())).collect();
        all.extend([
            (stripped.as_path(), "/usr/bin/keyroll"),
            (users.as_path(), "/etc/passwd"),
            (Path::new("/tmp"), "/tmp"),
            (busybox, "/bin/busybox"),
            (busybox, "/bin/sh"),
        ]);
        self.scene().cluster.import_image("keyroll", &all, &["/usr/bin/keyroll"]);
        fs::remove_dir_all(folder).unwrap();
    }

    /// Applies the manifests, changed as little as this machine needs.
    fn install(&self) {
        let base = deployed("base").display().to_string();
        let words = ["create", "-k", &base, "--dry-run=client", "--validate=false", "-o", "json"];
        let said = self.scene().cluster.kubectl(&words);
        let mut objects: Vec<Value> =
            Deserializer::from_str(&said).into_iter::<Value>().map(Result::unwrap).flat_map(single).collect();
        let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        for kind in ["Namespace", "CustomResourceDefinition", "ServiceAccount", "ConfigMap", "StatefulSet"] {
            assert!(kinds.contains(&kind), "no {kind}: {kinds:?}");
        }
        let mut volumes = Vec::new();
        for object in &mut objects {
            match object["kind"].as_str().unwrap() {
                // A pod of this machine's network is none of a restricted one.
                "Namespace" => {
                    object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!("privileged");
                }
                "ConfigMap" => {
                    assert!(object["data"]["base.toml"].is_string(), "{object}");
                    object["data"]["base.toml"] = json!(self.base());
                }
                "StatefulSet" => {
                    self.give_tokens(object);
                    edit_pod(&mut object["spec"]["template"]["spec"]);
                    for claim in object["spec"]["volumeClaimTemplates"].as_array_mut().unwrap() {
                        claim["spec"]["storageClassName"] = json!("");
                        volumes.push(self.volume(claim));
                    }
                }
                _ => {}
            }
        }
        assert!(!volumes.is_empty(), "its state is on no volume");
        let dir = self.scene().dir();
        self.secret(FOLDER_SECRET, &[&dir.join("acme.toml"), &dir.join("admin.key")]);
        objects.splice(0..0, volumes);
        let all = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.scene().create(&all);
        self.is_up("");
    }

    /// The base file of the server: the login is that of the pod.
    fn base(&self) -> String {
        let base = Base {
            home: HOME,
            namespace: OWN,
            login: None,
            tokens: Path::new(TOKENS),
            folder: Path::new(FOLDER),
            server: "",
        };
        base.text()
    }

    /// Makes the Secret of the tokens that the pod mounts.
    fn give_tokens(&self, set: &Value) {
        let pod = &set["spec"]["template"]["spec"];
        let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["mountPath"] == TOKENS).expect("a mount of the tokens");
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("its volume");
        let name = volume["secret"]["secretName"].as_str().expect("a Secret");
        self.secret(name, &[&self.served.tokens().join("admin")]);
    }

    /// Makes a Secret of these files.
    fn secret(&self, name: &str, files: &[&Path]) {
        let from: Vec<String> = files.iter().map(|file| format!("--from-file={}", file.display())).collect();
        let from: Vec<&str> = from.iter().map(String::as_str).collect();
        self.kubectl(&[&["create", "secret", "generic", name][..], &from].concat());
    }

    /// A volume for a claim of the StatefulSet: a folder of this machine.
    fn volume(&self, claim: &Value) -> Value {
        let name = format!("{}-{POD}", claim["metadata"]["name"].as_str().unwrap());
        let path = self.volumes().join(&name);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": {
                "capacity": claim["spec"]["resources"]["requests"],
                "accessModes": claim["spec"]["accessModes"],
                "storageClassName": "",
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": { "namespace": HOME, "name": name },
                "hostPath": { "path": path },
            },
        })
    }

    fn volumes(&self) -> PathBuf {
        self.scene().home().join("volumes")
    }

    /// Waits until a pod is ready that is another one than that of this uid; its uid.
    #[track_caller]
    fn is_up(&self, before: &str) -> String {
        let mut uid = String::new();
        let shown = ["get", "pod", POD, "--ignore-not-found", "-o", "json"];
        self.scene().cluster.wait_late("keyroll's pod", || {
            let pod: Value = serde_json::from_str(&self.kubectl(&shown)).unwrap_or_default();
            let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
            uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            uid != before && all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        });
        uid
    }

    /// What a command of keyroll says in the pod, which must end well.
    #[track_caller]
    fn keyroll(&self, words: &[&str]) -> Ran {
        let said = self.kubectl(&[&["exec", POD, "--", "keyroll"][..], words].concat());
        self.scene().heard(Ran::read(Some(0), said.as_bytes(), b""))
    }

    /// What the server wrote is searched at the end.
    fn hear_log(&self) {
        let log = self.kubectl(&["logs", POD]);
        self.scene().heard(Ran::read(Some(0), log.as_bytes(), b""));
    }
}

/// The objects of one that kubectl printed.
fn single(object: Value) -> Vec<Value> {
    if object["kind"] == "List" {
        object["items"].as_array().cloned().unwrap_or_default()
    } else {
        vec![object]
    }
}

/// A pod of this machine's network and image, with the folder of the followed namespace.
fn edit_pod(pod: &mut Value) {
    pod["hostNetwork"] = json!(true);
    pod["dnsPolicy"] = json!("Default");
    let container = &mut pod["containers"][0];
    container["image"] = json!("test.local/keyroll:1");
    container["imagePullPolicy"] = json!("Never");
    let mount = json!({ "name": "namespace-shop", "mountPath": FOLDER, "readOnly": true });
    container["volumeMounts"].as_array_mut().unwrap().push(mount);
    let source = json!({ "secretName": FOLDER_SECRET, "defaultMode": 0o400 });
    pod["volumes"].as_array_mut().unwrap().push(json!({ "name": "namespace-shop", "secret": source }));
}

/// The shared libraries of a program, with its loader.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let said = output(Command::new("ldd").arg(program));
    let all: Vec<PathBuf> =
        said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect();
    assert!(!all.is_empty(), "{said}");
    all
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn the_server_in_a_pod_rotates_and_its_next_pod_goes_on() {
    if !is_here_or_skip("keyroll in a pod") {
        return;
    }
    let pod = InPod::raise();
    let (served, scene) = (&pod.served, pod.scene());
    assert_eq!(pod.kubectl(&["exec", POD, "--", "busybox", "id", "-u"]).trim(), NOBODY.to_string());
    let first = pod.is_up("");
    served.is_ready(&served.spec());
    assert_eq!(served.condition("ValueKnown").0, "True");
    pod.keyroll(&["status"]);

    let id = served.rotate();
    served.is_in_the_middle();
    let open = pod.kubectl(&["exec", POD, "--", "sh", "-c", "keyroll status; true"]);
    assert!(open.contains(&id), "{open}");
    pod.hear_log();
    pod.kubectl(&["delete", "pod", POD, "--force", "--grace-period=0"]);
    pod.is_up(&first);
    served.both_work();

    let asked = served.waits_for_consent(&id);
    served.consents(&asked);
    let done = served.ended(&id, "done");
    assert_eq!(done["phase"], "Ready", "{done}");
    STORY.into_iter().for_each(|reason| served.happened(reason));

    let new = scene.new_key();
    assert!(!scene.is_alive(&scene.old), "the old key is alive");
    assert_eq!(scene.given_out().as_ref(), Some(&new));
    scene.is_on("agent", &new);
    assert_eq!(scene.refused(), [] as [String; 0]);
    let past = pod.keyroll(&["history", "--json"]);
    let outcomes: Vec<&Value> = past.of("past").into_iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("done")], "{}", past.text);
    let probes = ["get", "jobs,pods,secrets", "-l", "keyroll.dev/probe", "-o", "name"];
    scene.cluster.wait("the end of every probe", || scene.kubectl(&probes).trim().is_empty());

    // Its files are its own, and nobody else may read any but what is no secret.
    let kept = files(&pod.volumes());
    assert!(kept.iter().any(|path| path.ends_with("journal.db")), "{kept:?}");
    for path in &kept {
        let its = fs::metadata(path).unwrap();
        assert_eq!(its.uid(), NOBODY, "{}", path.display());
        assert!(path.ends_with("keyroll.toml") || its.mode() & 0o077 == 0, "{}", path.display());
    }
    pod.hear_log();
    served.nothing_leaked();
}
