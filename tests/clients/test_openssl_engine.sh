#!/bin/bash
# OpenSSL with libengine-pkcs11-openssl, directly and through a gateway: a CA with its database, CRL and OCSP
# responses, requests, certificates, CMS, time stamps and TLS with keys in the HSM; OpenSSL without the engine, or GnuTLS, checks.
# `openssl ts -reply` of OpenSSL 3.0 reads its key from a file only: the token is made by `openssl cms` and checked by ts.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
each_way() { export PKCS11_MODULE_PATH=$MODULE; }
key() { echo "pkcs11:token=$TOKEN;object=$1;type=private;pin-source=file:$PIN_FILE"; }
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
by_hsm() { local command=$1; shift; openssl "$command" -engine pkcs11 -keyform engine "$@"; }
more_normal() { grep -v -e '^Engine "pkcs11" set' -e '^Using configuration' -e EC_POINT: -e '^Using slot'; }
# The text of a certificate, request or CRL but for what keys and clocks make.
text() { openssl "$1" -in "$2" -noout -text -certopt no_pubkey,no_sigdump,no_validity,no_serial | grep -v -e '..:..:..' -e '(0x'; }

t 'an RSA key pair is made' on_both p11 --keypairgen --key-type rsa:2048 --label rsa2048 --id 01
t 'an EC key pair is made' on_both p11 --keypairgen --key-type EC:prime256v1 --label prime256v1 --id 02
t 'a second EC key pair is made' on_both p11 --keypairgen --key-type EC:secp384r1 --label secp384r1 --id 03

