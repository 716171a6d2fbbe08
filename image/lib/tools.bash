# shellcheck shell=bash
# The tools that make an image: a small Debian trixie with mkosi, whatever the host is. Made once, kept in the cache.
#
# It also fetches the packages that an older release takes from trixie, because it has trixie's lists at hand.

TOOLS_SUITE=trixie
TOOLS_PACKAGES=(
    mkosi systemd systemd-repart systemd-ukify systemd-boot-tools udev
    mtools dosfstools e2fsprogs erofs-utils cryptsetup-bin
    python3 python3-pefile zstd xz-utils cpio kmod dpkg-dev reprepro ca-certificates debian-archive-keyring
    qemu-utils # the box's disk
)
# etcd with etcdutl and `--bump-revision`.
NEWER_PACKAGES=(etcd-server etcd-client)
NEWER_IN_TOOLS=/var/cache/newer

# apt_sources SUITE   the host's own Debian archives, for another release, in the form of a .sources file. No mirror is named here.
apt_sources() {
    local host_suite deb822=/etc/apt/sources.list.d/debian.sources
    # shellcheck disable=SC1091
    host_suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    [[ -n "$host_suite" ]] || die "/etc/os-release names no release of Debian; its package sources cannot be used for $1"
    if [[ -e "$deb822" ]]; then
        cat "$deb822"
    else
        awk '$1 == "deb" {
            i = 2
            if ($2 ~ /^\[/) while ($i !~ /\]$/) i++
            if ($2 ~ /^\[/) i++
            print "Types: deb\nURIs: " $i "\nSuites: " $(i + 1) "\n"
        }' /etc/apt/sources.list
    fi | awk -v host="$host_suite" -v suite="$1" '
        BEGIN {RS = ""; FS = "\n"}
        {
            uris = ""; suites = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^URIs:/) uris = $i
                if ($i ~ /^Suites:/) suites = substr($i, 8)
            }
            n = split(suites, words, /[ \t]+/); suites = ""
            for (i = 1; i <= n; i++) {
                if (words[i] == host || words[i] == host "-updates" || words[i] == host "-security") {
                    sub("^" host, suite, words[i]); suites = suites " " words[i]
                }
            }
            if (uris != "" && suites != "")
                print "Types: deb\n" uris "\nSuites:" suites "\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        }'
}

# Sets TOOLS to the directory of the tree, and makes it where it is missing.
tools_tree() {
    local key work log include
    key=$({
        declare -f tools_tree
        declare -p TOOLS_PACKAGES NEWER_PACKAGES
        apt_sources "$TOOLS_SUITE"
    } | sha256sum | cut -c1-16)
    TOOLS="$LAB_CACHE/image-tools-$key"
    work="$TOOLS.work" log="$TOOLS.log"
    [[ ! -x "$TOOLS/usr/bin/mkosi" ]] || return 0
    mkdir -p "$LAB_CACHE" || die "cannot write $LAB_CACHE; set REKINDLE_LAB_CACHE to a directory with 4 GB of room"
    exec 8>"$LAB_CACHE/image-tools.lock"
    flock 8
    [[ ! -x "$TOOLS/usr/bin/mkosi" ]] || return 0
    command -v mmdebstrap >/dev/null || die "mmdebstrap is missing; install it: apt-get install mmdebstrap"
    say "making the tools tree: Debian $TOOLS_SUITE with ${TOOLS_PACKAGES[*]}"
    rm -rf "$work"
    include=$(IFS=,; echo "${TOOLS_PACKAGES[*]}")
    # shellcheck disable=SC2016
    if ! apt_sources "$TOOLS_SUITE" | mmdebstrap --mode=root --variant=apt --include="$include" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io --aptopt='Acquire::Retries "3"' \
        --customize-hook='mkdir -p "$1'"$NEWER_IN_TOOLS"'" && cd "$1'"$NEWER_IN_TOOLS"'" && APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -o APT::Sandbox::User=root download '"${NEWER_PACKAGES[*]}" \
        "$TOOLS_SUITE" "$work" - >"$log" 2>&1 8>&-; then
        tail -n 20 "$log" >&2
        rm -rf "$work"
        die "the tools tree could not be made (log: $log)"
    fi
    mkdir -p "$work"/{image,work}
    mv "$work" "$TOOLS"
    exec 8>&-
    say "tools tree: $(du -sm "$TOOLS" | cut -f1) MB"
}

# in_tools WORK COMMAND...   run COMMAND in the tools tree, WORK as /work and this directory as /image. What it mounts is gone with it.
in_tools() {
    local work=$1
    shift
    # shellcheck disable=SC2016
    unshare --mount --propagation private sh -euc '
        tools=$1 image=$2 work=$3
        shift 3
        # A mount of its own: mkosi changes its root, which has to be one.
        mount --bind "$tools" "$tools"
        for place in proc sys dev; do mount --rbind "/$place" "$tools/$place"; done
        mount -t tmpfs -o mode=1777 tmpfs "$tools/tmp"
        mount -t tmpfs -o mode=755 tmpfs "$tools/run"
        mount --bind -o ro "$image" "$tools/image"
        mount --bind "$work" "$tools/work"
        for file in resolv.conf hosts; do
            [ ! -s "/etc/$file" ] || { touch "$tools/etc/$file"; mount --bind "/etc/$file" "$tools/etc/$file"; }
        done
        exec chroot "$tools" env -C /work -u TMPDIR HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
    ' sh "$TOOLS" "$IMAGE_DIR" "$work" "$@"
}
