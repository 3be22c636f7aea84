#!/bin/bash
# Custodians with PKCS#11 cards of every type, against a real gateway. SoftHSM is the card here, too.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer 'whose module takes no foreign process'
softhsm=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
[ -n "$softhsm" ] || { echo '1..0 # SKIP SoftHSM2 is not installed' && exit 0; }
cd "$work" || exit 99

# The card: one token, a key of each type, and one that is nobody's.
mkdir -p card/tokens
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/card/tokens" >card/conf
oncard() { SOFTHSM2_CONF=$work/card/conf "$@"; }
oncard softhsm2-util --init-token --free --label CARD --pin 123456 --so-pin 12345678 >/dev/null
p11card() { oncard pkcs11-tool --module "$softhsm" --token-label CARD --login --pin 123456 "$@" >/dev/null 2>&1; }
printf 123456 >pin
printf 654321 >wrong
n=0
for key in p256:EC:prime256v1 p384:EC:secp384r1 pss:rsa:2048 pkcs1:rsa:2048 stranger:EC:prime256v1 weak:rsa:1024; do
	n=$((n + 1))
	p11card --keypairgen --key-type "${key#*:}" --label "${key%%:*}" --id "0$n"
done

# made NAME [OPTION...]: a custodian of the key of that name.
made() { oncard kanmon custodian new "$1" --person "10$1" --out cards --card "$softhsm" --token CARD --key "$1" --passphrase-file pin "${@:2}"; }
kind() { sed 's/^[^+]*+[^+]*+//' "cards/$1.vkey" | base64 -d 2>/dev/null | tail -c +2 | tr '\0' '\n' | head -n 1; }
t 'a custodian is enrolled with the P-256 key of a card' made p256
t 'with a P-384 key' made p384
t 'with an RSA key, which signs by PSS' made pss
t 'with an RSA key that signs by PKCS#1 v1.5' made pkcs1 --pkcs1
t 'each by its type' test "$(for k in p256 p384 pss pkcs1; do kind $k; done | tr '\n' ' ')" = \
	'kanmon/ecdsa-p256-sha256/v1 kanmon/ecdsa-p384-sha384/v1 kanmon/rsa-pss-sha256/v1 kanmon/rsa-pkcs1-sha256/v1 '
t 'a weak key is refused' says 'none that can sign here' made weak
t 'a card that is not there is said' says 'no card called' oncard kanmon custodian new x --person 1 --out cards \
	--card "$softhsm" --token OTHER --key x --passphrase-file pin
t 'so is a key that is not on it' says 'has no private key nokey' made nokey
t 'a module by a bare name is not loaded' says 'by its whole path' oncard kanmon custodian new x --person 1 --out cards \
	--card libsofthsm2.so --token CARD --key p256 --passphrase-file pin
