#!/bin/bash
# A system-wide openssl.cnf that names the module: every program that initialises OpenSSL then loads it, and so would the
# module's own TLS if it read that file. Nothing may hang or go in circles.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer 'openssl is built without it'
engine=$(openssl version -e 2>/dev/null | sed -n 's/.*"\(.*\)"/\1/p')/pkcs11.so
[ -f "$engine" ] && command -v pkcs11-tool >/dev/null || { echo '1..0 # SKIP no OpenSSL engine for PKCS#11, or no pkcs11-tool' && exit 0; }
"$source_dir/tools/sandbox" up "$work/gw" --policy open >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 99; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cat >"$work/openssl.cnf" <<END
openssl_conf = all
[all]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
dynamic_path = $engine
MODULE_PATH = $MODULE
default_algorithms = ALL
init = 1
END
key="pkcs11:token=$TOKEN;object=k;type=private;pin-source=file:$PIN_FILE"
named() { OPENSSL_CONF=$work/openssl.cnf timeout 30 "$@"; }
make_key() { named pkcs11-tool --module "$MODULE" --login --pin "$PIN" --token-label "$TOKEN" --keypairgen --key-type rsa:2048 --label k --id 01; }
sign_and_verify() {
	echo hello >"$work/data"
	named openssl dgst -sha256 -engine pkcs11 -keyform engine -sign "$key" -out "$work/sig" "$work/data" || return 1
	named pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --read-object --type pubkey --id 01 -o "$work/pub.der" &&
		openssl dgst -sha256 -verify <(openssl pkey -pubin -inform DER -in "$work/pub.der") -signature "$work/sig" "$work/data"
}
nested() { echo hello | named openssl dgst -sha256; }
t 'a PKCS#11 program that uses OpenSSL makes a key' make_key
t 'openssl, for which the file loads the module, signs by it; the signature is right' sign_and_verify
t 'openssl without any use of a key ends as well' nested
t 'so does a tool with the same TLS' named kanmon status
t 'a configuration that loads it does not keep it from signing a second time' sign_and_verify
t_end
