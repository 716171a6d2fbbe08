# shellcheck shell=bash
# What the cluster says of itself: API servers by their addresses, Rekindle, containerd and etcd on their nodes.
# Needs nodes.bash.

# api_at NODE METHOD PATH [BODY]   one request to the API server of this master, with the admin certificate. By the name for all
# of them: a machine with another address has it in its certificate too.
api_at() {
    local node=$1 method=$2 path=$3 body=()
    (($# < 4)) || body=(--data-binary "$4" -H "Content-Type: $(content_type "$method")")
    outside curl -sS --fail-with-body --max-time $((5 * LAB_SLOW)) -X "$method" "${body[@]}" --cacert "$NODES_DIR/pki/n1/ca.crt" \
        --cert "$NODES_DIR/pki/n1/admin.crt" --key "$NODES_DIR/pki/n1/admin.key" \
        --resolve "$CONTROL_PLANE:6443:$(address "$node")" "https://$CONTROL_PLANE:6443$path" 2>/dev/null
}
content_type() { if [[ "$1" == PATCH ]]; then echo application/merge-patch+json; else echo application/json; fi; }

# api METHOD PATH [BODY]   the same of the first master whose API server answers at all
api() {
    local node
    for node in "${MASTERS[@]}"; do
        if api_at "$node" GET /livez/ping >/dev/null; then
            api_at "$node" "$@"
            return
        fi
    done
    return 1
}

api_serves_at() { api_at "$1" GET /api/v1/namespaces/default >/dev/null; }
api_serves() { api GET /api/v1/namespaces/default >/dev/null; }
api_is_silent_at() { ! api_serves_at "$1"; }
api_serves_everywhere() {
    local node
    for node in "${MASTERS[@]}"; do api_serves_at "$node" || return 1; done
}

# create_objects FILE   each object of a List that is not there yet
create_objects() {
    local item path code=0
    while read -r path item; do
        api POST "$path" "$item" >"$NODES_DIR/created" || grep -q AlreadyExists "$NODES_DIR/created" || {
            cat "$NODES_DIR/created" >&2
            code=1
        }
    done < <(jq -r '.items[] | ({"DaemonSet": "apis/apps/v1", "Deployment": "apis/apps/v1"}[.kind] // "api/v1") as $group
        | "/\($group)/namespaces/\(.metadata.namespace)/\(.kind | ascii_downcase)s \(tojson)"' "$1")
    return "$code"
}

COMPONENTS=(kube-apiserver kube-controller-manager kube-scheduler)

# pods_of COMPONENT [NODE]   names of its real pods (no static ones, none that is being deleted)
pods_of() {
    api GET "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D$1" | jq -r --arg node "${2-}" '.items[]
        | select(.metadata.deletionTimestamp == null and .metadata.annotations["kubernetes.io/config.source"] != "file"
            and ($node == "" or .spec.nodeName == $node)) | .metadata.name'
}

# Each component has a pod on each master, Ready by the API server and running by that master's containerd: after a power
# cut the API server repeats what it was told before it.
control_plane_ready() {
    local node
    api GET /api/v1/namespaces/kube-system/pods >"$NODES_DIR/pods.json" || return 1
    for node in "${MASTERS[@]}"; do ready_on "$node" || return 1; done
}
ready_on() {
    local node=$1 component id running
    running=$(running_tasks "$node") || return 1
    for component in "${COMPONENTS[@]}"; do
        id=$(jq -r --arg node "$node" --arg component "$component" '[.items[] | select(.spec.nodeName == $node
            and .metadata.labels["k8s-app"] == $component and .metadata.deletionTimestamp == null
            and .metadata.annotations["kubernetes.io/config.source"] != "file"
            and any(.status.conditions[]?; .type == "Ready" and .status == "True"))
            | .status.containerStatuses[0].containerID | ltrimstr("containerd://")][0] // empty' "$NODES_DIR/pods.json")
        [[ -n "$id" ]] && grep -qx "$id" <<<"$running" || return 1
    done
}

# running_tasks NODE   ids of the kubelet's containers that run there
running_tasks() { on "$1" ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" {print $1}'; }
# container_ids COMPONENT   of its real pods, by the API server
container_ids() {
    api GET "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D$1" | jq -r '.items[]
        | select(.metadata.annotations["kubernetes.io/config.source"] != "file") | .status.containerStatuses[]?.containerID // empty
        | ltrimstr("containerd://")'
}
# none_of_them_runs FILE   no container of these ids runs on any master
none_of_them_runs() {
    local node
    for node in "${MASTERS[@]}"; do ! running_tasks "$node" | grep -qxFf "$1" || return 1; done
}
# components_on NODE   what of the control plane runs there, a line for each process, whoever runs it: names of 15 characters
components_on() {
    local all=(etcd "${COMPONENTS[@]}") names
    # One that ends meanwhile cannot be read.
    names=$(on "$1" sh -c 'cat /proc/[0-9]*/comm 2>/dev/null; true') && [[ -n "$names" ]] || return 1
    grep -xF "$(printf '%.15s\n' "${all[@]}")" <<<"$names" || true
}

# rekindle_status NODE
rekindle_status() { on "$1" timeout $((10 * LAB_SLOW)) rekindle status -o json 2>/dev/null; }
# says NODE FILTER   whether Rekindle's status has it so, by a jq filter
says() { rekindle_status "$1" | jq -e "$2"; }
# checkpoints_are NODE STATE   there are three, all in this state
checkpoints_are() {
    local states
    states=$(rekindle_status "$1" | jq -r '.checkpoints[].state') || return 1
    [[ "$(wc -l <<<"$states")" == 3 && "$(sort -u <<<"$states")" == "$2" ]]
}
all_checkpoints_are() {
    local node
    for node in "${MASTERS[@]}"; do checkpoints_are "$node" "$1" || return 1; done
}
conditions() {
    local node
    for node in "${MASTERS[@]}"; do echo "$node $(rekindle_status "$node" | jq -r '.recovery.condition')"; done
}
all_conditions_are() { [[ "$(conditions | awk '{print $2}' | sort -u)" == "$1" ]]; }

# etcdctl_on NODE ARG...
etcdctl_on() {
    local node=$1 pki=/etc/kubernetes/pki/etcd
    shift
    on "$node" env ETCDCTL_API=3 etcdctl --command-timeout=$((5 * LAB_SLOW))s --endpoints=https://127.0.0.1:2379 --cacert=$pki/ca.crt \
        --cert=$pki/healthcheck-client.crt --key=$pki/healthcheck-client.key "$@" 2>/dev/null
}
etcd_is_healthy_on() { etcdctl_on "$1" endpoint health >/dev/null; }
# As many members that may vote as there are masters, and each is healthy.
etcd_is_whole() {
    etcdctl_on "${MASTERS[0]}" endpoint health --cluster >/dev/null || return 1
    [[ "$(etcdctl_on "${MASTERS[0]}" member list -w json | jq '[.members[] | select(.isLearner != true)] | length')" == "${#MASTERS[@]}" ]]
}

# Everything as it should be: nothing of Rekindle's own runs, and it calls the control plane healthy.
all_is_well() { api_serves_everywhere && all_checkpoints_are inactive && all_conditions_are healthy && control_plane_ready && etcd_is_whole; }
