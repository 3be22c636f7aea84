#!/bin/bash
# kanmon audit request, certificates and reconcile over a real gateway: a root, certificates and CRLs under 2 of 3, one
# certificate of which the HSM only got a digest, and one that was signed behind the gateway's back.
. "${srcdir:-.}/tests/tap.sh"
export PIN=4711-kanmon
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
# A sanitizer's runtime is for the client that loads the module; some of the system's own programs fail under it.
runtime=${LD_PRELOAD:-}
unset LD_PRELOAD
cd "$work" || exit 99
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"

p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
approve() {
	local name id=$1
	shift
	for name in "$@"; do
		kanmon approve "$id" --as "$CUSTODIAN_DIR/$name" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes >/dev/null 2>&1
	done
}
# held WHO WHO COMMAND...: the call waits in vain, is approved by two, and is made again.
held() {
	local first=$1 second=$2
	shift 2
	"$@" && return 1
	id=$(kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id')
	approve "$id" "$first" "$second" && "$@"
}
sign() { p11 --sign --mechanism "$1" --id 01 -i "$2" -o "$3"; }

# A certificate, CRL or OCSP response is put together by perl, so that what kanmon rebuilds has another maker.
sha256_rsa=300d06092a864886f70d01010b0500
assemble() { # TBS SIGNATURE OUT
	perl -e '
		sub tlv { my ($t, $v) = @_; my $n = length $v; my $l = $n < 128 ? chr $n : $n < 256 ? "\x81" . chr $n : "\x82" . pack "n", $n; $t . $l . $v }
		local $/; sub slurp { open my $f, "<:raw", shift or die; scalar <$f> }
		open my $o, ">:raw", $ARGV[3] or die;
		print $o tlv("\x30", slurp($ARGV[0]) . pack("H*", $ARGV[2]) . tlv("\x03", "\0" . slurp($ARGV[1])))' "$1" "$2" $sha256_rsa "$3"
}
tbs_of() { openssl asn1parse -inform DER -in "$1" -strparse 4 -noout -out "$2" >/dev/null; }

held sato suzuki p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01
p11 --read-object --type pubkey --id 01 -o root.pub.der
openssl pkey -pubin -inform DER -in root.pub.der -out root.pub
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out throwaway.key
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out leaf.key

shape() { # NAME SUBJECT SERIAL KEY-OPTIONS...: a certificate by the throwaway key, whose data the root will sign
	local name=$1 subject=$2 serial=$3
	shift 3
	openssl req -new -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=Views\ CA -out ca.csr 2>/dev/null
	openssl req -x509 -key throwaway.key -subj '/C=JP/CN=Views CA' -days 3650 -out throwaway.crt
	openssl req -new -key leaf.key -subj "$subject" -out "$name.csr"
	openssl x509 -req -in "$name.csr" -CA throwaway.crt -CAkey throwaway.key -set_serial "$serial" -sha256 -days 300 \
		-outform DER -out "$name.shape" "$@" 2>/dev/null
	tbs_of "$name.shape" "$name.tbs"
}
issue() { # NAME: the root signs the data itself
	held sato tanaka sign SHA256-RSA-PKCS "$1.tbs" "$1.sig" && assemble "$1.tbs" "$1.sig" "$1.der"
}
digest_info() { # NAME: what a CA that hashes by itself sends
	{ printf '\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20' && openssl dgst -sha256 -binary "$1.tbs"; } >"$1.info"
}

shape root '/C=JP/CN=Views CA' 1 -force_pubkey root.pub
shape a '/C=JP/CN=a.example' 0x0a
shape b '/C=JP/CN=b.example' 0x0b
shape rogue '/C=JP/CN=rogue.example' 0x66
issue root && openssl x509 -inform DER -in root.der -out root.crt
issue a && openssl x509 -inform DER -in a.der -out a.crt
digest_info b && held suzuki tanaka sign RSA-PKCS b.info b.sig && assemble b.tbs b.sig b.der
t 'the certificates are right: openssl verifies them' openssl verify -CAfile root.crt root.crt a.crt

mkdir db && : >db/index.txt && echo 1000 >db/crlnumber
printf '[ca]\ndefault_ca = d\n[d]\ndatabase = db/index.txt\ncrlnumber = db/crlnumber\ndefault_md = sha256\n' >crl.conf
openssl ca -config crl.conf -gencrl -crldays 30 -cert throwaway.crt -keyfile throwaway.key -out crl.pem >/dev/null 2>&1
openssl crl -in crl.pem -outform DER -out crl.shape && tbs_of crl.shape crl.tbs
issue crl && openssl crl -inform DER -in crl.der -out root.crl
openssl ocsp -issuer root.crt -cert a.crt -reqout ocsp.req >/dev/null 2>&1
printf 'V\t350101000000Z\t\t0A\tunknown\t/C=JP/CN=a.example\n' >db/index.txt
openssl ocsp -index db/index.txt -rsigner throwaway.crt -rkey throwaway.key -CA root.crt -reqin ocsp.req -respout ocsp.resp \
	-resp_no_certs >/dev/null 2>&1
openssl asn1parse -inform DER -in ocsp.resp -strparse "$(openssl asn1parse -inform DER -in ocsp.resp | sed -n 's/^ *\([0-9]*\):.*OCTET STRING.*/\1/p' | head -n 1)" \
	-noout -out ocsp.basic >/dev/null && tbs_of ocsp.basic ocsp.tbs
issue ocsp
# What follows is about files: copies of them are whole only when nobody writes.
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null

# ---- request

stays() { jq -e "$1" story.json >/dev/null || { cat story.json && false; }; }
request=$(kanmon audit show "$LEDGER" --type result --function C_Sign --json | jq -r .request | sed -n 2p)
t 'a request is told from the screen to the HSM, and all of it is equal' exits 0 kanmon audit request "$LEDGER" "$request"
kanmon audit request "$LEDGER" "$request" --json >story.json
t 'the data of intent, statement and blob is one' stays '.compared[] | select(.name | startswith("data")) | [.rows[].is] == ["reference", "equal", "equal"]'
t 'the statement is what was recorded, what its text is, what is made again, and what two signed' \
	stays '.compared[] | select(.name | startswith("statement")) | [.rows[].is] == ["reference", "equal", "equal", "equal", "equal"]'
t 'the signature of the HSM verifies over it' stays '.compared[].rows[] | select(.what | startswith("the HSM")) | .is == "equal"'
t 'the key is that of channel, intent and statement' stays '.compared[] | select(.name | startswith("who")) | [.rows[].is] == ["reference", "equal", "equal"]'
t 'each vote has its person, key and verdict' stays '[.votes[] | select(.verifies and .check == "ok") | .custodian] == ["sato", "tanaka"]'
t 'policy, rule and state are said' stays '.policy_version == 1 and .rule == "root-key" and .state == "done"'
result=$(kanmon audit show "$LEDGER" --type result --function C_Sign --json | jq -r .i | sed -n 2p)
kanmon audit request "$LEDGER" "$result" --json >of-result.json
t 'a record about it leads to the same story' cmp story.json of-result.json
t 'a record that is about no request is said to be none' exits 3 kanmon audit request "$LEDGER" 0
t 'nor is there one behind the end' exits 3 kanmon audit request "$LEDGER" 999999
bend() { # BLOB COMMAND...: with that blob changed
	local status
	cp -r "$LEDGER" bent && printf x >>"bent/blobs/$1"
	shift
	"$@"
	status=$?
	rm -rf bent
	return $status
}
data=$(openssl dgst -sha256 -r a.tbs | cut -d' ' -f1)
t 'changed data is DIFFERENT' bend "$data" exits 1 kanmon audit request bent "$request"
t 'a changed public key is DIFFERENT' bend "$(openssl dgst -sha256 -r root.pub.der | cut -d' ' -f1)" \
	exits 1 kanmon audit request bent "$request"

# ---- certificates

kanmon audit certificates "$LEDGER" --json --out rebuilt >certificates.json
t 'certificates, CRL, OCSP response and the digest are listed in order' test 'certificate certificate unknown crl ocsp' = \
	"$(jq -r .kind certificates.json | tr '\n' ' ' | sed 's/ $//')"
rebuilt() { # RECORD-GLOB DER: the rebuilt file is that, byte for byte
	local file
	for file in rebuilt/*-"$1".pem; do
		sed '/^-----/d' "$file" | base64 -d | cmp -s - "$2" && return
	done
	false
}
t 'the root certificate is rebuilt byte for byte' rebuilt certificate root.der
t 'so is the one under it' rebuilt certificate a.der
t 'and the CRL' rebuilt crl crl.der
t 'and the OCSP response' rebuilt ocsp ocsp.der
same_fingerprint() { # HASH
	[ "$(openssl x509 -in a.crt -noout -fingerprint "-$1" | cut -d= -f2)" = "$(jq -r "select(.serial == \"0A\" and .kind == \"certificate\") | .$1" certificates.json)" ]
}
t 'its SHA-256 fingerprint is what openssl says of the certificate' same_fingerprint sha256
t 'so is SHA-384' same_fingerprint sha384
t 'and SHA-512' same_fingerprint sha512
t 'subject, issuer and approvers are named' test 'CN=a.example,C=JP CN=Views CA,C=JP sato tanaka verifies' = \
	"$(jq -r 'select(.serial == "0A" and .kind == "certificate") | "\(.subject) \(.issuer) \(.approvers) \(.signature)"' certificates.json)"
t 'the public key that was certified is named by its hash' test \
	"$(openssl pkey -in leaf.key -pubout -outform DER | openssl dgst -sha256 -r | cut -d' ' -f1 | tr a-f A-F | sed 's/../&:/g; s/:$//')" = \
	"$(jq -r 'select(.serial == "0A" and .kind == "certificate") | .public_key' certificates.json)"
t 'where only a digest came it is said' test 'only a digest came' = "$(jq -r 'select(.kind == "unknown") | .data' certificates.json)"
t 'as CSV there is a line for each, and one of names' test 6 = "$(kanmon audit certificates "$LEDGER" --csv | wc -l)"
t 'text names the fingerprint' says 'SHA-256 ' kanmon audit certificates "$LEDGER"
t 'what is there is not written over' exits 3 kanmon audit certificates "$LEDGER" --out rebuilt

# ---- report

report() { kanmon audit report "$LEDGER" --trust "$TRUST" "$@"; }
t 'the report of a ledger that verifies ends as verify does' exits 0 report --out report.html --json report.json
t 'it names who asked, who approved and what was signed, with the key' test 'app sato tanaka certificate CN=a.example,C=JP CKR_OK' = \
	"$(jq -r '.keys[] | select(.label == "root-ca") | .operations[] | select(.what[0] == "certificate CN=a.example,C=JP") |
		"\(.client) \(.approvers) \(.what[0]) \(.outcome)"' report.json)"
first_page=$(sed '/class="rest"/,$d' report.html)
t 'all of that stands on the first page' test 5 = "$(grep -c -E '>root-ca<|CN=a.example,C=JP|>app<.*>sato, tanaka<' <<<"$first_page")" -o \
	-n "$(tr -d '\n' <<<"$first_page" | grep -E 'root-ca.*CN=a\.example,C=JP.*>app<.*>sato, tanaka<.*CKR_OK')"
t 'rights and votes of each person are named' test 'sato 0001 root-keepers policy,veto root-key,keys-and-tokens' = \
	"$(jq -r '.persons[] | select(.name == "sato") | "\(.name) \(.person) \(.groups | join(",")) \(.roles | join(",")) \(.rules | join(","))"' report.json)"
t 'each of R1 to R13 has its row of evidence' test 13 = "$(jq '[.requirements[] | select(.evidence | length > 0)] | length' report.json)"
t 'evidence points at records that are of its kind' test statement = \
	"$(kanmon audit show "$LEDGER" --json --from "$(jq '.requirements[1].evidence[0].records[0]' report.json)" | head -n 1 | jq -r .type)"
t 'the page loads nothing and runs nothing' fails grep -q -i -E '<script|<link|<img|<iframe|src=|href=|url\(|@import|javascript:|https?:' report.html
t 'no name of the data is left without words' fails grep -q -E '>[a-z]+_[a-z_]+[<:]' report.html
report --out report-ja.html --language ja
t 'the Japanese page says the same of the same' test "$(grep -o -E 'CKR_[A-Z]+|CN=[^<]*' report.html | sort | uniq -c)" = \
	"$(grep -o -E 'CKR_[A-Z]+|CN=[^<]*' report-ja.html | sort | uniq -c)" -a -n "$(grep '誰が、どの鍵で、何をしたか' report-ja.html)"
t 'another language is refused' exits 3 report --out x.html --language fr
t 'without a trust file there is no report' exits 3 kanmon audit report "$LEDGER" --out x.html
failed() {
	local status
	cp -r "$LEDGER" bent && printf x >>"bent/blobs/$data"
	exits 1 kanmon audit report bent --trust "$TRUST" --out bad.html && grep -q 'class="verdict e1"' bad.html &&
		grep -q "blobs/$data" bad.html
	status=$?
	[ $status -eq 0 ] || sed -n '/<h2>Findings/,/section>/p' bad.html
	rm -rf bent
	return $status
}
t 'a ledger that fails has FAILED at its head, and the finding with its place' failed

# ---- reconcile --certificates

reconcile() { kanmon audit reconcile "$LEDGER" --certificates "$@"; }
mkdir -p issued/2026
cp root.crt issued && cat a.crt root.crl >issued/2026/bundle.pem && cp b.der issued/2026/b.cer
openssl req -in a.csr -out issued/2026/a.csr
t 'bundles, DER, CRLs and folders match their records, also where the HSM only got a digest' \
	says '^4 matched, 0 rogue, 0 foreign, 0 missing' reconcile issued
t 'and that is exit 0' exits 0 reconcile issued
openssl x509 -in throwaway.crt -out issued/foreign.pem
t 'a certificate by another key is foreign, and no finding' says '^4 matched, 0 rogue, 1 foreign, 0 missing' reconcile issued
rm issued/2026/bundle.pem
t 'what was signed and not brought is missing' says '^2 matched, 0 rogue, 1 foreign, 2 missing' reconcile issued
# Behind the gateway's back: the HSM's own module, with the PIN.
PKCS11=$(stat -c %u "$work/gw/hsm/tokens")
behind() { setpriv --reuid "$PKCS11" --clear-groups pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
[ "$PKCS11" != "$(id -u)" ] || behind() { pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
chmod 777 . && behind --sign --mechanism SHA256-RSA-PKCS --id 01 -i rogue.tbs -o rogue.sig
assemble rogue.tbs rogue.sig issued/rogue.der
t 'a certificate that the HSM signed behind the gateway is a rogue, and exit 1' exits 1 reconcile issued
t 'it is named' says 'CN=rogue.example.*serial 66' reconcile issued
t 'as JSON too' test 66 = "$(reconcile issued --json | jq -r '.issued[] | select(.verdict | startswith("ROGUE")) | .serial')"
echo nonsense >issued/other
rm issued/rogue.der
t 'a file that is neither is incomplete input' exits 3 reconcile issued
t 'so is a path that is not there' exits 3 reconcile nowhere
t_end
