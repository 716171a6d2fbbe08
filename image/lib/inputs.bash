# shellcheck shell=bash
# What goes into an image beside Debian's packages: Rekindle's package, the kubelet, and packages of a newer release.

# inputs_kubelet PATH DIRECTORY   a tree with the kubelet, from a binary or a package of Debian's form
#
# Of a package only the binary is taken: Kubernetes' own packages depend on others that Debian does not have, and the unit is
# the image's.
inputs_kubelet() {
    local path=$1 tree=$2 unpacked version minor flags
    [[ -r "$path" ]] || die "cannot read the kubelet at $path"
    mkdir -p "$tree/usr/bin" "$tree/usr/lib/kubelet"
    if head -c 7 "$path" | grep -q '^!<arch>'; then
        unpacked=$(mktemp -d "$tree.XXXXXX")
        dpkg-deb -x "$path" "$unpacked" || die "$path cannot be unpacked"
        [[ -f "$unpacked/usr/bin/kubelet" ]] || die "there is no usr/bin/kubelet in $path"
        install -m 0755 "$unpacked/usr/bin/kubelet" "$tree/usr/bin/kubelet"
        rm -rf "$unpacked"
    else
        install -m 0755 "$path" "$tree/usr/bin/kubelet"
    fi
    version=$("$tree/usr/bin/kubelet" --version) || die "$path is no kubelet that runs on this machine"
    version=${version##* v}
    [[ "$version" =~ ^1\.([0-9]+)\. ]] || die "the kubelet at $path has a version that is not understood: $version"
    minor=${BASH_REMATCH[1]}
    flags=--container-runtime-endpoint=unix:///run/containerd/containerd.sock
    # Another runtime was the default before 1.24; 1.27 does not know the flag any more.
    ((minor >= 24)) || flags="--container-runtime=remote $flags"
    printf 'KUBELET_RUNTIME_ARGS="%s"\n' "$flags" >"$tree/usr/lib/kubelet/runtime.env"
    echo "$version" >"$tree/usr/lib/kubelet/version"
    say "kubelet $version, of $path"
}

# inputs_rekindle DIRECTORY   Rekindle's package into it. Its date is none: the same binary makes the same image after any commit
inputs_rekindle() {
    SOURCE_DATE_EPOCH=0 "$IMAGE_DIR/package" --output "$1" >/dev/null || die "Rekindle's package could not be made (image/package)"
}

# inputs_newer RELEASE DIRECTORY   what this release lacks and a newer one has
inputs_newer() {
    [[ "$1" == bookworm ]] || return 0
    # With their times: mkosi looks at these to know whether its cache still holds.
    cp -p "$TOOLS$NEWER_IN_TOOLS"/*.deb "$2/"
}

# inputs_sources RELEASE DIRECTORY   mkosi's package sources; it has its own idea of a mirror where this file is missing
inputs_sources() {
    mkdir -p "$2/etc/apt/sources.list.d"
    apt_sources "$1" >"$2/etc/apt/sources.list.d/mkosi.sources"
    grep -q '^Suites: ' "$2/etc/apt/sources.list.d/mkosi.sources" || die "found no Debian archive among this machine's package sources (/etc/apt)"
}
