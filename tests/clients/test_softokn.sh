#!/bin/bash
# NSS' softokn as the HSM module behind the gateway: it has CKM_ECDSA_SHA*, which SoftHSM2 has not, and takes its
# settings as an initialisation string.
# (pkcs11-tool takes the first token whose label begins as it was told: the other one's begins otherwise.)
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "pkcs11-tool uses the name of an EC group that it freed"
softokn=$(ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1)
if [ -z "$softokn" ]; then
	echo '1..0 # SKIP NSS softokn is not installed'
	exit 0
fi
export TOKEN=softokn PIN=softokn-pin-4711 SO_PIN=
mkdir "$work/db" && printf %s "$PIN" >"$work/pin"
certutil -N -d "sql:$work/db" -f "$work/pin" && chmod -R a+rwX "$work/db"
"$source_dir/tools/sandbox" up "$work/gw" --module "$softokn" --init-args "configdir='sql:$work/db' certPrefix='' keyPrefix='' \
secmod='secmod.db' flags= dbTokenDescription='$TOKEN' cryptoTokenDescription='nss-crypto' minPWLen=0" \
	>"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
head -c 5000 /dev/urandom >data
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }

t 'the token is listed under the name that the string gave it' says "token label *: $TOKEN" pkcs11-tool --module "$MODULE" -L
t 'an EC key pair is generated' p11 --keypairgen --key-type EC:prime256v1 --label ec --id 01
t 'its public key is read' bash -c "pkcs11-tool --module '$MODULE' --token-label '$TOKEN' --login --pin '$PIN' --read-object --type pubkey \
	--id 01 -o ec.der && openssl pkey -pubin -inform DER -in ec.der -out ec.pub"
for hash in 256 384 512; do
	t "ECDSA-SHA$hash signs data" p11 --sign --mechanism ECDSA-SHA$hash --signature-format openssl --id 01 -i data -o sig
	t "and OpenSSL verifies SHA$hash" openssl dgst -sha$hash -verify ec.pub -signature sig data
done
openssl dgst -sha256 -binary data >digest
t 'bare ECDSA signs a digest' p11 --sign --mechanism ECDSA --signature-format openssl --id 01 -i digest -o sig
t 'and OpenSSL verifies it' openssl pkeyutl -verify -pubin -inkey ec.pub -in digest -sigfile sig
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
