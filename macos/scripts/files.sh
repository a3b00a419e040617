# Directories and files on a Mac. Contents are arguments of functions and of built-ins, never of programs.

die() {
    echo "$*" >&2
    exit 1
}

# directory PATH OWNER GROUP MODE: it exists, with missing parents, and is so.
directory() {
    if [ -L "$1" ] || { [ -e "$1" ] && [ ! -d "$1" ]; }; then
        die "$1 is in the way: a directory belongs there; move it away and run again"
    fi
    mkdir -p "$1" && chown "$2:$3" "$1" && chmod "$4" "$1"
}

# file PATH OWNER GROUP MODE CONTENT: whoever reads the path sees the old file or the new one, never a part of it.
file() {
    [ ! -d "$1" ] || [ -L "$1" ] || die "$1 is a directory: a file belongs there; move it away and run again"
    new=${1%/*}/.${1##*/}.raylab-new
    rm -f "$new" || return
    # Closed to others before there is anything to read.
    (umask 077 && : >"$new") &&
        printf %s "$5" >"$new" &&
        chown "$2:$3" "$new" && chmod "$4" "$new" && mv -f "$new" "$1" && return
    rm -f "$new"
    die "$1 could not be written"
}

# owned PATH OWNER GROUP MODE: the content is right already.
owned() {
    chown "$2:$3" "$1" && chmod "$4" "$1"
}
