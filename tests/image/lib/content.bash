# shellcheck shell=bash
# What must be in an image, and what must not, seen from outside.

tree_is_whole() {
    local path
    for path in usr/lib/systemd/systemd usr/bin/containerd usr/sbin/runc usr/bin/etcd usr/bin/etcdutl usr/bin/kubelet usr/bin/rekindle usr/lib/cni/bridge; do
        [[ -e "$1/$path" ]] || {
            echo "missing: $path"
            return 1
        }
    done
    # They run, too, with the libraries of this release.
    chroot "$1" /usr/bin/etcdutl snapshot restore --help | grep -e --bump-revision || return 1
    chroot "$1" /usr/bin/kubelet --version && chroot "$1" /usr/bin/rekindle --version || return 1
    grep -E '^(containerd 1\.[67]|etcd-(server|client) (1:)?3\.5)\.' "$1.packages.txt"
    (($(grep -cE '^(containerd 1\.[67]|etcd-(server|client) (1:)?3\.5)\.' "$1.packages.txt") == 3))
}

# Valid, and every package of the list and every crate of ours is in it.
bill_is_whole() {
    local bill="$1.spdx.json"
    jq -e '.spdxVersion == "SPDX-2.3" and .SPDXID == "SPDXRef-DOCUMENT" and (.documentNamespace | startswith("urn:uuid:"))
        and ([.packages[] | select(.name and .SPDXID and .versionInfo and .downloadLocation)] | length) == (.packages | length)
        and ([.packages[].SPDXID] | unique | length) == (.packages | length)
        and ([.packages[].SPDXID] + [.SPDXID]) as $ids | all(.relationships[]; (.spdxElementId | IN($ids[])) and (.relatedSpdxElement | IN($ids[])))' "$bill" || return 1
    diff <(jq -r '.packages[] | select(.externalRefs[0].referenceLocator | test("^pkg:(deb|generic/kubelet)")) | "\(.name) \(.versionInfo)"' "$bill" | sort) <(sort "$1.packages.txt") || return 1
    (($(jq '[.packages[] | select(.externalRefs[0].referenceLocator | startswith("pkg:cargo/"))] | length' "$bill") == $(grep -c '^checksum = ' Cargo.lock)))
}

same_lists() {
    local list
    for list in files.txt packages.txt spdx.json; do diff "$1.$list" "$2.$list" || return 1; done
}

compressed_below() { # DISK MB
    local size
    size=$(stat -c %s "$1.zst")
    echo "$size bytes"
    ((size < $2 * 1000000))
}

# --- the product's disk, read without being mounted

# Where a partition of this type begins.
partition_begin() { sfdisk -J "$1" | jq -r --arg name "$2" '.partitiontable | .sectorsize as $size | .partitions[] | select(.type == $name or .name == $name) | .start * $size'; }
ROOT_TYPE=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
USR_TYPE=8484680C-9521-48C6-9C11-B0720656F69E

# Takes /usr and the parts of / that are looked at out of the disk, into RUN/usr and RUN/etc.
disk_unpack() {
    local root usr
    root=$(partition_begin "$1" "$ROOT_TYPE")
    usr=$(partition_begin "$1" "$USR_TYPE")
    echo "root at $root, usr at $usr"
    rm -rf "${RUN:?}"/{etc,usr,home,root}
    debugfs -R "rdump /etc /home /root $RUN" "$1?offset=$root" || return 1
    [[ -s "$RUN/etc/shadow" ]] || return 1
    # The tools that made it read it.
    ln -f "$1" "$RUN/product.raw" 2>/dev/null || cp --sparse=always "$1" "$RUN/product.raw"
    (
        IMAGE_DIR=$PWD/image
        . image/lib/tools.bash
        tools_tree
        in_tools "$RUN" fsck.erofs --offset="$usr" --extract=/work/usr product.raw
    )
}

