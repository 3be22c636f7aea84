#!/bin/bash
# The sample ledger of docs/examples: every type of record, verified by both verifiers, and changed.
. "${srcdir:-.}/tests/tap.sh"
sample=$source_dir/docs/examples
oracle=$source_dir/tests/unit/ledger/oracle
export LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1

audit() { kanmon audit verify "$sample/ledger" --trust "$sample/trust" "$@"; }
every_type() {
	local type
	for type in $(sed -n '/^## 4/,/^An unknown type/s/^    \([a-z][a-z.]*\) .*/\1/p' "$source_dir/docs/ledger.md"); do
		grep -q "\"type\":\"$type\"" "$sample"/ledger/seg/*.kl || { echo "no $type" && return 1; }
	done
	[ -n "$type" ]
}
t 'it has every type of record that docs/ledger.md has' every_type
t 'it verifies, with a witness and time stamps' exits 0 audit
t 'its successor is verified behind it, and is short of both' exits 2 kanmon audit verify "$sample/ledger" "$sample/successor" --trust "$sample/trust"
t 'the second verifier agrees' exits 0 python3 "$oracle/second.py" "$sample/ledger" "$sample/trust"
t 'one thread or three say the same' test "$(audit --threads 1)" = "$(audit --threads 3)"
count=40
[ -n "${KMN_TEST_LONG:-}" ] && count=2000
t 'both agree on changes of it' python3 "$oracle/mutate.py" "$sample/ledger" "$sample/trust" "$sample/log.key" "$count" \
	"${KMN_TEST_SEED:-$RANDOM}" "$work" "$(command -v kanmon)"
t_end
