#!/bin/bash
# SoftHSM2 directly and behind the gateway.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/conformance/stage.sh"
stage_softhsm 1
t 'the gateway lists the mechanisms that the module lists, with the same information' play 1 --cases 0
t_end
