"""One file to N Macs: raylab's relay chain beside scp, pyinfra and libtorrent."""
