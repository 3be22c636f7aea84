#!/bin/bash
# One wire for every ABI: the codec's bytes, and a 32-bit application on a 32-bit provider before a 64-bit gateway.
# The 32-bit libraries are what tools/sysroot32 made in $KMN_SYSROOT32 (tools/check does so), or $build/sysroot32.
. "${srcdir:-.}/tests/tap.sh"
abi=$source_dir/tests/abi
sysroot=${KMN_SYSROOT32:-$build/sysroot32}

same_lines() { "$2" >"$work/lines" && diff "$1" "$work/lines"; }

t 'the codec of this machine writes and reads the bytes written down' same_lines "$abi/codec.expected" "$build/tests/abi/codec_cases"
t 'with 4-byte numbers, 8-byte pointers and packed structures, the same' same_lines "$abi/codec.expected" "$build/tests/abi/codec_win64"
t 'that was such an ABI' says 'CK_ULONG 4, pointer 8, CK_ATTRIBUTE 16, CK_MECHANISM 16, CK_TLS12_KEY_MAT_PARAMS 49' \
	"$build/tests/abi/codec_win64" --abi

# Everything that needs the other machine, or one line that says why it is not here.
skip_rest() {
	t_skip 'a 32-bit application works through a 64-bit gateway' "$1"
	t_end
	exit
}
! ldd "$build/kanmon" | grep -q 'lib[at]san' || skip_rest 'under a sanitizer'
[ -f "$sysroot/complete" ] || skip_rest "no 32-bit libraries in $sysroot (tools/sysroot32)"
b32=$work/build32
units='transport/test_reader transport/test_replay transport/test_frame transport/test_channel provider/test_settings provider/test_call'
# shellcheck disable=SC2046,SC2086
KMN_SYSROOT32=$sysroot "$source_dir/tools/provider32" "$b32" tests/abi/codec_cases tests/abi/client \
	$(printf 'tests/unit/%s ' $units) >"$work/provider32.log" 2>&1
status=$?
[ $status -ne 1 ] || skip_rest "$(tail -n 1 "$work/provider32.log")"
t 'the 32-bit provider builds without a warning' sh -c "cat '$work/provider32.log'; exit $status"
[ $status -eq 0 ] || { t_end; exit 1; }
export LD_LIBRARY_PATH=$sysroot/usr/lib/i386-linux-gnu
t 'the codec of i386 writes and reads the same bytes' same_lines "$abi/codec.expected" "$b32/tests/abi/codec_cases"
t 'that was such an ABI too' says 'CK_ULONG 4, pointer 4, CK_ATTRIBUTE 12' "$b32/tests/abi/codec_cases" --abi
for unit in $units; do
	t "${unit#*/} passes in 32 bits" sh -c "cd '$b32' && tests/unit/$unit"
done

"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
module32=$b32/.libs/kanmon-pkcs11.so

# client WHO ARGUMENT...: the program in the ABI of WHO, through the gateway or beside it.
client() {
	local who=$1
	shift
	case $who in
	direct) MODULE=$HSM_MODULE "$build/tests/abi/client" "$@" ;;
	64) MODULE=$MODULE "$build/tests/abi/client" "$@" ;;
	32) MODULE=$module32 "$b32/tests/abi/client" "$@" ;;
	esac
}
# writes FILE command...: its output goes there.
writes() {
	local file=$1
	shift
	"$@" >"$file"
}

for who in direct 64 32; do
	t "an application makes and uses keys ($who)" writes "$work/make.$who" client $who make "abi-$who"
done
t 'through the gateway it got what the module gives directly' diff "$work/make.direct" "$work/make.64"
t 'a 32-bit application got the same' diff "$work/make.direct" "$work/make.32"
t 'it made and used all of them' exits 1 grep -E '(encrypted|decrypted|signed|verified|pair|AES key|ECDH): 0x[1-9a-f]' "$work/make.32"
t 'a number that cannot be known stays that' grep -q '0x166: 1 =unavailable' "$work/make.32"
for made in 64 32; do
	for who in direct 64 32; do writes "$work/look.$made.$who" client $who look "abi-$made"; done
	t "objects made in $made bits are three" grep -q 'objects=3' "$work/look.$made.direct"
	t "  are to the byte the same in 64 bits" diff "$work/look.$made.direct" "$work/look.$made.64"
	t "  and in 32 bits" diff "$work/look.$made.direct" "$work/look.$made.32"
done
t "a vendor's unknown parameter passes between equal ABIs" says 'with a parameter: 0x70' client 64 vendor
t '  and is refused between unequal ones: nobody knows what is in it' says 'with a parameter: 0x71' client 32 vendor
t '  a mechanism without one passes' says 'without: 0x70' client 32 vendor
client 64 vendor >"$work/v64"; client 32 vendor >"$work/v32"
t "a vendor's unknown attribute passes as bytes" bash -c "diff <(grep attribute '$work/v64') <(grep attribute '$work/v32')"
t_end
