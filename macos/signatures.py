"""Code signatures: macOS kills a program whose signature is wrong, and says nothing but `killed`."""

from __future__ import annotations

import shlex

# Of the 64-bit Mach-O files those for arm64, and those for several processors. Wheels also bring libraries for
# processors that no Mac of a fleet has, unsigned. In perl, as shasum is: what has one has the other.
_SELECT = (
    'perl -ne \'chomp; open(my $f, "<:raw", $_) or next; read($f, my $head, 8);'
    r' print "$_\n" if $head =~ /^(?:\xcf\xfa\xed\xfe\x0c\x00\x00\x01|\xca\xfe\xba\xbe)/'
    "'"
)


def signature_check(env: str) -> str:
    """One shell command: ends with 1, and names them, when programs or libraries of a conda env would be killed.

    Looks at Python and Ray's two programs, which must be there, and at every library for this processor. It may
    stand among other commands under `set -e`, joined by `;`.
    """
    root = shlex.quote(env)
    ray = f"{root}/lib/python3.*/site-packages/ray/core/src/ray"
    libraries = f"libraries=$(find {root} -type f \\( -name '*.so' -o -name '*.dylib' \\) | {_SELECT})"
    programs = f"{root}/bin/python {ray}/raylet/raylet {ray}/gcs/gcs_server"
    names = f"printf '%s\\n' {programs} ${{libraries:+\"$libraries\"}} | tr '\\n' '\\0'"
    bad = f"bad=$({names} | xargs -0 codesign -v 2>&1)"
    release = env.rpartition("/")[0]
    advice = f"macOS kills what has such a signature: remove {release} on this Mac, then run again"
    return f"{libraries} && {bad} || {{ printf '%s\\n' \"$bad\" {shlex.quote(advice)} >&2; exit 1; }}"
