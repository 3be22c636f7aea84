#!/bin/bash
# Ids of calls that wait for a quorum (PKCS#11 3.2): each kind of call across processes, in one process without a folder, and
# in the hands of another client.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/async/common.sh"
UNSAVEABLE=0x180

# Clients `app` and `other` may ask for everything, and all of it waits for two custodians.
kanmon client new other --tokens root --out "$work/other" >/dev/null
{
	sed '/^rule /,$d' "$source_dir/tools/quorum.policy.in" | sed "/^token @TOKEN@/{
		h
		r $work/other/other.policy
		}"
	cat <<-'RULES'
		rule wrapping
		  client     app
		  object     pkcs11:token=@TOKEN@;object=kek
		  calls      C_WrapKey
		  mechanisms any
		  need       none

		rule keys
		  client     app other
		  calls      key-use key-management
		  mechanisms any
		  allow      import extractable
		  need       root-keepers
		  per        operation
		  expires    4h

		rule look
		  client app other
		  calls  login session query random
		  need   none
	RULES
} >"$work/ids.policy.in"
up --policy "$work/ids.policy.in"
token --keypairgen --key-type rsa:2048 --label root-ca --id 02
token --keypairgen --key-type rsa:2048 --label gone --id 03
token --keygen --key-type AES:16 --label kek --id 04
token --keygen --key-type AES:16 --label one --id 05 --extractable
token --keypairgen --key-type EC:prime256v1 --label ours --id 06 --usage-derive
token --keypairgen --key-type EC:prime256v1 --label theirs --id 07 --usage-derive
token --read-object --type pubkey --label theirs -o theirs.der
tail -c 65 theirs.der >theirs
token --read-object --type pubkey --label root-ca -o pub.der
openssl pkey -pubin -inform DER -in pub.der -out pub

# leaves WORD...: a process makes a call and leaves with its id.
leaves() { asker open "$@" finalize >said 2>&1 && id=$(id_of) && [ -n "$id" ]; }
# joins FUNCTION [FILE]: approved, another process joins, and what came goes to FILE.
joins() { approve "$id" && asker open "join:$1:$id" "await:$1:${2:-/dev/null}" finalize >said 2>&1; }
value_of() { token --read-object --type secrkey --label "$1" -o "value-$1" && test -s "value-$1"; }
same_key() { value_of "$1" && value_of "$2" && cmp "value-$1" "value-$2"; }
different_keys() { value_of "$1" && value_of "$2" && ! cmp "value-$1" "value-$2"; }
none_left() { [ -z "$(recipe_files)" ]; }

# ---- across processes -----------------------------------------------------------------------------------------------------
t 'C_DestroyObject has an id' leaves find:gone destroy id:C_DestroyObject
joins C_DestroyObject
t 'who joins destroys' got 'await (none 0 ) 0x0'
asker open-plain find:gone find-secret:kek finalize >said 2>&1
t 'that key' got 'find 0x60'
t 'and no other' got 'find-secret 0x0'

t 'C_WrapKey has an id' leaves find-secret:kek find-other:one wrap id:C_WrapKey
joins C_WrapKey wrapped
t 'who joins gets the wrapped key' got 'await (ours 24 ) 0x0'
t 'C_UnwrapKey has an id' leaves find-secret:kek unwrap:wrapped:two id:C_UnwrapKey
joins C_UnwrapKey
t 'who joins gets a handle' got 'await (none 0 object) 0x0'
t 'of the key that was wrapped' same_key one two

t 'C_DeriveKey has an id' leaves find:ours derive:theirs:three id:C_DeriveKey
joins C_DeriveKey
t 'who joins gets the derived key' got 'await (none 0 object) 0x0'
leaves find:ours derive:theirs:four id:C_DeriveKey && joins C_DeriveKey
t 'made of the same it is the same' same_key three four
t 'and not one that was there before' different_keys three one
head -c 32 /dev/urandom >diversity
asker open find-secret:kek derive-by-data:diversity:five id:C_DeriveKey close finalize >said 2>&1
t 'data that the ledger does not show are not kept either: there is no id' got "id (0) $UNSAVEABLE"

