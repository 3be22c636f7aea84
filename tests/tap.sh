# TAP for test scripts; sourced. `make check` runs them in the build folder with srcdir set.
#
#   t 'a sentence about behaviour' command...      passes when the command does; its output is shown only if not
#   t_skip 'a sentence' 'why'
#   t_end                                          prints the plan; false if anything failed
#
# $work is a folder of the test's own, removed at exit; what `at_exit` was given is run first.
set -u
tap_n=0
tap_failed=0
tap_exit=()
build=${KANMON_BUILD:-$(pwd)}
source_dir=$(cd "${srcdir:-$(dirname "${BASH_SOURCE[0]}")/..}" && pwd)
export KANMON_BUILD=$build
export PATH=$build:$PATH
[ -x "$build/kanmon" ] || { echo "Bail out! no kanmon in $build" && exit 99; }
work=$(mktemp -d "${TMPDIR:-/tmp}/kanmon-test.XXXXXX") || exit 99
chmod 755 "$work" # the gateway's roles are other users, and must get through
unset KANMON_CONFIG KANMON_CUSTODIAN KANMON_PASSPHRASE_FILE

under_sanitizer() { ldd "$build/kanmon" | grep -q 'lib[at]san'; }

# Ends the script under a sanitizer, where the client that it uses fails by itself.
skip_under_sanitizer() {
	! under_sanitizer || { echo "1..0 # SKIP under a sanitizer $1" && exit 0; }
}

at_exit() { tap_exit+=("$*"); }
tap_cleanup() {
	local command
	for command in "${tap_exit[@]+"${tap_exit[@]}"}"; do eval "$command" >/dev/null 2>&1; done
	rm -rf "$work"
}
trap tap_cleanup EXIT

t() {
	local says=$1
	shift
	tap_n=$((tap_n + 1))
	if "$@" >"$work/.out" 2>&1; then
		echo "ok $tap_n - $says"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_n - $says"
		tail -n 30 "$work/.out" | sed 's/^/# /'
	fi
}

t_skip() {
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

t_end() {
	echo "1..$tap_n"
	[ $tap_failed -eq 0 ]
}

# exits STATUS command...: the command ends with exactly that status.
exits() {
	local want=$1 got
	shift
	"$@"
	got=$?
	[ $got -eq "$want" ] || { echo "ended with $got, not $want: $*" && false; }
}

# fails command...: it ends with any status but 0 (some tools crash where they should complain).
fails() { ! "$@"; }

# says PATTERN command...: the command's output, both streams, has a line that fits.
says() {
	local pattern=$1 out
	shift
	out=$("$@" 2>&1)
	grep -q -e "$pattern" <<<"$out" || { printf 'no line fits %s in:\n%s\n' "$pattern" "$out" && false; }
}

# mode OCTAL FILE
mode() { [ "$(stat -c %a "$2")" = "$1" ] || { stat -c '%a %n' "$2" && false; }; }
