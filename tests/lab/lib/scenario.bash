# shellcheck shell=bash
# What the scenarios share. Each sources this file, gives itself a cluster and a daemon, and checks what it promises.
#
#   LAB_SHARED=1      (set by run-scenarios) leave the cluster for the next scenario
#   LAB_RESULTS       where figures and, after a failure, logs go

export NODE="${NODE:-scenarios}"
. "$(dirname "${BASH_SOURCE[0]}")/common.bash"
# shellcheck disable=SC1090
for part in checks cgroups namespaces processes sysctls daemons pods rekindle; do . "$LAB_SCRIPTS/lib/$part.bash"; done

SCENARIO="${0##*/}"
LAB_RESULTS="${LAB_RESULTS:-$LAB_REPOSITORY/target/lab}"
WATCHER='' WATCH_LOG='' KEEPER=''

need_root
mkdir -p "$LAB_RESULTS/figures"

stop_watching() {
    watch_stop
    ! declare -F killer_stop >/dev/null || killer_stop
    keeper_stop
    ! declare -F recovery_end >/dev/null || recovery_end
}

keep_logs() {
    local where="$LAB_RESULTS/$SCENARIO"
    node_exists || return 0
    rm -rf "$where"
    mkdir -p "$where"
    cp -r "$LAB_DIR/logs" "$where/"
    echo "  logs: $where"
    # Where it is no node of the cluster's kind there is nothing more to ask.
    load_env || return 0
    rekindle_status >"$where/status.json" 2>&1
    "$LAB_SCRIPTS/cluster" status >"$where/cluster.txt" 2>&1
    ls -la "$LAB_MANIFEST_DIR" >"$where/manifests.txt" 2>&1
    [[ -z "$WATCH_LOG" ]] || cp "$WATCH_LOG" "$where/" 2>/dev/null
}

# After a failure too: the next scenario shall not begin on what this one broke.
take_away() { "$LAB_SCRIPTS/node" down; }

# A healthy cluster: the one that the scenario before left, or a new one. LAB_ETCD and LAB_CONTROL_PLANE choose its kind.
given_cluster() {
    if node_exists && [[ "$(node_kind)" == "$LAB_ETCD $LAB_CONTROL_PLANE" ]] && load_env && parents_ready 2>/dev/null; then
        halt rekindle
        return 0
    fi
    "$LAB_SCRIPTS/cluster" up >"$LAB_RESULTS/cluster-up.log" 2>&1 || {
        cat "$LAB_RESULTS/cluster-up.log"
        exit 1
    }
    load_env
}

# given_daemon [KEY=VALUE...]   a daemon with these keys of the lab's configuration changed, and a checkpoint of everything
given_daemon() {
    local change
    halt rekindle
    configure rekindle.toml "$LAB_DIR/rekindle.toml"
    for change in "$@"; do
        grep -q "^${change%%=*} = " "$LAB_DIR/rekindle.toml" || die "the lab's configuration has no key ${change%%=*} to change"
        sed -i "s/^${change%%=*} = .*/${change%%=*} = ${change#*=}/" "$LAB_DIR/rekindle.toml"
    done
    start_rekindle
    # Static pods have no checkpoints: a copy of them stands on the disk as it is.
    [[ "$LAB_CONTROL_PLANE" == static ]] || given 240 "a stored, inactive checkpoint of each of the three components" checkpoints_are inactive
}

power_cut() { "$LAB_SCRIPTS/node" power-cut; }
boot() { "$LAB_SCRIPTS/node" boot "$@"; }

watch_start() {
    WATCH_LOG="$LAB_DIR/api-watch.log"
    rm -f "$WATCH_LOG"
    "$LAB_SCRIPTS/api-watch" "$LAB_DIR/env.sh" "$WATCH_LOG" &
    WATCHER=$!
}
watch_stop() {
    [[ -z "$WATCHER" ]] || kill "$WATCHER" 2>/dev/null
    WATCHER=''
}
kubelet_started() { cat "$LAB_DIR/run/kubelet.started"; }
# first_ok FROM_MS   when the API first answered after that, as the measuring client saw it
first_ok() { "$LAB_SCRIPTS/api-gap" --first-ok "$WATCH_LOG" "$1"; }
# The longest time that the client went without an answer since FROM_MS.
gap_since() { "$LAB_SCRIPTS/api-gap" "$WATCH_LOG" "$1" | cut -d' ' -f1; }

# Stands in for systemd's Restart=always: starts the daemon again whenever it has died.
keeper_start() {
    (
        set +e
        while sleep 0.2; do alive rekindle || start_rekindle; done
    ) </dev/null >/dev/null 2>&1 &
    KEEPER=$!
}
keeper_stop() {
    [[ -z "$KEEPER" ]] || kill "$KEEPER" 2>/dev/null
    KEEPER=''
}

no_manifest_of_ours() { [[ -z "$(our_manifests)" ]]; }

# Containers in containerd namespaces other than the kubelet's: what our own engine made.
engine_containers() {
    local namespace
    for namespace in $(ctr_node namespaces ls -q); do
        [[ "$namespace" == k8s.io || "$namespace" == default ]] || ctr_node -n "$namespace" tasks ls -q
    done
}
no_engine_containers() { [[ -z "$(engine_containers)" ]]; }

median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : int((v[NR / 2] + v[NR / 2 + 1]) / 2)}'; }
at_most() { (($1 <= $2)); }
