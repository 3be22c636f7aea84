#!/bin/bash
# kanmon policy check, explain and diff: what people read before they sign.
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
export KANMON_PASSPHRASE_FILE=$work/pass
echo 'correct horse' >pass
for name in sato suzuki tanaka mori; do
	kanmon custodian new $name --person 00$name --out c --weak-seal >/dev/null || exit 99
done
kanmon client new ca --tokens root,issuing --out ca >/dev/null || exit 99
kanmon client new web --tokens issuing --out web >/dev/null || exit 99
{
	printf 'kanmon/policy/v1\norigin kanmon.example/gw1/2026\nversion 1\nprevious none\n'
	printf 'not-before 2026-01-01T00:00:00Z\nexpires 2036-01-01T00:00:00Z\n\n'
	cat c/*.policy ca/ca.policy web/web.policy
	cat <<-'END'
		token root module luna serial 1234 model "Luna K7" firmware 7.7.*
		token issuing
		group keepers 2 sato suzuki tanaka
		group officers 1 mori
		group board 2 keepers officers
		role policy 2 sato suzuki tanaka
		role veto 1 sato
		rule root
		  client ca
		  object pkcs11:token=root;object=root-ca
		  calls key-use
		  mechanisms CKM_ECDSA_SHA384 CKM_SHA384_RSA_PKCS
		  need keepers and officers
		  independent 2
		  content tbs-certificate ca=true validity<=3650d
		rule issue
		  client ca web
		  object pkcs11:token=issuing;object=issuing
		  calls key-use
		  need none
		  class B
		rule look
		  client ca web
		  calls login session query
		  need none
	END
} >policy

# ---- explain

fails_to_say() { ! says "$@" >/dev/null; }
e() { kanmon policy explain policy --at 2026-06-01T00:00:00Z --client "$@"; }
t 'a call is explained by the rule that decides' says '^runs: rule issue admits it' \
	e ca --token issuing --call C_Sign --mechanism CKM_ECDSA_SHA256 --object issuing
t 'and by why each before it does not fit' says '^line [0-9]*, rule root: it is for other objects: root-ca is on another token' \
	e ca --token issuing --call C_Sign --mechanism CKM_ECDSA_SHA256 --object issuing
t 'a rule after it is not spoken of' fails_to_say 'rule look' \
	e ca --token issuing --call C_Sign --mechanism CKM_ECDSA_SHA256 --object issuing
t 'another label is said' says 'rule root: it is for other objects: root-ca has another label' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object other
t 'another client is said' says 'rule root: it is for other clients: ca$' \
	e web --token issuing --call C_Sign --mechanism CKM_ECDSA_SHA256 --object issuing
t 'another function is said' says 'rule root: it is not about C_DestroyObject, but about: key-use' \
	e ca --token root --call C_DestroyObject --object root-ca
t 'another mechanism is said' says 'CKM_ECDSA_SHA256 is not among its mechanisms: CKM_ECDSA_SHA384 CKM_SHA384_RSA_PKCS' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA256 --object root-ca
t 'no rule: refused' says '^refused: no rule admits C_Sign with CKM_ECDSA_SHA256 by ca on token root, object root-ca' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA256 --object root-ca
t 'a digest only is said' says '^refused: rule root wants to see a tbs-certificate and got a digest only' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object root-ca
openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -subj /CN=R -days 30 -addext basicConstraints=critical,CA:true -out c.pem 2>/dev/null
openssl asn1parse -in c.pem -strparse 4 -noout -out tbs.der
t 'content that fits waits for its quorum' says '^waits for its quorum: rule root asks for a quorum' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object root-ca --file tbs.der
t 'whose groups are said' says '^needs officers: 1 of 1' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object root-ca --file tbs.der
t 'and how many must be independent' says '^2 of the approvals must be independent' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object root-ca --file tbs.der
openssl req -x509 -key k.pem -subj /CN=R -days 30 -addext basicConstraints=critical,CA:false -out e.pem 2>/dev/null
openssl asn1parse -in e.pem -strparse 4 -noout -out ee.der
t 'the bound that does not hold is said' says 'rule root: the content is outside its bound ca=true' \
	e ca --token root --call C_Sign --mechanism CKM_ECDSA_SHA384 --object root-ca --file ee.der
t 'a mechanism that is not approved is said' says '^refused: rule issue admits approved mechanisms, and CKM_MD5_RSA_PKCS is none' \
	e web --token issuing --call C_Sign --mechanism CKM_MD5_RSA_PKCS --object issuing
t 'what does the same another way is said' says 'It decides all the same: it keeps uses of this key from being free' \
	kanmon policy explain <(sed 's/^  calls login session query/&\n  calls key-management/;/^rule look/,$s/^  calls login session query/  calls login session query key-management/' policy | awk '!(/calls key-management$/ && seen++ >= 0)') \
	--at 2026-06-01T00:00:00Z --client ca --token root --call C_DeriveKey --mechanism CKM_ECDH1_DERIVE --object root-ca
t 'a token that the client does not see' says '^refused: token root is not among those of client web' \
	e web --token root --call C_OpenSession
t 'after its time the policy refuses' says '^refused: policy version 1 is expired' \
	kanmon policy explain policy --at 2040-01-01T00:00:00Z --client ca --token issuing --call C_Sign --object issuing
t 'a call that PKCS#11 does not have' exits 1 e ca --call C_Sing
t 'a client that the policy does not have' exits 1 e nobody --call C_Sign
t 'without --client it is a matter of usage' exits 2 kanmon policy explain policy --call C_Sign
t 'an object by its URI' says '^runs: rule issue' e ca --token issuing --call C_Sign --object 'pkcs11:object=issuing;type=private'
t 'a URI that is none' exits 1 e ca --token issuing --call C_Sign --object 'pkcs11:serial=1'
sed 's/^  calls login session query/& key-management/' policy >wide
w() { kanmon policy explain wide --at 2026-06-01T00:00:00Z --client ca --token issuing "$@"; }
t 'a template that makes a key which may leave' says '^refused: rule look does not `allow extractable`, and C_GenerateKey says CKA_EXTRACTABLE' \
	w --call C_GenerateKey --mechanism CKM_AES_KEY_GEN --attribute CKA_EXTRACTABLE=true
t 'of a pair, its private half' says '^refused: rule look does not `allow extractable`' \
	w --call C_GenerateKeyPair --mechanism CKM_EC_KEY_PAIR_GEN --object new --attribute CKA_SENSITIVE=false
t 'one that does not' says '^runs: rule look' w --call C_GenerateKey --mechanism CKM_AES_KEY_GEN --attribute CKA_EXTRACTABLE=false
t 'a key that is brought in' says '^refused: rule look does not `allow import`' \
	w --call C_CreateObject --object 'pkcs11:object=x;type=secret-key' --attribute CKA_SENSITIVE=true
t 'a certificate that is brought in' says '^runs: rule look' \
	w --call C_CreateObject --object 'pkcs11:object=x;type=cert' --attribute CKA_TOKEN=true
t 'a copy that may leave' says '^refused: rule look does not `allow extractable`, and C_CopyObject' \
	w --call C_CopyObject --object x --attribute CKA_EXTRACTABLE=true
t 'an attribute that is none' exits 1 w --call C_GenerateKey --attribute CKA_EXTRACTABLE
t 'as JSON' says '"answer": *"free"' e ca --token issuing --call C_Sign --object issuing --json

# ---- diff: one change each, and whose rights it changes

d() { sed "$1" policy >new && kanmon policy diff policy new; }
t 'a policy and itself: nobody' says "^Nobody's rights change" d ''
t 'comments and columns change no rights' says "^Nobody's rights change" d 's/^rule root/rule   root  # the root/'
while IFS='|' read -r says script want; do
	t "diff: $says" says "$want" d "$script"
done <<'END'
a group that asks for fewer|s/^group keepers 2/group keepers 1/|^group keepers: 1 of 3 are needed (before: 2 of 3)
a person less in a group|s/^group keepers 2 sato suzuki tanaka/group keepers 2 sato suzuki/|^group keepers: tanaka does not count in it any more
a person more in a group|s/^group officers 1 mori/group officers 1 mori tanaka/;s/^group board.*//|^group officers: tanaka counts in it now
a new group|s/^group board.*/&\ngroup more 1 sato/|^group more: is new: 1 of 1
a group that is gone|s/^group board.*//|^group board: is gone
a veto that asks for two|s/^role veto 1 sato/role veto 2 sato suzuki/|^role veto: 2 of 2 are needed (before: 1 of 1)
no veto any more|s/^role veto.*//|^role veto: is gone
a recovery|s/^role veto.*/&\nrole recovery 2 sato suzuki delay 24h/|^role recovery: is new: 2 of 2
a custodian who becomes an auditor|s/^custodian mori/auditor mori/;s/^group officers 1 mori/group officers 1 tanaka/;s/^group board.*//|^mori: is an auditor now
a terminal that is gone|s/^terminal mori.*//|^terminal mori: is gone, and is let in no more
no share key|s/^share-key mori.*//|^mori: is dealt no shares of PINs any more
shares to another key|s/^share-key mori.*/share-key mori VQfzBB\/KS8tZGkyw7kxt7IjyCp6xr2o\/svbuSlnumA8=/|^mori: is dealt shares of PINs to another key
a window|s/^rule look/rule crl\n  client ca\n  object pkcs11:token=root;object=crl\n  calls key-use\n  need keepers\n  per window 90d uses 400\nrule look/|^client ca: key-use on root with a key crl by other approved mechanisms asks for keepers by rule crl, and before is refused
a client that is gone|s/^client web.*//;s/client ca web/client ca/|^client web: is gone, and is let in no more
calls of a client that is gone|s/^client web.*//;s/client ca web/client ca/|^client web: login on issuing is refused, and before runs by rule look$
keys of a client that is gone|s/^client web.*//;s/client ca web/client ca/|^client web: key-use on issuing with a key issuing by CKM_ECDSA_SHA384 is refused, and before runs by rule issue
a token more for a client|s/^\(client web.*\) tokens issuing/\1 tokens root,issuing/;s/tokens root,issuing/tokens root issuing/|^client web: root is a token that it sees now
a token less for a client|s/^\(client ca .*\) tokens root issuing/\1 tokens issuing/|^client ca: root is a token that it does not see any more
an operator|s/^client ca .*/& operators mori/|^client ca: mori runs it now, and may not approve what it asks
slots|s/^\(client ca .*\) tokens root issuing/\1 tokens root=1 issuing=2/|^client ca: its slots have other numbers
another serial number|s/serial 1234/serial 1235/|^token root: its serial number must be 1235 (before: 1234)
a serial number that is not asked any more|s/serial 1234//|^token root: its serial number must be nothing in particular (before: 1234)
a level|s/^token issuing/& level 3/|^token issuing: its certification is level 3 (before: 0)
a token more|s/^token issuing/&\ntoken spare/|^token spare: is new: spare
a rule that is gone|/^rule issue/,/class B/d|^rule issue: is gone
a rule more|s/^rule look/rule wide\n  client web\n  calls key-management\n  need none\nrule look/|^rule wide: is new
what a rule more lets run|s/^rule look/rule wide\n  client web\n  calls key-management\n  need none\nrule look/|^client web: key-management on issuing with a key that no rule names by other approved mechanisms runs by rule wide, and before is refused
a need that is none now|s/^  need keepers and officers/  need none/;s/^  independent 2//|^rule root: says now: need none
what needs nobody now|s/^  need keepers and officers/  need none/;s/^  independent 2//;s/^  content.*//|^client ca: key-use on root with a key root-ca by CKM_ECDSA_SHA384 runs by rule root, and before asks for its content is seen first
a need of other groups|s/^  need keepers and officers/  need board/|^rule root: says now: need board
a client less in a rule|s/^  client ca web/  client ca/|^rule issue: does not say any more: client web
a function more in a rule|s/^  calls login session query/& C_DestroyObject/|^client ca: C_DestroyObject on issuing runs by rule look, and before is refused
mechanisms of a rule|s/ CKM_SHA384_RSA_PKCS$//|^client ca: key-use on root with a key root-ca by CKM_SHA384_RSA_PKCS is refused
any mechanism|s/^  class B/&\n  mechanisms any/|^client web: key-use on issuing with a key issuing by mechanisms that are not approved runs by rule issue
a bound|s/ validity<=3650d/ validity<=7300d/|^rule root: says now: bound validity<=7300d
content that is not asked any more|s/^  content.*//|^rule root: does not say any more: content tbs-certificate
the order of rules|/^rule root/,/^  content/{H;d};/^rule look/{x;s/^\n//;G}|^rule issue: stands first now
another end|s/^expires 2036/expires 2030/|^everybody: calls are judged until 2030-01-01T00:00:00Z (before: until 2036-01-01T00:00:00Z)
a limit|s/^group keepers.*/&\nanchors within 1h refuse A/|^everybody: 1 fresh time stamps within 3600 s are needed for calls of class A
a place for security keys|s/^group keepers.*/&\nwebauthn own origin https:\/\/localhost rp-id localhost independent/|^security keys: count at https://localhost for localhost, as independent
keys that may be brought in|s/^  class B/&\n  allow import/|^rule issue: says now: allow import
keys that must be made inside|s/^  class B/&\n  origin local/|^rule issue: says now: origin local
END
sato=$(sed -n 's/^custodian sato [^ ]* //p' policy)
mori=$(sed -n 's/^custodian mori [^ ]* //p' policy)
t 'diff: a key that is another person now' says '^tanaka: signs by the key .*, before that of mori' \
	d "s#^custodian mori.*#custodian tanaka person:00tanaka $mori#;s/^group officers 1 mori/group officers 1 sato/;s/^group board.*//;/^terminal mori/d;/^share-key mori/d"
t 'diff: a person who is gone' says '^mori: is gone: no vote of theirs counts' \
	d "/^custodian mori/d;/^terminal mori/d;/^share-key mori/d;s/^group officers 1 mori/group officers 1 sato/;s/^group board.*//"
t 'diff: a key of a person who stays' says '^sato: does not sign any more by the key ' \
	d "s#^custodian sato.*##;s#^custodian mori.*#custodian sato person:00sato $mori#;/^terminal mori/d;/^share-key mori/d;s/^group officers 1 mori/group officers 1 sato/;s/^group board.*//"
t 'diff: and by which they sign' test -n "$sato"
t 'diff as JSON' says '"whose": *"group keepers"' kanmon policy diff policy <(sed 's/^group keepers 2/group keepers 1/' policy) --json
t 'diff of what is no policy' exits 1 kanmon policy diff policy pass

# ---- the next version

sed -e 's/^expires .*/expires 2026-03-02T00:00:00Z/' policy >short
kanmon policy sign short --key c/sato.key --yes >/dev/null
kanmon policy next short --out next >out || cat out
head_of() { sed -n "s/^$1 //p" "$2"; }
t 'next: the version after it' test "$(head_of version next)" = $(($(head_of version short) + 1))
t 'next: by the hash of the one before' test "$(head_of previous next)" = "$(kanmon policy check short --json | jq -r .sha256)"
t 'next: from now on' test $(($(date +%s) - $(date -d "$(head_of not-before next)" +%s))) -lt 60
t 'next: as long as the one before' test $(($(date -d "$(head_of expires next)" +%s) - $(date -d "$(head_of not-before next)" +%s))) = $((60 * 86400))
rest() { grep -v -E '^(version|previous|not-before|expires) ' "$1" | sed '/^— /d' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'; }
t 'next: every other line is as it was, and no signature' cmp <(rest next) <(rest short)
kanmon policy next short --days 7 >week
t 'next: of so many days' test $(($(date -d "$(head_of expires week)" +%s) - $(date -d "$(head_of not-before week)" +%s))) = $((7 * 86400))
t 'next: a file is not written over' exits 1 kanmon policy next short --out next
t 'next: of what is no policy' exits 1 kanmon policy next pass
t 'check: one that has ended is named, with its line' says '^line 6: it expired at 2026-03-02T00:00:00Z' kanmon policy check short
kanmon policy next short --days 20 --out soon >/dev/null
t 'check: one that ends within 30 days, too' says '^line 6: it expires at .* in [12][09] days' kanmon policy check soon
t 'check: one that lasts longer is not' exits 1 grep -q 'expire' <(kanmon policy check next)

# ---- what docs/policy.md says of attacks and of approved mechanisms is what the code has

page=$source_dir/docs/policy.md
attacks() { tr -d '\n\\' <"$source_dir/tests/unit/quorum/test_pkcs11_attacks.c" | grep -o 'ROW([a-z0-9_]*, *"[^"]*"' | sed 's/.*"\(.*\)"/\1/'; }
each_attack() {
	local n=0 says
	while read -r says; do
		n=$((n + 1))
		grep -q -F "| $says |" "$page" || { echo "not on the page: $says" && return 1; }
	done < <(attacks)
	[ $n -gt 40 ] && [ $n -eq $(($(sed -n '/^## Known attacks/,$p' "$page" | grep -c '^| ') - 2)) ] # a head and a rule
}
t 'each attack that is tested is on the page, and no other' each_attack
t 'the table of approved mechanisms is the code' cmp \
	<(sed -n '/approved\[\] = {/,/};/p' "$source_dir/server/quorum/policy_mechanisms.c" | grep -o 'ROW([A-Z0-9_]*' | sed 's/ROW(//') \
	<(sed -n '/^### Approved mechanisms/,/^By the hash/p' "$page" | grep '^    ' | tr -s ' ' '\n' | grep .)
t_end
