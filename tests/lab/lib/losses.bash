# shellcheck shell=bash
# Losses of self-hosted components by the cluster's own objects, and what an operator does about them afterwards.
# Needs scenario.bash; whoever asks whether something works again, recovery.bash too.

DAEMONSET=/apis/apps/v1/namespaces/kube-system/daemonsets/kube-apiserver
LOST=(kube-scheduler kube-controller-manager)
ORPHAN='{"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}'

# --- the API server: its pods deleted, and its spec broken so that it cannot return -----------------------------------

# The containers as they are now, and the same with a flag that no API server knows.
template() { jq -c --arg flag "$1" --arg strategy "$2" '{spec: {updateStrategy: {type: $strategy, rollingUpdate: null},
    template: {spec: {containers: [.spec.template.spec.containers[] | .command -= ["--no-such-flag"] | if $flag == "" then . else .command += [$flag] end]}}}}'; }
break_api_server() {
    local pod
    SERVED=$(running_containers '^kube-apiserver-')
    api GET "$DAEMONSET" | template --no-such-flag OnDelete >"$LAB_DIR/broken.json"
    api PATCH "$DAEMONSET" "$LAB_DIR/broken.json" >/dev/null
    for pod in $(api_pods 'select(.metadata.labels["k8s-app"] == "kube-apiserver") | .metadata.name'); do
        echo '{"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}' | api DELETE "/api/v1/namespaces/kube-system/pods/$pod" - >/dev/null
    done
}
repair_api_server() {
    api GET "$DAEMONSET" | template '' RollingUpdate >"$LAB_DIR/repaired.json"
    api PATCH "$DAEMONSET" "$LAB_DIR/repaired.json" >/dev/null
}
# Nobody listens on its port any more: then GONE_AT. That a client waited in vain is no sign of it on a busy machine, and what
# served may live on for its grace period without a port.
api_server_has_gone() {
    local listening
    listening=$(nsenter --net="$LAB_NETNS" ss -Htln "sport = :${LAB_API_URL##*:}") || return 1
    [[ -z "$listening" ]] || return 1
    GONE_AT=$(now_ms)
}
served_before_runs() {
    local ids
    ids=$(running_containers '.')
    grep -qxF "$SERVED" <<<"$ids"
}
# When another one first answered: what was under way at the end has had its second.
served_again() { first_ok $((GONE_AT + 1000)); }

# --- scheduler and controller manager: deleted, objects and all -------------------------------------------------------

# Either would make or place its successor in the instant before it dies.
stop_controller() { # COMPONENT
    local id
    for id in $(running_containers "^$1-"); do kill -STOP "$(ctr_k8s tasks ls | awk -v id="$id" '$1 == id {print $2}')"; done
}
# Both are stopped before anything is deleted: what renews its lease after STOPPED_AT is neither of them.
delete_controllers() {
    local component path
    for component in "${LOST[@]}"; do stop_controller "$component"; done
    STOPPED_AT=$(now_ms)
    for component in "${LOST[@]}"; do
        api DELETE "/apis/apps/v1/namespaces/kube-system/deployments/$component" - <<<"$ORPHAN" >/dev/null
        for path in apis/apps/v1/namespaces/kube-system/replicasets api/v1/namespaces/kube-system/pods; do
            api DELETE "/$path?labelSelector=k8s-app%3D$component" - <<<"$ORPHAN" >/dev/null
        done
    done
}
no_controller_runs() { pod_is_gone '^kube-scheduler-' && pod_is_gone '^kube-controller-manager-'; }
controllers_work() { lease_fresher_than kube-controller-manager $((STOPPED_AT + 1000)) && lease_fresher_than kube-scheduler $((STOPPED_AT + 1000)); }
