#!/bin/bash
# `per login` with SoftHSM2: two of three custodians are the PIN pad. The PIN is in no file, record, log or memory of the
# gateway's processes; fewer than two do not open it.
. "${srcdir:-.}/tests/tap.sh"
PIN=Geheim-8472-kanmon
PIN=$PIN "$source_dir/tools/sandbox" up "$work/gw" --policy login >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
sed -i '/^export PIN=/d; /^export SO_PIN/d' "$work/gw/env"
. "$work/gw/env"
runtime=${LD_PRELOAD:-}
unset LD_PRELOAD
cd "$work" || exit 99
rm -f "$PIN_FILE"

p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" "$@"; }
requests() { kanmon request list --all --json | jq -r "[.requests[] | select($1)][-1].id // empty"; }
# The request that waits and is not $1.
waiting() {
	local id
	for _ in $(seq 100); do
		id=$(requests '.state == "open"') && [ -n "$id" ] && [ "$id" != "${1:-}" ] && echo "$id" && return
		sleep 0.1
	done
	return 1
}
answer() { # approve|reject NAME ID [OPTION...]
	kanmon "$1" "$3" --as "$CUSTODIAN_DIR/$2" --passphrase-file "$CUSTODIAN_DIR/$2.passphrase" --yes "${@:4}"
}
# let_in COMMAND...: runs it, and two custodians approve its login.
let_in() {
	local call
	"$@" >client.log 2>&1 &
	call=$!
	id=$(waiting) && answer approve sato "$id" && answer approve tanaka "$id"
	wait "$call" || { cat client.log && false; }
}
state_of() {
	for _ in $(seq 30); do
		[ "$(kanmon request list --all --json | jq -r ".requests[] | select(.id == $1).state")" = "$2" ] && return
		sleep 0.1
	done
	return 1
}
record() { kanmon audit show "$LEDGER" --json | jq -e -s "$1" >/dev/null; }

t 'the token shows a PIN pad, and is not locked' says 'token flags.*PIN pad present' p11 -T
t 'and does not say that it is locked' fails says 'user PIN locked\|final user PIN' p11 -T

# ---- two of three let in ------------------------------------------------------------------------------------------------
t 'a login without a PIN (protected path) makes a key, approved by two' \
	let_in p11 --login --keypairgen --key-type rsa:2048 --label root-ca --id 01
t 'its statement names the PIN that is sealed, and a key for this login' bash -c "
	answer=\$(kanmon request show $id --json | jq -r .statement) &&
	grep -qx 'operation C_Login' <<<\"\$answer\" && grep -qx 'user CKU_USER' <<<\"\$answer\" &&
	grep -q '^pin sealed 2 of 3 ' <<<\"\$answer\" && grep -q '^activation-key ' <<<\"\$answer\""
t 'that is the file that kanmon activation show describes' bash -c "
	kanmon request show $id --json | jq -r .statement |
		grep -qF \"pin sealed 2 of 3 \$(kanmon activation show '$work/gw/root.sealed-pin' --json | jq -r .sha256)\""
head -c 300 /dev/urandom >data
t 'a login with a dummy PIN signs' let_in p11 --login --pin 0000 --sign --mechanism SHA256-RSA-PKCS --id 01 -i data -o sig
p11 --read-object --type pubkey --id 01 -o key.der >/dev/null 2>&1
t 'the signature verifies' openssl dgst -sha256 -verify key.der -keyform DER -signature sig data
# The engine asks for no PIN where the token has a pad, and sends one where the URI has it.
by_engine() { LD_PRELOAD=$runtime PKCS11_MODULE_PATH=$MODULE openssl dgst -sha256 -engine pkcs11 -keyform engine -sign "$1" -out sig data; }
uri="pkcs11:token=$TOKEN;object=root-ca;type=private"
t 'OpenSSL, through its engine, signs after a login without a PIN' let_in by_engine "$uri"
t 'and that verifies' openssl dgst -sha256 -verify key.der -keyform DER -signature sig data
t 'OpenSSL with a dummy PIN in the URI does, too' let_in by_engine "$uri;pin-value=0000"
t 'each login needed its own approvals' [ "$(kanmon request list --all --json | jq '[.requests[] | select(.op == "C_Login" and .state == "done")] | length')" = 4 ]
t 'the login is a session record that names its request' record "any(.[]; .type == \"session\" and .body.event == \"login\" and .body.request.i == $id and .body.rv == 0)"

