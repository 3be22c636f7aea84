#!/bin/bash
# kanmon audit bundle: one request's evidence, whole and changed in every line; and the ledger it comes from at size.
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
"$build/tests/unit/ledger/make_ledger" world 2500 || { echo 'Bail out! no ledger' && exit 1; }
LEDGER=world/ledger TRUST=world/trust
index() { kanmon audit show "$LEDGER" --type "$1" --raw | sed -n "$2p" | jq "${3:-.i}"; }
bundle() { kanmon audit bundle "$LEDGER" "$1" >"$2"; }
verify() { kanmon audit bundle verify "$1" --trust "${2:-$TRUST}" "${@:3}"; }

held=$(index statement 2 .body.request.i)
t 'a bundle is made from the index of the request' bundle "$held" held
t 'and agrees' exits 0 verify held
t 'it says what three custodians signed' says 'signed *ok .*3 of 3 notes' verify held
t 'that the signature verifies' says 'HSM *ok .*signature verifies' verify held
t 'and that the screen showed what was signed' says 'screen *ok .*1 records of screens' verify held
lied=$(index statement 3 .body.request.i)
bundle "$lied" lied
t 'a screen that showed another text than was signed is said' says 'screen *FAILED' verify lied
t 'and then it does not agree' exits 1 verify lied
examples=$source_dir/docs/examples
stamped=$(kanmon audit show "$examples/ledger" --type statement --raw | sed -n 1p | jq .body.request.i)
kanmon audit bundle "$examples/ledger" "$stamped" >stamped.bundle
t 'a time stamp that is good says when all of it was there' says 'time *ok .*all of it existed at [0-9]* ms' \
	verify stamped.bundle "$examples/trust"
t 'and its witnesses cosigned' exits 0 verify stamped.bundle "$examples/trust"
t 'and what it cannot show' says 'use count not checked' verify held
t 'as JSON' test 0 = "$(verify held "$TRUST" --json | jq .exit)"
result=$(kanmon audit show "$LEDGER" --request "$held" --type result --raw | jq .i)
bundle "$result" again
t 'from the index of its result it is the same' cmp held again
free=$(index result 5)
bundle "$free" free
t 'a call that no rule holds has one too' says 'signed *- .*holds no call' verify free
op=$(index op 1)
bundle "$op" op
t 'a call of class B has one: its only record, and what it stands on' says 'decided *ok .*as the policy demands' verify op
t 'and agrees' exits 0 verify op
t 'a change of any byte or line of it is seen' "$build/tests/unit/tools/bend_bundle" op "$TRUST"
t 'what is about no request has none' exits 3 kanmon audit bundle "$LEDGER" 1
t 'nor what is not there' exits 3 kanmon audit bundle "$LEDGER" 999999

t 'without a trust file nothing is proven' exits 3 kanmon audit bundle verify held
sed 's/^policy-sha256 ./policy-sha256 +/' "$TRUST" >other
t 'another policy than the pinned one is said' says 'policy *FAILED' verify held other
sed '/^$/i tsa one AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' "$TRUST" >stamped
t 'short of time stamps that are asked for' exits 2 verify held stamped
sed -n 's/^log [^+]*+[^+]*+//p' "$TRUST" | base64 -d | tail -c 32 >pub
{ printf '\004' && cat pub; } >key
id=$({ printf 'w\n' && cat key; } | sha256sum | cut -c 1-8)
sed "s|^quorum none|witness w w+$id+$(base64 -w 0 key)\nquorum w|" "$TRUST" >witnessed
t 'or of witnesses' exits 2 verify held witnessed
blob=$(grep -n '^blob ' held | cut -d: -f1)
for line in $blob; do sed "${line}d" held >bent; verify bent >>short 2>&1 && echo agrees >>short; done
t 'without the input or the key it does not agree' test 0 = "$(grep -c '^AGREES' short)"
t 'a change of any byte or line of a bundle is seen' "$build/tests/unit/tools/bend_bundle" held "$TRUST"
t 'also of one that nobody had to approve' "$build/tests/unit/tools/bend_bundle" free "$TRUST"

# The ledger as a whole: the outcome is the same whatever the number of threads, in order.
verdict() { kanmon audit verify "$1" --trust "$TRUST" --threads "$2" >"$3" 2>&1; }
seg=seg/00000000000000000000.kl
verdict "$LEDGER" 1 one && verdict "$LEDGER" 2 two && verdict "$LEDGER" 7 seven
t 'one thread and several say the same of a whole ledger' cmp one seven
t 'two as well' cmp one two
cp -r "$LEDGER" bent-ledger
spki=$(kanmon audit show "$LEDGER" --type result --raw | sed -n 3p | jq -r .body.out.b64)
sed -i "s|$spki|${spki:1:1}${spki:0:1}${spki:2}|" "bent-ledger/$seg"
for n in 1 3; do verdict bent-ledger $n bent.$n; done
t 'and of one that was changed' cmp bent.1 bent.3
t 'which fails' says 'FATAL' cat bent.1
# key blobs gone, one held input changed: findings on several threads, told in the order of the ledger
rm -r bent-ledger && cp -r "$LEDGER" bent-ledger
for blob in bent-ledger/blobs/*; do printf x >>"$blob"; done
for n in 1 3; do verdict bent-ledger $n bent.$n; done
t 'many findings come in the same order' cmp bent.1 bent.3
t 'and there are many' test "$(grep -c ^finding bent.1)" -gt 10
t '--structure leaves out what records say, and does not call that verified' exits 3 kanmon audit verify "$LEDGER" --trust "$TRUST" --structure
t 'no bar where there is no terminal' fails grep -q '#####' one
t_end
