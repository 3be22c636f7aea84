#!/bin/bash
# kanmon audit reconcile --hsm-log: an HSM with a log of its own behind the gateway, used through the gateway and behind
# its back.
. "${srcdir:-.}/tests/tap.sh"
skip_under_sanitizer 'a module without its runtime stands in front of the HSM'
export PIN=4711-kanmon SO_PIN=47114711 TOKEN=root
examples=$source_dir/docs/examples
mkdir -p "$work/hsm/tokens" && chmod -R 777 "$work/hsm"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/hsm/tokens" >"$work/hsm/conf"
for below in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so; do [ ! -r "$below" ] || break; done
export SOFTHSM2_CONF=$work/hsm/conf
softhsm2-util --init-token --free --label "$TOKEN" --pin "$PIN" --so-pin "$SO_PIN" >/dev/null && chmod -R 777 "$work/hsm"
export KMN_LOGGED_MODULE=$below KMN_LOGGED_FILE=$work/hsm/log
cp "$build/tests/mock/.libs/kanmon-logging.so" "$work/hsm" && chmod 755 "$work/hsm/kanmon-logging.so"
"$source_dir/tools/sandbox" up "$work/gw" --policy open --module "$work/hsm/kanmon-logging.so" \
	--environment "SOFTHSM2_CONF=$SOFTHSM2_CONF" --environment "KMN_LOGGED_MODULE=$below" \
	--environment "KMN_LOGGED_FILE=$KMN_LOGGED_FILE" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" "$work/gw/kanmond.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
export SOFTHSM2_CONF=$work/hsm/conf
cd "$work" || exit 99
log=$KMN_LOGGED_FILE

p11() { pkcs11-tool --module "$1" --token-label "$TOKEN" --login --pin "$PIN" "${@:2}" >>"$work/p11.log" 2>&1; }
reconcile() { kanmon audit reconcile "$LEDGER" --hsm-log "$@"; }
unmatched() { reconcile "$@" --json | jq .unmatched; }

echo 'pay 1 yen' >bill
p11 "$MODULE" --keypairgen --key-type rsa:2048 --label root-ca --id 01
p11 "$MODULE" --keypairgen --key-type rsa:2048 --label issuing --id 02
for id in 01 01 02; do p11 "$MODULE" --sign --mechanism SHA256-RSA-PKCS --id $id -i bill -o sig; done
t 'the HSM kept a log of its own' test 5 = "$(wc -l <"$log")"
t 'each of its rows has a record' exits 0 reconcile "$log" --format "$examples/hsm-log.syslog"
t 'and all are counted' says 'syslog: 5 matched, 0 UNMATCHED' reconcile "$log" --format "$examples/hsm-log.syslog"


# Rows in the ledger: brought by a person, judged again by the auditor.
submit() { kanmon hsm-log submit "$LEDGER" "$1" --format "$examples/hsm-log.syslog" --as "$CUSTODIAN_DIR/sato"; }
# The verifier on a ledger whose gateway writes: each time the records that are there.
verify() { kanmon audit verify "$LEDGER" --trust "$TRUST" "$@"; }
v11() { verify --hsm-format "$examples/hsm-log.syslog" "$@"; }
t 'rows of a log are not asked for where nobody brought any' says '^V11 *not checked' verify
t 'rows of the log are brought to the gateway' says 'syslog: 5 rows recorded, 0 UNMATCHED' submit "$log"
t 'brought again nothing is recorded twice' says 'syslog: 0 rows recorded, 0 UNMATCHED' submit "$log"
t 'V11 judges them again from the records' says '^V11 *ok' v11
t 'and without a form says that it was not asked' says '^V11 *not asked for' verify
t 'and what would judge them' says '1 hsm.log records: --hsm-format FILE judges them again' verify
sed '/^operation *C_Sign /s/ sign$/ ignore/' "$examples/hsm-log.syslog" >lying
t 'a form that is not the one of the record judges nothing' says 'hsm.log records are by another form' verify --hsm-format lying
client_brings() { kanmon hsm-log submit "$LEDGER" "$log.more" --format "$examples/hsm-log.syslog"; }
cp "$log" "$log.more" && tail -n 1 "$log" >>"$log.more"
t 'an application brings none' says 'brought by a person, from a terminal' client_brings

