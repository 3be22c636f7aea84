#!/bin/bash
# NSS' softokn as the HSM module behind the gateway: it has CKM_ECDSA_SHA*, which SoftHSM2 has not, and takes its
# settings as an initialisation string. Directly it is used by a C program of ours (tests/stress), which can give it that
# string, and by NSS itself; pkcs11-tool, OpenSSL's engine, GnuTLS, OpenSSH and Java cannot, and use it through the gateway
# only.
# (pkcs11-tool takes the first token whose label begins as it was told: the other one's begins otherwise.)
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "pkcs11-tool uses the name of an EC group that it freed"
. "$source_dir/tests/clients/both.sh"
softokn=$(ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1)
if [ -z "$softokn" ]; then
	echo '1..0 # SKIP NSS softokn is not installed'
	exit 0
fi
export TOKEN=softokn PIN=softokn-pin-4711 SO_PIN=
init_string() {
	echo "configdir='sql:$1' certPrefix='' keyPrefix='' secmod='secmod.db' flags= dbTokenDescription='$TOKEN'" \
		"cryptoTokenDescription='nss-crypto' minPWLen=0"
}
stress() { "$build/tests/stress/stress" "$@"; }
mkdir "$work/db" && printf %s "$PIN" >"$work/pin"
certutil -N -d "sql:$work/db" -f "$work/pin"
t 'a key is made' env MODULE="$softokn" INIT_ARGS="$(init_string "$work/db")" "$build/tests/stress/stress" prepare
cp -r "$work/db" "$work/db.direct" && chmod -R a+rwX "$work/db"
two_ways --module "$softokn" --init-args "$(init_string "$work/db")"
each_way() {
	if [ "$way" = direct ]; then export INIT_ARGS=$(init_string "$work/db.direct"); fi
	export PKCS11_MODULE_PATH=$MODULE GNUTLS_PIN=$PIN
}
both '8 threads work side by side, each with a session and a key of its own' stress threads 8 27

cd "$work" || exit 99
head -c 5000 /dev/urandom >gateway/data
tool() { pkcs11-tool --module "$MODULE" "$@"; }
p11() { tool --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
through() { t "$1" on gateway "${@:2}"; }
through 'the token is listed under the name that the string gave it' says "token label *: $TOKEN" tool -L
through 'an EC key pair is generated' p11 --keypairgen --key-type EC:prime256v1 --label ec --id 01
public_key() { p11 --read-object --type pubkey --id 01 -o ec.der && openssl pkey -pubin -in ec.der -out ec.pub; }
through 'its public key is read' public_key
verify() { openssl dgst "-sha$1" -verify ec.pub -signature sig data; }
for hash in 256 384 512; do
	through "ECDSA-SHA$hash signs data" p11 --sign --mechanism ECDSA-SHA$hash --signature-format openssl --id 01 -i data -o sig
	through "and OpenSSL verifies SHA$hash" verify $hash
done
digested() { openssl dgst -sha256 -binary data >digest; }
on gateway digested
through 'bare ECDSA signs a digest' p11 --sign --mechanism ECDSA --signature-format openssl --id 01 -i digest -o sig
through 'and OpenSSL verifies it' verify 256
listed() { certutil -K -d "sql:$work/db" -f "$PIN_FILE"; }
through 'NSS, asked beside the gateway, has the key' says ' ec *$' listed

key() { echo "pkcs11:token=$TOKEN;object=$1;type=private;pin-source=file:$PIN_FILE"; }
engine() { openssl req -new -x509 -engine pkcs11 -keyform engine -key "$(key "$1")" -subj /CN=softokn -sha256 -out "$1.crt"; }
for label in stress ec; do
	through "OpenSSL's engine makes a certificate with key $label" engine $label
	through "its signature with $label verifies" openssl verify -check_ss_sig -CAfile $label.crt $label.crt
done
printf 'cn = "softokn"\nca\ncert_signing_key\nserial = 1\n' >gateway/ca.template
gnutls() {
	quietly certtool --provider "$MODULE" --generate-self-signed --load-privkey "pkcs11:token=$TOKEN;object=stress;type=private" \
		--load-pubkey <(openssl x509 -in stress.crt -noout -pubkey) --template ca.template --outfile gnutls.crt
}
through 'GnuTLS makes a certificate' gnutls
through 'its signature verifies' openssl verify -check_ss_sig -CAfile gnutls.crt gnutls.crt
ssh() {
	printf '#!/bin/sh\nexec cat "%s"\n' "$PIN_FILE" >askpass && chmod 755 askpass
	rm -f user user.pub
	ssh-keygen -D "$MODULE" | grep ecdsa >ca.pub && ssh-keygen -q -t ed25519 -N '' -f user &&
		SSH_ASKPASS=$PWD/askpass SSH_ASKPASS_REQUIRE=force ssh-keygen -D "$MODULE" -s ca.pub -I user -n alice -V +1h user.pub &&
		ssh-keygen -L -f user-cert.pub
}
through 'OpenSSH certifies a user' says 'alice' ssh
java() {
	printf 'name = hsm\nlibrary = %s\nslotListIndex = 1\n' "$MODULE" >p11.cfg
	command java -Xshare:auto "$source_dir/tests/clients/Signers.java" p11.cfg "$PIN_FILE" 8 3 stored
}
stored() { openssl x509 -in stress.crt -outform DER -out stress.der && p11 --write-object stress.der --type cert --label stored --id 57; }
through 'a certificate goes to its key' stored
through 'Java signs and decrypts with threads' java
two_ways_end
