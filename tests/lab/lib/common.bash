# shellcheck shell=bash
# What every lab script shares: where things are, how to say something, how to wait for a state.
#
#   NODE           the node's name in the lab (default node1); each has its own directory, namespaces and cgroups
#   REKINDLE_LAB   where nodes live; a real disk, because overlayfs and etcd's fsync want one
#   LAB_SLOW       every deadline of wait_for is so many times as long (default 1): for machines that are emulated

LAB_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LAB_REPOSITORY=$(cd "$LAB_SCRIPTS/../.." && pwd)
LAB_ROOT="${REKINDLE_LAB:-/var/lib/rekindle-lab}"
# The cache is only ever a shortcut: without a writable one, the lab's own directory serves.
LAB_CACHE="${REKINDLE_LAB_CACHE:-/var/cache/rekindle-lab}"
export REKINDLE_LAB_CACHE="$LAB_CACHE"

NODE="${NODE:-node1}"
LAB_DIR="$LAB_ROOT/$NODE"
LAB_CGROUP="rekindle-lab/$NODE"
LAB_NETNS_NAME="rekindle-lab-$NODE"
LAB_NETNS="/run/netns/$LAB_NETNS_NAME"
# The kubelet's name for the node, and the address that pods learn as status.hostIP.
LAB_NODE_NAME="${LAB_NODE_NAME:-labnode}"
LAB_ADDRESS="${LAB_ADDRESS:-10.77.0.1}"
# A pod's own word for it: kept in one place because images, manifests and tests need the same.
LAB_IMAGE_TAG=v1.20.2
# shellcheck disable=SC2034
LAB_ETCD_IMAGE=k8s.gcr.io/etcd:3.5

# What kind of control plane: etcd as a `process` beside the kubelet, without TLS, or as a static `pod` with it; the
# Kubernetes components `self-hosted`, or `static` pods as kubeadm has them (which needs the etcd pod).
LAB_ETCD="${LAB_ETCD:-process}"
LAB_CONTROL_PLANE="${LAB_CONTROL_PLANE:-self-hosted}"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "$*"
    exit 1
}

need_root() { ((EUID == 0)) || die "needs root (namespaces, cgroups, mounts); run it with sudo"; }

now_ms() { date +%s%3N; }

# wait_for SECONDS WHAT COMMAND...   polls five times a second (each LAB_PAUSE seconds) until COMMAND succeeds.
wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    seconds=$((seconds * ${LAB_SLOW:-1}))
    end=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= end)); then
            say "waited $seconds s for this in vain: $what"
            return 1
        fi
        sleep "${LAB_PAUSE:-0.2}"
    done
}

node_exists() { [[ -d "$LAB_DIR" ]]; }
need_node() { node_exists || die "there is no node $NODE; make one: NODE=$NODE tests/lab/node up --with kubelet"; }

# The node's env.sh is for programs (KEY=value, no quotes); scripts read it with this.
load_env() {
    need_node
    # shellcheck disable=SC1091
    . "$LAB_DIR/env.sh"
}
