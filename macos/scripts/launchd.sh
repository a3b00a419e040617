# One launchd job of the system domain. Needs files.sh.
# Set by the caller: $label, $plist (path), $drain (seconds that bootout may take), $settle (seconds that a pid must
# stay the same), $patience (seconds until that), $logs (paths, one a line), and for tests $poll and $retry_for.

poll=${poll:-0.5}
retry_for=${retry_for:-15}

now() {
    date +%s
}

# top KEY: the value of a line with exactly one tab.
top() {
    launchctl print "system/$label" 2>/dev/null | awk -v key="$1" '
        index($0, "\t" key " = ") == 1 { print substr($0, length(key) + 5); exit }'
}

loaded() {
    launchctl print "system/$label" >/dev/null 2>&1
}

# fail WHAT: what a person needs to see, and the end.
fail() {
    echo "$label: $1" >&2
    launchctl print "system/$label" 2>/dev/null | awk '/^\t(state|pid|runs|last [a-z ]*) = /' >&2
    case $(top 'last exit code') in
    78*) echo "78: launchd could not start it: its program, its user, or its log folder is not usable" >&2 ;;
    esac
    printf '%s\n' "$logs" | while read -r log; do
        [ -n "$log" ] || continue
        if [ -s "$log" ]; then
            echo "the last lines of $log:" >&2
            tail -n 15 "$log" | sed 's/^/    /' >&2
        else
            echo "its log $log is empty or missing" >&2
        fi
    done
    exit 1
}

# bounded SECONDS COMMAND…: macOS has no timeout(1). Ends with 124 when time was up.
bounded() {
    limit=$(($(now) + $1))
    shift
    "$@" &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        if [ "$(now)" -ge "$limit" ]; then
            kill -9 "$child" 2>/dev/null
            wait "$child" 2>/dev/null
            return 124
        fi
        sleep "$poll"
    done
    wait "$child"
}

enable() {
    launchctl enable "system/$label" || fail "launchctl enable ended with $?"
}

disable() {
    launchctl disable "system/$label" || fail "launchctl disable ended with $?"
}

# 3 and 113: not loaded. 36: still stopping. Even after 0 the job may be there for a while.
unload() {
    said=$(bounded "$drain" launchctl bootout "system/$label" 2>&1)
    rc=$?
    case $rc in
    0 | 3 | 36 | 113 | 124) ;;
    *) loaded && fail "launchctl bootout ended with $rc: $said" ;;
    esac
    deadline=$(($(now) + drain))
    while loaded; do
        [ "$(now)" -lt "$deadline" ] || fail "does not stop: $drain s after bootout launchd still has it; reboot this Mac"
        sleep "$poll"
    done
}

# 5 and 37: the old instance is not quite gone.
load() {
    deadline=$(($(now) + retry_for))
    while :; do
        said=$(launchctl bootstrap system "$plist" 2>&1) && return
        rc=$?
        case $rc in
        5 | 37) [ "$(now)" -lt "$deadline" ] || break ;;
        *) break ;;
        esac
        sleep "$poll"
    done
    case $rc in
    5) hint="launchd does not say more; look with: plutil -lint $plist" ;;
    37) hint="launchd is busy with it; run again, else reboot this Mac" ;;
    109) hint="the plist is not valid: plutil -lint $plist" ;;
    119) hint="it is disabled: launchctl enable system/$label" ;;
    122) hint="the plist must belong to root:wheel, mode 0644" ;;
    *) hint="see launchctl error $rc" ;;
    esac
    fail "launchctl bootstrap ended with $rc: $said ($hint)"
}

# After fast re-bootstraps a job may sit there until it is kicked.
kick() {
    bounded 10 launchctl kickstart "system/$label" >/dev/null 2>&1 || :
}

# `kickstart -k` may block for minutes on a wedged job.
restart() {
    old=$(top pid)
    bounded "$drain" launchctl kickstart -k "system/$label" >/dev/null 2>&1
    rc=$?
    [ "$rc" -eq 0 ] || [ -z "$old" ] || [ "$(top pid)" != "$old" ] ||
        launchctl kill SIGKILL "system/$label" 2>/dev/null
    [ "$rc" -ne 113 ] || fail "launchd does not know it: run the deploy that installs it, or start"
}

# stays_up: the same pid for $settle seconds. $old, if set, is a pid that does not count.
stays_up() {
    deadline=$(($(now) + patience + settle))
    pid='' first='' missed=0
    while :; do
        current=$(top pid) runs=$(top runs)
        [ "$current" != "${old:-}" ] || current=''
        first=${first:-${runs:-0}}
        # A job that dies at once may never be seen alive.
        [ $((${runs:-0} - first)) -lt 3 ] || fail "keeps dying: launchd started it 3 times more while waiting"
        if [ -z "$current" ]; then
            missed=$((missed + 1))
            # Launchd is given a moment to start it by itself.
            [ "$missed" -ne 4 ] || kick
        elif [ "$current" = "$pid" ]; then
            [ $(($(now) - since)) -lt "$settle" ] || return 0
        fi
        [ "$current" = "$pid" ] || since=$(now)
        pid=$current
        [ "$(now)" -lt "$deadline" ] || fail "did not stay up for $settle s within $((patience + settle)) s"
        sleep "$poll"
    done
}

# finishes: a job that runs once ends with 0, or is still at it after $patience seconds.
finishes() {
    deadline=$(($(now) + patience))
    missed=0
    while :; do
        ended=$(top 'last terminating signal')
        [ -n "$ended" ] || ended=$(top 'last exit code')
        pid=$(top pid)
        if [ -z "$pid" ]; then
            case $ended in
            0) return 0 ;;
            '' | '(never exited)')
                missed=$((missed + 1))
                [ "$missed" -ne 4 ] || kick
                ;;
            *) fail "ended with $ended" ;;
            esac
        fi
        if [ "$(now)" -ge "$deadline" ]; then
            [ -z "$pid" ] && fail "did not run within $patience s"
            return 0
        fi
        sleep "$poll"
    done
}

# start: for a job that is installed.
start() {
    [ -f "$plist" ] || fail "there is no $plist: run the deploy that installs it"
    enable
    loaded || load
}

# remove: its plist.
remove() {
    rm -f "$plist"
}