t 'C_CreateObject has an id where nothing is secret' leaves create:found id:C_CreateObject
joins C_CreateObject
t 'who joins gets the object' got 'await (none 0 object) 0x0'
asker open create-secret:mine id:C_CreateObject ask:C_CreateObject close finalize >said 2>&1
t 'the value of a secret key is not kept: there is no id' got "id (0) $UNSAVEABLE"
t 'and the call stays pending' got "ask $PENDING"

head -c 20 /dev/urandom >plain
openssl pkeyutl -encrypt -pubin -inkey pub -pkeyopt rsa_padding_mode:pkcs1 -in plain -out cipher
t 'C_Decrypt has an id' leaves find:root-ca init-decrypt decrypt:cipher id:C_Decrypt
t 'the plaintext is in no file of the client' bash -c "! grep -rqaF \"\$(cat plain | tr -d '\\0\\n')\" gw/client"
joins C_Decrypt decrypted
t 'who joins gets the plaintext' cmp plain decrypted
t 'nothing is left in the folder' none_left

# ---- in one process, without a folder ---------------------------------------------------------------------------------------
sed -e 's/^state .*/state = none/' -e '/^cosign-key/d' gw/client/kanmon.conf >gw/client/none.conf
echo four >four
rm -f go
KANMON_CONFIG=$work/gw/client/none.conf asker open find:root-ca init sign:four id:C_Sign close open \
	join:C_Sign:last ask:C_Sign until:go await:C_Sign:sig join:C_Sign:last finalize >said 2>&1 &
process=$!
said '^ask'
approve "$(waiting)" && touch go
wait "$process"
t 'without a folder an id is good in its process' got "ask $PENDING"
t 'who joins gets the signature' got 'await (ours 256 ) 0x0'
t 'it verifies' verifies sig four
t 'once' got "join $INVALID"
t 'and nothing was written' none_left
KANMON_CONFIG=$work/gw/client/none.conf leaves find:root-ca init sign:four id:C_Sign
KANMON_CONFIG=$work/gw/client/none.conf asker open "join:C_Sign:$id" finalize >said 2>&1
t 'in another process it is none' got "join $INVALID"
kanmon request withdraw "$id" --reason 'not needed' >/dev/null

# ---- another client -----------------------------------------------------------------------------------------------------------
kanmon client config "$work/other" $(sed -n 's/^gateway = {"\(.*\)"}/--gateway \1/p' gw/client/kanmon.conf) \
	--spki gw/gateway/gateway.spki --origin "$(sed -n 's/^origin = "\(.*\)"/\1/p' gw/client/kanmon.conf)" \
	--log gw/gateway/log.vkey --state state >/dev/null
echo five >five
as_other() { KANMON_CONFIG=$work/other/kanmon.conf asker "$@" >said 2>&1; }
hand_over() { cp "$(recipe_files)" "$(find "$work/other/state" -mindepth 1 -type d | head -n 1)/"; }
start five
as_other open "join:C_Sign:$id" finalize
t 'an id alone is nothing to another client' got "join $INVALID"
hand_over
as_other open "join:C_Sign:$id" ask:C_Sign finalize
t 'nor is it with the recipe: a second client does not join the request of the first' got "join $INVALID"
t 'it has nothing that is pending' got 'ask (none 0 ) 0x91'
t 'and what it asked for is withdrawn' test "$id" = "$(waiting)"
t 'the request stays that of the first' state open "$id"
as_other open find:root-ca init sign:five id:C_Sign finalize
t 'the same bytes of a second client are another request' test "$id" -ne "$(id_of)"
KANMON_CONFIG=$work/other/kanmon.conf kanmon request withdraw "$(id_of)" --reason 'not needed' >/dev/null
reject "$id"
hand_over
as_other open "join:C_Sign:$id" ask:C_Sign finalize
t 'how it ended is told to the first alone' got "join $INVALID"
asker open "join:C_Sign:$id" ask:C_Sign finalize >said 2>&1
t 'which hears it' got "ask (none 0 ) $REJECTED"

t 'the ledger verifies' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
