# shellcheck shell=bash
# A self-hosted control plane on several masters, made by the scripts of vagrant/provision. Needs nodes.bash and asking.bash.

# certificates NODE   in NODES_DIR/pki/NODE; the first master's are made first, with the authorities
certificates() {
    local node=$1 dir="$NODES_DIR/pki/$1" first="$NODES_DIR/pki/n1" also="DNS:$CONTROL_PLANE" keep=() other
    [[ ! -e "$dir/complete" ]] || return 0
    for other in "${MASTERS[@]}"; do also+=",DNS:$other,IP:$(address "$other")"; done
    rm -rf "$dir"
    mkdir -p "$dir/etcd"
    if [[ "$dir" != "$first" ]]; then
        keep=(--keep-authorities)
        cp "$first"/{ca,front-proxy-ca}.{crt,key} "$first"/service-account.* "$dir/"
        cp "$first"/etcd/ca.{crt,key} "$dir/etcd/"
    fi
    LAB_KEYS=ec "$LAB_SCRIPTS/certificates" "${keep[@]}" --etcd-pki "$dir/etcd" --also "$also" --server "https://$CONTROL_PLANE:6443" \
        "$dir" "$node" "$(address "$node")"
    touch "$dir/complete"
}

# node_env NODE ROLE "MASTER..."
node_env() {
    local node pairs=()
    read -ra nodes <<<"$3"
    for node in "${nodes[@]}"; do pairs+=("$node=$(address "$node")"); done
    printf '%s\n' "NODE_NAME=$1" "NODE_ADDRESS=$(address "$1")" "ROLE=$2" "MASTERS='${pairs[*]}'" \
        "CONTROL_PLANE=$CONTROL_PLANE" "SLOW=$LAB_SLOW"
}

# equip NODE ROLE "MASTER..."   scripts, keys and kubeconfigs are on the node
equip() {
    local node=$1 kit="$NODES_DIR/kit/$1" pki="$NODES_DIR/pki/$1"
    rm -rf "$kit"
    mkdir -p "$kit/var/lib/lab" "$kit/etc/kubernetes"
    cp -r "$VAGRANT_DIR/provision" "$kit/var/lib/lab/provision"
    node_env "$@" >"$kit/var/lib/lab/node.env"
    cp -r "$pki" "$kit/etc/kubernetes/pki"
    mv "$kit/etc/kubernetes/pki/kubelet.kubeconfig" "$kit/etc/kubernetes/kubelet.conf"
    if [[ "$2" == master ]]; then
        cp "$kit/etc/kubernetes/pki/admin.kubeconfig" "$kit/etc/kubernetes/admin.conf"
        # The authority's keys stay outside, but for what the controller manager signs with.
        rm -f "$kit"/etc/kubernetes/pki/{front-proxy-ca.key,etcd/ca.key,complete}
    else
        find "$kit/etc/kubernetes/pki" -mindepth 1 ! -name ca.crt ! -name 'kubelet.*' -delete
    fi
    tar -C "$kit" --owner=root --group=root -c . | on "$node" tar -x --no-overwrite-dir -C /
    rm -rf "$kit"
}

provision() { # NODE SCRIPT ARG...
    local node=$1 script=$2
    shift 2
    on "$node" "/var/lib/lab/provision/$script" "$@"
}

