"""The image's own /etc, and the folders that only macOS has."""

from __future__ import annotations

import os
import plistlib
import shutil
from pathlib import Path

from lab.commands import directory

ADMIN = {
    "UniqueID": ["501"],
    "PrimaryGroupID": ["20"],
    "NFSHomeDirectory": ["/Users/admin"],
    "UserShell": ["/bin/zsh"],
    "RealName": ["Lab Admin"],
}

COPIED = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "protocols",
    "services",
    "ssl",
    "login.defs",
)
"""What this machine's libraries read, as it is here."""

PASSWD = """\
##
# User Database
#
# Note that this file is consulted directly only when the system is running
# in single-user mode.  At other times this information is provided by
# Open Directory.
##
nobody:*:4294967294:4294967294:Unprivileged User:/var/empty:/usr/bin/false
root:*:0:0:System Administrator:/var/root:/bin/sh
daemon:*:1:1:System Services:/var/root:/usr/bin/false
sshd:*:75:75:sshd Privilege separation:/var/empty:/usr/bin/false
"""

GROUP = """\
##
# Group Database
##
nobody:*:4294967294:
nogroup:*:4294967295:
wheel:*:0:root
daemon:*:1:root
kmem:*:2:root
sys:*:3:root
tty:*:4:root
operator:*:5:root
mail:*:6:
bin:*:7:
staff:*:20:root
_lp:*:26:
sshd:*:75:
admin:*:80:root,admin
"""

HOSTS = """\
##
# Host Database
#
# localhost is used to configure the loopback interface
# when the system is booting.  Do not change this entry.
##
127.0.0.1\tlocalhost
255.255.255.255\tbroadcasthost
::1             localhost
"""

PATHS = "/usr/bin:/bin:/usr/sbin:/sbin"

SUDOERS = f"""\
Defaults env_keep += "BLOCKSIZE COLORFGBG COLORTERM CHARSET LANG LANGUAGE LC_ALL LC_COLLATE LC_CTYPE"
Defaults env_keep += "LINES COLUMNS LSCOLORS SSH_AUTH_SOCK TZ EDITOR VISUAL HOME MAIL"
Defaults secure_path="{PATHS}"
Defaults !fqdn
Defaults !admin_flag
root ALL = (ALL) ALL
%admin ALL = (ALL) ALL
@includedir /etc/sudoers.d
"""

SSHD = f"""\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
UsePAM no
PrintMotd no
AcceptEnv LANG LC_*
SetEnv PATH={PATHS}
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""

# As macOS brings them, without most of the comments.
PF = """\
# Care must be taken to ensure that the main ruleset does not get flushed,
# as the nested anchors rely on the anchor point defined here.
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
dummynet-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
"""

PF_APPLE = """\
#
# com.apple ruleset, referred to by the default /etc/pf.conf file.
#
anchor "200.AirDrop/*"
anchor "250.ApplicationFirewall/*"
"""

PAM = """\
auth     sufficient pam_permit.so
account  required   pam_permit.so
session  required   pam_permit.so
"""

FILES = {
    "passwd": PASSWD,
    "group": GROUP,
    "hosts": HOSTS,
    # Nobody listens there: a name that nothing resolves costs seconds, as it does on a LAN whose DNS is slow.
    "resolv.conf": "nameserver 10.77.0.53\n",
    # Local users are not in /etc/passwd on macOS: the module `cache` reads the stand-ins' own database.
    "nsswitch.conf": "passwd: files cache\ngroup: files cache\nshadow: files cache\nhosts: files dns\n"
    "services: files\nprotocols: files\n",
    # A Mac with a clock of its own has another in its place (lab/clock.py).
    "ld.so.preload": "",
    "shells": "/bin/bash\n/bin/sh\n/bin/zsh\n",
    "paths": "/usr/local/bin\n/usr/bin\n/bin\n/usr/sbin\n/sbin\n",
    "ssh/sshd_config": SSHD,
    "sudoers.d/admin": "admin ALL = (ALL) NOPASSWD: ALL\n",
    "sudoers": SUDOERS,
    "pf.conf": PF,
    "pf.anchors/com.apple": PF_APPLE,
    "newsyslog.conf": "# logfilename [owner:group] mode count size when flags [/pid_file] [sig_num]\n",
    "pam.d/other": PAM,
    "pam.d/sudo": PAM,
    "pam.d/su": PAM,
}

FOLDERS = {
    "Applications": 0o755,
    "Library/LaunchDaemons": 0o755,
    "Library/LaunchAgents": 0o755,
    "Library/Logs": 0o755,
    "Library/Preferences": 0o755,
    "System/Library/LaunchDaemons": 0o755,
    "System/Volumes/Data": 0o755,
    "Users/Shared": 0o1777,
    "Volumes": 0o755,
    "etc/newsyslog.d": 0o755,
    "private": 0o755,
    "usr/local/bin": 0o755,
    "var/db": 0o755,
    "var/empty": 0o755,
    "var/folders": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/root": 0o700,
    "var/tmp": 0o1777,
}

SSHD_JOB = {
    "Label": "com.openssh.sshd",
    "ProgramArguments": ["/usr/sbin/sshd", "-D", "-e"],
    "KeepAlive": True,
    "StandardErrorPath": "/var/log/sshd.log",
}


def write(image: Path, public_key: str) -> None:
    """Fill the image with everything that is neither a program nor a stand-in."""
    for name, mode in FOLDERS.items():
        (image / name).mkdir(parents=True, exist_ok=True)
        (image / name).chmod(mode)
    for name in ("etc", "tmp", "var"):
        (image / "private" / name).symlink_to(f"../{name}")
    (image / "var/run").symlink_to("../run")
    _write_etc(image / "etc")
    job = image / "System/Library/LaunchDaemons/com.openssh.sshd.plist"
    job.write_bytes(plistlib.dumps(SSHD_JOB))
    directory.create(image, users={"admin": ADMIN}, groups={})
    _write_home(image / "Users/admin", public_key)


def _write_etc(etc: Path) -> None:
    for name in COPIED:
        source = Path("/etc", name)
        if source.is_dir():
            shutil.copytree(source, etc / name, symlinks=True)
        elif source.exists():
            shutil.copyfile(source, etc / name)
    for name, text in FILES.items():
        path = etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o440 if name.startswith("sudoers") else 0o644)


def _write_home(home: Path, public_key: str) -> None:
    files = {".ssh/authorized_keys": public_key, ".zshrc": "PS1='%n@%m %1~ %# '\n"}
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    (home / ".ssh").chmod(0o700)
    home.chmod(0o750)
    for path in (home, *home.rglob("*")):
        os.chown(path, 501, 20)
