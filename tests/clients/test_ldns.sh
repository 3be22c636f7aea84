#!/bin/bash
# DNSSEC, directly and through a gateway: ldns-signzone with libengine-pkcs11-openssl signs a zone with keys in the token;
# BIND's dnssec-verify and ldns-verify-zone check it.
# BIND 9.18 itself is built in Debian 12 without OpenSSL's engines, and knows no other way to a PKCS#11 module.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
each_way() { export PKCS11_MODULE_PATH=$MODULE; }
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
key() { echo "pkcs11:token=$TOKEN;object=$1;type=private;pin-source=file:$PIN_FILE"; }

cd "$work/direct" || exit 99
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out zsk.key 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out ksk.key
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out rsaksk.key 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out eczsk.key
for name in zsk ksk rsaksk eczsk; do openssl pkey -inform DER -in $name.key -pubout -outform DER -out $name.der; done
{
	printf '$ORIGIN example.test.\n$TTL 3600\n@ SOA ns admin 1 3600 900 604800 3600\n@ NS ns\nns A 192.0.2.1\nns AAAA 2001:db8::1\n@ MX 10 www\n'
	printf 'www A 192.0.2.2\nalias CNAME www\n@ TXT "signed through kanmon"\n*.wild A 192.0.2.3\n'
	for i in $(seq 20); do echo "host$i A 192.0.2.$((i + 10))"; done
} >zone
cp ./* "$work/gateway" && cd "$work" || exit 99
imported() {
	quietly p11 --write-object "$1.key" --type privkey --id "$2" --label "$1" --usage-sign &&
		quietly p11 --write-object "$1.der" --type pubkey --id "$2" --label "$1"
}
both 'a zone-signing key (RSA) is imported' imported zsk 01
both 'a key-signing key (EC) is imported' imported ksk 02
both 'a key-signing key (RSA) is imported' imported rsaksk 03
both 'a zone-signing key (EC) is imported' imported eczsk 04
from=$(date -u -d yesterday +%Y%m%d) until=$(date -u -d '+30 days' +%Y%m%d)
signs() { ldns-signzone -E pkcs11 -i $from -e $until -o example.test -f signed "$@" zone >said 2>&1 || { cat said && false; }; }
verified() { dnssec-verify -q -o example.test signed && ldns-verify-zone signed; }
tampered() { sed 's/192.0.2.2$/192.0.2.9/' signed >bent && ! quietly dnssec-verify -q -o example.test bent && ! quietly ldns-verify-zone bent; }

both 'a zone is signed by two RSA keys' signs -k 8,"$(key zsk)" -K 8,"$(key rsaksk)"
same 'RSA signs without chance: both zones are the same bytes' signed
both 'BIND and ldns verify it' verified
both 'and not when a record was changed' tampered
both 'with NSEC3 too' signs -n -t 5 -s 0011 -k 8,"$(key zsk)" -K 8,"$(key rsaksk)"
same 'the same bytes with NSEC3' signed
both 'BIND and ldns verify that' verified
both 'a zone is signed by two EC keys' signs -k 13,"$(key eczsk)" -K 13,"$(key ksk)"
both 'BIND and ldns verify it, signed by EC' verified
both 'and not when a record was changed, signed by EC' tampered
two_ways_end
