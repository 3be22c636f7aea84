#!/bin/bash
# At most once, and not lost: the wire between provider and gateway is cut at every record, while a module counts.
. "${srcdir:-.}/tests/tap.sh"
: >"$work/calls.log" && chmod 666 "$work/calls.log"
export TOKEN=mock-1 PIN=1234 SO_PIN=12345678
"$source_dir/tools/sandbox" up "$work/gw" --module "$build/tests/mock/.libs/kanmon-mock.so" \
	--environment "KMN_MOCK_LOG=$work/calls.log" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
export CUT_LOG=$work/calls.log CUT_CONFIG=${KANMON_CONFIG%/*}/cut.conf
"$build/tests/unit/gate/cut"
failed=$?
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
kanmon audit verify "$LEDGER" --trust "$TRUST" >"$work/audit" 2>&1 || { sed 's/^/# /' "$work/audit" && failed=1; }
exit $failed
