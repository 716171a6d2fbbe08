# shellcheck shell=bash
# The daemons of a node, each with a start_NAME that returns when it answers (or, for the kubelet and rekindle, when it
# has been started: what they take from there is what tests measure).

# configure TEMPLATE TARGET   with what TEMPLATE.etcd-pod adds, on a node of that kind
configure() {
    local parts=("$LAB_SCRIPTS/config/$1")
    [[ ! -e "${parts[0]}.etcd-pod" || "$(node_kind)" != "pod "* ]] || parts+=("${parts[0]}.etcd-pod")
    sed -e "s#@DIR@#$LAB_DIR#g; s#@CGROUP@#$LAB_CGROUP#g; s#@NODE_NAME@#$LAB_NODE_NAME#g; s#@ADDRESS@#$LAB_ADDRESS#g" \
        -e "s#@ETCD_TOOLS@#$(etcd_tools)#g; s#@ETCD_IMAGE@#$LAB_ETCD_IMAGE#g" "${parts[@]}" >"$2"
}

node_kind() { cat "$LAB_DIR/kind" 2>/dev/null || echo "process self-hosted"; }
etcd_tools() { [[ "$(node_kind)" != "pod "* ]] || "$LAB_SCRIPTS/etcd" path 3.5; }

ctr_node() { ctr -a "$LAB_DIR/containerd/containerd.sock" "$@"; }

curl_node() { nsenter --net="$LAB_NETNS" curl -sf --max-time 2 "$@"; }

start_containerd() {
    mkdir -p "$LAB_DIR/containerd/cni"
    configure containerd.toml "$LAB_DIR/containerd/config.toml"
    spawn containerd containerd --config "$LAB_DIR/containerd/config.toml"
    wait_for 30 "containerd to answer (log: $LAB_DIR/logs/containerd.log)" ctr_node version
}

import_images() {
    local images tar
    images=$("$LAB_SCRIPTS/images")
    for tar in "$images"/*.tar; do
        [[ "$tar" != */etcd.tar || "$(node_kind)" == "pod "* ]] || continue
        ctr_node -n k8s.io images import "$tar" >/dev/null
    done
}

start_etcd() {
    spawn etcd etcd --name "$NODE" --data-dir "$LAB_DIR/etcd" \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
        --initial-cluster "$NODE=http://127.0.0.1:2380"
    wait_for 30 "etcd to be healthy (log: $LAB_DIR/logs/etcd.log)" curl_node http://127.0.0.1:2379/health
}

# LAB_KUBELET_CONFIG in the environment replaces the configuration file, for tests of a kubelet that cannot start.
start_kubelet() {
    local mode flags=()
    mode=$(cat "$LAB_DIR/kubelet-mode")
    if [[ "$mode" == cluster ]]; then
        configure kubelet.yaml "$LAB_DIR/kubelet.yaml"
        flags=(--kubeconfig="$LAB_DIR/tls/kubelet.kubeconfig" --register-node=true)
    else
        configure kubelet-standalone.yaml "$LAB_DIR/kubelet.yaml"
    fi
    # Without the first, this version asks for a cloud's metadata for 20 s.
    spawn kubelet env AWS_EC2_METADATA_DISABLED=true "$(kubernetes_binaries)/kubelet" \
        --config="${LAB_KUBELET_CONFIG:-$LAB_DIR/kubelet.yaml}" --root-dir="$LAB_DIR/kubelet" \
        --container-runtime=remote --container-runtime-endpoint="unix://$LAB_DIR/containerd/containerd.sock" \
        --containerd="$LAB_DIR/containerd/containerd.sock" --hostname-override="$LAB_NODE_NAME" \
        --node-ip="$LAB_ADDRESS" --v=2 "${flags[@]}"
}

kubernetes_binaries() { cat "$LAB_DIR/kubernetes-binaries"; }

rekindle_binary() { echo "${REKINDLE_BIN:-$LAB_REPOSITORY/target/release/rekindle}"; }

start_rekindle() {
    local binary
    binary=$(rekindle_binary)
    [[ -x "$binary" ]] || die "no daemon at $binary; build it (cargo build --release) or name it in REKINDLE_BIN"
    [[ -e "$LAB_DIR/rekindle.toml" ]] || configure rekindle.toml "$LAB_DIR/rekindle.toml"
    spawn rekindle "$binary" run --config "$LAB_DIR/rekindle.toml"
}

write_env() {
    local etcd_scheme=http
    [[ "$LAB_ETCD" != pod ]] || etcd_scheme=https
    cat >"$LAB_DIR/env.sh" <<END
LAB_NODE=$NODE
LAB_DIR=$LAB_DIR
LAB_NODE_NAME=$LAB_NODE_NAME
LAB_ADDRESS=$LAB_ADDRESS
LAB_NETNS=$LAB_NETNS
LAB_CGROUP=$LAB_CGROUP
LAB_SCRIPTS=$LAB_SCRIPTS
LAB_LOG_DIR=$LAB_DIR/logs
LAB_CONTAINERD_SOCKET=$LAB_DIR/containerd/containerd.sock
LAB_CONTAINERD_STATE=$LAB_DIR/containerd/state
LAB_ETCD=$LAB_ETCD
LAB_CONTROL_PLANE=$LAB_CONTROL_PLANE
LAB_ETCD_URL=$etcd_scheme://127.0.0.1:2379
LAB_ETCD_DATA=$LAB_DIR/etcd
LAB_ETCD_PKI=$LAB_DIR/etcd-pki
LAB_ETCD_TOOLS=$(etcd_tools)
LAB_API_URL=https://127.0.0.1:6443
LAB_TLS_DIR=$LAB_DIR/tls
LAB_ADMIN_KUBECONFIG=$LAB_DIR/tls/admin.kubeconfig
LAB_KUBELET_KUBECONFIG=$LAB_DIR/tls/kubelet.kubeconfig
LAB_KUBELET_ROOT=$LAB_DIR/kubelet
LAB_KUBELET_READ_ONLY_URL=http://127.0.0.1:10255
LAB_KUBELET_SECURE_URL=https://127.0.0.1:10250
LAB_MANIFEST_DIR=$LAB_DIR/manifests
LAB_POD_LOG_DIR=$LAB_DIR/logs/pods
LAB_IMAGE_BUSYBOX=rekindle.lab/busybox:1
LAB_IMAGE_PAUSE=k8s.gcr.io/pause:3.2
LAB_REKINDLE_CONFIG=$LAB_DIR/rekindle.toml
LAB_REKINDLE_SOCKET=$LAB_DIR/rekindle.sock
LAB_REKINDLE_STATE_DIR=$LAB_DIR/rekindle
END
}
