#!/bin/bash
# Parameters, directly and through a gateway: what a module writes to them after *Init, and a vendor's mechanism that a
# types file describes.
. "${srcdir:-.}/tests/tap.sh"
mock=$build/tests/mock/.libs/kanmon-mock.so
params=$build/tests/params/params
export TOKEN=mock-1 PIN=1234 SO_PIN=12345678
types=$work/mock.types
cp "$source_dir/tests/params/mock.types" "$types"

# direct NAME PART [NAME=VALUE]; through NAME PART: results in $work/PART.NAME.
direct() { env KANMON_CONFIG=/nonexistent ASAN_OPTIONS=detect_leaks=0 ${3:+"$3"} timeout 60 "$params" "$mock" mock-1 "$2" >"$work/$2.$1"; }
through() { (. "$work/$1/env" && KANMON_CONFIG=${3:-$KANMON_CONFIG} timeout 60 "$params" "$MODULE" mock-1 "$2" >"$work/$2.$1"); }
up() {
	local name=$1
	shift
	"$source_dir/tools/sandbox" up "$work/$name" --module "$mock" "$@" || return 1
	at_exit "'$source_dir/tools/sandbox' down '$work/$name'"
}
same() { diff -u --label direct --label gateway "$work/$1.$2" "$work/$1.$3"; }
says() { grep -q -e "$2" "$work/$1" || { cat "$work/$1" && return 1; }; }

t 'late: directly' direct direct late KMN_MOCK_LATE=1
t 'late: a gateway before it' up late --types "$types" --environment KMN_MOCK_LATE=1
t 'late: through the gateway' through late late
t 'late: every byte is the same' same late direct late
t 'late: the module made the IV' says late.direct '^      iv c3c3c3c3c3c3c3c3c3c3c3c300000000$'
t 'late: an IV whose memory is gone is written to nobody' through late gone
t 'late: and the data is encrypted' says gone.late '^0x000 C_Encrypt$'

t 'early: a gateway before a module that writes nothing' up early --types "$types"
t 'early: directly' direct direct freed
t 'early: parameters may go after C_EncryptInit' through early freed
t 'early: it is the same' same freed direct early
t 'vendor: directly' direct direct vendor
t 'vendor: through the gateway' through early vendor
t 'vendor: every byte is the same' same vendor direct early
t 'vendor: the nonce came late' says vendor.direct '^      nonce 0303030303030000$'
names() { (. "$work/early/env" && grep -rqF '"CKM_MOCK_SIGN"' "$LEDGER"); }
t 'vendor: the ledger has its name' names

# A client without the file, and one with another.
client() { # NAME FILE
	(. "$work/early/env" && sed '/^types/d' "$KANMON_CONFIG" >"${KANMON_CONFIG%/*}/$1.conf" && { [ -z "${2:-}" ] || printf 'types = "%s"\n' "$2" >>"${KANMON_CONFIG%/*}/$1.conf"; } && echo "${KANMON_CONFIG%/*}/$1.conf")
}
sed 's/hOther:h/hOther:u/' "$types" >"$work/other.types"
printf 'attribute 1 2\n' >"$work/wrong.types"
t 'without: it works for what has no pointers' through early vendor "$(client without)"
t 'without: a parameter with pointers is refused' says vendor.early '^0x071 C_SignInit$'
t 'without: bytes pass' says vendor.early '^0x000 C_Sign$'
cannot() { (. "$work/early/env" && cat "$work/early/kanmond.log" && grep -q "C_SignInit of app refused: the parameter of CKM_MOCK_SIGN cannot be carried" "$work/early/kanmond.log"); }
t 'without: the gateway says so' cannot
t 'another: it is refused' through early vendor "$(client another "$work/other.types")"
t 'another: with the same code' says vendor.early '^0x071 C_SignInit$'
differs() { grep -q "describe the parameter of CKM_MOCK_SIGN differently" "$work/early/kanmond.log"; }
t 'another: and the gateway says why' differs
verified() { (. "$work/early/env" && "$source_dir/tools/sandbox" down "$work/early" >/dev/null && kanmon audit verify "$LEDGER" --trust "$TRUST" && grep -rqF '"not carried"' "$LEDGER"); }
broken() { # a types file with a mistake stops C_Initialize, with the line
	! (KMN_DEBUG=config through late vendor "$(client wrong "$work/wrong.types")" 2>"$work/wrong") && says wrong 'wrong.types:1: '
}
t 'wrong: a mistake stops C_Initialize' broken
check() {
	sed "s|types = .*|types = \"$work/wrong.types\"|" "$work/late/gateway/kanmond.conf" >"$work/late/gateway/wrong.conf"
	! "$build/kanmond" --config "$work/late/gateway/wrong.conf" --check >"$work/check" 2>&1 && says check 'wrong.types:1: '
}
t 'wrong: and kanmond' check
t 'refusals are in the ledger, which verifies' verified
t_end
