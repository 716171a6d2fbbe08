# shellcheck shell=bash
# What the scenarios share. Each sources this file, gives itself a cluster, and checks what it promises. After one that has
# failed, the next one begins with new machines.
#
#   NODES_BACKEND   nspawn or vagrant (run-scenarios --nodes)
#   LAB_SHARED=1    (set by run-scenarios) leave the cluster for the next scenario
#   LAB_RESULTS     where logs go after a failure (default target/lab)

VAGRANT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$VAGRANT_DIR/../tests/lab/lib/common.bash"
. "$LAB_SCRIPTS/lib/checks.bash"
# shellcheck disable=SC1090
for part in nodes asking cluster; do . "$VAGRANT_DIR/lib/$part.bash"; done

by_nodes_clock "$@"

SCENARIO="${0##*/}"
LAB_RESULTS="${LAB_RESULTS:-${CARGO_TARGET_DIR:-$LAB_REPOSITORY/target}/lab}"
KEPT_WORD=''

# What a scenario did to the shared nodes, it takes back itself (scenario_cleanup). LAB_KEEP_BROKEN=1: to look at.
take_away() { [[ -n "${LAB_SHARED-}" && -n "${LAB_KEEP_BROKEN-}" ]] || nodes_down; }

keep_logs() {
    local where="$LAB_RESULTS/nodes-$SCENARIO" node
    rm -rf "$where"
    mkdir -p "$where"
    # A node that stands still would not answer.
    for node in "${MASTERS[@]}" "$WORKER"; do
        thaw "$node" && heal "$node"
        on "$node" true || continue
        on "$node" journalctl --no-pager -u rekindle >"$where/$node-rekindle.log"
        on "$node" journalctl --no-pager -u kubelet -n 5000 >"$where/$node-kubelet.log"
        on "$node" rekindle status >"$where/$node-status.txt"
        on "$node" rekindle recovery-mode report >"$where/$node-report.txt"
        on "$node" tar -C /var/log -c pods | tar -C "$where" -x --one-top-level="$node"
    done 2>/dev/null
    api GET /api/v1/namespaces/kube-system/pods >"$where/pods.json" 2>/dev/null
    nodes_logs "$where"
    echo "  logs: $where"
}

# A healthy cluster: the one that the scenario before left, or a new one.
given_cluster() {
    if [[ -e "$NODES_DIR/cluster" ]] && wait_for 90 "the cluster of the scenario before to be well" all_is_well 2>/dev/null; then
        RECOVERIES=$(recoveries)
        return 0
    fi
    [[ ! -e "$NODES_DIR/cluster" ]] || note "the cluster is not well: $(what_is_wrong); it is made anew"
    nodes_down
    # A process of its own: a failed step ends it, which it would not behind an "or".
    "$VAGRANT_DIR/cluster" --nodes "$NODES_BACKEND" up 2>"$LAB_RESULTS/cluster-up.log" || {
        cat "$LAB_RESULTS/cluster-up.log"
        exit 1
    }
    note "$(tail -n1 "$LAB_RESULTS/cluster-up.log")"
    RECOVERIES=$(recoveries)
}

what_is_wrong() {
    local node
    for node in "${MASTERS[@]}"; do api_serves_at "$node" || echo "no API server on $node"; done
    control_plane_ready || echo "not every pod is Ready"
    etcd_is_whole || echo "etcd is not whole"
    conditions | grep -v ' healthy$' || true
    all_checkpoints_are inactive || echo "a checkpoint acts or is missing"
}

# well_again SECONDS [WHAT]   a check that ends every scenario; where it fails, what is wrong
well_again() {
    local before=$FAILED
    promise "$1" "${2:-everything is as before: every master serves, three members of etcd, pods Ready, checkpoints stored and stopped}" all_is_well
    ((FAILED == before)) || note "$(what_is_wrong | paste -sd';')"
    check "no manifest of ours is left on any master" no_manifest_of_ours
    check "nothing runs twice" nothing_runs_twice
}

no_manifest_of_ours() {
    local node left
    for node in "${MASTERS[@]}"; do
        left=$(on "$node" find /etc/kubernetes/manifests -type f ! -name etcd.yaml)
        [[ -z "$left" ]] || { echo "$node: $left" && return 1; }
    done
}

# Whoever runs it: the kubelet, its static pods, our own engine.
nothing_runs_twice() {
    local node twice
    for node in "${MASTERS[@]}"; do
        twice=$(components_on "$node" | sort | uniq -d) || return 1
        [[ -z "$twice" ]] || { echo "$node runs more than one $twice" && return 1; }
    done
}

