# What is left of an account and of uploads in folders that others use too. Needs files.sh.
# Set by the caller: $uid, $patience (seconds), and for tests $poll.

poll=${poll:-0.5}

# ended: no process of the account is left. They are asked first.
ended() {
    # macOS gives an account agents of its own, and starts them again while it has a domain.
    launchctl bootout "user/$uid" 2>/dev/null || :
    pkill -TERM -U "$uid"
    deadline=$(($(date +%s) + patience))
    while pgrep -U "$uid" >/dev/null; do
        [ "$(date +%s)" -lt "$deadline" ] || pkill -KILL -U "$uid"
        [ "$(date +%s)" -lt $((deadline + 10)) ] ||
            die "processes of uid $uid do not end ($(pgrep -U "$uid" | tr '\n' ' ')); restart this Mac, then run this again"
        sleep "$poll"
    done
}

# cleared FOLDER: of what belongs to the account. A folder of it that holds something of others stays.
cleared() {
    [ -d "$1" ] || return 0
    find "$1/" -mindepth 1 -xdev -depth -user "$uid" -delete 2>/dev/null
    [ -z "$(find "$1/" -prune -user "$uid" 2>/dev/null)" ] || rmdir "$1" 2>/dev/null
    return 0
}

# emptied FOLDER: gone, unless there is something in it.
emptied() {
    rmdir "$1" 2>/dev/null || :
}
