# Sourced after tests/tap.sh: each step of a client is done twice from the same state of the same token, once with the
# vendor's module itself, once through a gateway, and must come out alike.
#
#   two_ways [OPTION of tools/sandbox]...   two folders, $work/direct and $work/gateway, and the token of each
#   both 'a sentence' command...            the command runs in each folder; it succeeds in both and says the same
#   same 'a sentence' FILE                  the step before wrote the same bytes in both
#   two_ways_end                            the ledger of it verifies, and the plan
#
# A command finds MODULE, TOKEN, PIN, SO_PIN, PIN_FILE and $way (direct or gateway); while it runs through the gateway
# nothing tells it where the token is.
ways='direct gateway'

two_ways() {
	"$source_dir/tools/sandbox" up "$work/gw" "$@" >"$work/up.log" 2>&1 ||
		{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
	at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
	. "$work/gw/env"
	mkdir "$work/direct" "$work/gateway"
	if [ -d "$work/gw/hsm" ]; then
		cp -r "$work/gw/hsm" "$work/hsm"
		sed "s|$work/gw/hsm|$work/hsm|" "$work/gw/hsm/softhsm2.conf" >"$work/hsm/softhsm2.conf"
		direct_conf=$work/hsm/softhsm2.conf
	fi
	gateway_module=$MODULE
	unset SOFTHSM2_CONF MODULE # so that nobody names a module outside of a way
	cd "$work" || exit 99
}

# What a way is called, and what each process chooses for itself, is no difference. A script adds to it.
more_normal() { cat; }
normal() {
	sed -e "s|$gateway_module|MODULE|g; s|$HSM_MODULE|MODULE|g; s|$work/$1|DIR|g" | more_normal
}

# on WAY command...: in this shell's child, as that way.
on() {
	(
		way=$1
		shift
		MODULE=$gateway_module
		cd "$work/$way" || exit 99
		if [ "$way" = direct ]; then
			unset KANMON_CONFIG LD_PRELOAD
			MODULE=$HSM_MODULE
			[ -z "${direct_conf:-}" ] || export SOFTHSM2_CONF=$direct_conf
		fi
		export MODULE
		if declare -F each_way >/dev/null; then each_way; fi
		"$@"
	)
}

on_both() {
	local way status failed=0
	for way in $ways; do
		on "$way" "$@" </dev/null >"$work/.$way" 2>&1
		status=$?
		normal "$way" <"$work/.$way" >"$work/.$way.normal"
		[ $status -eq 0 ] || { echo "$way: ended with $status; it said:" && tail -n 12 "$work/.$way" && failed=1; }
	done
	[ $failed -eq 0 ] || return 1
	diff -u --label direct --label gateway "$work/.direct.normal" "$work/.gateway.normal"
}
both() {
	local says=$1
	shift
	t "$says" on_both "$@"
}
same() { t "$1" cmp "$work/direct/$2" "$work/gateway/$2"; }

# silently command...: for what it says is not about the module, or is random.
silently() { "$@" >.said 2>&1 || { cat .said && false; }; }
quietly() { "$@" >/dev/null 2>&1; }

two_ways_end() {
	"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
	t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
	t_end
}
