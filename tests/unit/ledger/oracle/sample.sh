#!/bin/bash
# Makes docs/examples/ledger anew: sample.sh OUT, with KANMON_BUILD a build of this tree. A real gateway over SoftHSM2 with
# three custodians, a witness and a time-stamping authority of its own; then sample.py.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
srcdir=$(cd "$here/../../../.." && pwd)
export srcdir
out=$1
. "$srcdir/tests/tap.sh"
. "$srcdir/tests/witness/witnesses.sh"
. "$srcdir/tests/faults/control.sh"
set +e
export PIN=4711-kanmon
eval "$(sed -n '/^make_tsa()/,/^}/p; /^start_tsa()/,/^}/p' "$srcdir/tests/faults/test_time_stamps.sh" | sed 's/-days [0-9]*/-days 3650/')"
make_tsa >"$work/make.log" 2>&1 || { cat "$work/make.log" && exit 1; }
start_tsa && at_exit 'kill $tsa_pid'
cd "$work" || exit 1
PATH=$KANMON_BUILD:$PATH
witness_new w1 || exit 1
sed '/^role veto/a role recovery 2 sato suzuki delay 1h
/^rule root-key/i rule certificates\
  client  app\
  object  pkcs11:token=@TOKEN@;object=issuing-ca\
  calls   key-use\
  need    root-keepers\
  content tbs-certificate\
' "$srcdir/tools/quorum.policy.in" >"$work/policy.in"
echo 'stance @TOKEN@ seal' >>"$work/policy.in"
"$srcdir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" --token-line "witness w1 $vkey" --conf "witness-interval = 1
time-stamp-every = 6
witness \"w1\" { url = \"http://127.0.0.1:$port_w1/\" }
time-stamp \"local\" {
  url = \"http://127.0.0.1:$(cat "$work/tsa/port")/\"
  roots = \"$work/tsa/root.pem\"
}" || exit 1
at_exit "'$srcdir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
witness_up w1 "$work/gw/gateway/log.vkey"

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id // empty'; }
says_to() { # approve|reject|veto NAME ID [option..]
	kanmon "$1" "$3" --as "$CUSTODIAN_DIR/$2" --passphrase-file "$CUSTODIAN_DIR/$2.passphrase" --yes "${@:4}" >/dev/null
}
begin() {
	p11 "$@" &
	call=$!
	for _ in $(seq 100); do id=$(waiting) && [ -n "$id" ] && break; sleep 0.1; done
}
approved() { begin "$@"; says_to approve sato "$id"; says_to approve suzuki "$id"; wait "$call"; }
echo 'pay 1 yen' >bill
approved --keypairgen --key-type rsa:2048 --label root-ca --id 01
openssl req -new -x509 -newkey rsa:2048 -nodes -keyout throwaway -subj '/C=JP/O=Example/CN=Root CA G1' -days 3650 -out pre.crt 2>/dev/null
openssl asn1parse -in pre.crt -strparse 4 -noout -out tbs
approved --sign --mechanism SHA256-RSA-PKCS --id 01 -i tbs -o sig
# A digest only: its content is attached while the call waits.
approved --keypairgen --key-type EC:prime256v1 --label issuing-ca --id 02
openssl dgst -sha256 -binary tbs >digest
p11 --sign --mechanism ECDSA --id 02 -i digest -o sig &
call=$!
without_content() { kanmon request list --json | jq -r '[.requests[] | select(.state == "waits for its content")][-1].id // empty'; }
for _ in $(seq 100); do id=$(without_content) && [ -n "$id" ] && break; sleep 0.1; done
kanmon attach "$id" --file tbs --application APP-2026-0815 >/dev/null || exit 1
says_to approve sato "$id"
says_to approve suzuki "$id"
wait "$call"
echo 'quorum-wait = 4' >>"$KANMON_CONFIG" # pkcs11-tool asks once more, in parts
begin --sign --mechanism SHA256-RSA-PKCS --id 01 -i bill -o sig
says_to reject sato "$id" --reason 'not a certificate'
says_to reject tanaka "$id" --reason 'neither in the script'
wait "$call"
begin --sign --mechanism SHA256-RSA-PKCS-PSS --id 01 -i bill -o sig
says_to veto suzuki "$id" --reason 'stop the ceremony'
wait "$call"
p11 --generate-random 16
: >"/dev/tcp/127.0.0.1/$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$KANMON_CONFIG")" # hangs up before a word
begin --sign --mechanism SHA256-RSA-PKCS --id 01 -i bill -o sig
kill -9 "$(pgrep -P "$(cat "$work/gw/kanmond.pid")" -f 'role keeper' | head -n 1)"
wait "$call"
as() { # NAME command...
	local name=$1
	shift
	kanmon "$@" --as "$CUSTODIAN_DIR/$name" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes >/dev/null || exit 1
}
as sato attest --file bill --title 'Script of the ceremony' --kind ceremony-script
# The HSM's log has a use that the ledger does not have: the token is sealed until the quorum has looked.
printf '%s\n' '2026-11-23T18:13:33.123Z hsm serial=0123abcd op=C_Sign key=nobody id=09 rv=0x00000000' >hsm.log
kanmon hsm-log submit "$LEDGER" hsm.log --format "$srcdir/docs/examples/hsm-log.syslog" --as "$CUSTODIAN_DIR/sato" >/dev/null
as sato reopen token.reopen --of "$TOKEN" --reason 'a test of the technician, of which there is a report'
as suzuki reopen token.reopen
as tanaka reopen token.reopen --submit