# Every regular file of /usr has the digest that the list says, and the list has no other.
list_tells_usr() {
    diff <(cd "$RUN" && find usr -type f -print0 | xargs -0 sha256sum -z | tr '\0' '\n' | sed 's#  usr/# /usr/#' | LC_ALL=C sort) \
        <(awk '$5 ~ /^\/usr\// && length($4) == 64 {print $4, $5}' "${1%.raw}.files.txt" | LC_ALL=C sort)
}

no_password() {
    # Everything but a locked or impossible one.
    ! awk -F: '$2 !~ /^(\*|!|!\*|!!)$/' "$RUN/etc/shadow" | grep .
}
no_key() {
    ! find "$RUN/home" "$RUN/root" "$RUN/etc" \( -name 'authorized_keys*' -o -name 'ssh_host_*' -o -name '*.key' -o -name 'id_*' \) | grep . || return 1
    ! grep -rlE 'PRIVATE KEY-----|^ssh-(rsa|ed25519) ' "$RUN"/{etc,home,root} | grep .
}
nothing_of_the_lab() {
    ! grep -E '/lab-test|70-lab|/sudoers\.d/vagrant|/home/vagrant' "${1%.raw}.files.txt" || return 1
    ! grep -E '^(openssh-server|sudo|curl) ' "${1%.raw}.packages.txt"
}
# A socket unit that is enabled here opens a port where it names a number; only paths and netlink may be.
no_port_in_units() {
    local unit name
    for unit in "$RUN"/{etc,usr/lib}/systemd/system/sockets.target.wants/*; do
        name=${unit##*/}
        echo "$name"
        ! grep -HE '^Listen(Stream|Datagram|SequentialPacket)= *[^/@ ]' "$RUN/usr/lib/systemd/system/$name" || return 1
    done
    # And of services these alone, none of which listens beyond loopback as it is configured here.
    diff <(find "$RUN/etc/systemd/system" -path '*.target.wants/*.service' -printf '%f\n' | sort -u) - <<'END'
containerd.service
getty@tty1.service
kubelet.service
master-hostname.service
rekindle.service
ssh-host-keys.service
systemd-confext.service
systemd-network-generator.service
systemd-networkd-wait-online.service
systemd-networkd.service
systemd-pstore.service
systemd-resolved.service
systemd-sysext.service
systemd-timesyncd.service
END
}
has_no_identity() { [[ "$(cat "$RUN/etc/machine-id")" == uninitialized && ! -e "$RUN/etc/hostname" ]]; }
partitions_are() {
    sfdisk -J "$1" | jq -r '.partitiontable.partitions[].name'
    [[ -n "$(partition_begin "$1" C12A7328-F81F-11D2-BA4B-00A0C93EC93B)" && -n "$(partition_begin "$1" 77FF5F63-E7B6-4633-ACF4-1565B864C0E6)" ]]
}

product_disk() {
    echo "the product's disk"
    check "it is below 350 MB compressed" compressed_below "$1" 350
    note "$(stat -c %s "$1.zst") bytes compressed, of $(stat -c %s "$1")"
    check "it has an ESP, /usr with verity, and a root" partitions_are "$1"
    check "its file systems can be read" disk_unpack "$1"
    check "the list of files tells every file of /usr as it is on the disk" list_tells_usr "$1"
    note "$(wc -l <"${1%.raw}.files.txt") files, $(wc -l <"${1%.raw}.packages.txt") packages, bill of $(jq '.packages | length' "${1%.raw}.spdx.json")"
    check "its bill of materials is whole" bill_is_whole "${1%.raw}"
    check "nobody has a password" no_password
    check "there is no key: neither authorized nor a host's" no_key
    check "nothing of the lab is in it" nothing_of_the_lab "$1"
    check "no enabled unit opens a port" no_port_in_units
    check "it has no identity yet" has_no_identity
    rm -rf "${RUN:?}"/{etc,usr,home,root,product.raw}
}
