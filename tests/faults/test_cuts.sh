#!/bin/bash
# The channel breaks at every place; the HSM module counts. See cuts.c.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
mock_sandbox open
"$build/tests/faults/cuts" "$port"