# recoveries   ids of the newest recovery on each master: another text after a recovery has begun or ended anywhere
recoveries() {
    local node
    for node in "${MASTERS[@]}"; do recovery_on "$node"; done
}
recovery_on() { echo "$1 $(rekindle_status "$1" | jq -r '.recovery | "\(.running.id // "-") \(.last.id // "-")"')"; }
no_recovery_began() { [[ "$(recoveries)" == "$RECOVERIES" ]]; }

# Where a recovery has begun since, it took nothing but checkpoints: what was stored on the master ran again.
only_checkpoints_helped() {
    local node
    for node in "${MASTERS[@]}"; do
        [[ "$(recovery_on "$node")" == "$(grep "^$node " <<<"$RECOVERIES")" ]] || says "$node" '(.recovery.running.rung // .recovery.last.rung) == "checkpoints"' || {
            echo "$node: $(rekindle_status "$node" | jq -c .recovery.last)"
            return 1
        }
    done
}

# api_server_handovers SINCE_EPOCH   a line for each hand-over from a checkpoint to a real API server since then: when it began
# and ended, in milliseconds, and the master; by the journals
api_server_handovers() {
    local node
    for node in "${MASTERS[@]}"; do
        on "$node" journalctl --no-pager -o json --since "@$1" REKINDLE_EVENT=state REKINDLE_CHECKPOINT=daemonset.kube-system.kube-apiserver |
            jq -rn --arg node "$node" 'reduce inputs as $it ({}; $it.__REALTIME_TIMESTAMP[:-3] as $at
                | if $it.REKINDLE_STATE == "handing-over" then .begun = (.begun // $at)
                  elif .begun then {lines: (.lines + ["\(.begun) \($at) \($node)"])} else . end) | .lines[]?' || return 1
    done | sort -n
}
# tell_handovers FILE SINCE_EPOCH
tell_handovers() { note "API servers handed over: $(awk -v since="$2" '{printf "%s%s at %.1f s for %.1f s", (NR > 1 ? ", " : ""), $3, $1 / 1000 - since, ($2 - $1) / 1000}' "$1")"; }
# at_once FILE   how many of them there were at the same time, at most
at_once() { awk '{print $1, 1; print $2, -1}' "$1" | sort -k1,1n -k2,2n | awk '{now += $2; if (now > most) most = now} END {print most + 0}'; }

# Something in etcd to be found again.
keep_word() {
    KEPT_WORD="$SCENARIO-$RANDOM$RANDOM"
    api DELETE /api/v1/namespaces/default/configmaps/lab-kept >/dev/null || true
    api POST /api/v1/namespaces/default/configmaps "{\"metadata\": {\"name\": \"lab-kept\"}, \"data\": {\"word\": \"$KEPT_WORD\"}}" >/dev/null
}
word_is_kept() { [[ "$(api GET /api/v1/namespaces/default/configmaps/lab-kept | jq -r .data.word)" == "$KEPT_WORD" ]]; }

# A new Deployment gets a pod that runs: the API server, the controller manager, the scheduler and a kubelet work together.
new_pod_runs() {
    local path=/apis/apps/v1/namespaces/default/deployments body
    body=$(jq -cn '{metadata: {name: "lab-probe"}, spec: {selector: {matchLabels: {app: "lab-probe"}}, template: {metadata: {labels: {app: "lab-probe"}},
        spec: {hostNetwork: true, terminationGracePeriodSeconds: 1, tolerations: [{operator: "Exists"}],
        containers: [{name: "probe", image: "rekindle.lab/busybox:1", command: ["/bin/sh", "-c", "sleep 1000000"]}]}}}}')
    api GET "$path/lab-probe" >/dev/null || api POST "$path" "$body" >/dev/null || return 1
    api GET "$path/lab-probe" | jq -e '.status.readyReplicas == 1' >/dev/null || return 1
    api DELETE "$path/lab-probe" '{"propagationPolicy": "Background"}' >/dev/null
}

# lease_is_renewed NAME SINCE_EPOCH
lease_is_renewed() {
    local renewed
    renewed=$(api GET "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/$1" | jq -r .spec.renewTime) || return 1
    (($(date -d "$renewed" +%s) > $2))
}
controllers_work() { lease_is_renewed kube-controller-manager "$1" && lease_is_renewed kube-scheduler "$1"; }

# holds_for SECONDS COMMAND...   COMMAND succeeds all the time
holds_for() {
    local end=$((SECONDS + $1))
    shift
    while ((SECONDS < end)); do
        "$@" || return 1
        sleep "$LAB_PAUSE"
    done
}
