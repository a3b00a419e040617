# Takes away what is not needed any more. Needs files.sh.

# absent FOLDER: whoever looks sees all of it or nothing, also when power goes in between.
absent() {
    gone=${1%/*}/.removed-${1##*/}
    if rm -rf "$gone" && { [ ! -e "$1" ] || mv "$1" "$gone"; } && rm -rf "$gone"; then
        return
    fi
    die "$1 could not be removed"
}

# unlinked FOLDER NAME…: files of one folder, however many.
unlinked() {
    cd "$1" || return
    shift
    printf '%s\n' "$@" | xargs rm -f
}
