"""Operations that pyinfra lacks for macOS: facts in, commands out, and none when nothing is to do."""
