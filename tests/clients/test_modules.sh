#!/bin/bash
# Two modules of two vendors, and one that does not start, behind one gateway: OpenSC's tool sees the slots that the
# policy's line of its client says, and uses each token as if it were alone.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "pkcs11-tool uses the name of an EC group that it freed"
softokn=$(ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1)
if [ -z "$softokn" ]; then
	echo '1..0 # SKIP NSS softokn is not installed'
	exit 0
fi
args="configdir='' certPrefix='' keyPrefix='' secmod='' cryptoTokenDescription='nss-crypto'"
args+=" flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace"
echo 'this is no module' >"$work/broken.so" && chmod 755 "$work/broken.so"
export PIN=kanmon-pin-4711 TOKEN=root
"$source_dir/tools/sandbox" up "$work/gw" --tokens 'nss=40,root=7,gone=9' \
	--token-line 'token nss label nss-crypto module nss' --token-line 'token gone label root module broken' \
	--conf "module \"nss\" { path = \"$softokn\" init-args = \"$args\" }
module \"broken\" { path = \"$work/broken.so\" }" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99

tool() { pkcs11-tool --module "$MODULE" "$@"; }
root() { tool --slot 7 --login --pin "$PIN" "$@"; }
slots() { tool -L | sed -n 's/^Slot [0-9]* (\(0x[0-9a-f]*\)).*/\1/p' | tr '\n' ' '; }
slot() { tool -L | sed -n "/($1)/,/^Slot/p"; }
t 'slots have the numbers of the policy, in their order' test "$(slots)" = '0x7 0x9 0x28 '
t 'slot 7 holds the one token' says 'token label *: root' slot 0x7
t 'slot 40 the other' says 'token label *: nss-crypto' slot 0x28
t 'the slot whose module does not start is empty' says '(empty)' slot 0x9
t 'several modules are one library of ours' says 'kanmon' tool -I

t 'a key is made in slot 7' root --keypairgen --key-type EC:prime256v1 --label k --id 01
echo data >data && openssl dgst -sha256 -binary data >digest
t 'and signs there' root --sign --mechanism ECDSA --signature-format openssl --id 01 -i digest -o sig
public_key() { root --read-object --type pubkey --id 01 -o pub.der && openssl pkey -pubin -inform DER -in pub.der -out pub; }
t 'its public key is read' public_key
t 'and verifies the signature' openssl dgst -sha256 -verify pub -signature sig data
t 'slot 40 hashes' tool --slot 40 --hash --mechanism SHA256 -i data -o hash
t 'and the hash is right' cmp hash digest
t 'it has no such key' fails tool --slot 40 --sign --mechanism ECDSA --id 01 -i digest -o none
counted() { tool --slot "$1" -M | grep -c '^  '; }
t 'mechanisms are those of each module' test "$(counted 7)" -ne "$(counted 40)"

t 'the ledger says in which module a key is' grep -q '"module":"hsm"' -r "$LEDGER/seg"
verifies() { kanmon audit verify "$LEDGER" --trust "$TRUST"; }
t 'and verifies' verifies
t_end
