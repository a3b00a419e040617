"""Stand-ins for macOS's own commands: small programs that answer as a Mac does.

Standard library only; inside a simulated Mac this package is a copy called `commands`, run by a bare
interpreter. Each module holds one group of commands, each command is a function from its arguments to its
exit status, and COMMANDS says where each is installed.
"""

COMMANDS = {
    "/usr/bin/sw_vers": "system:sw_vers",
    "/usr/bin/uname": "system:uname",
    "/usr/bin/arch": "system:arch",
    "/usr/sbin/sysctl": "system:sysctl",
    "/usr/bin/vm_stat": "system:vm_stat",
    "/usr/bin/csrutil": "system:csrutil",
    "/usr/sbin/spctl": "system:spctl",
    "/usr/sbin/system_profiler": "profiler:system_profiler",
    "/usr/bin/rdma_ctl": "profiler:rdma_ctl",
    "/usr/bin/ibv_devices": "profiler:ibv_devices",
    "/usr/bin/pmset": "power:pmset",
    "/usr/bin/caffeinate": "power:caffeinate",
    "/sbin/shutdown": "power:shutdown",
    "/sbin/reboot": "power:reboot",
    "/sbin/halt": "power:halt",
    "/usr/sbin/scutil": "names:scutil",
    "/usr/bin/dscacheutil": "names:dscacheutil",
    "/usr/sbin/networksetup": "networksetup:networksetup",
    "/usr/sbin/systemsetup": "settings:systemsetup",
    "/usr/sbin/ipconfig": "interfaces:ipconfig",
    "/sbin/ifconfig": "interfaces:ifconfig",
    "/usr/bin/dscl": "directory:dscl",
    "/usr/sbin/sysadminctl": "accounts:sysadminctl",
    "/usr/sbin/createhomedir": "accounts:createhomedir",
    "/usr/sbin/dseditgroup": "accounts:dseditgroup",
    "/usr/bin/fdesetup": "settings:fdesetup",
    "/sbin/pfctl": "pfctl:pfctl",
    "/usr/libexec/ApplicationFirewall/socketfilterfw": "firewall:socketfilterfw",
    "/usr/sbin/softwareupdate": "settings:softwareupdate",
    "/usr/bin/mdutil": "settings:mdutil",
    "/usr/bin/tmutil": "settings:tmutil",
    "/usr/bin/defaults": "preferences:defaults",
    "/usr/bin/plutil": "preferences:plutil",
    "/usr/libexec/PlistBuddy": "plistbuddy:plistbuddy",
    "/usr/bin/xattr": "files:xattr",
    "/usr/bin/codesign": "files:codesign",
    "/bin/df": "files:df",
    "/sbin/md5": "files:md5",
    "/usr/bin/sed": "files:sed",
    "/usr/bin/nc": "files:nc",
    "/usr/bin/stat": "bsdstat:stat",
    "/usr/bin/xcode-select": "developer:xcode_select",
    **{
        f"/usr/bin/{name}": "developer:stub"
        for name in (
            "python3",
            "pip3",
            "git",
            "cc",
            "gcc",
            "clang",
            "c++",
            "make",
            "ld",
            "swift",
            "xcrun",
            "otool",
        )
    },
}
"""Path on a Mac to the function behind it, as module:function."""
