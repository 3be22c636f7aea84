#!/bin/bash
# Real witnesses and a real gateway: cosignatures, what policy refuses without them, files instead of a network, and a
# ledger that was rolled back under its own key.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/witness/witnesses.sh"

sandbox() { "$source_dir/tools/sandbox" "$@"; }
status() { kanmon status --as "$CUSTODIAN_DIR/sato"; }
sign() { # needs a key in the token
	echo data >"$work/data" && timeout 20 pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label "$TOKEN" --sign \
		-m SHA256-RSA-PKCS --label key -i "$work/data" -o "$work/sig"
}
objects() { pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label "$TOKEN" -O; }
# trust LINES: the gateway's trust file with another policy behind it
trust() {
	sed '/^$/,$d' "$TRUST" >"$work/trust" && printf '\n%s\n' "$1" >>"$work/trust"
}
verify() { kanmon audit verify "$LEDGER" --trust "$work/trust" "$@"; }
log_says() { grep -e "$1" "$work/gw/kanmond.log"; }

t 'witness new makes a key and prints its vkey' witness_new w1
w1=$vkey
t 'the key is closed to others' mode 600 "$work/w1/witness.key"
t 'a witness is not overwritten' exits 1 kanmon witness new witness.example/w1 --out "$work/w1"
t 'a witness has a name without blanks' exits 1 kanmon witness new 'my witness' --out "$work/bad"
witness_new w2 && w2=$vkey
witness_new w3 && w3=$vkey

at_exit sandbox down "$work/gw"
t 'a gateway that is witnessed by two, 1 of them within 4 s' sandbox up "$work/gw" \
	--token-line "witness w1 $w1\\nwitness w2 $w2\\nwitness w3 $w3\\nwitnesses 1 within 4s refuse A" \
	--conf "witness-interval = 1
witness \"w1\" { url = \"http://127.0.0.1:$port_w1/\" }
witness \"w2\" { url = \"http://127.0.0.1:$port_w2\" }"
. "$work/gw/env"
log=$work/gw/gateway/log.vkey

t 'until a witness is there it says so' until_says 10 'witness.w1.state *the gateway does not answer' status
witness_up w1 "$log"
t 'when one is, it cosigns' until_says 10 'witness.w1.state *cosigns' status
t 'a key is made' pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label "$TOKEN" -k --key-type rsa:2048 --label key
t 'and signs' sign
witness_up w2 "$log"
t 'a second witness joins in' until_says 10 'witness.w2.state *cosigns' status
sleep 1.2
t 'the ledger has cosign records' says cosign kanmon audit show "$LEDGER" --type cosign
trust "witness a $w1
witness b $w2
group q all a b
quorum q"
t 'an auditor who asks for both is satisfied, and told how far' says 'vouches for the first [0-9]* records' verify
t 'with exit code 0' exits 0 verify
trust "witness c $w3
quorum c"
t 'one who asks for another witness is not' exits 2 verify
cp "$LEDGER/checkpoint.cosigned" "$work/cosigned"
if command -v go >/dev/null && [ -d /usr/share/gocode/src/golang.org/x/mod/sumdb/note ]; then
	oracle() {
		GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$work/cache" HOME="$work" GOFLAGS=-p=2 \
			go run "$source_dir/tests/witness/oracle/main.go" "$@"
	}
	t 'Go verifies the cosigned checkpoint' says ' 3$' oracle "$work/cosigned" "$(cat "$log")" "$w1" "$w2"
	sed 's/^\([0-9]*\)$/1\1/' "$work/cosigned" >"$work/bent"
	t 'and refuses it when its size is another' fails oracle "$work/bent" "$(cat "$log")" "$w1" "$w2"
else
	t_skip 'Go verifies the cosigned checkpoint' 'go and golang-golang-x-mod-dev are not installed'
fi

# by files
t 'a question for a witness that no network reaches' kanmon witness request "$LEDGER" --old 0 --out "$work/1.add-checkpoint"
t 'it answers in a file' kanmon witness sign "$work/w3" "$work/1.add-checkpoint" --log "$log"
t 'a person brings the answer' says ': 1 cosignatures' kanmon witness import "$work/1.cosig" --as "$CUSTODIAN_DIR/sato"
t 'and the auditor finds it' exits 0 verify
size_in() { awk 'p { print; exit } /^kanmon.sandbox/ { p = 1 }' "$1"; }
later() { # the published checkpoint has grown since FILE
	local waited=0
	until [ "$(sed -n 2p "$LEDGER/checkpoint")" -gt "$(size_in "$1")" ]; do
		sleep 0.1 && waited=$((waited + 1))
		[ $waited -lt 100 ] || return 1
	done
}
later "$work/1.add-checkpoint"
old=$(size_in "$work/1.add-checkpoint")
t 'the next question begins where it ended' kanmon witness request "$LEDGER" --old "$old" --out "$work/2.add-checkpoint"
t 'which it answers' kanmon witness sign "$work/w3" "$work/2.add-checkpoint" --log "$log"
t 'a question from before is refused, with the size' says ': 409: the last size cosigned is [1-9]' \
	kanmon witness sign "$work/w3" "$work/1.add-checkpoint" --log "$log"
cp "$work/1.cosig" "$work/3.cosig"
cp "$work/2.add-checkpoint" "$work/3.add-checkpoint"
t 'a line over another head is not taken' says 'does not verify' kanmon witness import "$work/3.cosig" --as "$CUSTODIAN_DIR/sato"

