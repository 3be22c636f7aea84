#!/bin/bash
# OpenSC's pkcs11-tool, directly and through a gateway: it makes, imports, uses, wraps, derives and destroys keys, with
# every mechanism that it and SoftHSM2 both have; OpenSSL, which never sees the HSM, checks. Then its own tests.
# pkcs11-tool 0.23 does not encrypt by AES-GCM and AES-CTR, and signs by EdDSA only what fits into one part.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer "pkcs11-tool uses the name of an EC group that it freed"
. "$source_dir/tests/clients/both.sh"
two_ways
tool() { pkcs11-tool --module "$MODULE" "$@"; }
p11() { tool --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
# Read by p11tool: pkcs11-tool 0.23 makes no PEM of most curves.
public_key() { p11tool --provider "$MODULE" --batch --export "pkcs11:token=$TOKEN;object=$1;type=public" >"$1.pub" 2>/dev/null; }
imported() { silently p11 --write-object "$1" --type "$2" --id "$3" --label "$4" "${@:5}"; }
sign() { silently p11 --sign --mechanism "$1" --id "$2" -i "$3" -o sig "${@:4}"; }
verify() { local hash=$1 key=$2 file=$3; shift 3; openssl dgst "-$hash" "$@" -verify "$key.pub" -signature sig "$file"; }
random() { [ "$(tool --generate-random 64 | wc -c)" -eq 64 ]; }
# Random are public points and values; and SoftHSM finds objects in the order of their addresses in memory.
more_normal() {
	sed -E '/EC_POINT:|VALUE:/d; s/^Data object [0-9]+/Data object/' | awk '/^[A-Z]/ {n++} {o[n] = o[n] $0 "\1"} END {for (i in o) print o[i]}' | LC_ALL=C sort | tr '\1' '\n'
}

cd "$work/direct" || exit 99
head -c 5000 /dev/urandom >data
head -c 300000 /dev/urandom >big
head -c 4096 data >blocks
head -c 300 data >short
head -c 100 data >secret100
{ printf '\0' && head -c 255 data; } >number # less than the modulus
printf 'a secret' >plain
printf 0123456789abcdef0123456789abcdef >secret
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out rsa.key 2>/dev/null
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out ec.key
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out peer.pem
openssl pkey -in peer.pem -pubout -outform DER -out peer.der
for key in rsa ec; do
	openssl pkey -inform DER -in $key.key -pubout -outform DER -out $key.der
	openssl pkey -pubin -inform DER -in $key.der -out $key.pub
done
openssl req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.crt -subj /CN=stored -outform DER 2>/dev/null
cp ./* "$work/gateway" && cd "$work" || exit 99

both 'the module and its tokens say who they are' tool -I -L
both 'the token is listed' says "token label *: $TOKEN" tool -L
both 'all mechanisms are listed, with what they can' tool --token-label "$TOKEN" -M
both 'a wrong PIN is refused' exits 1 tool --token-label "$TOKEN" --login --pin 00000000 -O
both 'random bytes come' random

# Keys that both tokens have: what is signed by them without chance must be the same bytes.
both 'an RSA private key is imported' imported rsa.key privkey 01 rsa --usage-sign --usage-decrypt
both 'its public half too' imported rsa.der pubkey 01 rsa
# Its own tests say the same, up to where SoftHSM stops them: it has no OAEP with a label. (What they try
# depends on the order of the keys: here there is one.)
own_tests() {
	p11 --test >tested 2>&1
	echo "ended with $?" | cat tested -
}
both 'its tests (--test) come to the same' own_tests
both 'and do so with a signature, a decryption and random data' grep -c OK tested

both 'an EC private key is imported' imported ec.key privkey 02 ec --usage-sign --usage-derive
both 'its public half as well' imported ec.der pubkey 02 ec
both 'an AES key is imported' imported secret secrkey 03 aes --key-type AES:32 --usage-decrypt --usage-wrap
both 'they are listed with their attributes' p11 -O

for hash in MD5 SHA1 SHA224 SHA256 SHA384 SHA512; do
	both "$hash-RSA-PKCS signs" sign $hash-RSA-PKCS 01 data
	same "$hash-RSA-PKCS: the same signature" sig
	both "$hash-RSA-PKCS: OpenSSL verifies it" verify $hash rsa data
	[ $hash != MD5 ] || continue
	both "$hash-RSA-PKCS-PSS signs" sign $hash-RSA-PKCS-PSS 01 data
	both "$hash-RSA-PKCS-PSS: OpenSSL verifies it" verify $hash rsa data -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
done
both 'PSS with a salt of its own length signs' sign SHA256-RSA-PKCS-PSS 01 data --salt-len 11
both 'and OpenSSL finds that length' verify SHA256 rsa data -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:11
digested() { openssl dgst -sha256 -binary data >digest; }
both 'a digest is made' digested
both 'bare RSA-PKCS-PSS signs it' sign RSA-PKCS-PSS 01 digest --hash-algorithm SHA256
both 'and OpenSSL verifies that' verify SHA256 rsa data -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32
both 'bare RSA-PKCS signs' sign RSA-PKCS 01 digest
same 'the same bytes' sig
recovered() { openssl pkeyutl -verifyrecover -pubin -inkey rsa.pub -in sig | cmp - digest; }
both 'OpenSSL recovers the digest' recovered
both 'RSA-X-509 signs a number' sign RSA-X-509 01 number
same 'the same number comes' sig
both 'data larger than one part is signed' sign SHA256-RSA-PKCS 01 big
same 'with the same signature' sig
both 'and verifies' verify SHA256 rsa big
module_verifies() { silently p11 --verify --mechanism SHA256-RSA-PKCS --id 01 -i big --signature-file sig; }
both 'the module itself verifies it' module_verifies
both 'but not over other data' says 'Invalid signature' p11 --verify --mechanism SHA256-RSA-PKCS --id 01 -i data --signature-file sig

both 'ECDSA signs a digest' sign ECDSA 02 digest --signature-format openssl
both 'and OpenSSL verifies' verify SHA256 ec data
for curve in prime256v1 secp384r1 secp521r1; do
	both "an EC key pair of $curve is generated" p11 --keypairgen --key-type EC:$curve --label $curve --id 11
	both 'its public key is read' public_key $curve
	both 'it signs' sign ECDSA 11 digest --signature-format openssl
	both "and OpenSSL verifies under $curve" verify SHA256 $curve data
	both 'it is destroyed' p11 --delete-object --type privkey --id 11
	both 'its public half too' p11 --delete-object --type pubkey --id 11
done
both 'an Ed25519 key pair is generated' p11 --keypairgen --key-type EC:edwards25519 --label ed --id 12
both 'its public key is read as well' public_key ed
both 'EdDSA signs' sign EDDSA 12 short
ed_verifies() { openssl pkeyutl -verify -pubin -inkey ed.pub -rawin -in short -sigfile sig; }
both 'and OpenSSL verifies Ed25519' ed_verifies

encrypts() { openssl pkeyutl -encrypt -pubin -inkey rsa.pub -in plain -out cipher "$@"; }
decrypts() { silently p11 --decrypt --mechanism "$1" --id 01 -i cipher -o decrypted "${@:2}" && cmp plain decrypted; }
both 'OpenSSL encrypts to the key' encrypts
both 'the HSM decrypts it' decrypts RSA-PKCS
both 'OpenSSL encrypts with OAEP' encrypts -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1
both 'the HSM decrypts that' decrypts RSA-PKCS-OAEP --hash-algorithm SHA-1 --mgf MGF1-SHA1
both 'OAEP with SHA-256, which SoftHSM has not, is refused' fails decrypts RSA-PKCS-OAEP --hash-algorithm SHA256 --mgf MGF1-SHA256
iv=000102030405060708090a0b0c0d0e0f
aes() { silently p11 --encrypt --mechanism "$1" --id 03 --iv $iv -i "$2" -o cipher; }
aes_back() { silently p11 --decrypt --mechanism "$1" --id 03 --iv $iv -i cipher -o decrypted && cmp "$2" decrypted; }
openssl_agrees() { openssl enc -aes-256-"$1" -K "$(od -An -v -tx1 secret | tr -d ' \n')" "${@:3}" -in "$2" | cmp - cipher; }
both 'AES-ECB encrypts' aes AES-ECB blocks
both 'as OpenSSL does' openssl_agrees ecb blocks -nopad
both 'and decrypts' aes_back AES-ECB blocks
both 'AES-CBC encrypts' aes AES-CBC blocks
both 'as OpenSSL does with the same IV' openssl_agrees cbc blocks -nopad -iv $iv
both 'and decrypts CBC' aes_back AES-CBC blocks
both 'AES-CBC-PAD encrypts what is no multiple of a block' aes AES-CBC-PAD short
both 'as OpenSSL does, padding included' openssl_agrees cbc short -iv $iv
both 'and decrypts CBC-PAD' aes_back AES-CBC-PAD short
hashed() { silently tool --hash --mechanism "$1" -i data -o digest.$1 && cmp digest.$1 <(openssl dgst "-${1/-/}" -binary data); }
for hash in MD5 SHA-1 SHA224 SHA256 SHA384 SHA512; do
	both "$hash: the HSM's digest is OpenSSL's" hashed $hash
done

derives() {
	silently p11 --derive --mechanism ECDH1-DERIVE --id 02 -i peer.der -o shared &&
		openssl pkeyutl -derive -inkey peer.pem -peerkey ec.pub | cmp - shared
}
both 'ECDH derives what OpenSSL derives from the other side' derives
both 'an AES key is generated that may leave' silently p11 --keygen --key-type AES:16 --label leaves --id 21 --extractable
both 'its value is read' silently p11 --read-object --type secrkey --id 21 -o leaves
wraps() { silently p11 --wrap --mechanism "$1" --id "$2" --application-id 21 -o wrapped; }
unwraps() {
	silently p11 --unwrap --mechanism "$1" --id "$2" -i wrapped --key-type AES: --application-id 22 --application-label back --extractable &&
		silently p11 --read-object --type secrkey --id 22 -o back && cmp leaves back && silently p11 --delete-object --type secrkey --id 22
}
both 'it is wrapped under the AES key' wraps AES-KEY-WRAP 03
aes_wrap_agrees() { openssl enc -d -id-aes256-wrap -K "$(od -An -v -tx1 secret | tr -d ' \n')" -iv A6A6A6A6A6A6A6A6 -in wrapped | cmp - leaves; }
both 'OpenSSL unwraps it' aes_wrap_agrees
both 'the HSM unwraps it' unwraps AES-KEY-WRAP 03
both 'it is wrapped under the RSA key' wraps RSA-PKCS 01
rsa_wrap_agrees() { openssl pkeyutl -decrypt -keyform DER -inkey rsa.key -in wrapped | cmp - leaves; }
both 'OpenSSL unwraps that' rsa_wrap_agrees
both 'the HSM unwraps that' unwraps RSA-PKCS 01
both 'a key that may not leave is generated' silently p11 --keygen --key-type AES:16 --label stays --id 23 --sensitive
both 'it is not wrapped' fails p11 --wrap --mechanism AES-KEY-WRAP --id 03 --application-id 23 -o wrapped

both 'a certificate is stored' p11 --write-object other.crt --type cert --label stored --id 31
both 'and read again' silently p11 --read-object --type cert --label stored -o stored.crt
unchanged() { cmp other.crt stored.crt; }
both 'unchanged' unchanged
both 'data is stored' p11 --write-object data --type data --label 'some data' --application-label test --private
both 'it is read again' silently p11 --read-object --type data --label 'some data' --application-label test -o data2
data_unchanged() { cmp data data2; }
both 'it is what it was' data_unchanged
both 'all objects are alike' p11 -O
both 'without login private objects are not seen' tool --token-label "$TOKEN" -O
both 'an object is destroyed' p11 --delete-object --type cert --label stored
both 'and is gone' exits 1 p11 --read-object --type cert --label stored -o gone.crt
two_at_once() {
	local i
	for i in 1 2; do p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i data -o sig$i >/dev/null 2>&1 & done
	wait && cmp sig1 sig2
}
t 'a second user of the module works beside the first' on gateway two_at_once

# Here SoftHSM itself fails: a forked child is told that it is initialised already; two threads at once in C_Initialize crash.
t 'a fork that initialises on its own (--test-fork)' on gateway p11 --test-fork
t 'threads that initialise at the same moment (--test-threads)' says 'all threads have ended with CKR_OK' \
	on gateway p11 --test-threads ILGISLT0 --test-threads ILGISLT0
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the PIN is nowhere in the ledger' exits 1 grep -r -q -F "$PIN" "$LEDGER"
t 'the ledger is there' test -d "$LEDGER"
two_ways_end
