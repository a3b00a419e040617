"""Start the service where it was stopped."""

from roles import jobs

jobs.start()
