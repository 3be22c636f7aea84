#!/bin/bash
# The module of our own, directly and behind the gateway: it has all of 3.0 and 3.2.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/conformance/stage.sh"
cases=3000
[ -z "${KMN_TEST_LONG:-}" ] || cases=60000
! under_sanitizer || cases=300
stage_mock 1
t 'the gateway lists the mechanisms that the module lists, with the same information' play 1 --cases 0
conforms "$cases generated cases: what differs is in the allow-list" mock 1 --cases $cases --seed "${KMN_SEED:-1}"
t_end
