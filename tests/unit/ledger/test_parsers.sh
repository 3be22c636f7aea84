#!/bin/bash
# Is there a line that we and others read differently? Python judges by the documents alone, Go reads what we accept.
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
oracle=$source_dir/tests/unit/ledger/oracle
count=${KMN_TEST_LONG:+400000}
"$build/tests/unit/ledger/make_ledger" world 60 && cat world/ledger/seg/*.kl >seeds && for file in "$source_dir"/tests/fuzz/corpus/scan/*; do
	cat "$file" && echo
done >>seeds
python3 "$oracle/lines.py" make seeds "${count:-20000}" >lines || { echo 'Bail out! no lines' && exit 1; }
"$build/tests/unit/ledger/judge_lines" <lines >ours
python3 "$oracle/lines.py" judge <lines >python
paste ours python lines | grep -av -e "^yes	yes" -e "^no	no" | head -3
t 'Python accepts and refuses the same lines, whole and bent' cmp ours python
t 'some of the bent ones are records' test "$(grep -c yes ours)" -gt $(($(grep -c '^{' seeds) + 20))
t 'most are none' test "$(grep -c no ours)" -gt "$(grep -c yes ours)"
if command -v go >/dev/null; then
	export GO111MODULE=off GOCACHE=$work/cache GOFLAGS=-p=2 HOME=$work
	# Go writes U+2028 and U+2029 as escapes, which are no other value
	paste ours lines | sed -n 's/^yes\t//p' | grep -av $'\u2028\|\u2029' >records
	go build -o goes "$oracle/lines.go"
	t 'Go reads each record that we accept as the same value' test "$(./goes <records)" = "$(wc -l <records)"
else
	t_skip 'Go reads each record that we accept as the same value' 'go is not installed'
fi
t_end
