#!/bin/sh
# kubectl of the cluster. What it keeps of a cluster is in the folder of the scene.
export HOME=@DIR@/run
exec @KUBECTL@ kubectl "$@"
