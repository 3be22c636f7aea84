#!/bin/bash
# OpenSC's pkcs11-tool through a sandbox: it makes keys and uses them; OpenSSL, which never sees the HSM, checks.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "pkcs11-tool uses the name of an EC group that it freed"
"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
head -c 5000 /dev/urandom >data
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
public_key() { p11 --read-object --type pubkey --label "$1" -o "$1.der" && openssl pkey -pubin -inform DER -in "$1.der" -out "$1.pub"; }

t 'the token is listed' says "token label *: $TOKEN" pkcs11-tool --module "$MODULE" -L
t 'a wrong PIN is refused' exits 1 pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin 00000000 -O
t 'an RSA key pair is generated' p11 --keypairgen --key-type rsa:2048 --label rsa --id 01
t 'its public key is read' public_key rsa
for hash in 256 384 512; do
	t "SHA$hash-RSA-PKCS signs" p11 --sign --mechanism SHA$hash-RSA-PKCS --id 01 -i data -o sig
	t "and OpenSSL verifies it" openssl dgst -sha$hash -verify rsa.pub -signature sig data
done
t 'SHA256-RSA-PKCS-PSS signs' p11 --sign --mechanism SHA256-RSA-PKCS-PSS --id 01 -i data -o sig
t 'and OpenSSL verifies it too' openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -verify rsa.pub -signature sig data
t 'data larger than one part is signed' bash -c "head -c 300000 /dev/urandom >big && pkcs11-tool --module '$MODULE' --token-label '$TOKEN' \
	--login --pin '$PIN' --sign --mechanism SHA256-RSA-PKCS --id 01 -i big -o sig && openssl dgst -sha256 -verify rsa.pub -signature sig big"
printf 'a secret' >plain
t 'OpenSSL encrypts to the key' openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in plain -out cipher
t 'the HSM decrypts it' p11 --decrypt --mechanism RSA-PKCS --id 01 -i cipher -o decrypted
t 'to what it was' cmp plain decrypted

t 'an EC key pair is generated' p11 --keypairgen --key-type EC:prime256v1 --label ec --id 02
t 'its public key is read as well' public_key ec
openssl dgst -sha256 -binary data >digest
t 'ECDSA signs a digest' p11 --sign --mechanism ECDSA --signature-format openssl --id 02 -i digest -o sig
t 'and OpenSSL verifies that' openssl pkeyutl -verify -pubin -inkey ec.pub -in digest -sigfile sig
t 'a second user of the module works beside the first' bash -c "
	for i in 1 2; do pkcs11-tool --module '$MODULE' --token-label '$TOKEN' --login --pin '$PIN' --sign --mechanism SHA256-RSA-PKCS \
		--id 01 -i data -o sig\$i & done; wait && cmp sig1 sig2"

openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -subj /CN=stored -outform DER 2>/dev/null
t 'a certificate is stored' p11 --write-object other.crt --type cert --label stored --id 03
t 'and read again' p11 --read-object --type cert --label stored -o stored.crt
t 'unchanged' cmp other.crt stored.crt
t 'objects are found' says 'label: *stored' p11 -O
t 'an object is destroyed' p11 --delete-object --type cert --label stored
t 'and is gone' exits 1 p11 --read-object --type cert --label stored -o gone.crt
t 'random bytes come' bash -c "[ \$(pkcs11-tool --module '$MODULE' --generate-random 64 | wc -c) -eq 64 ]"
t 'the HSM itself, asked beside the gateway, has the key' says 'label: *rsa' pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" \
	--login --pin "$PIN" -O
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'the ledger is there' test -d "$LEDGER"
t 'the PIN is nowhere in the ledger' exits 1 grep -r -q -F "$PIN" "$LEDGER"
t_end
