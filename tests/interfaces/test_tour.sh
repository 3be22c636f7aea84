#!/bin/bash
# What 3.0 and 3.2 add, of one module directly and through a gateway: every answer and every byte left in memory are
# the same. Three modules, with one interface, two, and three.
. "${srcdir:-.}/tests/tap.sh"
softokn=$(ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1)
softhsm=$(ls /usr/lib/*/softhsm/libsofthsm2.so /usr/lib/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
mock=$build/tests/mock/.libs/kanmon-mock.so
tour=$build/tests/interfaces/tour

# direct NAME LABEL MODULE [STRING]; through NAME LABEL: each writes $work/NAME.direct or $work/NAME.gateway.
direct() {
	local name=$1 label=$2
	shift 2
	KANMON_CONFIG=/nonexistent ASAN_OPTIONS=detect_leaks=0 timeout 60 "$tour" "$1" "$label" "${@:2}" >"$work/$name.direct"
}
through() { (. "$work/$1/env" && if [ -z "${3:-}" ]; then unset PIN; fi && timeout 60 "$tour" "$MODULE" "$2" >"$work/$1.gateway"); }
up() {
	local name=$1
	shift
	"$source_dir/tools/sandbox" up "$work/$name" "$@" || return 1
	at_exit "'$source_dir/tools/sandbox' down '$work/$name'"
}
same() { diff -u --label direct --label gateway "$work/$1.direct" "$work/$1.gateway"; }
# What a gateway without a secret in its ledger says: the ledger verifies, and none of these words is in it.
ledger() {
	local name=$1
	shift
	(
		. "$work/$name/env" && "$source_dir/tools/sandbox" down "$work/$name" >/dev/null &&
			kanmon audit verify "$LEDGER" --trust "$TRUST" || exit 1
		for word in "$@"; do
			! grep -rqF "$word" "$LEDGER" && ! grep -rqF "$(printf %s "$word" | base64 -w 0 | tr -d =)" "$LEDGER" ||
				{ echo "$word is in the ledger" && exit 1; }
		done
	)
}
names() { (. "$work/$1/env" && grep -rqF "\"$2\"" "$LEDGER"); }

if [ -n "$softokn" ]; then
	string="configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace cryptoTokenDescription='nss-crypto'"
	t 'softokn: the tour of it, directly' direct softokn nss-crypto "$softokn" "$string"
	export TOKEN=nss-crypto PIN=none SO_PIN=
	t 'softokn: a gateway before it' up softokn --module "$softokn" --init-args "$string"
	t 'softokn: the tour through the gateway' through softokn nss-crypto
	t 'softokn: it has 3.0 and 2.40' grep -q '^       1: 2.40' "$work/softokn.gateway"
	t 'softokn: it is the same' same softokn
	t 'softokn: messages were sealed and opened' grep -q '^0x000  C_EncryptMessage in place' "$work/softokn.gateway"
	t 'softokn: the ledger verifies, and has no plaintext' ledger softokn 'twenty bytes of text'
	t 'softokn: it names the calls' names softokn C_EncryptMessage
else
	t_skip 'softokn: the tour' 'it is not installed'
fi

export TOKEN=mock-1 PIN=1234 SO_PIN=12345678
for version in 3.2 3.0 2.40; do
	export KMN_MOCK_INTERFACES=$version
	t "mock of $version: the tour of it, directly" direct "mock-$version" mock-1 "$mock"
	t "mock of $version: a gateway before it" up "mock-$version" --module "$mock" --environment "KMN_MOCK_INTERFACES=$version"
	t "mock of $version: the tour through the gateway" through "mock-$version" mock-1 with-pin
	# a gateway has C_GetInterfaceList, whatever is behind it
	[ $version != 2.40 ] || sed -i '2,/^0x000  C_Login/d' "$work/mock-$version".{direct,gateway}
	t "mock of $version: it is the same" same "mock-$version"
	t "mock of $version: the ledger verifies, and has no plaintext and no name of a user" \
		ledger "mock-$version" 'twenty bytes of text' 'a key that everybody knows'
done
unset KMN_MOCK_INTERFACES TOKEN PIN SO_PIN
t 'mock of 3.2: all of it was seen' grep -q '^0x000  C_UnwrapKeyAuthenticated: the handle is new' "$work/mock-3.2.gateway"

if [ -n "$softhsm" ]; then
	t 'SoftHSM2: a gateway before it' up softhsm
	t 'SoftHSM2: the tour through the gateway' through softhsm "$(. "$work/softhsm/env" && echo "$TOKEN")" with-pin
	t 'SoftHSM2: one interface is offered, of 2.40' diff <(sed -n '2,7p' "$work/softhsm.gateway") - <<-END
		0x000  C_GetInterfaceList(NULL)
		0x150  C_GetInterfaceList with room for one less: the count is told
		0x000  C_GetInterfaceList
		       0: 2.40
		0x000  C_GetInterface(NULL, -1.0, 0x0)
		       PKCS 11 2.40
	END
else
	t_skip 'SoftHSM2: one interface is offered' 'it is not installed'
fi

# Nobody there: what every module has, and soon.
cat >"$work/nowhere.conf" <<END
gateway = "127.0.0.1:1"
gateway-spki = "$(sed -n 's/.*gateway-spki *= *"\(.*\)".*/\1/p' "$work/mock-3.2/client/kanmon.conf")"
origin = "nowhere"
certificate = "$work/mock-3.2/client/client.crt"
key = "$work/mock-3.2/client/client.key"
init-wait = 1
receipts = off
END
nowhere() {
	local from=$SECONDS
	(. "$work/mock-3.2/env" && KANMON_CONFIG=$work/nowhere.conf timeout 60 "$tour" "$MODULE" mock-1 >"$work/nowhere.said")
	[ $? -eq 3 ] && [ $((SECONDS - from)) -le 6 ] && grep -q '^       0: 2.40' "$work/nowhere.said" &&
		! grep -q '^       1:' "$work/nowhere.said"
}
t 'without a gateway only 2.40 is offered, and C_Initialize fails' nowhere
t_end