# over HTTP, from anybody
witness_up w3 "$log"
port=$port_w3
t 'over HTTP: a size that is not the last is 409' says '^HTTP/1.1 409' post "$port" "$work/1.add-checkpoint"
t 'with the size in a type of its own' says '^Content-Type: text/x.tlog.size' post "$port" "$work/1.add-checkpoint"
sed '1s/.*/old 999999/' "$work/2.add-checkpoint" >"$work/bent"
t 'a size beyond the checkpoint is 400' says '^HTTP/1.1 400' post "$port" "$work/bent"
sed 's/^kanmon.sandbox/kanmon.other/' "$work/2.add-checkpoint" >"$work/bent"
t 'a log that nobody witnesses here is 404' says '^HTTP/1.1 404' post "$port" "$work/bent"
sed 's/^— kanmon/— other/' "$work/2.add-checkpoint" >"$work/bent"
t 'without the log'"'"'s signature it is 403' says '^HTTP/1.1 403' post "$port" "$work/bent"
head -c 200000 /dev/zero >"$work/bent"
t 'more than any question is 413' says '^HTTP/1.1 413' post "$port" "$work/bent"
last=$(size_in "$work/2.add-checkpoint")
later "$work/2.add-checkpoint"
kanmon witness request "$LEDGER" --old "$last" --out "$work/4.add-checkpoint"
sed '2s/.*/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=/' "$work/4.add-checkpoint" >"$work/bent"
t 'a proof that proves nothing is 422' says '^HTTP/1.1 422' post "$port" "$work/bent"
t 'and the right one 200' says '^HTTP/1.1 200' post "$port" "$work/4.add-checkpoint"

# many at once, each from nothing: one wins, and what it won stays
race() {
	local i n
	kanmon witness new witness.example/race --out "$work/race" >/dev/null
	for n in 1 2 3 4; do
		rm -rf "$work/race/state"
		for i in 1 5 6 7 8 9; do
			sed '1,/^$/d' "$work/$((i % 2 ? 1 : 4)).add-checkpoint" | sed '1i old 0\n' >"$work/r$i.add-checkpoint"
			rm -f "$work/r$i.cosig"
			kanmon witness sign "$work/race" "$work/r$i.add-checkpoint" --log "$log" 2>/dev/null >/dev/null &
			pids[i]=$!
		done
		wait "${pids[@]}"
		# all that were cosigned are of one size, and it is the one that is kept
		[ "$(for i in 1 5 6 7 8 9; do [ ! -f "$work/r$i.cosig" ] || sed -n 4p "$work/r$i.add-checkpoint"; done | sort -u)" = \
			"$(sed -n 2p "$work"/race/state/*)" ] || return 1
	done
}
pids=()
t 'questions that race move a witness from one size to one other' race

# without them
witness_down w1
witness_down w2
sleep 5
t 'with no witness left, class A is refused' fails sign
t 'and the gateway says for what reason' log_says 'refused: no head cosigned by the witnesses that it takes for [0-9]* s'
t 'queries go on' says 'label: *key' objects
witness_up w2 "$log"
t 'one comes back' until_says 10 'witness.w2.state *cosigns' status
t 'and class A goes on' sign
t 'the ledger is in order' exits 0 verify

# the courier: nothing that it waits for is waited for by calls
perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ARGV[0]", Listen => 64, ReuseAddr => 1) or die;
	while (my $c = $s->accept) { push @c, $c }' "$port_w1" &
hanging=$!
at_exit "kill $hanging"
# (pgrep does not end with a sanitizer's runtime before it)
courier() { env -u LD_PRELOAD pgrep -P "$(cat "$work/gw/kanmond.pid")" -f -- '--role courier'; }
kill_courier() { first=$(courier) && kill -9 "$first"; }
another_courier() { until_says 10 '^[0-9]' courier && [ "$(courier)" != "$first" ]; }
ten_calls() { # in 5 s
	local begin=$SECONDS i
	for i in 1 2 3 4 5 6 7 8 9 10; do sign || return 1; done
	[ $((SECONDS - begin)) -le 5 ] || { echo "$((SECONDS - begin)) s" && false; }
}
t 'a witness that hangs is told of' until_says 15 'witness.w1.state *time is over' status
t 'a witness that hangs delays no call' ten_calls
t 'a courier that dies' kill_courier
t 'is replaced' another_courier
t 'and calls do not notice' ten_calls
t 'the new one carries on' until_says 10 'witness.w2.state *cosigns' status
kill -STOP "$(courier)"
t 'a courier that hangs delays no call' ten_calls
first=$(courier)
t 'and is killed and replaced in its turn' until_says 30 'the courier does not answer and is killed' cat "$work/gw/kanmond.log"
t 'by another one' another_courier
t 'after which class A goes on' until_says 15 'cosigns' status
kill $hanging

# rolled back under its own key, and gone another way
sandbox down "$work/gw" >/dev/null
cp -a "$work/gw/gateway/ledger" "$work/before"
"$build/kanmond" --config "$work/gw/gateway/kanmond.conf" >>"$work/gw/kanmond.log" 2>&1 &
gateway=$!
at_exit "kill $gateway"
t 'the gateway goes on' until_says 20 'witness.w2.state *cosigns' status
sleep 2.5
kill $gateway && wait $gateway
cp "$LEDGER/checkpoint.cosigned" "$work/later"
rm -rf "$work/gw/gateway/ledger"
cp -a "$work/before" "$work/gw/gateway/ledger"
"$build/kanmond" --config "$work/gw/gateway/kanmond.conf" >>"$work/gw/kanmond.log" 2>&1 &
gateway=$!
at_exit "kill $gateway"
t 'a ledger from before: the witness tells, and the gateway says it' \
	until_says 20 'witness.w2.state.*ROLLED BACK\|witness.w2.state.*it answers 422\|witness.w2.state.*SPLIT VIEW' status
kill $gateway && wait $gateway
t 'an auditor with the cosigned checkpoint sees it' exits 1 verify --head "$work/later"
t_end
