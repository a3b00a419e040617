# Takes raylab's rules out of pf. Set by the caller: $token (file that remembers the hold on pf), and for tests $pfctl.

pfctl=${pfctl:-/sbin/pfctl}

# flushed ANCHOR: it has no rules. Its table goes with the last rule that names it.
flushed() {
    said=$("$pfctl" -a "$1" -F rules 2>&1) || die "pf keeps the rules of $1: $said"
}

# released: pf is on no more for raylab. It may be on for others, or off already, and then the token means nothing.
released() {
    [ ! -s "$token" ] || "$pfctl" -X "$(cat "$token")" >/dev/null 2>&1 || :
    rm -f "$token"
}
