# shellcheck shell=bash
# The box: the lab's disk, packed as Vagrant's libvirt provider takes it. It boots by UEFI, and grows to BOX_SIZE at boot.

BOX_SIZE=20G

box_make() {
    [[ ! -e "$RESULT/$NAME.box" ]] || return 0
    local box="$RESULT/box.work"
    rm -rf "$box"
    mkdir "$box"
    # The box needs no second compression then.
    in_tools "$RESULT" qemu-img convert -O qcow2 -c -o compression_type=zstd "$NAME.raw" box.work/box.img
    in_tools "$RESULT" qemu-img resize -q box.work/box.img "$BOX_SIZE"
    printf '{"provider": "libvirt", "format": "qcow2", "virtual_size": %d}\n' "${BOX_SIZE%G}" >"$box/metadata.json"
    cp "$IMAGE_DIR/box.Vagrantfile" "$box/Vagrantfile"
    tar -C "$box" --owner=0 --group=0 -cf "$box/box.tar" metadata.json Vagrantfile box.img
    mv "$box/box.tar" "$RESULT/$NAME.box"
    rm -rf "$box"
    say "box: $(($(stat -c %s "$RESULT/$NAME.box") / 1000000)) MB"
}
