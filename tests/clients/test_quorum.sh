#!/bin/bash
# The kanmon command and a PKCS#11 client against a gateway that asks two of three custodians.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
sign() { p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i "$1" -o sig; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
approve() { kanmon approve "$2" $(as "$1"); }
ask() { kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_SHA256_RSA_PKCS --json "$@" | jq -r .id; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id'; }
state() { [ "$(kanmon request show "$2" --json | jq -r .request.state)" = "$1" ] || { kanmon request show "$2" && false; }; }

t 'status answers a client' says "^origin  *kanmon.sandbox/gw/" kanmon status
t 'and a custodian' test 1 = "$(kanmon status --as "$CUSTODIAN_DIR/sato" --json | jq .policy_version)"
t 'custodians are listed from the policy in force' says '^tanaka  *0003' kanmon custodian list --as "$CUSTODIAN_DIR/sato"
t 'the policy in force is shown and complete' says '^complete: yes' kanmon policy show --as "$CUSTODIAN_DIR/sato"

t 'a key is not generated without approval' fails p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01
id=$(waiting)
t 'the call is a request now, with its template' says 'CKA_LABEL root-ca' kanmon request show "$id"
t 'one custodian approves' approve sato "$id"
t 'the call still does not run' fails p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01
t 'it joined its request instead of making another' test "$id" = "$(waiting)"
t 'the same custodian is one vote, however often' says 'request is open now\|does not count' approve sato "$id"
t 'a second custodian approves' approve suzuki "$id"
t 'then the same call runs' p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01
t 'and the request is done' state done "$id"

echo 'pay 1 yen' >bill
echo 'pay 1000000 yen' >other
t 'a key that was asked for is listed by its label' says '^summary *label ' kanmon request list --all
t 'data is not signed without approval' fails sign bill
id=$(waiting)
approve sato "$id" >/dev/null && approve tanaka "$id" >/dev/null
t 'what was approved is signed' sign bill
p11 --read-object --type pubkey --id 01 -o pub.der >/dev/null 2>&1 && openssl pkey -pubin -inform DER -in pub.der -out pub
t 'and the signature verifies' openssl dgst -sha256 -verify pub -signature sig bill
t 'an approval works once' fails sign bill
id=$(waiting)
t 'what asks for it again waits anew' state open "$id"
t 'when the wait is over the operation is over too' says 'CKR_FUNCTION_CANCELED' sign bill

id=$(ask --file bill --purpose 'the bill of May')
t 'a request ahead shows its purpose' says '^purpose the bill of May' kanmon request show "$id"
approve sato "$id" >/dev/null && approve tanaka "$id" >/dev/null
t 'other data does not meet it' fails sign other
t 'the data does, though an older call for it still waits for approval' sign bill
id=$(ask --file other)
t 'its client withdraws a request' kanmon request withdraw "$id" --reason 'not needed'
t 'nobody approves it then' says 'is withdrawn: it waits for no answer' approve sato "$id"
t 'it is withdrawn' state withdrawn "$id"
id=$(ask --file other)
t 'a custodian rejects' kanmon reject "$id" $(as sato) --reason 'too much'
t 'one rejection leaves two who could approve' state open "$id"
t 'a second custodian rejects' kanmon reject "$id" $(as suzuki) --reason 'far too much'
t 'then the request is rejected' state rejected "$id"
id=$(ask --file other)
approve sato "$id" >/dev/null && kanmon veto "$id" $(as tanaka) --reason 'stop' >/dev/null
t 'one veto stops a request' state vetoed "$id"
t 'and its call' fails sign other
t 'a request for a key that is not there is refused' exits 1 kanmon request new --token "$TOKEN" --key nobody \
	--mechanism CKM_SHA256_RSA_PKCS --file bill
t 'a request for a mechanism that is none is refused' exits 1 kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_X --file bill
t 'an unknown request is refused' exits 1 kanmon request show 999999
t 'a custodian makes no requests' exits 1 env KANMON_CONFIG="$CUSTODIAN_DIR/sato.conf" kanmon request new --token "$TOKEN" \
	--key root-ca --mechanism CKM_SHA256_RSA_PKCS --file bill
t 'a client approves nothing' exits 1 kanmon approve "$id" --as "$work/gw/client/kanmon" --yes

openssl req -x509 -newkey rsa:2048 -nodes -keyout throwaway.key -out pre.crt -subj '/CN=pre-certificate' 2>/dev/null
id=$(ask --tbs-from pre.crt)
t 'a pre-certificate is shown by its content' says '^input subject CN=pre-certificate' kanmon request show "$id"
# shows_the_same LANGUAGE: what `request show` says of it ends in what `approve` shows, derived here.
shows_the_same() {
	kanmon request show "$id" --as "$CUSTODIAN_DIR/sato" --language "$1" >looked || return
	kanmon approve "$id" $(as sato) --language "$1" | sed '/^Recorded: /d' >approved
	[ "$(wc -l <approved)" -gt 30 ] && tail -n "$(wc -l <approved)" looked | diff - approved
}
t 'request show ends in the text that approve shows' shows_the_same en
has_all() {
	local line
	for line in '^code [0-9A-Z-]{29}$' '^verified here: the statement was made again' '^NOT verified:  that the head continues' '^WARNING: '; do
		grep -q -E "$line" looked || { echo "no $line" && return 1; }
	done
}
t 'with its code, what was checked here, what was not, and warnings' has_all
t 'likewise in Japanese' shows_the_same ja
t 'JSON has the same code' test "$(sed -n 's/^照合コード //p' looked)" = "$(kanmon request show "$id" --json | jq -r .code)"
t 'a client is shown its own request so, too' says '^verified here: the statement was made again' kanmon request show "$id"
t 'the custodian is told what was verified' says '^verified here: what will be signed' approve sato "$id"
echo wrong >wrong
t 'a wrong passphrase sends nothing' exits 1 kanmon approve "$id" --as "$CUSTODIAN_DIR/suzuki" --passphrase-file wrong --yes
t 'the request lacks that vote' test '["sato"]' = "$(kanmon request show "$id" --json | jq -c .request.have)"
t 'without a terminal nothing is signed unasked' exits 1 setsid kanmon approve "$id" --as "$CUSTODIAN_DIR/suzuki" \
	--passphrase-file "$CUSTODIAN_DIR/suzuki.passphrase"
# answers TEXT: an approval by suzuki at a terminal of 24 lines, who types that.
answers() {
	printf "$1" | script -qec "stty rows 24 cols 80; kanmon approve $id --as '$CUSTODIAN_DIR/suzuki' --passphrase-file \
		'$CUSTODIAN_DIR/suzuki.passphrase'" /dev/null
}
t 'at a terminal the statement stops at each screen' says 'Enter shows the next lines' answers '\n\n\nno\n'
t 'anything but yes signs nothing' says 'nothing was signed' answers '\n\n\ny\n'
t 'and the vote is not there' test '["sato"]' = "$(kanmon request show "$id" --json | jq -c .request.have)"
jq '.[].head.size = 1000000' "$CUSTODIAN_DIR/sato.seen" >seen && cp seen "$CUSTODIAN_DIR/sato.seen"
t 'a ledger shorter than what was seen is not signed for' says 'DO NOT SIGN: the ledger is shorter' approve sato "$id"
# refuses_the_same LANGUAGE: `approve` and `request show` say the same line.
refuses_the_same() {
	local line
	line=$(kanmon approve "$id" $(as sato) --language "$1" 2>&1 | grep 'DO NOT SIGN') && [ -n "$line" ] &&
		test "$line" = "$(kanmon request show "$id" --as "$CUSTODIAN_DIR/sato" --language "$1" 2>&1 >/dev/null)"
}
t 'nor shown' says 'DO NOT SIGN: the ledger is shorter' kanmon request show "$id" --as "$CUSTODIAN_DIR/sato"
t 'which is a failure' exits 1 kanmon request show "$id" --as "$CUSTODIAN_DIR/sato"
t 'in the words of approve' refuses_the_same en
t 'and in Japanese' refuses_the_same ja

"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"

# The PIN as it is, in hexadecimal, in UTF-16, and in base64 at each of the three places where it could begin.
forms() {
	local start
	printf '%s\n' "$PIN"
	printf %s "$PIN" | od -An -v -tx1 | tr -d ' \n' | sed 's/$/\n/'
	printf %s "$PIN" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F | sed 's/$/\n/'
	for start in 0 1 2; do
		{ head -c $start /dev/zero && printf %s "$PIN"; } | base64 -w0 | cut -c "$((start == 0 ? 1 : start + 2))-24"
		echo
	done
	printf %s "$PIN" | sed 's/./&\\x00/g'
	echo
}
forms | grep . >forms
pin_is_in() { grep -r -l -a -F -f forms "$@" || grep -r -l -a -P "$(sed -n '$p' forms)" "$@"; }
base64 "$work/gw/pin" >sample
t 'the search would find the PIN' pin_is_in "$work/gw/pin" sample
t 'the PIN is nowhere in ledger and log' fails pin_is_in "$LEDGER" "$work/gw/kanmond.log" "$work/gw/gateway"
t_end
