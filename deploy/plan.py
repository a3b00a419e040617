"""Which model runs where, in which shape, and what it takes of each Mac. Changes nothing.

`--data svg=plan.svg` draws it too.
"""

from roles import announce

announce.drawn()
announce.plan()
announce.end()
