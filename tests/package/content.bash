# shellcheck shell=bash
# shellcheck disable=SC2034
# The package itself: what it holds, that it is made alike twice, what lintian says. Gives OLD and NEW, two versions.

VERSION=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n1)
NEXT="${VERSION%.*}.$((${VERSION##*.} + 1))"

# The files of README's section on installation by hand, as `MODE PLACE`.
by_hand() { awk '$1 == "install" && $2 == "-D" && $3 == "-m" {print $4, $6}' README.md; }
contents() { dpkg-deb --contents "$1" | awk '{print $1, substr($6, 2)}'; }
holds_what_readme_says() {
    local mode place letters count=0
    while read -r mode place; do
        case "$mode" in 0755) letters=-rwxr-xr-x ;; *) letters=-rw-r--r-- ;; esac
        grep -Fxq -- "$letters $place" "$LAB_DIR/contents" || {
            echo "missing: $mode $place" >&2
            return 1
        }
        count=$((count + 1))
    done < <(by_hand)
    ((count >= 8))
}
holds() { grep -Eq " $1\$" "$LAB_DIR/contents"; }
# A page for each command that `--help` leads to, and one for the program.
manual_pages() { grep -c ' /usr/share/man/man8/rekindle.*\.8\.gz$' "$LAB_DIR/contents"; }
made_alike_again() { # FIRST SECOND
    cmp "$1" "$2"
}
lintian_finds_no_error() {
    lintian --allow-root --fail-on error --tag-display-limit 0 "$1" >"$LAB_DIR/lintian.txt" 2>&1 || {
        cat "$LAB_DIR/lintian.txt" >&2
        return 1
    }
}

begin=$SECONDS
# Beside the first boot, which waits for other things.
export SOURCE_DATE_EPOCH=1700000000
image/package --output "$LAB_DIR/again" >"$LAB_DIR/again.path" &
again=$!
OLD=$(image/package --output "$LAB_DIR/packages")
NEW=$(image/package --output "$LAB_DIR/packages" --version "$NEXT")
unset SOURCE_DATE_EPOCH
note "$(du -k "$OLD" | cut -f1) KiB; two packages in $((SECONDS - begin)) s"
contents "$OLD" >"$LAB_DIR/contents"
check "it holds every file of README's list, at its place and mode" holds_what_readme_says
check "manual pages ($(manual_pages))" test "$(manual_pages)" -ge 20
for place in /usr/share/bash-completion/completions/rekindle /usr/share/zsh/vendor-completions/_rekindle \
    /usr/share/fish/vendor_completions.d/rekindle.fish /usr/share/rekindle/rekindle-alerts.yaml \
    /usr/share/doc/rekindle/copyright /usr/share/doc/rekindle/changelog.gz; do
    check "… $place" holds "$place"
done
check "nothing in it lies below /var or /run: that is made where it is installed" bash -c "! grep -E ' /(var|run)/' '$LAB_DIR/contents' >&2"
check "lintian finds no error" lintian_finds_no_error "$OLD"
wait "$again"
check "made again from the same binary and date, it has the same bytes" made_alike_again "$OLD" "$(cat "$LAB_DIR/again.path")"
