#!/bin/bash
# NSS, directly and through a gateway: modutil registers the module, certutil makes a CA, an intermediate CA and
# certificates with keys in the HSM, crlutil a CRL, cmsutil signs and decrypts, pk12util brings a key; OpenSSL checks.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/clients/both.sh"
two_ways
nss() { "$@" </dev/null; }
cd "$work/direct" || exit 99
head -c 200 /dev/urandom >noise
head -c 20000 /dev/urandom >document
openssl req -x509 -newkey rsa:2048 -nodes -keyout p12.key -out p12.crt -subj /CN=p12 2>/dev/null
openssl pkcs12 -export -inkey p12.key -in p12.crt -out p12.p12 -passout pass:x -name p12
cp ./* "$work/gateway" && cd "$work" || exit 99
mkdir "$work"/{direct,gateway}/db
more_normal() { grep -v -e '^WARNING' -e '^$' -e '^Generating key' -e '[0-9a-f]\{40\}'; }

both 'a database is made' certutil -N -d sql:db --empty-password
registered() { quietly modutil -dbdir sql:db -force -add kanmon -libfile "$MODULE" -mechanisms FRIENDLY; }
# FRIENDLY: certificates are read without login, or some of these tools ask for the PIN at a terminal.
both 'modutil registers the module' registered
listed() { modutil -dbdir sql:db -list kanmon | grep -v -e 'Library file' -e uri; }
both 'and shows its token' says "Token Name: $TOKEN" modutil -dbdir sql:db -list kanmon
both 'and all it says of it' listed
both 'all mechanisms are the same for NSS' modutil -dbdir sql:db -list
makes() { silently certutil -S -d sql:db -h "$TOKEN" -f "$PIN_FILE" -z noise -v 6 "$@"; }
ca() { printf "y\n2\ny\n" | makes -n ca -s CN=nss-ca -x -t CTu,Cu,Cu -k rsa -g 2048 -m 1 -Z SHA256 -2 --keyUsage certSigning,crlSigning,digitalSignature; }
sub() { printf 'y\n0\ny\n' | makes -n sub -s CN=nss-sub -c "$TOKEN:ca" -t Cu,Cu,Cu -k ec -q secp384r1 -m 2 -Z SHA384 -2; }
both 'certutil makes a CA with an RSA key in the HSM' ca
both 'an intermediate CA by it, with an EC key in the HSM' sub
both 'and a certificate by that, EC' makes -n leaf -s CN=nss-leaf -c "$TOKEN:sub" -t u,u,u -k ec -q nistp256 -m 3 -Z SHA256
both 'and one by the CA, RSA with PSS' makes -n pss -s CN=nss-pss -c "$TOKEN:ca" -t u,u,u -k rsa -g 2048 -m 4 -Z SHA256 --pss-sign
both 'a certificate to be revoked' makes -n old -s CN=nss-old -c "$TOKEN:ca" -t u,u,u -k rsa -g 2048 -m 5 -Z SHA256
both 'keys are listed' says 'ca$' certutil -d sql:db -K -h "$TOKEN" -f "$PIN_FILE"
exported() { for name in ca sub leaf pss old; do certutil -d sql:db -L -h "$TOKEN" -f "$PIN_FILE" -n "$TOKEN:$name" -a >$name.crt || return 1; done; }
both 'the certificates are exported' quietly exported
both "OpenSSL verifies the CA's own signature" openssl verify -check_ss_sig -CAfile ca.crt ca.crt
both 'and the chain' openssl verify -show_chain -CAfile ca.crt -untrusted sub.crt leaf.crt
both 'and the one with PSS' openssl verify -CAfile ca.crt pss.crt
text() { openssl x509 -in "$1.crt" -noout -text -certopt no_pubkey,no_sigdump,no_validity; }
for name in ca sub leaf pss; do both "$name says the same" text $name; done
validated() { certutil -V -d sql:db -f "$PIN_FILE" -n "$TOKEN:leaf" -u V; }
both 'NSS validates the chain itself' validated
certificates() { certutil -d sql:db -L -h "$TOKEN" -f "$PIN_FILE" | sort; }
both 'certificates are listed' certificates
both 'with their trust' says 'leaf .*u,u,u' certificates
request() { nss certutil -R -d sql:db -h "$TOKEN" -f "$PIN_FILE" -s CN=asked -k rsa -g 2048 -Z SHA384 -z noise -a -o asked.csr && sed -n '/^-----BEGIN/,/^-----END/p' asked.csr >only.csr; }
both 'a certificate request is signed' silently request
both 'and verifies' says 'verify OK' openssl req -in only.csr -noout -verify
issues() { certutil -C -d sql:db -h "$TOKEN" -f "$PIN_FILE" -c "$TOKEN:ca" -m 9 -v 1 -a -i asked.csr -o asked.crt; }
both 'the CA signs that request' silently nss issues
both 'OpenSSL verifies the certificate' openssl verify -CAfile ca.crt asked.crt

crl() {
	printf 'update=%s\nnextupdate=%s\naddcert 5 %s\n' "$(date -u -d yesterday +%Y%m%d%H%M%SZ)" "$(date -u -d '+7 days' +%Y%m%d%H%M%SZ)" \
		"$(date -u -d yesterday +%Y%m%d%H%M%SZ)" >crl.script
	# It takes no PIN from a file for the key: one is typed until it ends (what is typed before it asks is thrown away).
	while sleep 0.3; do printf '%s\n' "$PIN"; done | script -qec "crlutil -G -d sql:db -n '$TOKEN:ca' -c crl.script -Z SHA256 -B -o crl.der" /dev/null
	[ -s crl.der ]
}
both 'crlutil signs a CRL' quietly crl
both 'its signature verifies' says 'verify OK' openssl crl -inform DER -in crl.der -noout -CAfile ca.crt
revoked() { openssl crl -inform DER -in crl.der -out crl.pem && openssl verify -crl_check -CRLfile crl.pem -CAfile ca.crt old.crt; }
both 'and revokes' says 'certificate revoked' revoked

signs() { cmsutil -S -d sql:db -f "$PIN_FILE" -N "$TOKEN:$1" -i document -o signed.p7 -H SHA256 -G; }
verifies() { openssl cms -verify -binary -inform DER -in signed.p7 -CAfile ca.crt -certfile "$1.crt" -purpose any -out back && cmp back document; }
both 'cmsutil signs a document by RSA' signs pss
both 'OpenSSL verifies it' verifies pss
both 'cmsutil signs a document by EC' signs leaf
chain() { cat leaf.crt sub.crt >chain.crt && verifies chain; }
both 'OpenSSL verifies that, with the chain' chain
seals() { openssl cms -encrypt -binary -aes256 -in document -outform DER -out sealed.p7 old.crt; }
opens() { cmsutil -D -d sql:db -f "$PIN_FILE" -i sealed.p7 -o opened && cmp opened document; }
both 'OpenSSL encrypts a document to a key in the HSM' seals
both 'cmsutil opens it' silently opens
both 'pk12util brings a key and its certificate from a PKCS #12 file' pk12util -i p12.p12 -d sql:db -h "$TOKEN" -k "$PIN_FILE" -W x
both 'its certificate is trusted' quietly certutil -M -d sql:db -h "$TOKEN" -f "$PIN_FILE" -n "$TOKEN:p12" -t CTu,CTu,CTu
both 'cmsutil signs a document by it' signs p12
imported() { openssl cms -verify -binary -inform DER -in signed.p7 -CAfile p12.crt -purpose any -out back && cmp back document; }
both 'OpenSSL verifies under the certificate of that file' imported
gone() { certutil -F -d sql:db -f "$PIN_FILE" -h "$TOKEN" -n "$TOKEN:old" && ! certutil -L -d sql:db -h "$TOKEN" -f "$PIN_FILE" -n "$TOKEN:old"; }
both 'a key and its certificate are deleted' quietly gone
unregistered() { quietly modutil -dbdir sql:db -force -delete kanmon && ! quietly modutil -dbdir sql:db -list kanmon; }
both 'the module is taken out again' unregistered
two_ways_end
