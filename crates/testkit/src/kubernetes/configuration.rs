//! What the programs of a cluster are given: the words of their command lines, and their files.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Where the cluster is: of its own, of all that is free on this machine.
pub(super) struct Place {
    /// A network of loopback addresses. Its first address is the API server's, and that of the service `kubernetes`: so a pod
    /// reaches it there.
    pub(super) network: Ipv4Addr,
    /// The API server's port.
    pub(super) api: u16,
    /// Ports of the loopback address.
    pub(super) etcd: u16,
    pub(super) peers: u16,
    pub(super) kubelet: u16,
}

impl Place {
    /// The address of the API server.
    pub(super) fn address(&self) -> Ipv4Addr {
        let [first, second, third, _] = self.network.octets();
        Ipv4Addr::new(first, second, third, 1)
    }

    /// The URL of the API server.
    pub(super) fn url(&self) -> String {
        format!("https://{}:{}", self.address(), self.api)
    }

    /// The words of etcd. Its data is thrown away: it need not be safe on a disk.
    pub(super) fn etcd(&self, home: &Path) -> Vec<String> {
        let (own, peers) =
            (format!("http://127.0.0.1:{}", self.etcd), format!("http://127.0.0.1:{}", self.peers));
        words(&[
            "etcd --name test --unsafe-no-fsync",
            &format!("--data-dir {}", home.join("etcd").display()),
            &format!("--listen-client-urls {own} --advertise-client-urls {own}"),
            &format!("--listen-peer-urls {peers} --initial-advertise-peer-urls {peers}"),
            &format!("--initial-cluster test={peers}"),
        ])
    }

    /// The words of the API server.
    pub(super) fn api_server(&self, home: &Path) -> Vec<String> {
        let (address, home) = (self.address(), home.display());
        words(&[
            "kube-apiserver --endpoint-reconciler-type=none --authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction --kubelet-preferred-address-types=Hostname",
            &format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
            &format!("--bind-address={address} --advertise-address={address} --secure-port={}", self.api),
            &format!("--service-cluster-ip-range={}/24", self.network),
            &format!("--tls-cert-file={home}/server.crt --tls-private-key-file={home}/server.key"),
            &format!("--client-ca-file={home}/ca.crt --requestheader-client-ca-file={home}/ca.crt"),
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc",
            &format!("--service-account-key-file={home}/accounts.key"),
            &format!("--service-account-signing-key-file={home}/accounts.key"),
            &format!("--kubelet-client-certificate={home}/caller.crt --kubelet-client-key={home}/caller.key"),
            &format!("--audit-policy-file={home}/audit.json --audit-log-path={home}/audit.log"),
        ])
    }
}

/// The words of the controller manager.
pub(super) fn manager(home: &Path) -> Vec<String> {
    let home = home.display();
    words(&[
        "kube-controller-manager --secure-port=0 --leader-elect=false --use-service-account-credentials=true",
        // At its usual rate, a new namespace has its service account seconds later.
        "--kube-api-qps=500 --kube-api-burst=1000",
        &format!("--kubeconfig={home}/manager.conf --root-ca-file={home}/ca.crt"),
        &format!("--service-account-private-key-file={home}/accounts.key"),
    ])
}

/// The words of the scheduler.
pub(super) fn scheduler(home: &Path) -> Vec<String> {
    let home = home.display();
    words(&[
        "kube-scheduler --secure-port=0 --leader-elect=false",
        &format!("--kubeconfig={home}/scheduler.conf"),
    ])
}

/// The words of these lines.
fn words(lines: &[&str]) -> Vec<String> {
    lines.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect()
}

/// Every request, without the bodies: who asked, for what, and how it was answered.
pub(super) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    })
}

/// A file for clients, which only its owner may read, with one context.
pub(super) fn kubeconfig(
    home: &Path,
    file: &str,
    url: &str,
    (context, namespace): (&str, &str),
    user: &Value,
) -> io::Result<()> {
    let root = STANDARD.encode(fs::read(home.join("ca.crt"))?);
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context,
        "clusters": [{ "name": "test", "cluster": { "server": url, "certificate-authority-data": root } }],
        "users": [{ "name": context, "user": user }],
        "contexts": [{
            "name": context,
            "context": { "cluster": "test", "user": context, "namespace": namespace },
        }],
    });
    let path = home.join(file);
    let mut options = fs::File::options();
    let out = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(serde_json::to_writer(out, &text)?)
}

/// Who has one of the certificates that were made, for [`kubeconfig`].
pub(super) fn by_certificate(home: &Path, name: &str) -> io::Result<Value> {
    let read = |end: &str| Ok::<_, io::Error>(STANDARD.encode(fs::read(home.join(format!("{name}.{end}")))?));
    Ok(json!({ "client-certificate-data": read("crt")?, "client-key-data": read("key")? }))
}

/// Containers at this place. A program without the right to raise its score for the memory killer could start none otherwise.
pub(super) fn containerd(node: &Path) -> String {
    let node = node.display();
    format!(
        r#"version = 2
root = "{node}/containerd/root"
state = "{node}/containerd/state"
[grpc]
address = "{node}/containerd.sock"
[ttrpc]
address = "{node}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{node}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "test.local/pause:1"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{node}/cni"
"#
    )
}

/// The network of pods, without which no node is ready. Pods of tests share this machine's (`hostNetwork`).
pub(super) fn network() -> Value {
    json!({ "cniVersion": "0.4.0", "name": "node", "plugins": [{ "type": "loopback" }] })
}

/// The kubelet. It reads Secrets anew, and looks at each pod, so often.
pub(super) fn kubelet(place: &Place, home: &Path, cgroup: &str, looks: &str) -> Value {
    let node = home.join("node");
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": place.kubelet,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {
            "x509": { "clientCAFile": home.join("ca.crt") },
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
        },
        "authorization": { "mode": "Webhook" },
        "containerRuntimeEndpoint": format!("unix://{}", node.join("containerd.sock").display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": false,
        "evictionHard": { "memory.available": "50Mi", "nodefs.available": "1Mi", "imagefs.available": "1Mi" },
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": node.join("podlogs"),
        "resolvConf": "",
        "syncFrequency": looks,
        "nodeStatusUpdateFrequency": "5s",
        "volumePluginDir": node.join("plugins"),
    })
}
