#!/bin/bash
# What the runs of the other scripts here met: every row of the tables of functions, attributes and parameters, and every
# row of the allow-list.
. "${srcdir:-.}/tests/tap.sh"
here=$source_dir/tests/conformance
skip_under_sanitizer 'the runs are short'
for module in softhsm softokn mock; do
	[ -s "$build/tests/conformance/$module.coverage" ] || { echo "1..0 # SKIP there was no run with $module" && exit 0; }
done
sort -u "$build"/tests/conformance/*.coverage >"$work/met"
"$build/tests/conformance/differ" --rows | sort -u >"$work/rows"
grep -v '^#' "$here/uncovered" | cut -d' ' -f1,2 | sort -u >"$work/uncovered"

all_met() { comm -23 "$work/rows" <(sort -u "$work/met" "$work/uncovered") | tee "$work/left" && [ ! -s "$work/left" ]; }
none_met() { comm -12 "$work/met" "$work/uncovered" | tee "$work/left" && [ ! -s "$work/left" ]; }
t 'every row of the tables is met by a case, or uncovered says why not' all_met
t 'no row that uncovered names is met' none_met
# Reported, not failed: a row may be about what comes once in a million.
grep -n '^[^#]' "$here/allowed" | while IFS=: read -r line row; do
	grep -q -x "allowed $line" "$work/met" || echo "# no case needed line $line of the allow-list: ${row%%|*}|${row##*|}"
done
t_end
