# shellcheck shell=bash
# etcd as pods of the cluster that it serves, under etcd-operator, lost with everything else: what the cluster had of it, and
# the way back. There is no operator in the lab, so the start ends where it would begin. Needs scenario.bash, recover.bash
# and start.bash.

# An image as etcd-operator's are: etcd, etcdctl and a shell.
ETCD_REPOSITORY=rekindle.lab/self-hosted-etcd ETCD_VERSION=3.5.16
ETCD_CLUSTERS=/apis/etcd.database.coreos.com/v1beta2/namespaces/kube-system/etcdclusters
ETCD_CLUSTER_KIND='{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
 "metadata": {"name": "etcdclusters.etcd.database.coreos.com"},
 "spec": {"group": "etcd.database.coreos.com", "scope": "Namespaced",
  "names": {"plural": "etcdclusters", "singular": "etcdcluster", "kind": "EtcdCluster"},
  "versions": [{"name": "v1beta2", "served": true, "storage": true,
   "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}'

import_etcd_image() {
    local etcd libraries links=(sh rm mv sleep)
    etcd=$("$LAB_SCRIPTS/etcd" path 3.5)
    mapfile -t libraries < <(ldd "$etcd/etcd" | grep -o '/[^ ]*' | sed 's/.*/&=&/')
    "$LAB_SCRIPTS/mkimage" "$LAB_DIR/etcd-image.tar" "$ETCD_REPOSITORY:v$ETCD_VERSION" '["/usr/local/bin/etcd"]' \
        "$etcd/etcd=/usr/local/bin/etcd" "$etcd/etcdctl=/usr/local/bin/etcdctl" "${libraries[@]}" /bin/busybox=/bin/busybox \
        "${links[@]/#/->busybox=/bin/}"
    ctr_node -n k8s.io images import "$LAB_DIR/etcd-image.tar" >/dev/null
    rm "$LAB_DIR/etcd-image.tar"
}

# make_etcd_cluster SCHEME [TLS]   the operator's object; TLS: its spec.TLS, as JSON
make_etcd_cluster() {
    api POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions - <<<"$ETCD_CLUSTER_KIND" >/dev/null || true
    jq -n --arg repository "$ETCD_REPOSITORY" --arg version "$ETCD_VERSION" --arg scheme "$1" --argjson tls "${2:-null}" \
        '{apiVersion: "etcd.database.coreos.com/v1beta2", kind: "EtcdCluster",
          metadata: {name: "kube-etcd", namespace: "kube-system"},
          spec: ({size: 1, repository: $repository, version: $version,
                  selfHosted: {bootMemberClientEndpoint: "\($scheme)://10.3.0.77:12379"}}
                 + if $tls then {TLS: $tls} else {} end)}' | api POST "$ETCD_CLUSTERS" - >/dev/null
}
no_etcd_cluster() { api GET "$ETCD_CLUSTERS" | jq -e '.items == []'; }

# lose_all_but_the_database   the node, and etcd's data with it; the database was copied off before
lose_all_but_the_database() {
    # By itself, not by the power cut: the database shall have all of it (recover_database).
    halt etcd
    wipe_node
    recover_database "$LAB_DIR/backup.db"
    rm -rf "$LAB_DIR/etcd"
}

# etcd_comes_back MEMBER-ANSWERS   from the tree: `start` runs the restored member, which that command asks, and an API server
# on it
etcd_comes_back() {
    # No other etcd runs on the node.
    # shellcheck disable=SC2317
    start_etcd() { :; }
    boot_wiped kubelet
    spawn_start
    promise 180 "the kubelet restores the member and runs it" "$1"
    promise 180 "an API server serves on it" start_says 'Waiting for the self-hosted'
    # The self-hosted API server, which has no etcd here, may be tried meanwhile: the temporary one comes back.
    promise 120 "the old objects are there" old_objects_are_there
    promise 120 "the lost cluster's own object is gone, as the operator needs it" no_etcd_cluster
    check "it says that nothing takes the member's place" start_says 'no required pod takes the place of bootstrap-etcd'
}
etcd_is_given_up() {
    check "Ctrl-C ends it" halt start INT
    check "giving up ends well" rekindle_in_node start --abort
    check "nothing temporary is left" nothing_temporary_is_left
}