second="$source_dir/tests/unit/ledger/oracle"
export LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1
second() { python3 "$second/second.py" "$LEDGER" "$TRUST" --hsm-format "$examples/hsm-log.syslog"; }
t 'the second verifier judges the rows, too' exits 0 second
t 'both say the same of hsm.log records that were changed' env HSM_FORM="$examples/hsm-log.syslog" MUTATE_TYPES="hsm.log op" \
	python3 "$second/mutate.py" "$LEDGER" "$TRUST" "$work/gw/gateway/log.key" 25 "${KMN_TEST_SEED:-$RANDOM}" "$work" "$(command -v kanmon)"
printf 'key root-ca uses 2\nkey issuing uses 1\n' >counters
t 'counters are brought' says '0 UNMATCHED' kanmon hsm-log submit "$LEDGER" counters --format "$examples/hsm-log.counters" --as "$CUSTODIAN_DIR/sato"
t 'and the second verifier judges them' exits 0 python3 "$second/second.py" "$LEDGER" "$TRUST" --hsm-format "$examples/hsm-log.counters"
chmod 666 "$log" && chmod -R a+rwX "$work/hsm"
p11 "$work/hsm/kanmon-logging.so" --sign --mechanism SHA256-RSA-PKCS --id 01 -i bill -o sig
t 'use of the HSM behind the gateway is found in its own log' exits 1 reconcile "$log" --format "$examples/hsm-log.syslog"
t 'with line, function and key' says '^V11 line 6: C_Sign with root-ca at 20.*no record says so' \
	reconcile "$log" --format "$examples/hsm-log.syslog"
t 'brought to the gateway it is recorded as unmatched' says 'line 6: C_Sign with root-ca: UNMATCHED' submit "$log"
t 'V11 finds the use of the HSM that no record explains' exits 1 v11
t 'so does the second verifier' says 'V11 [0-9]*: line 1 matches nothing' second
t 'and names the record and the row' says '^finding *V11 .*record [0-9]*: row 1, C_Sign with root-ca: UNMATCHED' v11
t 'and nothing else is found' test 1 = "$(unmatched "$log" --format "$examples/hsm-log.syslog")"
t 'it is found without times too' test 1 = "$(unmatched "$log" --format <(sed '/^time/d;/^field *time/d' "$examples/hsm-log.syslog"))"
sed 's/key=root-ca/key=other/' "$log" >renamed
t 'a row of another key meets no record of this one' test 4 = "$(unmatched renamed --format "$examples/hsm-log.syslog")"
sed 's/^20../1999/' "$log" >early
t 'nor does a row of another time' test 6 = "$(unmatched early --format "$examples/hsm-log.syslog")"
sed 's/serial=[^ ]*/serial=ffff/' "$log" >elsewhere
t 'nor one of another HSM' test 6 = "$(unmatched elsewhere --format "$examples/hsm-log.syslog")"
sed '1s/op=C_[^ ]*/op=C_Strange/' "$log" >strange
t 'an operation that the format does not explain is found' says 'does not say what this operation is' reconcile strange --format "$examples/hsm-log.syslog"
sed -n 2,4p "$log" >part
t 'what the ledger has and the log has not is said, and no finding' says '^2 uses in the ledger have no row' \
	reconcile part --format "$examples/hsm-log.syslog"
sed '2s/rv=.*/rv=?/' part >broken
t 'a line that cannot be read is incomplete input' exits 3 reconcile broken --format "$examples/hsm-log.syslog"

printf 'key root-ca uses 2\nkey issuing uses 1\n' >counters
t 'counters that say what the ledger says are equal' exits 0 reconcile counters --format "$examples/hsm-log.counters"
printf 'key root-ca uses 3\nkey issuing uses 1\n' >counters
t 'a counter that is ahead of the ledger is found' says 'the counter says 3, the ledger 2' reconcile counters --format "$examples/hsm-log.counters"
printf 'key root-ca uses 1\nkey issuing uses 1\n' >counters
t 'so is one that is behind it' exits 1 reconcile counters --format "$examples/hsm-log.counters"
sed 's/^kind .*/kind sometimes/' "$examples/hsm-log.counters" >bad
t 'a format that is none is refused, with its line' says 'bad: line 4: kind is rows or counters' reconcile counters --format bad
t 'a log needs its format' exits 3 kanmon audit reconcile "$LEDGER" --hsm-log counters
t_end
