#!/bin/bash
# OpenSSL with libengine-pkcs11-openssl through a sandbox: requests, certificates and TLS with keys in the HSM.
. "${srcdir:-.}/tests/tap.sh"
"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
export PKCS11_MODULE_PATH=$MODULE
printf '[req]\nprompt = no\ndistinguished_name = name\n[name]\nCN = through kanmon\n' >req.conf
key() { echo "pkcs11:token=$TOKEN;object=$1;type=private;pin-source=file:$PIN_FILE"; }
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
by_hsm() { local command=$1; shift; openssl "$command" -engine pkcs11 -keyform engine "$@"; }

t 'an RSA key pair is made' p11 --keypairgen --key-type rsa:2048 --label 2048 --id 01
t 'an EC key pair is made' p11 --keypairgen --key-type EC:prime256v1 --label prime256v1 --id 02
t 'a second EC key pair is made' p11 --keypairgen --key-type EC:secp384r1 --label secp384r1 --id 03
for label in 2048 prime256v1 secp384r1; do
	t "$label: a certificate request is signed" by_hsm req -new -key "$(key $label)" -config req.conf -sha256 -out $label.csr
	t "$label: and verifies" says 'verify OK' openssl req -in $label.csr -noout -verify
	t "$label: a self-signed certificate is made" by_hsm req -new -x509 -key "$(key $label)" -config req.conf -sha384 -out $label.crt
	t "$label: and verifies" openssl verify -CAfile $label.crt $label.crt
	t "$label: a file is signed" by_hsm dgst -sha256 -sign "$(key $label)" -out sig req.conf
	t "$label: and the signature verifies" bash -c "openssl x509 -in $label.crt -noout -pubkey >pub && openssl dgst -sha256 -verify pub -signature sig req.conf"
done
openssl req -new -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=leaf -out leaf.csr 2>/dev/null
t 'a CA in the HSM signs a leaf' openssl x509 -req -in leaf.csr -engine pkcs11 -CAkeyform engine -CAkey "$(key prime256v1)" -CA prime256v1.crt \
	-set_serial 7 -days 1 -out leaf.crt
t 'which verifies under it' openssl verify -CAfile prime256v1.crt leaf.crt
printf 'a secret' >plain
openssl x509 -in 2048.crt -noout -pubkey >rsa.pub
openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in plain -out cipher
t 'what was encrypted to the key is decrypted' by_hsm pkeyutl -decrypt -inkey "$(key 2048)" -in cipher -out decrypted
t 'to what it was' cmp plain decrypted
t 'an unknown key is an error' fails by_hsm req -new -key "$(key nobody)" -config req.conf -out nobody.csr
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