cd "$work/direct" || exit 99
cat >ca.conf <<'C'
[req]
prompt = no
distinguished_name = name
[name]
CN = through kanmon
[v3_ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
[ca]
default_ca = hsm
[hsm]
database = index
serial = serial
crlnumber = crlnumber
new_certs_dir = .
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
x509_extensions = leaf
crl_extensions = crl
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
authorityKeyIdentifier = keyid
[crl]
authorityKeyIdentifier = keyid
[tsa]
serial = tsaserial
default_policy = 1.2.3.4.1
digests = sha256, sha384
signer_digest = sha256
ess_cert_id_alg = sha256
accuracy = secs:1
[stamp]
extendedKeyUsage = critical, timeStamping
keyUsage = critical, digitalSignature
C
: >index
echo 1000 >serial
echo 01 >crlnumber
echo 01 >tsaserial
for name in one two; do openssl req -new -newkey rsa:2048 -nodes -keyout $name.key -subj /CN=$name -out $name.csr 2>/dev/null; done
printf 'a secret' >plain
head -c 100000 /dev/urandom >document
cp ./* "$work/gateway" && cd "$work" || exit 99

self_signed() { by_hsm req -new -x509 -key "$(key "$1")" -config ca.conf -extensions v3_ca -sha384 -days 30 -out "$1.crt"; }
signed_file() { by_hsm dgst -sha256 -sign "$(key "$1")" -out sig document; }
verifies_file() { openssl x509 -in "$1.crt" -noout -pubkey >pub && openssl dgst -sha256 -verify pub -signature sig document; }
requested() { by_hsm req -new -key "$(key "$1")" -config ca.conf -sha256 -out "$1.csr"; }
for label in rsa2048 prime256v1 secp384r1; do
	both "$label: a certificate request is signed" requested $label
	both "$label: and verifies" says 'verify OK' openssl req -in $label.csr -noout -verify
	both "$label: a self-signed CA is made" self_signed $label
	both "$label: and verifies" openssl verify -check_ss_sig -CAfile $label.crt $label.crt
	both "$label: it says the same" text x509 $label.crt
	both "$label: a file is signed" signed_file $label
	both "$label: and the signature verifies" verifies_file $label
done

# openssl ca: two certificates, one revoked, a CRL.
ca() { openssl ca -batch -engine pkcs11 -keyform engine -keyfile "$(key rsa2048)" -cert rsa2048.crt -config ca.conf "$@"; }
for name in one two; do
	both "openssl ca signs $name" silently ca -in $name.csr -out $name.crt -notext
	both "$name verifies" openssl verify -CAfile rsa2048.crt $name.crt
	both "$name says the same" text x509 $name.crt
done
both 'one is revoked' silently ca -revoke one.crt -crl_reason keyCompromise
both 'a CRL is signed' silently ca -gencrl -out crl.pem
both 'its signature verifies' says 'verify OK' openssl crl -in crl.pem -noout -CAfile rsa2048.crt
crl_text() { openssl crl -in crl.pem -noout -text | grep -e Serial -e 'CRL Number' -A 1 -e Reason -e Algorithm | grep -v Date; }
both 'it says the same' crl_text
checked() { openssl verify -crl_check -CAfile rsa2048.crt -CRLfile crl.pem "$1"; }
both 'with the CRL the revoked one fails' says 'certificate revoked' checked one.crt
both 'and the other one verifies' checked two.crt
gnutls_crl() { certtool --verify-crl --load-ca-certificate rsa2048.crt --infile crl.pem; }
both 'GnuTLS verifies the CRL too' silently gnutls_crl
# openssl ocsp takes no -keyform: the key's name says that an engine has it.
responds() {
	openssl ocsp -issuer rsa2048.crt -cert one.crt -cert two.crt -no_nonce -reqout ask.ocsp &&
		openssl ocsp -index index -CA rsa2048.crt -rsigner rsa2048.crt -rkey "org.openssl.engine:pkcs11:$(key rsa2048)" \
			-reqin ask.ocsp -respout answer.ocsp -ndays 1
}
both 'an OCSP responder answers' silently responds
ocsp_says() { ocsptool --verify-response --load-response answer.ocsp --load-signer rsa2048.crt | grep -E 'Certificate Status|Verifying'; }
both 'GnuTLS verifies the answer' ocsp_says
t 'of one good and one revoked certificate' test 'good revoked' = "$(on gateway ocsp_says | sed -n 's/.*Status: //p' | sort | tr '\n' ' ' | sed 's/ $//')"
index() { cut -f 1,4,6 index; }
both 'the database says the same' index
x509_signs() {
	openssl x509 -req -in two.csr -engine pkcs11 -CAkeyform engine -CAkey "$(key prime256v1)" -CA prime256v1.crt -set_serial 7 -days 1 -out leaf.crt
}
both 'openssl x509 signs with the EC key' x509_signs
both 'which verifies under it' openssl verify -CAfile prime256v1.crt leaf.crt

# CMS: signed by the key, and encrypted to it.
cms_signs() { by_hsm cms -sign -binary -signer rsa2048.crt -inkey "$(key rsa2048)" -in document -outform DER -out signed.p7 "$@"; }
cms_verifies() { openssl cms -verify -binary -inform DER -in signed.p7 -CAfile rsa2048.crt -purpose any -out back && cmp back document; }
both 'CMS: a document is signed' cms_signs -nodetach
both 'CMS: and verifies' cms_verifies
both 'CMS: with PSS too' cms_signs -nodetach -keyopt rsa_padding_mode:pss
both 'CMS: and verifies with PSS' cms_verifies
cms_encrypts() { openssl cms -encrypt -binary -aes256 -in document -outform DER -out sealed.p7 rsa2048.crt; }
cms_decrypts() { by_hsm cms -decrypt -inform DER -in sealed.p7 -inkey "$(key rsa2048)" -recip rsa2048.crt -binary -out back && cmp back document; }
both 'CMS: a document is encrypted to the key' cms_encrypts
both 'CMS: the HSM opens it' cms_decrypts

# Time stamps.
tsa() { openssl x509 -req -in prime256v1.csr -engine pkcs11 -CAkeyform engine -CAkey "$(key rsa2048)" -CA rsa2048.crt -set_serial 9 -days 1 \
	-extfile ca.conf -extensions stamp -out tsa.crt; }
both 'the CA certifies a time-stamping key in the HSM' tsa
tst_info() {
	cat >tst.conf <<-T
		asn1 = SEQUENCE:info
		[info]
		version = INTEGER:1
		policy = OID:1.2.3.4.1
		imprint = SEQUENCE:imprint
		serial = INTEGER:7
		time = GENERALIZEDTIME:$(date -u +%Y%m%d%H%M%SZ)
		[imprint]
		algorithm = SEQUENCE:algorithm
		hash = FORMAT:HEX,OCT:$(openssl dgst -sha256 -binary document | od -An -v -tx1 | tr -d ' \n')
		[algorithm]
		oid = OID:sha256
		none = NULL
	T
	openssl asn1parse -genconf tst.conf -noout -out tst.der
}
both 'what is stamped is written down' tst_info
stamps() {
	by_hsm cms -sign -binary -nodetach -nosmimecap -cades -md sha256 -econtent_type 1.2.840.113549.1.9.16.1.4 -in tst.der -signer tsa.crt \
		-inkey "$(key prime256v1)" -outform DER -out token.tst
}
both 'a time-stamp token is signed' stamps
stamp_verifies() { openssl ts -verify -data "$1" -in token.tst -token_in -CAfile rsa2048.crt; }
both 'openssl ts verifies it' says 'Verification: OK' stamp_verifies document
both 'but not for another document' says 'message imprint mismatch' stamp_verifies plain

# TLS: the server's key is in the HSM; GnuTLS connects.
serves() {
	local pid status port=$(($$ % 10000 + 20000 + RANDOM % 10000))
	openssl s_server -engine pkcs11 -keyform engine -key "$(key "$1")" -cert "$1.crt" -accept 127.0.0.1:$port -www >server.log 2>&1 &
	pid=$!
	for _ in $(seq 400); do grep -q -s ACCEPT server.log && break || sleep 0.05; done
	gnutls-cli --x509cafile "$1.crt" --no-ca-verification --priority "$2" -p $port 127.0.0.1 </dev/null >client.log 2>&1
	status=$?
	kill $pid
	[ $status -eq 0 ] || cat server.log client.log
	grep -e 'Handshake was completed' client.log
}
both 'TLS 1.3: the key in the HSM serves a handshake' serves prime256v1 NORMAL:-VERS-ALL:+VERS-TLS1.3
both 'TLS 1.2 with RSA and PSS too' serves rsa2048 NORMAL:-VERS-ALL:+VERS-TLS1.2

encrypts() { openssl x509 -in rsa2048.crt -noout -pubkey >rsa.pub && openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in plain -out cipher "$@"; }
decrypts() { by_hsm pkeyutl -decrypt -inkey "$(key rsa2048)" -in cipher -out decrypted "$@" && cmp plain decrypted; }
both 'OpenSSL encrypts to the key' encrypts
both 'the HSM decrypts' decrypts
both 'an unknown key is an error' fails quietly requested nobody
two_ways_end
