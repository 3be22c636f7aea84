#!/bin/sh
# docs/attacks.md is the plan of what must be caught: every row is there, and every case that it names exists.
srcdir=${srcdir:-.}
table=$srcdir/docs/attacks.md
failed=0
n=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else failed=1 && echo "not ok $n - $2"; fi
}

missing=$(for row in $(seq 32); do grep -q "^| $row |" "$table" || echo "$row"; done)
[ -z "$missing" ]
ok $? "docs/attacks.md has every row from 1 to 32${missing:+, but not $missing}"

bad=$(grep '^| [0-9]* |' "$table" | while IFS='|' read -r _ row _ _ file name _; do
	row=$(echo "$row" | xargs)
	file=$(echo "$file" | sed 's/^ *//; s/ *$//')
	name=$(printf '%s' "$name" | sed 's/^ *//; s/ *$//')
	[ -z "$file" ] && [ -z "$name" ] && continue
	[ -f "$srcdir/$file" ] && [ -n "$name" ] && grep -qF -- "$name" "$srcdir/$file" || echo "# row $row: no \"$name\" in $file"
done)
[ -z "$bad" ]
ok $? 'every case that the table names stands in the file that it names'
[ -z "$bad" ] || echo "$bad"

grep -q '^| [0-9]* | .* | tests/.* | .* |$' "$table"
ok $? 'and there are some'
echo "1..$n"
exit $failed
