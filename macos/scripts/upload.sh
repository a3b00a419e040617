# Uploaded files: from the staging folder of the SSH user to where they belong, once their sha256 is right.
# Set by the caller: $directory, $owner, $group, $mode, $record (see the fact Digests).

# arrived STAGED NAME SHA256
arrived() {
    path=$directory/$2
    partial=$path.raylab-partial
    case $2 in */*) mkdir -p "${path%/*}" || return ;; esac
    mv -f "$1" "$partial" && chown "$owner:$group" "$partial" && chmod "$mode" "$partial" || return
    sum=$(shasum -a 256 "$partial") || return
    sum=${sum%% *}
    if [ "$sum" != "$3" ]; then
        rm -f "$partial"
        die "$path: sha256 $sum arrived, $3 is right: the source is damaged or the disk is full; fetch it again"
    fi
    mv -f "$partial" "$path" && remember "$2" "$3"
}

# remember NAME SHA256: its size and time as of now stand for that sum.
remember() {
    (cd "$directory" && echo "$2 $(stat -f '%z %m %N' "./$1")" >>"$record")
}
