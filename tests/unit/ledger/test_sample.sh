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
names() { # TYPE NAME: who it is by, as `show` says it
	kanmon audit show "$sample/ledger" --type "$1" | grep -Eq " $1 +([a-z]+ )*$2 "
}
t 'what people signed is shown with their names: an attestation, a reopening, a veto of a policy' eval \
	'names attestation sato && names reopen suzuki && names policy.veto tanaka'
functions() { # as the table of calls has them
	tr -d '\n' <"$source_dir/include/kanmon/calls.def" | grep -o 'KMN_CALL(C_[A-Za-z]*, [0-9a-fx]*, [A-Z_]*, [A-C],' |
		sed 's/KMN_CALL(\(.*\), .*, \(.*\), \(.\),/\1 \2 \3/' | tr A-Z_ a-z- | sort
}
documented() { # as docs/policy.md has them
	sed -n '/^### Functions/,/^### App/s/^| `\(.*\)` | \(.\) | \(.*\) |$/\1 \2 \3/p' "$source_dir/docs/policy.md" |
		while read -r word class names; do printf "%s $word $class\n" $names; done | tr A-Z_ a-z- | sort
}
t 'the table of functions that it reads is that of the gateway' test "$(functions | wc -l)" -gt 90 -a "$(functions)" = "$(documented)"
t 'one thread or three say the same' test "$(audit --threads 1)" = "$(audit --threads 3)"
count=20
[ -n "${KMN_TEST_LONG:-}" ] && count=1000
mutate() { python3 "$oracle/mutate.py" "$sample/ledger" "$sample/trust" "$sample/log.key" "$count" "${KMN_TEST_SEED:-$RANDOM}" "$work" "$(command -v kanmon)"; }
t 'both agree on changes of it' mutate
attached() { python3 "$oracle/attachment.py" "$sample/ledger" "$sample/trust" "$sample/log.key" "$work" "$(command -v kanmon)"; }
t 'a wrong attachment, forced in by who holds the log key, is found by both: at its record, or at the statement that names it' attached
export MUTATE_TYPES='policy policy.proposal policy.veto attestation anomaly reopen clock hsm.log gateway.start op session'
t 'and of what says which policy is in force, and what stands against a token' mutate
t_end
