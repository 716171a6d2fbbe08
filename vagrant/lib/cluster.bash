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
        rm -r "$kit/etc/kubernetes/pki/etcd"
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

# One after another: each pass unpacks a hundred megabytes. On an emulated machine that takes minutes: not again where it
# was done.
import_images() {
    local node=$1 images tar done=/var/lib/lab/images
    images=$("$LAB_SCRIPTS/images")
    ! on "$node" grep -qxF "${images##*/}" "$done" 2>/dev/null || return 0
    for tar in "$images"/*.tar; do
        on "$node" ctr -n k8s.io images import - <"$tar" >/dev/null || return 1
    done
    on "$node" sh -c "echo '${images##*/}' >$done"
}

early() { [[ "$2" != master ]] || provision "$1" rekindle early; } # NODE ROLE

prepare() { # NODE ROLE "MASTER..."
    equip "$@" && provision "$1" hosts && early "$1" "$2" && provision "$1" containerd && import_images "$1"
}

# The same for a master of a new cluster, with its kubelet and its member of etcd. The kubelet takes its seconds to start
# while the images come in.
make_master() { # NODE
    equip "$1" master "${MASTERS[*]}" && provision "$1" hosts && early "$1" master && provision "$1" containerd &&
        provision "$1" kubelet && import_images "$1" && provision "$1" etcd form
}

step() { say "$* ($((SECONDS - BEGIN)) s)"; }

cluster_up() {
    local first=${MASTERS[0]} booting
    BEGIN=$SECONDS
    nodes_up &
    booting=$!
    certificates "$first"
    each_of "${MASTERS[*]}" certificates
    wait "$booting"
    step "${#MASTERS[@]} nodes are booted, and there are certificates"
    each_of "${MASTERS[*]}" make_master
    step "images are imported, kubelets run, etcd has ${#MASTERS[@]} members"
    each_of "${MASTERS[*]}" provision etcd settle
    self_hosted_up "$first"
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
        "LAB_ETCD_SERVERS=$(IFS=,; echo "${servers[*]}")" "LAB_REPLICAS=${#MASTERS[@]}" "LAB_SLOW=$LAB_SLOW" >"$dir/env.sh"
    "$LAB_SCRIPTS/manifests" "$dir" "$LAB_IMAGE_TAG"
}

# The first master's port belongs to the temporary API server: it is no place for a real one until that is about to end, so
# that none fails there again and again and has to wait longer each time. By then everything else runs: a controller manager
# that finds no API server on its own master when it starts ends, and one that has found it waits.
self_hosted_up() { # MASTER
    local first=$1 node
    objects "$first"
    on "$first" mkdir -p /var/lib/lab/control-plane
    tar -C "$NODES_DIR/objects" -c bootstrap | on "$first" tar -x -C /var/lib/lab/control-plane
    provision "$first" control-plane begin
    wait_for 120 "the temporary API server to answer on $first (there: journalctl -u kubelet, /var/log/pods)" api_serves_at "$first"
    step "the temporary API server answers"
    # In its first seconds it makes kube-system and its own roles; until then it refuses some of ours.
    wait_for 60 "the API objects to be created" create_objects "$NODES_DIR/objects/objects.json"
    for node in $(others "$first"); do
        wait_for 60 "the kubelet of $node to have registered it" has_api_server "$node"
        # An API server ends where it has not made its own objects 30 s after it began to answer: on emulated machines of one
        # computer two that start side by side do, again and again.
        ((LAB_SLOW == 1)) || wait_for 180 "the API server of $node to serve" api_serves_at "$node"
    done
    wait_for 180 "everything but the API server of $first to be self-hosted" others_serve "$first"
    step "the other masters serve"
    wait_for 60 "$first to be marked as a place for an API server" has_api_server "$first"
    provision "$first" control-plane end
    each_of "${MASTERS[*]}" provision rekindle
    wait_for 180 "the self-hosted control plane to be Ready on every master" control_plane_ready
    step "the control plane is self-hosted"
}
# has_api_server NODE   it is a place for one from now on: the DaemonSet's selector asks for this label
has_api_server() { label_node "$1" rekindle.lab/api-server; }
label_node() { api PATCH "/api/v1/nodes/$1" "{\"metadata\": {\"labels\": {\"$2\": \"\"}}}"; } # NODE LABEL
# So many pods of each component fulfil FILTER as there are masters.
pods_are() { # FILTER
    local component
    for component in "${COMPONENTS[@]}"; do
        [[ "$(pods_that "$component" "$1")" == "${#MASTERS[@]}" ]] || return 1
    done
}
pods_that() { # COMPONENT FILTER
    api GET "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3D$1" | jq "[.items[] | select($2)] | length"
}
# The temporary one may go: the other masters' API servers serve, and the rest is Ready. Where there is no other master,
# nobody asks for a label, and its kubelet has begun with everything.
others_serve() { # MASTER
    local node component
    ((${#MASTERS[@]} > 1)) || {
        pods_are 'any(.status.containerStatuses[]?; .containerID)'
        return
    }
    for component in kube-controller-manager kube-scheduler; do
        [[ "$(pods_that "$component" 'any(.status.conditions[]?; .type == "Ready" and .status == "True")')" == "${#MASTERS[@]}" ]] || return 1
    done
    for node in $(others "$1"); do api_serves_at "$node" || return 1; done
}
