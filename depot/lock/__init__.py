"""`make lock`: makes the locks from their short inputs. What is locked stays, unless the inputs or a wish forbid it."""
