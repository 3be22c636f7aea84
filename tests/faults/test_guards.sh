#!/bin/bash
# Guards of a whole gateway over SoftHSM2: a file and an object of the token. An older copy of the ledger does not start,
# whichever of the two tells; with the quorum's signed word it does, and the auditor sees why.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/control.sh"
command -v pkcs11-tool >/dev/null || { echo '1..0 # SKIP no pkcs11-tool' && exit 0; }
install -m 600 /dev/null "$work/guard"
PIN=123456 SO_PIN=12345678 "$source_dir/tools/sandbox" up "$work/gw" --policy quorum --conf "low-water = 0
guard \"disk\" { path = \"$work/guard\" }" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 99; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
kanmond_pid=$(cat "$work/gw/kanmond.pid")
conf=$work/gw/gateway/kanmond.conf

token_guard() {
	stop_kanmond && printf 'guard "token" { module = "%s" token = "%s" every = 1 }\n' \
		"$(sed -n 's/^module "\([^"]*\)".*/\1/p' "$conf")" "$TOKEN" >>"$conf" && start_kanmond
}
shows() { says "guards.$1 .*, [1-9][0-9]* records$" kanmon status; }
object() { pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" --list-objects --type data 2>&1; }
t 'a file is kept up to date' wait_until shows disk
t 'so is an object of the token, from the next start on' eval 'token_guard && wait_until shows token'
t 'the object is public, and names the ledger' says 'kanmon guard kanmon' object

save() { stop_kanmond && cp -a "$LEDGER" "$work/old" && cp -a "$work/guard" "$work/guard.old" && start_kanmond; }
put_back() { rm -rf "$LEDGER" && cp -a "$1" "$LEDGER"; }
grow() { restart_kanmond && sleep 2; }
t 'a copy is made, and the ledger grows' eval 'save && grow && stop_kanmond && cp -a "$LEDGER" "$work/new"'
refuses() { # WHICH
	timeout 60 "$build/kanmond" --config "$conf" "${@:2}" </dev/null >"$work/halt.log" 2>&1
	cat "$work/halt.log"
	grep -q "HALT: guard \"$1\" holds a head of" "$work/halt.log"
}
t 'the older copy does not start: the file tells' eval 'put_back "$work/old" && refuses disk'
t 'with the file rolled back as well, the token tells' eval 'cp -a "$work/guard" "$work/guard.new" && cat "$work/guard.old" >"$work/guard" && refuses token'
t 'with both as they were it starts' eval 'put_back "$work/new" && cat "$work/guard.new" >"$work/guard" && start_kanmond && stop_kanmond'

first=$(set -- $CUSTODIANS && echo "$1")
others=$(set -- $CUSTODIANS && shift && echo "$@")
propose() { put_back "$work/old" && ! refuses nobody && kanmon ledger recover "$LEDGER" --accept-head --reason 'the newer disk is lost' --out "$work/recovery"; }
signs() { kanmon ledger sign "$work/recovery" --yes --key "$CUSTODIAN_DIR/$1.key" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase"; }
t 'the text that the quorum signs is made' propose
t 'one signature is not enough' eval 'signs "$first" && ! refuses nobody --recovery "$work/recovery" && says "signed by 1 of the" cat "$work/halt.log"'
recovers() {
	local name
	for name in $others; do signs "$name" || return 1; done
	(cd / && exec setsid "$build/kanmond" --config "$conf" --recovery "$work/recovery" </dev/null >>"$work/gw/kanmond.log" 2>&1) &
	kanmond_pid=$!
	echo "$kanmond_pid" >"$work/gw/kanmond.pid"
	wait_until eval 'answers || gone $kanmond_pid' && answers || { tail -n 12 "$work/gw/kanmond.log" && false; }
}
t 'with the quorum it goes on' recovers
t 'the ledger says who allowed it' says '"verdict":"overruled"' cat "$LEDGER/seg/00000000000000000000.kl"
t 'and the auditor has nothing to say' eval 'sleep 2 && stop_kanmond && kanmon audit verify "$LEDGER" --trust "$TRUST"'
t 'the next start needs no word' eval 'start_kanmond && stop_kanmond'
forged() { sed 's/the newer disk is lost/the newer disk was lost/' "$LEDGER/seg/00000000000000000000.kl" >"$work/bent" && cmp -s "$work/bent" "$LEDGER/seg/00000000000000000000.kl"; }
t 'a word that was changed is noticed' eval '! forged && cp "$work/bent" "$LEDGER/seg/00000000000000000000.kl" && exits 1 kanmon audit verify "$LEDGER" --trust "$TRUST"'
t_end