# One after another: each pass unpacks a hundred megabytes.
import_images() {
    local node=$1 images tar
    images=$("$LAB_SCRIPTS/images")
    for tar in "$images"/*.tar; do
        on "$node" ctr -n k8s.io images import - <"$tar" >/dev/null
    done
}

prepare() { # NODE ROLE "MASTER..."
    equip "$@" && provision "$1" hosts && provision "$1" containerd && import_images "$1"
}

step() { say "$* ($((SECONDS - BEGIN)) s)"; }

cluster_up() {
    local node first=${MASTERS[0]}
    BEGIN=$SECONDS
    nodes_up
    step "${#MASTERS[@]} nodes are booted"
    certificates "$first"
    each_of "${MASTERS[*]}" certificates
    step "certificates are made"
    each_of "${MASTERS[*]}" prepare master "${MASTERS[*]}"
    step "images are imported"
    each_of "${MASTERS[*]}" provision etcd form
    each_of "${MASTERS[*]}" provision etcd settle
    each_of "${MASTERS[*]}" provision kubelet
    wait_for 120 "all members of etcd to be healthy (on each: journalctl -u kubelet, /var/log/pods)" etcd_is_whole
    step "etcd has ${#MASTERS[@]} members"
    self_hosted_up "$first"
    each_of "${MASTERS[*]}" provision rekindle
    wait_for 180 "Rekindle to call the control plane healthy, with a checkpoint of everything on every master" all_is_well
    touch "$NODES_DIR/cluster"
    step "Rekindle guards it on every master"
}

# The API objects, and the temporary pods for the first master. An API server asks its own member first, and then any: one
# whose master has no etcd serves all the same, and so does one on another machine.
objects() { # MASTER
    local dir="$NODES_DIR/objects" node servers=(https://127.0.0.1:2379)
    for node in "${MASTERS[@]}"; do servers+=("https://$(address "$node"):2379"); done
    rm -rf "$dir"
    mkdir -p "$dir"
    cp -r "$NODES_DIR/pki/$1" "$dir/tls"
    printf '%s\n' LAB_ETCD=pod LAB_CONTROL_PLANE=self-hosted "LAB_ADDRESS=$(address "$1")" LAB_HOST_DIRECTORY=/var/lib/lab/control-plane \
        "LAB_ETCD_SERVERS=$(IFS=,; echo "${servers[*]}")" "LAB_REPLICAS=${#MASTERS[@]}" >"$dir/env.sh"
    "$LAB_SCRIPTS/manifests" "$dir" "$LAB_IMAGE_TAG"
}

self_hosted_up() { # MASTER
    local first=$1
    objects "$first"
    on "$first" mkdir -p /var/lib/lab/control-plane
    tar -C "$NODES_DIR/objects" -c bootstrap | on "$first" tar -x -C /var/lib/lab/control-plane
    provision "$first" control-plane begin
    wait_for 120 "the temporary API server to answer on $first" api_serves_at "$first"
    step "the temporary API server answers"
    # In its first seconds it makes kube-system and its own roles; until then it refuses some of ours.
    wait_for 60 "the API objects to be created" create_objects "$NODES_DIR/objects/objects.json"
    wait_for 180 "the self-hosted API servers of the other masters to serve" others_serve "$first"
    step "the other masters serve"
    # The self-hosted API server of this master cannot bind its port before this, and is started again until then.
    provision "$first" control-plane end
    begin_anew "$first"
    wait_for 180 "the self-hosted control plane to be Ready on every master" control_plane_ready
    step "the control plane is self-hosted"
}
# Its pod has failed to bind the port until now, and the kubelet lets it wait longer each time: a new pod begins at once.
begin_anew() { # MASTER
    local pod
    ((${#MASTERS[@]} > 1)) || return 0
    for pod in $(pods_of kube-apiserver "$1"); do api DELETE "/api/v1/namespaces/kube-system/pods/$pod" >/dev/null || true; done
}
# So many pods of each component fulfil FILTER as there are masters.
pods_are() { # FILTER
    local component
    for component in "${COMPONENTS[@]}"; do
        [[ "$(api GET "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D$component" |
            jq "[.items[] | select($1)] | length")" == "${#MASTERS[@]}" ]] || return 1
    done
}
# The temporary one may go: the other masters' API servers serve, and everything has its place. Where there is no other
# master, its kubelet has begun with everything.
others_serve() { # MASTER
    local node
    ((${#MASTERS[@]} > 1)) || {
        pods_are 'any(.status.containerStatuses[]?; .containerID)'
        return
    }
    pods_are '.spec.nodeName != null' || return 1
    for node in $(others "$1"); do api_serves_at "$node" || return 1; done
}