sleep 3
until_says 20 'witness.w1.state *cosigns' kanmon status --as "$CUSTODIAN_DIR/sato" || exit 1

# Version 2: the same, a year longer. The role recovery brings it, and a veto stops it; then the role policy of both signs it.
sed '/^$/{N;/\n— /,$d}' "$work/gw/policy" | sed '/^— /,$d' >policy.1
printf '%s\n' "$(cat policy.1)" >policy.1
sed -e 's/^version 1/version 2/' -e "s|^previous none|previous $(openssl dgst -sha256 -binary policy.1 | base64)|" policy.1 >policy.2
for name in sato suzuki tanaka; do
	kanmon policy sign policy.2 --key "$CUSTODIAN_DIR/$name.key" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes >/dev/null || exit 1
done
kanmon policy submit policy.2 --recovery --as "$CUSTODIAN_DIR/sato" >/dev/null || exit 1
as tanaka policy veto --reason 'the role policy can sign it itself'
sleep 2
"$srcdir/tools/sandbox" down "$work/gw" >/dev/null
pinned=$(openssl x509 -in "$work/tsa/root.pem" -outform DER | openssl dgst -sha256 -binary | base64)
sed "s|^log .*|&\ntsa local $pinned|; s|^quorum none|witness w1 $vkey\nquorum w1|" "$TRUST" >"$work/trust"
python3 "$here/sample.py" "$LEDGER" "$TRUST" "$work/gw/gateway/log.key" "$work/tsa" policy.2 "$work/sample" || exit 1
pinned=$(openssl x509 -in "$work/tsa/root.pem" -outform DER | openssl dgst -sha256 -binary | base64)
sed "s|^log .*|&\ntsa local $pinned|; s|^quorum none|witness w1 $vkey\nquorum w1|" "$TRUST" >"$work/trust"
sed 's|^origin .*|origin kanmon.sandbox/gw/2027|' policy.1 >policy.2027
for name in sato suzuki tanaka; do
	kanmon policy sign policy.2027 --key "$CUSTODIAN_DIR/$name.key" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes >/dev/null || exit 1
done
kanmon ledger succeed "$work/sample" "$work/successor" --log-key "$work/gw/gateway/log.key" --new-log-key "$work/log-2027.key" \
	--policy policy.2027 || exit 1
kanmon audit verify "$work/sample" "$work/successor" --trust "$work/trust"
code=$?
python3 "$here/second.py" "$work/sample" "$work/trust" || code=1
mkdir -p "$out" && rm -rf "$out/ledger" "$out/successor" && cp -r "$work/sample" "$out/ledger" &&
	cp -r "$work/successor" "$out/successor" && cp "$work/trust" "$out/trust" && cp "$work/gw/gateway/log.key" "$out/log.key"
rm -f "$out"/*/lock
[ $code = 2 ] && code=0 # the successor has no time stamp and no witness yet
exit $code
