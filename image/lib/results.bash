# shellcheck shell=bash
# What comes out of a build: kept in the cache, packed, printed.

# result_key WORDS...   what makes a result the same: this directory, everything that goes in, the tools
result_key() {
    {
        printf '%s\n' "$@" "${TOOLS##*/}"
        (cd "$IMAGE_DIR" && find . \( -type f -o -type l \) -printf '%m %P\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
        (cd "$WORK/inputs" && find . -printf '%m %P %l\n' | LC_ALL=C sort && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    } | sha256sum | cut -c1-16
}

# result_keep FORMAT PROFILE   from the work directory into the cache, whole or not at all
result_keep() {
    local kept="$RESULT.work"
    [[ -e "$WORK/out/$NAME.spdx.json" ]] || die "the build made no bill of materials (log: $RESULT.log)"
    rm -rf "$RESULT" "$kept"
    mkdir "$kept"
    mv "$WORK/out/$NAME".{files.txt,packages.txt,spdx.json} "$kept/"
    if [[ "$1" == directory ]]; then
        mv "$WORK/out/$NAME" "$kept/"
    else
        mv "$WORK/out/$NAME.raw" "$kept/"
        # The lab's is never sent anywhere as it is: its box is compressed.
        [[ -n "$2" ]] || {
            in_tools "$kept" zstd -q -T0 -6 "$NAME.raw" -o "$NAME.raw.zst"
            say "compressed: $(($(stat -c %s "$kept/$NAME.raw.zst") / 1000000)) MB"
        }
    fi
    mv "$kept" "$RESULT"
}

# The newest stay. One that is in use was touched when it was asked for.
result_prune() {
    local old
    while read -r old; do
        [[ "$old" == "$RESULT/complete" ]] || rm -rf "${old%/complete}"
    done < <(find "$LAB_CACHE" -mindepth 2 -maxdepth 2 -path '*/image-*/complete' -printf '%T@ %p\n' | sort -rn | cut -d' ' -f2- | tail -n +"$((${REKINDLE_IMAGES_KEPT:-8} + 1))")
}

# result_print FORMAT OUTPUT   the paths: of a directory or box only that, of a disk the lists too
result_print() {
    local names=() one place=$RESULT
    case "$1" in
        directory) names=("$NAME") ;;
        box) names=("$NAME.box") ;;
        disk)
            names=("$NAME.raw")
            [[ ! -e "$RESULT/$NAME.raw.zst" ]] || names+=("$NAME.raw.zst")
            names+=("$NAME".{files.txt,packages.txt,spdx.json})
            ;;
    esac
    if [[ -n "$2" ]]; then
        mkdir -p "$2"
        place=$(cd "$2" && pwd)
        for one in "${names[@]}" "$NAME".{files.txt,packages.txt,spdx.json}; do
            rm -rf "${place:?}/$one"
            cp -a --reflink=auto --sparse=always "$RESULT/$one" "$place/"
        done
    fi
    printf '%s\n' "${names[@]/#/$place/}"
}
