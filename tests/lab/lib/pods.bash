# shellcheck shell=bash
# What runs on the node, asked of containerd; and what the API server says about the self-hosted pods. Needs load_env.

ctr_k8s() { ctr -a "$LAB_CONTAINERD_SOCKET" -n k8s.io "$@"; }

# running_containers POD-REGEX   ids of running containers (not sandboxes) of pods whose name matches
running_containers() {
    comm -12 \
        <(ctr_k8s containers ls -q "labels.\"io.cri-containerd.kind\"==container,labels.\"io.kubernetes.pod.name\"~=\"$1\"" | sort) \
        <(ctr_k8s tasks ls | awk '$3 == "RUNNING" {print $1}' | sort)
}

# sandboxes POD-REGEX   ids of running sandboxes
running_sandboxes() {
    comm -12 \
        <(ctr_k8s containers ls -q "labels.\"io.cri-containerd.kind\"==sandbox,labels.\"io.kubernetes.pod.name\"~=\"$1\"" | sort) \
        <(ctr_k8s tasks ls | awk '$3 == "RUNNING" {print $1}' | sort)
}

pod_runs() { [[ -n "$(running_containers "$1")" ]]; }
pod_is_gone() { [[ -z "$(running_containers "$1")$(running_sandboxes "$1")" ]]; }

api() { "$LAB_SCRIPTS/api" "$LAB_DIR/env.sh" "$@"; }
api_serves() { api GET /api/v1/namespaces/default; }

# api_pods FILTER   pods of kube-system through a jq filter on each item
api_pods() { api GET /api/v1/namespaces/kube-system/pods | jq -r ".items[] | $1"; }

COMPONENTS=(kube-apiserver kube-controller-manager kube-scheduler)

# Ready according to the API server, and really running according to containerd: after a power cut the API server
# repeats what it was told before it. COMPONENT's parent is any pod of that label that is no static pod.
parent_ready() {
    local name
    if [[ "$LAB_CONTROL_PLANE" == static ]]; then
        static_ready "$1"
        return
    fi
    while read -r name; do
        if pod_runs "^$name\$"; then return 0; fi
    done < <(api_pods "select(.metadata.labels[\"k8s-app\"] == \"$1\" and .metadata.deletionTimestamp == null
        and .metadata.annotations[\"kubernetes.io/config.source\"] != \"file\"
        and any(.status.conditions[]?; .type == \"Ready\" and .status == \"True\")) | .metadata.name")
    return 1
}

# The same of a component that is a static pod as kubeadm makes it: by its mirror, and by containerd.
static_ready() {
    [[ -n "$(api_pods "select(.metadata.name == \"$1-$LAB_NODE_NAME\" and .metadata.deletionTimestamp == null
        and any(.status.conditions[]?; .type == \"Ready\" and .status == \"True\")) | .metadata.name")" ]] &&
        pod_runs "^$1-$LAB_NODE_NAME\$"
}

parents_ready() {
    local component
    for component in "${COMPONENTS[@]}"; do parent_ready "$component" || return 1; done
}

# The kubelet has made a container for it at least once.
parent_started() {
    [[ -n "$(api_pods "select(.metadata.labels[\"k8s-app\"] == \"$1\") | .status.containerStatuses[]?.containerID // empty")" ]]
}
parents_started() {
    local component
    for component in "${COMPONENTS[@]}"; do parent_started "$component" || return 1; done
}
