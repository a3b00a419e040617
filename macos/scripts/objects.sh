# Names for objects: hard links to the whole files of the depot folder. Needs files.sh.
# Set by the caller: $depot, $directory, $verified (the modification time of a whole object).

# look: finds the whole objects, all at once.
look() {
    whole=" $(find "$depot" -maxdepth 1 -type f -exec stat -f '%m %N' {} + 2>/dev/null |
        sed -n "s,^$verified .*/,,p" | tr '\n' ' ')"
}

# linked NAME SHA256: whoever reads NAME in $directory sees the old file or the object.
linked() {
    path=$directory/$1
    case $whole in
    *" $2 "*) ;;
    *) die "$path: its content $depot/$2 is missing or was changed: run deploy/cluster.py again, which brings it" ;;
    esac
    [ ! -d "$path" ] || die "$path is a directory: a file belongs there; move it away and run again"
    # To rename one link over another of the same file does nothing, or fails.
    if [ ! -L "$path" ] && [ "$path" -ef "$depot/$2" ]; then
        return
    fi
    new=$directory/.raylab-new
    if (umask 022 && mkdir -p "${path%/*}") && ln -f "$depot/$2" "$new" && mv -f "$new" "$path"; then
        return
    fi
    die "$path could not be linked to $depot/$2"
}

# unmarked ATTRIBUTE: no file of $directory has it. One that never had it is as good.
unmarked() {
    xattr -dr "$1" "$directory" 2>/dev/null
    if find "$directory" -type f -exec xattr /dev/null {} + 2>/dev/null | grep -q ": $1\$"; then
        die "$directory: macOS keeps files of it in quarantine; look with: xattr -r $directory"
    fi
}
