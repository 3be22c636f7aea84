#!/bin/bash
# Asynchronous sessions (PKCS#11 3.2): a quorum that outlives the call, its session, its process and the gateway's.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/async/common.sh"
up --policy quorum

# ---- a key, in one process ----------------------------------------------------------------------------------------------
asker list open info keypair:root-ca info ask:C_GenerateKeyPair ask:C_Sign until:go \
	await:C_GenerateKeyPair ask:C_GenerateKeyPair close finalize >said 2>&1 &
process=$!
said "^ask.*0x91"
id=$(waiting)
t 'a module of 2.40 is offered with 3.2 where calls can be held' got 'list 2.40 3.2 .* 0x0'
t 'the session says that it is asynchronous' got 'info (async) 0x0'
t 'what a quorum must approve is pending at once' got "keypair $PENDING"
t 'and when asked for' got "ask $PENDING"
t 'another function is not pending' got 'ask (none 0 ) 0x91'
approve "$id" && touch go
wait "$process"
t 'approved, it gives the handles of both keys' got 'await (none 0 object object) 0x0'
t 'and once' test "$(grep -c '^ask (none 0 ) 0x91$' said)" = 2
pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --read-object --type pubkey --label root-ca -o pub.der >/dev/null 2>&1
openssl pkey -pubin -inform DER -in pub.der -out pub

# ---- a signature, in one process ----------------------------------------------------------------------------------------
echo one >one
rm -f go
asker open find:root-ca init how-long:one sign-into:10:one sign:one sign:one find:root-ca ask:C_Sign until:go await:C_Sign:sig \
	close finalize >said 2>&1 &
process=$!
said "^ask"
t 'a question for the length never pends' got 'how-long (256) 0x0'
t 'a buffer that is too small is said at once' got 'sign-into (256) 0x150'
t 'the signature pends' got "sign (1024) $PENDING"
t 'the session takes no other call of that kind meanwhile' got 'sign (1024) 0x90'
id=$(waiting)
approve "$id" && touch go
wait "$process"
t 'approved, it is in the buffer of the call' got 'await (ours 256 ) 0x0'
t 'and verifies' verifies sig one

# ---- two processes, and a gateway that was restarted ----------------------------------------------------------------------
echo two >two
t 'a process leaves with the id of its request' start two
before=$(requests)
t 'the request stays open' state open "$id"
t 'what it takes to join is in the folder of state' test "$(recipe_files | wc -l)" = 1
t 'for its owner alone' test 600 = "$(stat -c %a "$(recipe_files)")"
restart_kanmond
asker open "join:C_Sign:$id" ask:C_Sign id:C_Sign finalize >said 2>&1
t 'after a restart of the gateway another process joins' got 'join 0x0'
t 'it is pending as before' got "ask $PENDING"
t 'and can be left again' test "$id" = "$(id_of)"
approve "$id"
asker open "join:C_Sign:$id" await:C_Sign:sig2 finalize >said 2>&1
t 'approved meanwhile, who joins gets the signature' got 'await (ours 256 ) 0x0'
t 'it verifies' verifies sig2 two
t 'it was one request all the time' test "$before" = "$(requests)"
t 'which is done' state done "$id"
t 'nothing is left in the folder' test "$(recipe_files | wc -l)" = 0
asker open "join:C_Sign:$id" finalize >said 2>&1
t 'and it is joined no more' got "join $INVALID"

# ---- in parts, and a call without an operation ------------------------------------------------------------------------------
echo first >a
echo last >b
asker open find:root-ca init update:a update:b final id:C_SignFinal finalize >said 2>&1
id=$(id_of)
t 'a signature over parts has an id' state open "$id"
approve "$id"
asker open "join:C_SignFinal:$id" await:C_SignFinal:sig3 finalize >said 2>&1
t 'who joins makes the parts again' got 'await (ours 256 ) 0x0'
cat a b >ab
t 'and gets the signature over them' verifies sig3 ab

# ---- no ---------------------------------------------------------------------------------------------------------------
echo three >three
start three && reject "$id"
asker open "join:C_Sign:$id" ask:C_Sign finalize >said 2>&1
t 'one that was rejected says so when it is asked' got "ask (none 0 ) $REJECTED"
t 'and what that asked for anew is withdrawn' test -z "$(waiting)"
t 'its recipe is gone' test "$(recipe_files | wc -l)" = 0

start three && kanmon request withdraw "$id" --reason 'not today' >/dev/null
asker open "join:C_Sign:$id" ask:C_Sign finalize >said 2>&1
t 'one that was withdrawn says that it was cancelled' got 'ask (none 0 ) 0x50'

asker open find:root-ca init sign:three until:no await:C_Sign finalize >said 2>&1 &
process=$!
said "^sign.*$PENDING"
reject "$(waiting)" && touch no
wait "$process"
t 'a rejected call that is still pending says so' got "await (ours 0 ) $REJECTED"

asker open find:root-ca init sign:three until:closing close finalize >said 2>&1 &
process=$!
said "^sign.*$PENDING"
id=$(waiting)
touch closing
wait "$process"
t 'a session that is closed without the id withdraws its request' state withdrawn "$id"
asker open find:root-ca init sign:three cancel ask:C_Sign finalize >said 2>&1
t 'so does C_SessionCancel' got 'ask (none 0 ) 0x91'
t 'and nothing is open' test -z "$(waiting)"
asker open find:root-ca init sign:three close-all finalize >said 2>&1
t 'and C_CloseAllSessions' test -z "$(waiting)"
asker open find:root-ca init sign:three finalize >said 2>&1
id=$(waiting)
t 'C_Finalize leaves it open' state open "$id"
kanmon request withdraw "$id" --reason 'not needed' >/dev/null

# ---- what a recipe is not good for ------------------------------------------------------------------------------------------
start three
recipe=$(recipe_files)
cp "$recipe" "$(dirname "$recipe")/async-7"
asker open join:C_Sign:7 "join:C_GenerateKey:$id" join:C_Sign:999999 finalize >said 2>&1
t 'an id that no recipe has, or under another name, is refused' test 3 = "$(grep -c "^join $INVALID\$" said)"
head -c 100 "$recipe" >short && cp short "$recipe"
asker open "join:C_Sign:$id" finalize >said 2>&1
t 'a recipe that ends early is refused' got "join $INVALID"
kanmon request withdraw "$id" --reason 'not needed' >/dev/null
rm -f "$(dirname "$recipe")"/async-*

start three
token --delete-object --type privkey --label root-ca
token --delete-object --type pubkey --label root-ca
token --keypairgen --key-type rsa:2048 --label root-ca --id 02
asker open "join:C_Sign:$id" finalize >said 2>&1
t 'another key with the same name is not signed with' got "join $INVALID"
t 'and asks nobody' test "$id" = "$(waiting)"

t 'a session that is not asynchronous has nothing to join' bash -c "'$build/tests/async/asker' open-plain join:C_Sign:$id | grep -qx 'join 0x54'"
t 'the ledger verifies' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
