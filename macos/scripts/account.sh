# A hidden role account and its group. Set by the caller: $account, and but for `deleted` $uid, $gid, $home.

die() {
    echo "$*" >&2
    exit 1
}

# The name that has number $3 as $2 in /$1, if any does.
holder() {
    dscl . -list "/$1" "$2" 2>/dev/null | awk -v number="$3" '$2 == number { print $1; exit }'
}

create_group() {
    taken=$(holder Groups PrimaryGroupID "$gid")
    [ -z "$taken" ] || die "gid $gid belongs to the group $taken on this Mac: choose another for $account"
    dscl . -create "/Groups/$account" &&
        dscl . -create "/Groups/$account" PrimaryGroupID "$gid" &&
        dscl . -create "/Groups/$account" Password '*'
}

# sysadminctl ends with 0 whatever happens, so its word is not taken for it.
create_account() {
    taken=$(holder Users UniqueID "$uid")
    [ -z "$taken" ] || die "uid $uid belongs to $taken on this Mac: choose another for $account"
    said=$(sysadminctl -addUser "$account" -UID "$uid" -GID "$gid" -home "$home" -shell /usr/bin/false \
        -roleAccount 2>&1)
    [ "$(id -u "$account" 2>/dev/null)" = "$uid" ] || die "sysadminctl did not make $account: $said"
}

# attribute KEY VALUE
attribute() {
    dscl . -create "/Users/$account" "$1" "$2"
}

# sysadminctl makes no home; createhomedir may decline for a role account.
create_home() {
    [ -d "$home" ] || createhomedir -c -u "$account" >/dev/null 2>&1
    [ -d "$home" ] || mkdir -p "$home" || return
    chown "$uid:$gid" "$home" && chmod 0750 "$home"
}

# deleted Users|Groups
deleted() {
    said=$(dscl . -delete "/$1/$account" 2>&1) && return
    dscl . -read "/$1/$account" >/dev/null 2>&1 || return 0
    die "macOS keeps /$1/$account: $said. Switch on System Settings > General > Sharing > Remote Login > Allow full" \
        "disk access for remote users, and run this again"
}
