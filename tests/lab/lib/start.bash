# shellcheck shell=bash
# What the scenarios of `rekindle start` share: a node that lost everything but etcd's data, and an asset tree for it.
# Needs load_env, daemons.bash and pods.bash.

TREE="$LAB_DIR/recovered"
START_REPORT="$LAB_DIR/start-report.json"

# make_tree   what `rekindle recover` would write for this cluster, from the lab's own files
make_tree() {
    local file
    "$LAB_SCRIPTS/manifests" "$LAB_DIR" "$LAB_IMAGE_TAG"
    rm -rf "$TREE"
    mkdir -p "$TREE"/{auth,bootstrap-manifests,tls}
    cp "$LAB_TLS_DIR/admin.kubeconfig" "$TREE/auth/kubeconfig"
    cp "$LAB_TLS_DIR"/* "$TREE/tls/"
    for file in "$LAB_DIR"/bootstrap/*.json; do
        # The path that recover writes; `start` puts the configured one in its place.
        sed "s#$LAB_DIR/bootstrap-secrets#/etc/kubernetes/bootstrap-secrets#" "$file" >"$TREE/bootstrap-manifests/bootstrap-${file##*/}"
    done
    rm -rf "$LAB_DIR/bootstrap"
}

# old_objects METHOD   what was there before the disaster: POST makes it, GET finds it
OLD_NAMESPACE='{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"before"}}'
OLD_CONFIG='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept","namespace":"before"},"data":{"word":"remembered"}}'
OLD_DEPLOYMENT='{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"kept","namespace":"before"},"spec":{"replicas":0,
 "selector":{"matchLabels":{"app":"kept"}},"template":{"metadata":{"labels":{"app":"kept"}},"spec":{"containers":[{"name":"web","image":"rekindle.lab/busybox:1"}]}}}}'
make_old_objects() {
    old_objects_are_there 2>/dev/null && return 0
    api POST /api/v1/namespaces - <<<"$OLD_NAMESPACE" >/dev/null
    api POST /api/v1/namespaces/before/configmaps - <<<"$OLD_CONFIG" >/dev/null
    api POST /apis/apps/v1/namespaces/before/deployments - <<<"$OLD_DEPLOYMENT" >/dev/null
}
old_objects_are_there() {
    api GET /api/v1/namespaces/before >/dev/null || return 1
    api GET /api/v1/namespaces/before/configmaps/kept | jq -e '.data.word == "remembered"' >/dev/null || return 1
    api GET /apis/apps/v1/namespaces/before/deployments/kept >/dev/null
}

# wipe_node   a new machine with the old etcd data: no manifests, no containers, nothing that the kubelet knew
wipe_node() {
    power_cut
    rm -rf "$LAB_DIR"/{kubelet,var-lib-kubelet,bootstrap-secrets} "$LAB_DIR"/manifests/* "$LAB_DIR/containerd/root/io.containerd.grpc.v1.cri"
    mkdir -p "$LAB_DIR"/{kubelet,var-lib-kubelet}
    rm -f "$LAB_DIR"/logs/start.log "$START_REPORT"
}

# wiped_containers   what containerd still lists of the old pods; to be called while the kubelet does not run
wiped_containers() {
    local id
    for id in $(ctr_k8s containers ls -q); do ctr_k8s containers rm "$id" >/dev/null; done
}

# boot_wiped [kubelet]   boots the wiped node; the kubelet only where it is asked for
boot_wiped() {
    cat /proc/sys/kernel/random/uuid >"$LAB_DIR/boot-id"
    cgroup_make
    netns_make
    mountns_make
    start_containerd
    wiped_containers
    # Its CRI plugin remembers what it found when it started.
    halt containerd
    start_containerd
    start_etcd
    [[ "${1-}" != kubelet ]] || start_kubelet
}

# run_start [ARG...]   to its end; the report in START_REPORT, its progress in logs/start.log
run_start() {
    rekindle_in_node start --asset-dir "$TREE" -o json "$@" >"$START_REPORT" 2>>"$LAB_DIR/logs/start.log" </dev/null
}
# spawn_start [ARG...]   in the background, as the daemon `start` of the node
spawn_start() { spawn start "$(rekindle_binary)" start --asset-dir "$TREE" --config "$LAB_DIR/rekindle.toml" "$@"; }

outcome_is() { [[ -s "$START_REPORT" ]] && jq -e --arg outcome "$1" '.outcome == $outcome' "$START_REPORT"; }
start_says() { grep -q -- "$1" "$LAB_DIR/logs/start.log"; }

nothing_was_placed() {
    [[ ! -e "$LAB_DIR/bootstrap-secrets" && ! -e "$LAB_REKINDLE_STATE_DIR/operation/start.json" ]]
}

nothing_temporary_is_left() {
    pod_is_gone '^bootstrap-' || return 1
    [[ ! -e "$LAB_DIR/bootstrap-secrets" && ! -e "$LAB_DIR/.rekindle-start-staging" ]] || return 1
    [[ -z "$(find "$LAB_MANIFEST_DIR" -name 'bootstrap-*')" ]] || return 1
    [[ -z "$(find "$LAB_REKINDLE_STATE_DIR/operation" -name 'start.json' 2>/dev/null)" ]] || return 1
    no_engine_containers
}
