#!/bin/bash
# A CA that hashes before it calls: the call waits, its content is attached, custodians decide on it, auditors see it again.
. "${srcdir:-.}/tests/tap.sh"
export PIN=4711-kanmon
second="$source_dir/tests/unit/ledger/oracle"
sed '/^rule /,$d' "$source_dir/tools/quorum.policy.in" >"$work/policy.in"
cat >>"$work/policy.in" <<'END'
rule certificates
  client app
  object pkcs11:object=root-ca;type=private
  calls key-use
  need root-keepers
  content tbs-certificate

rule rest
  client app
  calls login session query key-use key-management random
  mechanisms any
  need none
END
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
runtime=${LD_PRELOAD:-}
unset LD_PRELOAD
cd "$work" || exit 99
export LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1

p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
state() { kanmon request list --json | jq -r ".requests[] | select(.state == \"$1\").id"; }
approve() { kanmon approve "$2" --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes 2>&1; }
await() { for _ in $(seq 100); do id=$(state "$1") && [ -n "$id" ] && return; sleep 0.1; done; return 1; }
tbs() { python3 -c '
import base64, sys
der = base64.b64decode("".join(sys.stdin.read().split("\n")[1:-2]))
end = lambda at: at + 2 + der[at + 1] if der[at + 1] < 128 else at + 2 + (der[at + 1] & 127) + int.from_bytes(der[at + 2:at + 2 + (der[at + 1] & 127)], "big")
start = 2 + (der[1] & 127 if der[1] > 127 else 0)
sys.stdout.buffer.write(der[start:end(start)])'; }

p11 --keypairgen --key-type EC:prime256v1 --label root-ca --id 01
openssl req -x509 -newkey rsa:1024 -noenc -keyout applicant.key -subj '/CN=Root CA/C=JP' -days 3650 -sha1 -out pre.pem 2>/dev/null
openssl pkey -in applicant.key -pubout -out applicant.pem
tbs <pre.pem >tbs
openssl dgst -sha256 -binary tbs >digest
p11 --sign --mechanism ECDSA --id 01 -i digest -o sig &
call=$!
t 'a bare digest waits for its content' await 'waits for its content'
approve sato "$id" >early
t 'and there is nothing to approve yet' grep -q 'waits for its content: the client that asks attaches it first' early
t 'another content is refused' exits 1 kanmon attach "$id" --file digest
openssl pkey -in <(openssl genpkey -algorithm ed25519) -pubout -out stranger.pem
t 'and another applicant' exits 1 kanmon attach "$id" --tbs-from pre.pem --application APP-1 --applicant-key stranger.pem
t 'its content is taken' kanmon attach "$id" --tbs-from pre.pem --application APP-1 --applicant-key applicant.pem
t 'and shown' grep -q 'input subject C=JP,CN=Root CA' <(kanmon request show "$id"; sleep 0.5; kanmon request show "$id")
approve sato "$id" >shown
t 'a custodian sees the application' grep -qx 'application APP-1' shown
t 'and whose key it is' grep -q '^applicant-key .* matches$' shown
t 'and warnings about it' grep -q '^WARNING: .*(weak-rsa)$' shown
t 'and SHA-1' grep -q '^WARNING: .*(weak-hash)$' shown
t 'made the statement again, with what was attached' grep -q '^verified here: .*the same, byte for byte' shown
approve suzuki "$id" >/dev/null
t 'the call comes back' wait "$call"
t 'the auditor lists the certificate with its application' test "APP-1" = "$(kanmon audit certificates "$LEDGER" --json | jq -r .application)"
first=$id
LD_PRELOAD=$runtime python3 "$source_dir/tests/unit/tools/attach_next.py" "$MODULE" "$TOKEN" "$PIN" root-ca tbs digest 2>next.log &
call=$!
t 'a program attaches it before its call, which waits for its custodians at once' await open
approve sato "$id" >shown
approve suzuki "$id" >/dev/null
t 'and comes back' wait "$call"
sed 's/^/# /' next.log
t 'with its application' grep -qx 'application APP-2' shown
t 'what is not of the digest is refused' grep -q 'C_Sign: 0x200' <(LD_PRELOAD=$runtime python3 "$source_dir/tests/unit/tools/attach_next.py" "$MODULE" "$TOKEN" "$PIN" root-ca digest digest 2>&1)
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
kanmon audit bundle "$LEDGER" "$first" >bundle
t 'the evidence of the request is whole' exits 0 kanmon audit bundle verify bundle --trust "$TRUST"
kanmon audit report "$LEDGER" --trust "$TRUST" --out report.html >/dev/null 2>&1
t 'the report names the application' grep -q 'application APP-1' report.html
t 'and so is the ledger' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
python3 "$second/second.py" "$LEDGER" "$TRUST" >out
t 'the second verifier agrees' test $? = 0
sed 's/^/# /' out
t_end