# ---- one alone does not ---------------------------------------------------------------------------------------------------
echo 'quorum-wait = 2' >>"$KANMON_CONFIG"
p11 --login -O >alone.log 2>&1 &
alone=$!
id=$(waiting)
answer approve suzuki "$id" >/dev/null
t 'approving twice is one approval and one share' fails answer approve suzuki "$id"
wait "$alone"
t 'one custodian alone lets nobody in: CKR_FUNCTION_CANCELED when the wait is over' says CKR_FUNCTION_CANCELED cat alone.log
t 'with the process went its key, and with that the request: withdrawn' state_of "$id" withdrawn
t 'an approval comes too late' fails answer approve sato "$id"
sed -i '/quorum-wait/d' "$KANMON_CONFIG"

# ---- rejected ---------------------------------------------------------------------------------------------------------------
p11 --login -O >no.log 2>&1 &
no=$!
id=$(waiting)
answer reject sato "$id" --reason 'not today' >/dev/null
answer reject suzuki "$id" --reason 'not today' >/dev/null
wait "$no"
t 'a rejected login is CKR_FUNCTION_CANCELED, which no client takes for a wrong PIN' says CKR_FUNCTION_CANCELED cat no.log

# ---- shares that are none ---------------------------------------------------------------------------------------------------
p11 --login -O >other.log 2>&1 &
other=$!
id=$(waiting)
cp "$CUSTODIAN_DIR/sato.key" sato.key.kept
kanmon custodian new sato --person 0001 --out "$work/new" --weak-seal --passphrase-file "$CUSTODIAN_DIR/sato.passphrase" >/dev/null
cp "$work/new/sato.key" "$CUSTODIAN_DIR/sato.key"
t 'with another key than the one that the share was dealt to, nothing is signed' fails answer approve sato "$id"
cp sato.key.kept "$CUSTODIAN_DIR/sato.key"
answer approve sato "$id" >/dev/null && answer approve suzuki "$id" >/dev/null
t 'the right ones let in after that' wait "$other"

# ---- another file in its place, without a restart ---------------------------------------------------------------------------
sealed=$work/gw/root.sealed-pin
cp "$sealed" first.sealed-pin
# seal PIN OUT: as at the ceremony
seal() {
	(umask 077 && printf '%s\n' "$1" >pin.once)
	kanmon activation seal --token "$TOKEN" --policy "$work/gw/policy" --group root-keepers --least 2 --pin-file pin.once --out "$2" >/dev/null
	rm -f pin.once
}
logged() {
	for _ in $(seq 50); do grep -q "$1" "$work/gw/kanmond.log" && return; sleep 0.1; done
	return 1
}
hang_up() { kill -HUP "$(cat "$work/gw/kanmond.pid")"; }
seal wrong-pin-4711 wrong.sealed-pin
seal "$PIN" second.sealed-pin
hash_of() { kanmon activation show "$1" --json | jq -r .sha256; }

(p11 --login -O >before.log 2>&1) &
before=$!
id=$(waiting)
answer approve sato "$id" >/dev/null
cp wrong.sealed-pin "$sealed" && hang_up
t 'SIGHUP: the gateway says that another sealed PIN holds' logged 'token root: another sealed PIN from now on'
t 'a login that waits is finished by the one in its statement' bash -c "$(declare -f answer); answer approve suzuki $id"
t 'and is let in' wait "$before"

