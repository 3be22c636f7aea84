#!/bin/bash
# GnuTLS, directly and through a gateway: p11tool makes and uses keys, certtool is a CA with them (certificates, CRL);
# OpenSSL checks. p11tool 3.7 makes no Ed25519 key in SoftHSM2; GnuTLS has no tool that signs OCSP responses (its ocsptool
# verifies those of OpenSSL in test_openssl_engine.sh).
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "certtool hangs at its exit"
. "$source_dir/tests/clients/both.sh"
two_ways
export GNUTLS_PIN=$PIN GNUTLS_SO_PIN=$SO_PIN
url() { echo "pkcs11:token=$TOKEN;object=$1;type=$2"; }
p11() { p11tool --provider "$MODULE" --batch "$@"; }
cert() { certtool --provider "$MODULE" "$@"; }

cd "$work/direct" || exit 99
printf 'cn = "through kanmon"\nca\ncert_signing_key\ncrl_signing_key\nocsp_signing_key\nsigning_key\nserial = 1\nexpiration_days = 2\n' >ca.template
printf 'cn = "leaf"\nsigning_key\nserial = 2\nexpiration_days = 1\n' >leaf.template
printf 'crl_next_update = 7\ncrl_number = 3\n' >crl.template
openssl req -new -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=leaf -out leaf.csr 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -subj /CN=stored -out other.crt 2>/dev/null
head -c 3000 /dev/urandom >data
cp ./* "$work/gateway" && cd "$work" || exit 99
# Random are keys, and what is made from them; and SoftHSM finds objects in the order of their addresses in memory.
more_normal() { grep -v -i -E 'ID: |(..:){8}|sha(1|256):|[0-9a-f]{40}|fingerprint|pin-sha256|until|^ *(Not )?(before|after)|=\$|[+|].*[+|]'; }

tokens() { p11 --list-tokens | grep -e "Label: $TOKEN" -e Type -e Module -e Flags | sort; }
both 'the token is listed' tokens
# Not their flags: p11tool shows one memory for all, and SoftHSM adds its flags to what is there.
mechanisms() { p11 --list-mechanisms "pkcs11:token=$TOKEN" | cut -d' ' -f 1,2; }
both 'its mechanisms are listed, all of them' mechanisms
generate() { quietly p11 --login --generate-privkey="$1" "${@:4}" --label="$2" --id="$3" --outfile="$2.pub" "pkcs11:token=$TOKEN"; }
both 'an RSA key is generated' generate rsa rsa 11 --bits=2048
both 'an EC key is generated' generate ecdsa ec 12 --curve=secp256r1
both 'an EC key on another curve is generated' generate ecdsa ec521 13 --curve=secp521r1
self_signed() {
	quietly cert --generate-self-signed --load-privkey "$(url "$1" private)" --load-pubkey "$1.pub" --template ca.template --outfile "$1.crt" "${@:2}"
}
tested() { p11 --login --test-sign "$(url "$1" private)" "${@:2}" | sed 's/:.*object=/: object=/'; }
text() { openssl x509 -in "$1" -noout -text -certopt no_pubkey,no_sigdump,no_validity,no_serial; }
for label in rsa ec ec521; do
	both "$label: a self-signed CA is made" self_signed $label
	both "$label: OpenSSL verifies its signature" openssl verify -check_ss_sig -CAfile $label.crt $label.crt
	both "$label: it says the same" text $label.crt
	both "$label: p11tool tests the signature itself" says ok tested $label
done
both 'RSA-PSS: a self-signed CA is made' self_signed rsa --hash SHA384 --sign-params RSA-PSS
both 'RSA-PSS: OpenSSL verifies its signature' openssl verify -check_ss_sig -CAfile rsa.crt rsa.crt
both 'with PKCS #1 again' self_signed rsa --hash SHA256

leaf() { quietly cert --generate-certificate --load-request leaf.csr --load-ca-privkey "$(url "$1" private)" --load-ca-certificate "$1.crt" \
	--template leaf.template --outfile leaf.crt; }
request() { quietly cert --generate-request --load-privkey "$(url "$1" private)" --load-pubkey "$1.pub" --template leaf.template --outfile "$1.csr"; }
crl() { quietly cert --generate-crl --load-ca-privkey "$(url "$1" private)" --load-ca-certificate "$1.crt" --load-certificate leaf.crt \
	--template crl.template --outfile crl.pem; }
revoked() { openssl verify -crl_check -CAfile "$1.crt" -CRLfile crl.pem leaf.crt; }
for label in rsa ec; do
	both "$label: the CA signs a leaf" leaf $label
	both "$label: OpenSSL verifies it" openssl verify -CAfile $label.crt leaf.crt
	both "$label: a request is signed" request $label
	both "$label: OpenSSL verifies that" says 'verify OK' openssl req -in $label.csr -noout -verify
	both "$label: a CRL is signed" crl $label
	both "$label: its signature verifies" says 'verify OK' openssl crl -in crl.pem -noout -CAfile $label.crt
	both "$label: and revokes the leaf" says 'certificate revoked' revoked $label
done

both 'a certificate is stored' quietly p11 --login --write --load-certificate other.crt --label stored "pkcs11:token=$TOKEN"
exported() { p11 --login --export "$(url stored cert)" >stored.crt 2>/dev/null && cmp <(openssl x509 -in other.crt -outform DER) <(openssl x509 -in stored.crt -outform DER); }
both 'and exported again, unchanged' exported
both 'a private key is stored' quietly p11 --login --write --load-privkey leaf.key --label imported --id 15 "pkcs11:token=$TOKEN"
both 'it signs' says ok tested imported
objects() { p11 --login --list-all "pkcs11:token=$TOKEN" | grep -E 'Label|Type|Flags' | awk '{printf "%s%s", $0, /Flags/ ? "\n" : "|"}' | sort; }
both 'objects are listed alike' objects
both 'the certificate is deleted' quietly p11 --login --delete "$(url stored cert)"
both 'and is gone' fails quietly p11 --login --export "$(url stored cert)"
random() { [ "$(p11 --generate-random=48 --outfile random "pkcs11:token=$TOKEN" >/dev/null 2>&1; wc -c <random)" -eq 48 ]; }
both 'random bytes come' random
two_ways_end
