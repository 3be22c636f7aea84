#!/bin/sh
# Another implementation, Go's, checks our roots, proofs and notes. Skipped where it is not installed.
srcdir=${srcdir:-.}
if ! command -v go >/dev/null || ! [ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog ]; then
	echo '1..0 # SKIP go and golang-golang-x-mod-dev are not installed'
	exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
echo 1..3
export GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$dir/cache" GOFLAGS=-p=2 HOME="$dir"
tests/unit/ledger/print_proofs >"$dir/proofs" &&
	go build -o "$dir/oracle" "$srcdir/tests/unit/ledger/oracle/main.go" >"$dir/log" 2>&1 &&
	"$dir/oracle" <"$dir/proofs" >>"$dir/log" 2>&1 && grep -qx '130 8515 8515 1' "$dir/log" ||
	{ sed 's/^/# /' "$dir/log" && printf 'not '; }
echo 'ok 1 - Go accepts all roots, inclusion and consistency proofs of sizes to 130, and a checkpoint'

# 1,500 records have five whole tiles and an edge of two levels; 66,000 a whole tile of level 1 as well.
records=1500 whole=5
[ -z "$KMN_TEST_LONG" ] || records=66000 whole=258
tests/unit/ledger/scale make "$dir/ledger" $records >"$dir/log" 2>&1 &&
	vkey=$(sed -n '2s/.*"vkey":"\([^"]*\)".*/\1/p' "$dir/ledger/seg/00000000000000000000.kl") &&
	go build -o "$dir/tiles" "$srcdir/tests/unit/ledger/oracle_tiles/main.go" >"$dir/log" 2>&1 &&
	"$dir/tiles" "$dir/ledger" "$vkey" >>"$dir/log" 2>&1 && grep -qx "$records $records $whole" "$dir/log" ||
	{ sed 's/^/# /' "$dir/log" && printf 'not '; }
echo "ok 2 - Go proves every record of a ledger from its tiles, its edge and its checkpoint"

# What `kanmon audit prove` prints, and nothing else but the vkey: first, last, and around a whole tile.
for index in 0 1 255 256 700 $((records - 1)); do
	./kanmon audit prove "$dir/ledger" $index >"$dir/proof.$index" 2>>"$dir/log" || echo "no proof of $index" >>"$dir/log"
done
sed 's/^index 700$/index 701/' "$dir/proof.700" >"$dir/moved"
go build -o "$dir/proof" "$srcdir/tests/unit/ledger/oracle_proof/main.go" >"$dir/log" 2>&1 &&
	"$dir/proof" "$vkey" "$dir"/proof.* >>"$dir/log" 2>&1 && grep -qx 6 "$dir/log" &&
	! "$dir/proof" "$vkey" "$dir/moved" >>"$dir/log" 2>&1 ||
	{ sed 's/^/# /' "$dir/log" && printf 'not '; }
echo "ok 3 - Go accepts what kanmon audit prove prints, and not the same under another index"
