#!/bin/bash
# The codec on a big-endian machine, under emulation: `make check-big-endian`. Not a part of `make check`: the tools are
# large (gcc-s390x-linux-gnu, libc6-dev-s390x-cross, qemu-user-static; the first does not install beside gcc-multilib).
# CROSS_CC and CROSS_RUN name others.
set -eu
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build=$(pwd)
cc=${CROSS_CC:-s390x-linux-gnu-gcc}
run=${CROSS_RUN:-qemu-s390x-static}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# What the codec wants of OpenSSL and libsodium, which are not there for the other machine.
cat >"$work/others.c" <<'EOF'
#include <string.h>
void OPENSSL_cleanse(void *p, size_t n) { memset(p, 0, n); }
int crypto_hash_sha256_init(void *s) { return s == NULL; }
int crypto_hash_sha256_update(void *s, const void *p, unsigned long long n) { return s == p && n == 0; }
int crypto_hash_sha256_final(void *s, void *out) { memset(out, 0, 32); return s == NULL; }
EOF
cd "$source_dir/transport"
# shellcheck disable=SC2086
$cc -std=c11 -O1 -static -I"$build" -I.. -I../include -I/usr/include/p11-kit-1 -idirafter /usr/include \
	-idirafter "/usr/include/$(gcc -print-multiarch)" -o "$work/codec" ../tests/abi/codec_cases.c attributes.c calls.c codec_*.c \
	descriptor.c err.c mechanisms.c reader.c types.c writer.c "$work/others.c"
od -An -tx1 -j5 -N1 "$work/codec" | grep -q 02 || { echo "not big-endian" >&2 && exit 1; }
$run "$work/codec" | diff "$source_dir/tests/abi/codec.expected" - && echo 'the same bytes on a big-endian machine'
