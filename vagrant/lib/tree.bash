# shellcheck shell=bash
# What the containers boot: the lower layers of their disks.

# image_tree   prints the directory of the image, or several, the uppermost first, with colons between
image_tree() {
    local image="$LAB_REPOSITORY/image/build"
    if [[ -x "$image" && -z "${NODES_PLAIN_TREE-}" ]]; then
        "$image" --release bookworm --format directory --profile lab --kubelet "$("$LAB_SCRIPTS/build-kubernetes")/kubelet" | sed -n 1p
    else
        plain_tree
    fi
}

# What README's chapter on installation says, on a plain Debian: for a checkout without the image, or NODES_PLAIN_TREE=1.
PLAIN_PACKAGES=(iptables conntrack socat ebtables ethtool kmod mount procps zstd containernetworking-plugins)
plain_tree() {
    local system top="$NODES_DIR/installed" etcd mode source target count=0
    system=$("$LAB_SCRIPTS/system-tree" "${PLAIN_PACKAGES[@]}")
    etcd=$("$LAB_SCRIPTS/etcd" path 3.5)
    rm -rf "$top"
    install -D -m 0755 -t "$top/usr/bin" "$etcd"/{etcd,etcdctl,etcdutl} "$("$LAB_SCRIPTS/build-kubernetes")/kubelet"
    while read -r mode source target; do
        [[ "$source" != target/release/rekindle ]] || source=$(rekindle_binary)
        [[ "$source" == /* ]] || source="$LAB_REPOSITORY/$source"
        install -D -m "$mode" "$source" "$top$target"
        count=$((count + 1))
    done < <(awk '$1 == "install" && $2 == "-D" && $3 == "-m" {print $4, $5, $6}' "$LAB_REPOSITORY/README.md")
    ((count >= 7)) || die "README's chapter on installation has only $count files: the lab installs what it says"
    echo "$top:$system"
}

rekindle_binary() { echo "${REKINDLE_BIN:-${CARGO_TARGET_DIR:-$LAB_REPOSITORY/target}/release/rekindle}"; }
