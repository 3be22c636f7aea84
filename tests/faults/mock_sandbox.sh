# Sourced after tests/tap.sh: a sandbox over tests/mock, which counts calls in $KMN_MOCK_LOG and has one RSA key, `seed`.

# mock_sandbox POLICY: starts it in $work/gw, ends it at exit; sets what its env exports, and $port.
mock_sandbox() {
	local mock=$build/tests/mock/.libs/kanmon-mock.so
	mkdir "$work/mock" && chmod 777 "$work/mock" # the worker's user writes the log
	export KMN_MOCK_LOG=$work/mock/calls
	openssl genrsa -out "$work/mock/key.pem" 2048 2>/dev/null && chmod 644 "$work/mock/key.pem"
	TOKEN=mock-1 PIN=1234 SO_PIN=12345678 "$source_dir/tools/sandbox" up "$work/gw" --policy "$1" --module "$mock" \
		--environment "KMN_MOCK_LOG=$KMN_MOCK_LOG" --environment "KMN_MOCK_KEY=$work/mock/key.pem" \
		${MOCK_MORE:+--environment "$MOCK_MORE"} >"$work/up.log" 2>&1 ||
		{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 99; }
	at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
	. "$work/gw/env"
	unset LD_PRELOAD # a sanitizer's runtime, for clients that are built without; ours have it
	port=$(sed -n 's/^listen = .*127.0.0.1:\([0-9]*\)".*/\1/p' "$work/gw/gateway/kanmond.conf")
}
