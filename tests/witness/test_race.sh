#!/bin/bash
# A witness that is asked by several at once, over HTTP: of two branches of one log that begin alike it cosigns one.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/witness/witnesses.sh"
rounds=${KMN_TEST_LONG:+20}
cd "$work" || exit 99

# Two ledgers of one origin and one key, of the same size: what only its owner can make.
for branch in a b; do
	"$build/tests/unit/ledger/scale" make "$branch" 300 >scale.log 2>&1 || { cat scale.log && echo 'Bail out! no ledger' && exit 1; }
	kanmon witness request "$branch" --old 0 --out "$branch.add-checkpoint" >/dev/null || { echo 'Bail out! no question' && exit 1; }
done
sed -n '2s/.*"vkey":"\([^"]*\)".*/\1/p' a/seg/00000000000000000000.kl >log.vkey

# race ROUND: a new witness is asked for both, each four times, at once
race() {
	local n branch pids=()
	witness_new "w$1" && witness_up "w$1" log.vkey || return 1
	port=port_w$1
	rm -f answer.*
	for n in 1 2 3 4; do
		for branch in a b; do
			post "${!port}" "$branch.add-checkpoint" >"answer.$branch.$n" &
			pids+=($!)
		done
	done
	for n in "${pids[@]}"; do wait "$n" || return 1; done
	witness_down "w$1"
}
answers() { cat answer.$1.* | tr -d '\r' | grep -c "^HTTP/1.1 $2"; }
one_branch() { [ "$(answers a 200)" -eq 0 ] || [ "$(answers b 200)" -eq 0 ]; }
for round in $(seq "${rounds:-2}"); do
	t 'eight questions at once are all answered' race "$round"
	t 'each by a cosignature or by a conflict' [ $(($(answers '*' 200) + $(answers '*' 409) + $(answers '*' 422))) -eq 8 ]
	t 'somebody is cosigned' [ "$(answers '*' 200)" -gt 0 ]
	t 'of two branches that are brought at once one is cosigned' one_branch
done
t_end
