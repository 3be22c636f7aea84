#!/bin/sh
# The test driver that follows, with the time it took (ms) and the test's name added to tests/times.
started=$(date +%s%N)
name=$(printf '%s\n' "$@" | sed -n '/^--test-name$/{n;p;}')
"${SHELL:-/bin/sh}" "$@"
status=$?
echo "$((($(date +%s%N) - started) / 1000000)) $name" >>tests/times
exit $status
