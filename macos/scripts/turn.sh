# A Mac's turn in a roll. Needs files.sh.
# Set by the caller: $state (folder), $flag (file), $previous and $older (folders), $copied (paths, one a line), $plist
# and $digest of the job that decides, $upgrade (file, one of the copied), $number of this one.

flag() {
    mkdir -p "$state" && : >"$flag"
}

unflag() {
    rm -f "$flag"
}

# keep: what its jobs were started from, with the number of its upgrade; what comes has the number of this one. What
# was kept before is older. A plist that is not the one which was loaded (an earlier run was interrupted) is none to go
# back to, and what is kept already is kept once.
keep() {
    grep -q "$digest" "$plist" || return 0
    [ -e "$upgrade" ] || echo 0 >"$upgrade" || return
    if ! grep -q "$digest" "$previous$plist" 2>/dev/null; then
        copy_into "$previous.new" && rm -rf "$older" || return
        [ ! -d "$previous" ] || mv "$previous" "$older" || return
        mv "$previous.new" "$previous" || return
    fi
    echo "$number" >"$upgrade.raylab-new" && mv -f "$upgrade.raylab-new" "$upgrade"
}

copy_into() {
    rm -rf "$1" && mkdir -p "$1" && chmod 700 "$1" || return
    printf '%s\n' "$copied" | while read -r path; do
        [ -e "$path" ] || continue
        mkdir -p "$1${path%/*}" && cp -Rp "$path" "$1$path" || exit 1
    done
}

# lay FOLDER: the files that were kept there are in their places again.
lay() {
    [ -d "$1" ] || die "nothing is kept to go back to"
    (cd "$1" && find . -type f) | while read -r file; do
        target=${file#.}
        new=${target%/*}/.${target##*/}.raylab-new
        cp -p "$1$target" "$new" && mv -f "$new" "$target" || exit 1
    done
}

# swap: what was kept is there again, and what was there is kept.
swap() {
    [ -d "$previous" ] || die "nothing is kept to go back to"
    copy_into "$previous.new" && lay "$previous" && rm -rf "$older" && mv "$previous" "$older" &&
        mv "$previous.new" "$previous" && rm -rf "$older"
}

# restore: what was kept is there again, and what was there was no good: what was kept before it is kept.
restore() {
    lay "$previous" && rm -rf "$previous" || return
    [ ! -d "$older" ] || mv "$older" "$previous"
}
