# Sourced after tests/tap.sh: the worlds in which traces are played, and how a run is started and counted.
#
#   stage_begin N                  N parts, each with a world of its own in $work/N, on tmpfs where there is one
#   stage_softhsm N                SoftHSM2 and a gateway before it, in world N
#   stage_softokn N db|nodb        NSS softokn likewise
#   play N OPTION...               the driver over world N
#
# Of each world: a and b are the folders of the direct runs, r that of the module behind the gateway; prepared holds the
# token that all three get copies of; gw is the sandbox.
differ=$build/tests/conformance/differ
conformance=$source_dir/tests/conformance
label=conform

# Ledger and tokens are synced at every call: in memory that costs nothing.
if [ -d /dev/shm ] && [ -w /dev/shm ] && [ "$(df -Pk /dev/shm | awk 'NR == 2 {print $4}')" -gt 500000 ]; then
	rm -rf "$work"
	work=$(mktemp -d /dev/shm/kanmon-conform.XXXXXX) && chmod 755 "$work" || exit 99
fi

# sandbox W OPTION...: the worker's user must own what it writes.
stage_sandbox() {
	local w=$1 user
	shift
	TOKEN=$label PIN=1234-user SO_PIN=12345678-so "$source_dir/tools/sandbox" up "$w/gw" "$@" >"$w/up.log" 2>&1 ||
		{ sed 's/^/# /' "$w/up.log" && echo 'Bail out! no sandbox' && exit 99; }
	at_exit "'$source_dir/tools/sandbox' down '$w/gw'"
	user=$(sed -n 's/^[[:space:]]*worker = "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$w/gw/gateway/kanmond.conf")
	[ -z "$user" ] || chown "$user:$user" "$w/r"
}

# Options that are the same for every run in a world go into $w/options, one a line.
stage_softhsm() {
	local w=$work/$1 side
	mkdir -p "$w"/{a,b,r}
	for side in a b r; do
		mkdir -p "$w/$side/tokens"
		printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$w/$side/tokens" \
			>"$w/$side/softhsm2.conf"
	done
	SOFTHSM2_CONF=$w/a/softhsm2.conf softhsm2-util --init-token --free --label $label --pin 1234-user --so-pin 12345678-so \
		>"$w/token.log" 2>&1 || { sed 's/^/# /' "$w/token.log" && echo 'Bail out! no token' && exit 99; }
	softhsm=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)
	printf '%s\n' --module softhsm --vendor "$softhsm" --label $label --world "$w" \
		--environment 'SOFTHSM2_CONF=@/softhsm2.conf' --objects "$conformance/objects.trace" \
		--allowed "$conformance/allowed" >"$w/options"
	stage_prepare "$w"
	stage_sandbox "$w" --module "$softhsm" --environment "SOFTHSM2_CONF=$w/r/softhsm2.conf"
}

softokn_module() { ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1; }

stage_softokn() {
	local w=$work/$1 softokn args="certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace"
	softokn=$(softokn_module)
	mkdir -p "$w"/{a,b,r}
	if [ "$2" = db ]; then
		mkdir -p "$w/a/tokens"
		printf 1234-user >"$w/pin"
		NSS_MAX_MP_PBE_ITERATION_COUNT=10 certutil -N -d "sql:$w/a/tokens" -f "$w/pin"
		args="configdir='sql:@/tokens' certPrefix='' keyPrefix='' secmod='secmod.db' flags= \
dbTokenDescription='$label' cryptoTokenDescription='nss-crypto' minPWLen=0"
	else
		args="configdir='' $args cryptoTokenDescription='$label' dbTokenDescription='nss-db'"
	fi
	printf '%s\n' --module softokn --vendor "$softokn" --label $label --world "$w" --init-args "$args" \
		--objects "$conformance/objects.trace" --allowed "$conformance/allowed" >"$w/options"
	[ "$2" != db ] || stage_prepare "$w"
	stage_sandbox "$w" --module "$softokn" --init-args "${args//@/$w/r}" --environment NSS_MAX_MP_PBE_ITERATION_COUNT=10
}

# Our own module, with all of 3.2. It keeps nothing.
stage_mock() {
	local w=$work/$1 mock=$build/tests/mock/.libs/kanmon-mock.so environment
	environment=(KMN_MOCK_INTERFACES=3.2 KMN_MOCK_PIN=1234-user KMN_MOCK_SO_PIN=12345678-so)
	mkdir -p "$w"/{a,b,r}
	printf '%s\n' --module mock --vendor "$mock" --label mock-1 --world "$w" --objects "$conformance/objects.trace" \
		--allowed "$conformance/allowed" "${environment[@]/#/--environment=}" >"$w/options"
	label=mock-1 stage_sandbox "$w" --module "$mock" $(printf -- '--environment %s ' "${environment[@]}")
}

# The token as it is at the start of every batch.
stage_prepare() {
	local options
	mapfile -t options <"$1/options"
	"$differ" "${options[@]}" --prepare "$conformance/token.trace" >"$1/prepare.tape" 2>&1
	cp -R "$1/a/tokens" "$1/prepared"
	rm -rf "$1/r/tokens" && cp -R "$1/prepared" "$1/r/tokens" && chmod -R a+rwX "$1/r"
}


# conforms SAYS MODULE N OPTION...: one case of this script; what the driver says of differences goes to the log. What of
# the tables and of the allow-list was met goes to MODULE.coverage in the build folder.
conforms() {
	local says=$1 module=$2 world=$3 status
	shift 3
	[ "$world" != 1 ] || rm -f "$build/tests/conformance/$module.coverage"
	play "$world" --coverage "$build/tests/conformance/$module.coverage" "$@" >"$work/$world.out" 2>&1
	status=$?
	grep '^#' "$work/$world.out" | head -n 600
	t "$says" [ $status -eq 0 ]
	[ $status -le 1 ] || sed 's/^/# /' "$work/$world.out" | tail -n 5
}

play() {
	local w=$work/$1 options
	shift
	mapfile -t options <"$w/options"
	(
		. "$w/gw/env"
		export NSS_MAX_MP_PBE_ITERATION_COUNT=10
		"$differ" "${options[@]}" --provider "$MODULE" "$@"
	)
}