p11 --login -O >wrong.log 2>&1 &
wrong=$!
id=$(waiting)
t 'the next statement names the new file' bash -c "kanmon request show $id --json | jq -r .statement | grep -qF \"pin sealed 2 of 3 $(hash_of wrong.sealed-pin)\""
answer approve sato "$id" >/dev/null && answer approve suzuki "$id" >/dev/null
wait "$wrong"
t 'whose PIN the HSM refuses' says CKR_PIN_INCORRECT cat wrong.log
t 'it is not tried again' fails p11 --login -O

sed 's/^token .*/token another/' second.sealed-pin >"$sealed" && hang_up
t 'a file of another token is refused, and named' logged "no sealed PIN is taken anew, those of before stay: $sealed: is no sealed PIN of token \"root\""
t 'the one of before stays: it is still not tried' fails p11 --login -O
cp second.sealed-pin "$sealed" && hang_up
for _ in $(seq 50); do [ "$(grep -c 'token root: another sealed PIN' "$work/gw/kanmond.log")" = 2 ] && break; sleep 0.1; done
t 'the right one lets in again, without a restart' let_in p11 --login -O

# ---- a PIN in nothing that stays ------------------------------------------------------------------------------------------
# Everything that the gateway wrote, but the token itself, whose owner has a hash of it.
t 'the PIN is in no file of gateway, ledger, client or log' fails grep -rlaF "$PIN" "$work/gw" "$work/client.log" --exclude-dir=hsm
sealed_scan() {
	local pid found=0
	for pid in $(pgrep -f "$work/gw/gateway/kanmond.conf") $(pgrep -P "$(cat "$work/gw/kanmond.pid")"); do
		python3 - "$pid" "$PIN" <<-'PY' || found=1
			import sys
			pid, pin = sys.argv[1], sys.argv[2].encode()
			mem = open("/proc/%s/mem" % pid, "rb")
			for line in open("/proc/%s/maps" % pid):
			    span, rights = line.split()[:2]
			    if "r" not in rights or line.rstrip().endswith(("[vvar]", "[vsyscall]")):
			        continue
			    a, b = (int(x, 16) for x in span.split("-"))
			    try:
			        mem.seek(a)
			        if pin in mem.read(b - a):
			            sys.exit("%s has the PIN at %s" % (pid, span))
			    except OSError:
			        pass
		PY
	done
	[ $found = 0 ]
}
if [ "$(id -u)" = 0 ]; then
	t 'nor in the memory of any process of the gateway' sealed_scan
else
	t_skip 'nor in the memory of any process of the gateway' 'who is not root sees no memory'
fi

# ---- restart ---------------------------------------------------------------------------------------------------------------
(LD_PRELOAD=$runtime exec pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login -O) >restart.log 2>&1 &
restart=$!
id=$(waiting)
answer approve sato "$id" >/dev/null
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
kill -9 "$restart"
wait "$restart" 2>/dev/null
(cd / && exec setsid kanmond --config "$work/gw/gateway/kanmond.conf" </dev/null >>"$work/gw/kanmond.log" 2>&1 &
echo $! >"$work/gw/kanmond.pid")
for _ in $(seq 100); do kanmon status >/dev/null 2>&1 && break; sleep 0.1; done
t 'a restart withdraws what waits for shares: its key is gone' state_of "$id" withdrawn
t 'and the next login is asked for anew' let_in p11 --login -O

# ---- the auditor -----------------------------------------------------------------------------------------------------------
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the auditor agrees' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
login=$(kanmon audit show "$LEDGER" --json | jq -s '[.[] | select(.type == "session" and .body.request != null and .body.rv == 0)][0].body.request.i')
kanmon audit bundle "$LEDGER" "$login" >login.bundle
t 'the evidence of one login stands in one file' exits 0 kanmon audit bundle verify login.bundle --trust "$TRUST"
t 'and its story is told' says 'login .* CKU_USER' kanmon audit request "$LEDGER" "$login"
export LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1
t 'so does the second verifier' exits 0 python3 "$source_dir/tests/unit/ledger/oracle/second.py" "$LEDGER" "$TRUST"
t 'and the PIN is still in no file' fails grep -rlaF "$PIN" "$work/gw" --exclude-dir=hsm
t_end
