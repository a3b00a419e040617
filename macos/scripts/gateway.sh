# The door's Caddy. Needs files.sh.
# Set by the caller for `loaded`: $label, $url, $digest, $log, and for tests $patience (seconds).

# kept PROGRAM SOURCE: a hard link, so it takes no room, and stays when the release of SOURCE goes.
kept() {
    mkdir -p "${1%/*}" && chmod 755 "${1%/*}" && ln -f "$2" "$1.raylab-new" && mv -f "$1.raylab-new" "$1" && return
    die "$1 could not be linked to $2"
}

# gone FOLDER: a running program stays until it ends.
gone() {
    rm -rf "$1"
}

# loaded: Caddy reads its configuration again when it is told so, and goes on with the old one if the new one is wrong.
loaded() {
    deadline=$(($(date +%s) + ${patience:-30}))
    launchctl kill SIGUSR1 "system/$label" || die "$label does not run: deploy/status.py shows it"
    while [ "$(curl -sf --noproxy '*' -m 5 "$url" 2>/dev/null)" != "$digest" ]; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "the last lines of $log:" >&2
            tail -n 15 "$log" | sed 's/^/    /' >&2
            die "$label does not take its new configuration, and goes on with the old one"
        fi
        sleep 0.2
    done
}
