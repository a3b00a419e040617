"""The control machine's side of the relay: who fetches what from whom, told to every agent over SSH."""
