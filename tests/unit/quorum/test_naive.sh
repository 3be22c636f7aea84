#!/bin/bash
# The judge against one written from docs/policy.md alone, on random policies, calls and votes (KMN_TEST_LONG: ten times as many).
: "${srcdir:=.}"
export PYTHONDONTWRITEBYTECODE=1
policies=520
[ -z "$KMN_TEST_LONG" ] || policies=5200
exec python3 "$srcdir/tests/unit/quorum/naive.py" tests/unit/quorum/judge_lines $policies 40
