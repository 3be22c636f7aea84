#!/bin/bash
# C programs of our own, directly and through a gateway: threads, forks, and lives of the module (tests/stress has them,
# and more of it, through the gateway only). Each signature is verified by OpenSSL, each digest computed once more.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
unset LD_PRELOAD # a sanitizer's runtime, for clients that are built without; ours have it
# Without it SoftHSM's forked children are told that they are initialised.
echo 'library.reset_on_fork = true' >>"$direct_conf"
stress() { "$build/tests/stress/stress" "$@"; }

both 'a key is made' stress prepare
both '8 threads work side by side, each with a session and a key of its own' stress threads 8 27
# One after the other, and without a thread beside: more than that SoftHSM does not stand.
both '12 forks begin on their own, and their parent is unharmed' stress forks 12 0
both 'the module is loaded, initialised, finalised and unloaded' stress lives 6
two_ways_end
