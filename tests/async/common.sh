# Sourced after tests/tap.sh: a gateway in $work/gw, in $work the asker and its custodians. `up` takes what tools/sandbox takes.
. "$source_dir/tests/faults/control.sh"
said() { timeout 10 bash -c "until grep -q \"\$1\" said; do sleep 0.05; done" said "$1"; }
export PIN=kanmon-pin-4711-xyzzy
up() {
	"$source_dir/tools/sandbox" up "$work/gw" "$@" >"$work/up.log" 2>&1 ||
		{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
	at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
	. "$work/gw/env"
	cd "$work" || exit 99
	kanmond_pid=$(cat "$work/gw/kanmond.pid")
}
PENDING=0x204
REJECTED=0x200
INVALID=0x160 # CKR_SAVED_STATE_INVALID

asker() { "$build/tests/async/asker" "$@"; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
approve() { kanmon approve "$1" $(as sato) >/dev/null && kanmon approve "$1" $(as suzuki) >/dev/null; }
reject() { kanmon reject "$1" $(as sato) --reason no >/dev/null && kanmon reject "$1" $(as suzuki) --reason no >/dev/null; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id // empty'; }
state() { [ "$(kanmon request show "$2" --json | jq -r .request.state)" = "$1" ] || { kanmon request show "$2" && false; }; }
requests() { kanmon request list --all --json | jq '.requests | length'; }
recipe_files() { find "$work/gw/client" -name 'async-*'; }
got() { grep -qx "$1" said || { cat said && false; }; }
verifies() { openssl dgst -sha256 -verify pub -signature "$1" "$2"; }
# The id that the last asker was given.
id_of() { sed -n 's/^id (\([0-9]*\)) 0x0$/\1/p' said; }
# start FILE: signs FILE in an asynchronous session, and leaves with the id.
start() { asker open find:root-ca init "sign:$1" id:C_Sign finalize >said 2>&1 && id=$(id_of) && [ -n "$id" ]; }
# token OPTION...: pkcs11-tool beside the gateway, whose objects are the gateway's.
token() {
	pkcs11-tool --module "$HSM_MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >token.said 2>&1 || cat token.said
	[ "$(id -u)" != 0 ] || chown -R --reference "$work/gw/hsm" "$work/gw/hsm/tokens"
}
