#!/bin/bash
# strongSwan's pki with its pkcs11 plugin, directly and through a gateway: a CA (self-signed certificate, leaf, CRL) and
# requests with keys in the token; OpenSSL checks.
# Used directly, SoftHSM2 crashes when pki ends: OpenSSL has cleaned up before strongSwan finalises it. What pki made is
# there by then, so only that is compared.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
each_way() {
	cat >strongswan.conf <<-C
		pki {
			load = pkcs11 sha2 sha1 random x509 revocation pubkey pkcs1 pem openssl pkcs8
			plugins { pkcs11 { modules { hsm {
				path = $MODULE
			} } } }
		}
	C
	export STRONGSWAN_CONF=$PWD/strongswan.conf
}
# It reads the PIN from the terminal, or, without one, from its standard input; unbuffered, as it may crash at its end.
pki() {
	local out=$1 status
	shift
	setsid stdbuf -o0 pki "$@" --outform pem <"$PIN_FILE" >"$out" 2>said
	status=$?
	[ $status -eq 0 ] || { [ "$way" = direct ] && [ $status -eq 139 ]; } || { echo "ended with $status" && cat said && false; }
}

more_normal() { grep -v 'Segmentation fault'; }

cd "$work/direct" || exit 99
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out rsa.key 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out ec.key
for name in rsa ec; do openssl pkey -inform DER -in $name.key -pubout -outform DER -out $name.der; done
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out leaf.key 2>/dev/null
openssl pkey -in leaf.key -pubout -out leaf.pub
cp ./* "$work/gateway" && cd "$work" || exit 99
imported() {
	quietly p11 --write-object "$1.key" --type privkey --id "$2" --label "$1" --usage-sign &&
		quietly p11 --write-object "$1.der" --type pubkey --id "$2" --label "$1"
}
both 'an RSA key is imported' imported rsa 01
both 'an EC key is imported' imported ec 02
public() { pki "$1.pub" --pub --keyid "$2" && openssl pkey -pubin -in "$1.pub" -outform DER | cmp - "$1.der"; }
both 'pki reads the RSA public key' public rsa 01
both 'and the EC public key' public ec 02
ca() { pki "$1.crt" --self --keyid "$2" --type "${1/ec/ecdsa}" --dn "CN=$1 ca" --ca --serial 1a --not-before "$from" --not-after "$until"; }
from=$(date -u -d yesterday +'%d.%m.%y %H:%M:%S') until=$(date -u -d '+30 days' +'%d.%m.%y %H:%M:%S')
issue() { pki "$1.leaf" --issue --cakeyid "$2" --cacert "$1.crt" --in leaf.pub --type pub --dn CN=leaf --san leaf.example --serial 2b \
	--not-before "$from" --not-after "$until"; }
crl() { pki crl.pem --signcrl --cakeyid "$2" --cacert "$1.crt" --cert "$1.leaf" --reason key-compromise; }
request() { pki "$1.csr" --req --keyid "$2" --type "${1/ec/ecdsa}" --dn "CN=$1 request"; }
id=01
for key in rsa ec; do
	both "$key: a self-signed CA is made" ca $key $id
	both "$key: OpenSSL verifies its signature" openssl verify -check_ss_sig -CAfile $key.crt $key.crt
	both "$key: the CA signs a leaf" issue $key $id
	both "$key: OpenSSL verifies it" openssl verify -CAfile $key.crt $key.leaf
	both "$key: a CRL is signed" crl $key $id
	both "$key: OpenSSL verifies that" says 'verify OK' openssl crl -in crl.pem -noout -CAfile $key.crt
	both "$key: and the leaf is revoked" says 'certificate revoked' openssl verify -crl_check -CRLfile crl.pem -CAfile $key.crt $key.leaf
	both "$key: a request is signed" request $key $id
	both "$key: and verifies" says 'verify OK' openssl req -in $key.csr -noout -verify
	id=02
done
same 'RSA signs without chance: the CA is the same bytes' rsa.crt
same 'and so is its leaf' rsa.leaf
two_ways_end
