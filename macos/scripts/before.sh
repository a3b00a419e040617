# Records of what settings of this Mac were before raylab changed them. Needs files.sh.
# Set by the caller: $records (their folder).

# kept SETTING WAS OURS: before the change. What was recorded first stays, only what raylab sets is new.
kept() {
    was=$2
    [ ! -f "$records/$1" ] || was=$(sed -n 's/^was://p' "$records/$1")
    directory "$records" root wheel 0755 && file "$records/$1" root wheel 0644 "was:$was
ours:$3
"
}

# let_go SETTING: it is what it was, or somebody else's by now.
let_go() {
    rm -f "$records/$1"
}
