#!/bin/bash
# No branch or index of the sharing depends on a secret: valgrind takes secrets for undefined, and complains of any.
. "${srcdir:-.}/tests/tap.sh"
try="$build/tests/unit/quorum/shamir_secret"
run() { valgrind -q --error-exitcode=9 "$try" "$@"; }
if ! command -v valgrind >/dev/null || ldd "$try" | grep -q 'lib[at]san\|libubsan'; then
	t_skip 'splitting and combining' 'no valgrind, or a build that it cannot look at'
elif [ "$(run >/dev/null 2>&1; echo $?)" = 77 ]; then
	t_skip 'splitting and combining' 'built without valgrind/memcheck.h'
else
	t 'splitting and combining takes the same way for every secret' exits 0 run
	t 'a branch on a secret would be seen' exits 9 run leak
fi
t_end