# A security key, as a browser tells of it; the point is that of W3C's vectors. registered FLAGS ORIGIN
registered() {
	python3 - "$1" "$2" <<'PYTHON' >registration.json
import base64, hashlib, json, sys
url = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")
point = bytes.fromhex("afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61"
    "930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220")
data = hashlib.sha256(b"approve.example").digest() + bytes([int(sys.argv[1], 16)]) + bytes(4 + 16) + b"\0\4abcd" + \
    bytes.fromhex("a5010203262001215820") + point[:32] + b"\x22\x58\x20" + point[32:]
client = '{"type":"webauthn.create","challenge":"AAAA","origin":"%s","crossOrigin":false}' % sys.argv[2]
print(json.dumps({"id": "YWJjZA", "response": {"authenticatorData": url(data), "clientDataJSON": url(client.encode())}}))
PYTHON
}
key() { kanmon custodian new "$1" --person 9 --out cards --webauthn registration.json --origin https://approve.example --rp-id approve.example; }
registered 45 https://approve.example
t 'a security key is enrolled from its registration' says '^webauthn console origin https://approve.example rp-id approve.example' key finger
t 'by its type' test "$(kind finger)" = kanmon/webauthn-es256/v1
registered 4d https://approve.example
t 'one that can be copied is refused' says 'BE is set' key x
registered 41 https://approve.example
t 'so is one that does not verify the person' says 'UV is not set' key x
registered 45 https://evil.example
t 'and one that was made elsewhere' says 'was not made at' key x
echo '{}' >registration.json
t 'and what is no registration' says 'it has no response' key x
t 'what was refused left no file' test ! -e cards/weak.vkey -a ! -e cards/x.crt

cat >policy.in <<POLICY
kanmon/policy/v1
origin @ORIGIN@
version 1
previous none
not-before @NOT_BEFORE@
expires @EXPIRES@

@ROSTER@
$(cat cards/p*.policy)
token @TOKEN@
stance @TOKEN@ seal

group cards 4 p256 p384 pss pkcs1
group files 1 sato suzuki tanaka
role policy 3 sato suzuki tanaka p256 p384
role veto 1 p256

rule root-key
  client  app
  object  pkcs11:token=@TOKEN@;object=root-ca
  calls   key-use
  need    cards and files
  independent 5
  expires 4h

rule rest
  client  app
  calls   key-management login session query random
  need    none
POLICY
export PIN=kanmon-pin-4711-xyzzy
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >up.log 2>&1 || { sed 's/^/# /' up.log && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
address=$(sed -n 's/^gateway = {"\(.*\)"}/\1/p' "$CUSTODIAN_DIR/sato.conf")
origin=$(sed -n 's/^origin = "\(.*\)"/\1/p' "$CUSTODIAN_DIR/sato.conf")
for k in p256 p384 pss pkcs1; do
	kanmon custodian config cards/$k --gateway "$address" --spki gw/gateway/gateway.spki --origin "$origin" >/dev/null
done
t 'the configuration names the card' grep -q '^card-key = "pss"' cards/pss.conf
p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01 >/dev/null 2>&1
echo 'pay 1 yen' >bill
id=$(kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_SHA256_RSA_PKCS --file bill --json | jq -r .id)
# approve NAME [OPTION...]
approve() { oncard kanmon approve "$id" --as "cards/$1" --passphrase-file pin --yes "${@:2}"; }
have() { kanmon request show "$id" --json | jq -c .request.have; }

t 'a wrong PIN is tried once' says 'the PIN is wrong. It was tried once' approve p256 --passphrase-file wrong
t 'and nothing was signed' test '[]' = "$(have)"
t 'a key that is none of the policy signs nothing' says 'no custodian with this key' approve p256 --card "$softhsm" --token CARD --key stranger
# At a terminal the PIN is asked, and not shown.
typed() { printf "$1" | oncard script -qec "stty rows 200 cols 200; kanmon approve $id --as cards/p256" /dev/null; }
typed 'yes\n654321\n' >screen
t 'at a terminal the PIN of the card is asked' grep -q 'PIN of card CARD: ' screen
t 'a wrong one there is not tried again' test "$(grep -c 'PIN of card' screen)" = 1
mv card/tokens card/away && mkdir card/tokens
t 'a card that was taken out is said' says 'no card called CARD is there' approve p256
rmdir card/tokens && mv card/away card/tokens
t 'the P-256 card approves' says 'Recorded: approval' approve p256
t 'the P-384 card' says 'Recorded: approval' approve p384
t 'the RSA card by PSS' says 'Recorded: approval' approve pss
t 'the RSA card by PKCS#1' says 'Recorded: approval' approve pkcs1
kanmon approve "$id" --as "$CUSTODIAN_DIR/sato" --passphrase-file "$CUSTODIAN_DIR/sato.passphrase" --yes >/dev/null
t 'all are there' test '["p256","p384","pss","pkcs1","sato"]' = "$(have)"
t 'cards and a key file together let the HSM sign' p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i bill -o sig
id=$(kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_SHA256_RSA_PKCS --file policy.in --json | jq -r .id)
t 'a card vetoes' says 'Recorded: veto' oncard kanmon veto "$id" --as cards/p256 --passphrase-file pin --yes --reason 'not in the script'

# A machine without network, configuration or memory: all it has is the file and the card.
ask() { kanmon request new --token "$TOKEN" --key root-ca --mechanism CKM_SHA256_RSA_PKCS --file "$1" --purpose "${2:-test}" --json | jq -r .id; }
alone() { env -i PATH="$PATH" LANG=C SOFTHSM2_CONF="$work/card/conf" unshare -rn "$@"; }
unshare -rn true 2>/dev/null || alone() { env -i PATH="$PATH" LANG=C SOFTHSM2_CONF="$work/card/conf" "$@"; }
offline() { alone kanmon "$1" --offline "$2" --card "$softhsm" --token CARD --key "$3" --passphrase-file pin --yes "${@:4}"; }
echo 'pay 2 yen' >bill2
id=$(ask bill2 "$(printf '長い目的%.0s' $(seq 12))")
t 'a request is exported by a terminal' says 'Wrote out.request' kanmon request export "$id" --out out.request --as "$CUSTODIAN_DIR/sato"
t 'a file is not written over' exits 1 kanmon request export "$id" --out out.request --as "$CUSTODIAN_DIR/sato"
t 'offline it is shown whole, and what cannot be known there' says '^NOT verified: .*may have ended' offline approve out.request p256
t 'a card signed it' grep -q '^— p256 ' out.request.approval
t 'another terminal brings the approval' says 'Recorded: approval' kanmon approval import out.request.approval --as "$CUSTODIAN_DIR/tanaka"
t 'it counts as that person' test '["p256"]' = "$(have)"
t 'and only once' says 'has voted already' kanmon approval import out.request.approval --as "$CUSTODIAN_DIR/tanaka"
t 'a key file signs offline too' says 'Wrote out.request.rejection' alone kanmon reject --offline out.request --reason 'too late' --yes \
	--key "$CUSTODIAN_DIR/sato.key" --passphrase-file "$CUSTODIAN_DIR/sato.passphrase"
t 'a rejection comes back' says 'Recorded: rejection' kanmon approval import out.request.rejection --as "$CUSTODIAN_DIR/sato"
lie() { sed "$2" out.request >"$1" && ! cmp -s out.request "$1"; }
lie lie1 's/key-label root-ca/key-label root-cb/' && lie lie2 's/group files 1/group files 0/' && lie lie3 's/"id": [0-9]*/"id": 1/' && lie lie4 's|"origin": "|&x|'
for n in 1 2 3 4; do t "a changed file is not signed ($n)" exits 1 offline approve lie$n p384; done
t 'a changed statement is named' says 'DO NOT SIGN' offline approve lie1 p384
t 'in Japanese, too' says '署名しないこと (DO NOT SIGN): [^a-z]*$' offline approve lie1 p384 --language ja
head -c 3000 out.request >cut
t 'a cut file is none' says 'no exported request' offline approve cut p384
t 'nothing came of them' test "$(ls lie*.approval cut.approval 2>/dev/null | wc -l)" = 0
sed 's/^uses 1/uses 2/' out.request.approval >forged
t 'a changed note does not count' says 'the text is not the statement' kanmon approval import forged --as "$CUSTODIAN_DIR/sato"
t 'what is no note is not brought' says 'no signed answer' kanmon approval import out.request --as "$CUSTODIAN_DIR/sato"
cp out.request late && offline approve late pss >/dev/null
t 'a veto is signed offline' says 'Wrote' offline veto out.request p256 --reason 'stop'
t 'and ends the request' says 'Recorded: veto' kanmon approval import out.request.veto --as "$CUSTODIAN_DIR/sato"
t 'what comes after does not count' says 'does not count' kanmon approval import late.approval --as "$CUSTODIAN_DIR/sato"

# The screen: 80 columns, English and Japanese. at COLUMNS COMMAND: what a terminal of that width shows, nothing signed.
id=$(ask bill2 "$(printf '長い目的%.0s' $(seq 12))")
at() { yes no 2>/dev/null | head -n 40 | script -qec "stty rows 24 cols $1 -echo; kanmon approve $id --as '$CUSTODIAN_DIR/sato' --passphrase-file /dev/null $2" /dev/null | tr -d '\r' | sed -e 's/\x1b\[[0-9;]*[A-Za-z]//g' -e 's/^-- Enter .*--//'; }
at 80 '--language en' >english
at 80 '--language ja' >japanese
# Wide characters are two columns.
longest() { python3 -c 'import sys, unicodedata
print(max(sum(2 if unicodedata.east_asian_width(c) in "WFA" else 1 for c in l.rstrip("\n")) for l in open(sys.argv[1], encoding="utf-8")))' "$1"; }
t 'no line is longer than 80 columns' test "$(longest english)" -le 80
t 'nor in Japanese' test "$(longest japanese)" -le 80
t 'long lines go on behind a mark' grep -q '^  > ' english
# The statement as it is signed, out of what was shown.
text() { cat "$1" | sed -n '/^kanmon\/approval/,/^----/p' | sed '/^----/d' | sed -e ':a' -e 'N' -e '$!ba' -e 's/\n  > //g'; }
kanmon request show "$id" --json | jq -r .statement | sed '/^$/d' >statement
t 'and nothing of the statement is hidden' bash -c "$(declare -f text); text english | cmp - statement"
t 'nor changed in Japanese' bash -c "$(declare -f text); text japanese | cmp - statement"
t 'what was verified is said in Japanese' grep -q '^この端末で検証済み: ' japanese
t 'and what was not' grep -q '^未検証: ' japanese
t 'the keys of the lines are explained' grep -q '公開鍵のハッシュ' japanese
t 'each of them' bash -c 'for k in $(sed 1d statement | cut -d " " -f 1 | sort -u); do grep -q "^  $k  *[^ ]" japanese || { echo "$k" && exit 1; }; done'
t 'the question is asked in Japanese' grep -q 'この内容を承認しますか' japanese
t 'LANG chooses the language' says '^この端末で検証済み' env LANG=ja_JP.UTF-8 kanmon reject "$id" --reason no --yes --as "$CUSTODIAN_DIR/sato" --passphrase-file "$CUSTODIAN_DIR/sato.passphrase"
cp gw/policy again
t 'a card signs a policy' says 'Signed again' oncard kanmon policy sign again --card "$softhsm" --token CARD --key pss --passphrase-file pin --yes
t 'the signature is listed' says '^signed by pss' kanmon policy check again
# A token that an anomaly sealed is reopened by cards: any person of role policy, with whatever key.
echo '1999-12-31T23:59:59.000Z hsm serial=0 op=C_Sign key=root-ca id=01 rv=0x00000000' >row
t 'a row of the HSM that no record explains' says '1 UNMATCHED' kanmon hsm-log submit "$LEDGER" row \
	--format "$source_dir/docs/examples/hsm-log.syslog" --as "$CUSTODIAN_DIR/sato"
reopen() { oncard kanmon reopen reopening --as "cards/$1" --passphrase-file pin --yes "${@:2}"; }
t 'seals the token' says 'is sealed by record' kanmon status --as "$CUSTODIAN_DIR/sato"
t 'a wrong PIN signs nothing' says 'the PIN is wrong. It was tried once' reopen p256 --of "$TOKEN" --reason 'a test row' --passphrase-file wrong
t 'and leaves no file' test ! -e reopening
t 'a card begins' exits 0 reopen p256 --of "$TOKEN" --reason 'a test row, brought by ourselves'
t 'its signature is there' grep -q '^— p256 ' reopening
t 'a second one is not enough' says 'signed by 2 of the 3 persons' reopen p384 --submit
t 'a card that is not of role policy does not count' says 'signed by 2 of the 3 persons' reopen pkcs1 --submit
t 'a key file completes it' exits 0 kanmon reopen reopening --submit --yes --as "$CUSTODIAN_DIR/sato" --passphrase-file "$CUSTODIAN_DIR/sato.passphrase"
t 'the token is well' test '{}' = "$(kanmon status --as "$CUSTODIAN_DIR/sato" --json | jq -c .stances)"
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'and by a second verifier, which has its own ECDSA and RSA' env LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1 \
	python3 "$source_dir/tests/unit/ledger/oracle/second.py" "$LEDGER" "$TRUST"
t_end
