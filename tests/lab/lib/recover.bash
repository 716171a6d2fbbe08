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
