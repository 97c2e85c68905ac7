# Makes the keys and certificates of a cluster in the current folder, each with its key. $1: the address of its API server.
set -eu
umask 077
new="openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days 2"
made() { # name, subject, extensions
    name=$1 subject=$2
    shift 2
    $new -subj "$subject" -keyout "$name.key" -out "$name.crt" -CA ca.crt -CAkey ca.key \
        -addext basicConstraints=critical,CA:FALSE "$@"
}
$new -subj "/CN=a root of this test" -keyout ca.key -out ca.crt -addext basicConstraints=critical,CA:TRUE
made server /CN=kube-apiserver -addext \
    "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$1"
made admin /O=system:masters/CN=admin
made caller /O=system:masters/CN=kube-apiserver-kubelet-client
made manager /CN=system:kube-controller-manager
made scheduler /CN=system:kube-scheduler
made node /O=system:nodes/CN=system:node:localhost
# It signs the tokens of service accounts.
openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
