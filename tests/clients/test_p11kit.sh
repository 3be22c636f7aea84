#!/bin/bash
# Installed, the module is found by p11-kit: with a gateway it is listed with its token, without a configuration it says
# at once that it cannot be used, and p11-kit goes on without it.
. "${srcdir:-.}/tests/tap.sh"
if ! unshare -m true 2>/dev/null; then
	t_skip 'p11-kit lists the installed module' 'needs a mount namespace, to look like an installed system'
	t_end
	exit
fi
"$source_dir/tools/sandbox" up "$work/gw" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
if [ -n "${LD_PRELOAD:-}" ]; then
	t_skip 'p11-kit lists the installed module' 'under a preloaded sanitizer p11-kit itself does not come to its end'
	t_end
	exit
fi
build=$(cd "$KANMON_BUILD" && pwd)
make -C "$build" install DESTDIR="$work/root" >"$work/install.log" 2>&1
modules=$(cd "$work/root" && find . -name kanmon.module | sed 's|^\.||; s|/kanmon.module$||')
path=$(sed -n 's/^module: //p' "$work/root$modules/kanmon.module")

# Where p11-kit looks, wherever this build was told to install to.
looks_in=$(pkg-config --variable=p11_module_configs p11-kit-1)

# Runs a command where p11-kit's folder of modules, and the module's, are what was just installed: empty folders are
# laid over those of the system, for this command alone.
installed() {
	unshare -m bash -c 'root=$1 modules=$2 path=$3 looks_in=$4; shift 4
		mount -t tmpfs none /usr/local && mkdir -p "${path%/*}" &&
			mount --bind "$root${path%/*}" "${path%/*}" && mount --bind "$root$modules" "$looks_in" &&
			exec "$@"' bash "$work/root" "$modules" "$path" "$looks_in" "$@"
}

unset SOFTHSM2_CONF # or the system's SoftHSM lists the same token beside us

t 'the module file names the module by an absolute path' test "${path#/}" != "$path"
t 'and the module is there' test -r "$work/root$path"
t 'p11-kit lists the module' says '^kanmon: ' installed p11-kit list-modules
t 'and the token behind the gateway' says "token: $TOKEN" installed p11-kit list-modules
export KANMON_CONFIG=$work/none.conf
t 'without a configuration C_Initialize is CKR_FUNCTION_FAILED' says 'CKR_FUNCTION_FAILED' \
	installed pkcs11-tool --module "$path" -L
started=$SECONDS
t 'and p11-kit goes on without it' installed p11-kit list-modules
t 'at once' test $((SECONDS - started)) -le 3
t_end
