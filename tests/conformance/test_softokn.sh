#!/bin/bash
# NSS softokn, directly and behind the gateway: with a database, and without one (session objects only, no login).
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/conformance/stage.sh"
skip_under_sanitizer 'softokn writes past the ends of buffers, in the direct runs too'
if [ -z "$(softokn_module)" ]; then
	echo '1..0 # SKIP NSS softokn is not installed'
	exit 0
fi
cases=5000
[ -z "${KMN_TEST_LONG:-}" ] || cases=60000
stage_softokn 1 db
stage_softokn 2 nodb
for world in 1 2; do
	t 'the gateway lists the mechanisms that the module lists, with the same information' play $world --cases 0
done
conforms "$cases generated cases with a database: what differs is in the allow-list" softokn 1 \
	--cases $cases --seed "${KMN_SEED:-1}"
conforms "$cases generated cases without one: what differs is in the allow-list" softokn 2 \
	--cases $cases --seed "${KMN_SEED:-2}"
t_end
