#!/bin/bash
# SoftHSM2, directly and behind the gateway.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/conformance/stage.sh"
cases=10000
[ -z "${KMN_TEST_LONG:-}" ] || cases=150000
! under_sanitizer || cases=400
stage_softhsm 1
t 'the gateway lists the mechanisms that the module lists, with the same information' play 1 --cases 0
conforms "$cases generated cases: what differs is in the allow-list" softhsm 1 --cases $cases --seed "${KMN_SEED:-1}"
t_end
