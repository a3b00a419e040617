"""Look at every Mac and show the plan. Changes nothing."""

from roles import announce

announce.plan()
announce.end()
