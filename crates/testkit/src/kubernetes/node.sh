# The node of a cluster: containerd and the kubelet, until the end of the standard input. $1: the cluster's folder, $2: the
# program, $3: the name of a cgroup of its own. It runs in a process and a mount namespace: nothing outlives it.
set -eu
if [ "${4-}" != inside ]; then
    for each in /sys/fs/cgroup /sys/fs/cgroup/*/; do
        [ ! -e "$each/cgroup.procs" ] || mkdir -p "$each/$3"
    done
    unshare --mount --pid --fork --mount-proc --kill-child=KILL sh "$0" "$1" "$2" "$3" inside || :
    find /sys/fs/cgroup -depth -type d -path "*/$3*" -exec rmdir {} \; || :
    exit 0
fi
cd "$1/node"
mount --make-rprivate /
# What these programs leave at fixed places.
for each in /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers; do
    mkdir -p "$each"
    mount -t tmpfs node "$each"
done
# The kubelet sets these for the whole machine where they are not as it wants them.
while read -r name value; do
    echo "$value" >"sysctl-${name##*/}"
    mount --bind "sysctl-${name##*/}" "/proc/sys/$name"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END
mkdir -p image/root/bin image/root/tmp image/root/etc
cp "$(command -v busybox)" image/root/bin/busybox
for each in $(busybox --list); do
    [ "$each" = busybox ] || ln -s busybox "image/root/bin/$each"
done
exec 3<&0 </dev/null
containerd --config containerd.toml >containerd.log 2>&1 3<&- &
until ctr -a containerd.sock version >/dev/null 2>&1; do
    kill -0 $! || exit 1
    sleep 0.05
done
# An image with the programs of busybox, and one that only waits: what holds the namespaces of a pod.
(
    cd image
    sh "$1/image.sh" bb '["/bin/sh"]' "$1/node/containerd.sock"
    sh "$1/image.sh" pause '["/bin/sh","-c","trap exit TERM INT; while :; do sleep 1000 & wait; done"]' "$1/node/containerd.sock"
)
rm -r image
"$2" kubelet --config=kubelet.json --kubeconfig=../node.conf --hostname-override=localhost \
    --root-dir="$1/node/kubelet" --cert-dir="$1/node/pki" >kubelet.log 2>&1 3<&- &
trap 'exit 0' TERM
(
    read -r _ <&3 || :
    kill -TERM 1
) &
wait
