# Makes the image `test.local/NAME:1` of what is in `root` here, and gives it to a node. Everybody may read what it has, and all
# of it belongs to root. $1: the name, $2: the entry point as JSON, $3: the socket of containerd.
set -eu
tar --owner=0 --group=0 --mode=a+rX -C root -cf layer.tar .
layer=$(sha256sum layer.tar | cut -d" " -f1)
printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":%s,"Env":["PATH=/usr/bin:/bin"]},"rootfs":%s}' \
    "$2" '{"type":"layers","diff_ids":["sha256:'"$layer"'"]}' >config.json
printf '[{"Config":"config.json","RepoTags":["test.local/%s:1"],"Layers":["layer.tar"]}]' "$1" >manifest.json
tar -cf image.tar config.json manifest.json layer.tar
ctr -a "$3" -n k8s.io images import image.tar
