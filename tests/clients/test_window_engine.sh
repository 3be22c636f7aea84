#!/bin/bash
# OpenSSL's engine, which calls with a digest only, issues certificates in a window whose rule has bounds of content: each call
# waits until the CA's side shows what the digest is of, and is then the next use.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
. "${srcdir:-.}/tests/clients/policy.sh"
policy_with >"$work/policy.in" <<'EOF'
rule issuing
  client  app
  object  pkcs11:token=@TOKEN@;object=issuing-ca
  calls   key-use
  need    root-keepers
  per     window 1h uses 4
  content tbs-certificate issuer="CN=Issuing CA" validity<=90d ca=false
rule look
  client  app
  calls   login session query random key-management
  need    none
EOF
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
runtime=${LD_PRELOAD:-} # of a sanitizer, for the programs here that load the provider
unset LD_PRELOAD
cd "$work" || exit 99
echo 'quorum-wait = 20' >>"$KANMON_CONFIG"
printf %s "$PIN" >pin
export PKCS11_MODULE_PATH=$MODULE

approve() { kanmon approve "$2" --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >/dev/null 2>&1; }
cat >ca.cnf <<'EOF'
[ca]
default_ca = x
[x]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = leaf
unique_subject = no
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = none
EOF
today=$(date -u +%Y%m%d)
# ca SERIAL DAYS NAME OUT OPTIONS..: the certificate of www.csr, from today
ca() {
	: >index.txt && echo "$1" >serial
	openssl ca -batch -notext -config ca.cnf -in www.csr -subj "/CN=$3" -out "$4" -cert issuing.crt \
		-startdate "${today}000000Z" -enddate "$(date -u -d "$today +$2 days" +%Y%m%d)000000Z" "${@:5}"
}
# What is to be signed, by a throwaway key; then the same by the engine, which waits in the background.
prepare() {
	cp throwaway.crt issuing.crt && ca "$1" "$2" "$3" "$1.pre" -keyfile throwaway.key >/dev/null 2>&1 && cp true.crt issuing.crt
}
issue() {
	prepare "$1" "$2" "$3"
	LD_PRELOAD=$runtime ca "$1" "$2" "$3" "$1.crt" -engine pkcs11 -keyform engine \
		-keyfile "pkcs11:token=$TOKEN;object=issuing-ca;type=private;pin-source=file:$work/pin" >"$1.log" 2>&1 &
	call=$!
}
number() { id=$(kanmon request list --json | jq -r "[.requests[] | select(.state == \"$1\" and (.window != null) == $2)][-1].id // empty") && [ -n "$id" ]; }
await() { for _ in $(seq 200); do number "$@" && return; sleep 0.05; done; return 1; }
content_wanted() { await 'waits for its content' false; }

p11 --keypairgen --key-type rsa:2048 --label issuing-ca --id 01
p11 --read-object --type pubkey --id 01 -o pub.der && openssl pkey -pubin -inform DER -in pub.der -out pub
openssl genpkey -quiet -algorithm RSA -out throwaway.key
openssl x509 -new -key throwaway.key -subj '/CN=Issuing CA' -out throwaway.crt
openssl x509 -new -force_pubkey pub -key throwaway.key -subj '/CN=Issuing CA' -out true.crt
openssl req -new -newkey rsa:2048 -noenc -keyout www.key -out www.csr -subj /CN=www 2>/dev/null
verifies() { openssl verify -partial_chain -CAfile true.crt "$1.crt"; }

issue 01 90 www1.example
t 'the engine brings a digest: its call waits for the content' content_wanted
first=$id
t 'which is shown' says 'waits for its window' kanmon attach "$first" --tbs-from 01.pre
t 'nobody has opened a window: the call asks for one' await open true
window=$id
approve sato "$window" >shown
t 'custodians see its bounds' grep -qx 'constraint content tbs-certificate issuer="CN=Issuing CA" validity<=90d ca=false' shown
t 'and open it' says 'is an open window now' approve suzuki "$window"
t 'the certificate is there' wait "$call"
t 'and verifies' verifies 01
for n in 02 03; do
	issue $n 90 "www$n.example"
	t "$n: the next call waits for its content alone" content_wanted
	t "$n: which is taken" kanmon attach "$id" --tbs-from $n.pre
	t "$n: nobody is asked: the certificate is there" wait "$call"
	t "$n: and verifies" verifies $n
done
t 'three uses are gone' says '^window  *1 of 4 uses left' kanmon request list
issue 04 91 long.example
content_wanted
t 'what lasts longer than the window lets it is refused' says 'no rule' kanmon attach "$id" --tbs-from 04.pre
t 'so is another content than the digest is of' says 'do not hash to what' kanmon attach "$id" --tbs-from 03.pre
kanmon request withdraw "$id" >/dev/null
t 'and the engine says so' fails wait "$call"

"$source_dir/tools/sandbox" down "$work/gw" >/dev/null 2>&1
t 'the auditor agrees with the gateway' kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'so does the second verifier, by the documents alone' exits 0 env LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1 \
	python3 "$source_dir/tests/unit/ledger/oracle/second.py" "$LEDGER" "$TRUST"
t 'which certificates they were' test 3 = "$(kanmon audit certificates "$LEDGER" --json | jq -s 'flatten | length')"
t 'the story of a use has its content and its window' test 2 = "$(kanmon audit request "$LEDGER" "$first" | grep -c -e 'attachment' -e "^window  *use 1 of 4 of the window of request $window")"
kanmon audit bundle "$LEDGER" "$first" >use.bundle
t 'its evidence too' exits 0 kanmon audit bundle verify use.bundle --trust "$TRUST"
t_end
