# Thunderbolt ports between the network settings' bridge and a service of raylab's own. Needs files.sh.
# Set by the caller: $preferences (the network settings' file), $before (folder of records), $patience (seconds), and
# for tests $plistbuddy and $poll.
#
# networksetup cannot change a bridge's members, so its list in the settings is edited. macOS reads it at every start
# and whenever networksetup changes something, and the running bridge then follows; it never puts back a port that has
# a network service. Until then ifconfig tells the running bridge.

plistbuddy=${plistbuddy:-/usr/libexec/PlistBuddy}
poll=${poll:-0.5}

# recorded INTERFACE TEXT: how the port was.
recorded() {
    directory "$before" root wheel 0755 && file "$before/$1" root wheel 0644 "$2"
}

# forgotten INTERFACE: it is again what it was.
forgotten() {
    rm -f "$before/$1"
}

# joined INTERFACE BRIDGE: the running bridge has it.
joined() {
    ifconfig "$2" 2>/dev/null | grep -q "member: $1 "
}

# unbridged INTERFACE BRIDGE: out of the bridge, in the settings and now.
unbridged() {
    members=:VirtualNetworkInterfaces:Bridge:$2:Interfaces
    at=0
    while name=$("$plistbuddy" -c "Print $members:$at" "$preferences" 2>/dev/null); do
        if [ "$name" = "$1" ]; then
            "$plistbuddy" -c "Delete $members:$at" "$preferences" || die "$1 stays in the settings of $2"
        else
            at=$((at + 1))
        fi
    done
    joined "$1" "$2" || return 0
    said=$(ifconfig "$2" deletem "$1" 2>&1) || ! joined "$1" "$2" || die "$1 does not leave $2: $said"
}

# listed INTERFACE BRIDGE: the settings have it as a member.
listed() {
    "$plistbuddy" -c "Print :VirtualNetworkInterfaces:Bridge:$2:Interfaces" "$preferences" 2>/dev/null |
        grep -q "^ *$1\$"
}

# bridged INTERFACE BRIDGE POSITION: a member again, in the settings.
bridged() {
    ! listed "$1" "$2" || return 0
    "$plistbuddy" -c "Add :VirtualNetworkInterfaces:Bridge:$2:Interfaces:$3 string $1" "$preferences" ||
        die "$1 is not put back into the settings of $2"
}

# rejoined INTERFACE BRIDGE: a member again now. A bridge that is switched off has none.
rejoined() {
    ! ifconfig "$2" >/dev/null 2>&1 || joined "$1" "$2" || ifconfig "$2" addm "$1" 2>/dev/null || joined "$1" "$2" ||
        echo "$1 joins $2 at the next start" >&2
}

# known SERVICE
known() {
    networksetup -listallnetworkservices | sed 's/^\*//' | grep -qxF "$1"
}

# created SERVICE PORT
created() {
    said=$(networksetup -createnetworkservice "$1" "$2" 2>&1)
    known "$1" || die "the network service $1 was not made on $2: $said"
}

# removed SERVICE: macOS keeps the only one of a port, which is then switched off.
removed() {
    networksetup -removenetworkservice "$1" >/dev/null 2>&1
    ! known "$1" || switched "$1" off
}

# switched SERVICE on|off
switched() {
    said=$(networksetup -setnetworkserviceenabled "$1" "$2" 2>&1) || die "the network service $1 is not $2: $said"
}

has_address() {
    networksetup -getinfo "$1" 2>/dev/null | grep -qx "IP address: $2"
}

# addressed SERVICE ADDRESS MASK: without a router, so that nothing but the other end is sought at the cable. Some
# networksetup want the router's place filled.
addressed() {
    said=$(networksetup -setmanual "$1" "$2" "$3" 2>&1)
    has_address "$1" "$2" && return
    said=$(networksetup -setmanual "$1" "$2" "$3" '' 2>&1)
    has_address "$1" "$2" || die "the network service $1 did not get $2: $said"
}

# carried INTERFACE ADDRESS: a port has its address while the other end of the cable is there.
carried() {
    deadline=$(($(date +%s) + patience))
    while ifconfig "$1" | grep -q 'status: active'; do
        ! ifconfig "$1" | grep -q "inet $2 " || return 0
        [ "$(date +%s)" -lt "$deadline" ] || die "$1 has a cable, and did not take $2 within $patience s"
        sleep "$poll"
    done
}
