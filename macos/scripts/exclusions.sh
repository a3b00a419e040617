# Folders that neither Time Machine nor Spotlight reads. Needs files.sh.

# excluded FOLDER: from backups. By path it stays excluded when it is made anew, but that may need Full Disk Access,
# which an SSH session has only if Remote Login grants it; the mark on the folder itself needs nothing.
excluded() {
    said=$(tmutil addexclusion -p "$1" 2>&1) || said=$(tmutil addexclusion "$1" 2>&1) ||
        die "$1 is not excluded from backups: tmutil says $said"
}

# unindexed FOLDER MARKER
unindexed() {
    [ -d "$1" ] || die "there is no $1"
    : >"$1/$2" && chmod 0644 "$1/$2"
}

# included FOLDER: in backups again, unless somebody has excluded a folder around it.
included() {
    tmutil removeexclusion -p "$1" >/dev/null 2>&1
    tmutil removeexclusion "$1" >/dev/null 2>&1
    ! tmutil isexcluded "$1" 2>/dev/null | grep -q '^\[Excluded\]' ||
        echo "$1 stays excluded from backups, maybe by a folder around it: tmutil isexcluded $1" >&2
}
