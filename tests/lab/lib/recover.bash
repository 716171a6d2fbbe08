# shellcheck shell=bash
# What the scenarios of `rekindle recover` share. Needs load_env, daemons.bash and namespaces.bash.

# recover_database FILE   the member's database as the seed's clean-up copies it. The node's etcd does not run, and has ended by
# itself or was asked for a snapshot after what matters was written: of a killed one, the last 100 ms may be in its log alone
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

# save_snapshot, restore_etcd   what is left of etcd's data, as `etcdctl snapshot save` writes it; and etcd's data made of it
save_snapshot() { (in_node env ETCDCTL_API=3 etcdctl snapshot save "$LAB_DIR/snapshot.db"); }
restore_etcd() {
    # Debian 12's etcd cannot raise the revision, and the command wants to be told.
    # On a node without power yet: the command needs nothing of it.
    "$(rekindle_binary)" backup restore "$LAB_DIR/snapshot.db" --allow-unsigned --no-revision-bump --name "$NODE" --data-dir "$LAB_DIR/etcd" \
        --config "$LAB_DIR/rekindle.toml"
}
