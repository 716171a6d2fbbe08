# shellcheck shell=bash
# What the scenarios of `rekindle recover` share. Needs load_env, daemons.bash and namespaces.bash.

# recover_database FILE   the member's database as the seed's clean-up copies it; the node's etcd must not run
recover_database() { cp "$LAB_DIR/etcd/member/snap/db" "$1"; }

# recover_tree DIR [ARG...]   `rekindle recover` in the node's network, into DIR; also of a node whose power was cut
recover_tree() {
    local tree=$1
    shift
    rm -rf "$tree"
    cgroup_make
    netns_make
    mountns_make
    (
        cgroup_join
        in_node "$(rekindle_binary)" recover --recovery-dir "$tree" --config "$LAB_DIR/rekindle.toml" "$@"
    )
}

# place_tree DIR   what `start` does first: keys, then manifests. The lab keeps its fixed paths below the node's directory.
place_tree() {
    local tree=$1 file secrets="$LAB_DIR/bootstrap-secrets"
    rm -rf "$secrets"
    cp -r "$tree/tls" "$secrets"
    cp "$tree/auth/kubeconfig" "$secrets/kubeconfig"
    mkdir -p "$LAB_DIR/bootstrap"
    for file in "$tree"/bootstrap-manifests/*.yaml; do
        sed "s#/etc/kubernetes/bootstrap-secrets#$secrets#" "$file" >"$LAB_DIR/bootstrap/${file##*/}"
        # The kubelet may read a file the moment it appears.
        mv "$LAB_DIR/bootstrap/${file##*/}" "$LAB_MANIFEST_DIR/"
    done
}
unplace_tree() {
    rm -f "$LAB_MANIFEST_DIR"/bootstrap-*.yaml
    wait_for 90 "the temporary control plane to end" pod_is_gone '^bootstrap-'
    rm -rf "$LAB_DIR/bootstrap-secrets" "$LAB_DIR/bootstrap"
}

lease_is_fresh() { # COMPONENT SECONDS   it renews its lease only while it works
    local renewed
    renewed=$(api GET "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/$1" | jq -r .spec.renewTime)
    (($(date -d "$renewed" +%s) > $2))
}
