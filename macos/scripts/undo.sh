# A change that undoes itself, unless somebody who logs in anew says that this Mac still answers. Needs files.sh.
# Set by the caller: $undo (folder), $label and $plist (of the job), $grace (seconds), and for tests $poll.
# The job waits, not a process of this session: it outlives the connection, and a restart of the Mac.

poll=${poll:-0.5}

# extended: from now on, so many seconds.
extended() {
    echo $(($(date +%s) + grace)) >"$undo/.until" && mv -f "$undo/.until" "$undo/until"
}

# armed PROGRAM PLIST: what an earlier run may have left is decided by now.
armed() {
    launchctl bootout "system/$label" 2>/dev/null
    rm -rf "$undo" && directory "$undo" root wheel 0700 && extended &&
        file "$undo/program" root wheel 0700 "$1" && file "$plist" root wheel 0644 "$2" || return
    deadline=$(($(date +%s) + 15))
    until said=$(launchctl bootstrap system "$plist" 2>&1); do
        [ "$(date +%s)" -lt "$deadline" ] || die "nothing was changed: the job that could undo it does not start: $said"
        sleep "$poll"
    done
}

# decided WHO: the first to say so decides. A link is there with what it says, or not at all.
decided() {
    ln -s "$1" "$undo/decided" 2>/dev/null
    [ "$(readlink "$undo/decided")" = "$1" ]
}

# watched FUNCTION: the job. Undoes the change when the time is up, also when it was interrupted at that.
watched() {
    until [ -L "$undo/decided" ] || [ "$(date +%s)" -ge "$(cat "$undo/until")" ]; do
        sleep "$poll"
    done
    if decided time; then
        "$1"
        echo "$(date): undone, as nobody could log in after the change"
    fi
    rm -f "$plist"
}

# confirmed: by a person's new connection. Fails when it comes too late.
confirmed() {
    [ -d "$undo" ] || return 0
    if decided person; then
        disarmed
    else
        die "the change is undone: nobody could log in within $grace s after it"
    fi
}

# disarmed: nothing waits any more.
disarmed() {
    launchctl bootout "system/$label" 2>/dev/null
    rm -f "$plist" && rm -rf "$undo"
}
