# Shell shared by tools/{demo,check,sandbox}; sourced, never run.

say() { printf '%s\n' "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# What a bare Debian 12 needs to build, to try, and to test.
packages_build='autoconf automake libtool pkg-config gcc make libc6-dev libssl-dev libsodium-dev libp11-kit-dev
	libconfuse-dev libjansson-dev libseccomp-dev libcap-ng-dev libcurl4-openssl-dev libmicrohttpd-dev libgnutls28-dev'
packages_try='openssl softhsm2 opensc libengine-pkcs11-openssl perl-base jq'
packages_test='procps python3 curl node=nodejs npm=npm chromium libcunit1-dev gnutls-bin p11-kit libnss3 libnss3-tools
	libnss3-dev golang-go golang-golang-x-mod-dev default-jdk-headless openssh-client ldnsutils bind9-utils strongswan-pki
	libstrongswan-standard-plugins libstrongswan-extra-plugins'
# For tests/abi, which is left out where they cannot be had.
packages_abi='gcc-multilib'

# Installs those of the named packages that are missing; only root can, others are told which. `COMMAND=PACKAGE` is not
# missing where the command is: what brought it may be no package of Debian's, and suffer none beside it.
need_packages() {
	local missing=() package log
	command -v dpkg-query >/dev/null || return 0
	for package in "$@"; do
		case $package in
		*=*)
			! command -v "${package%%=*}" >/dev/null || continue
			package=${package#*=}
			;;
		esac
		[ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = 'install ok installed' ] || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing; as root: apt-get install ${missing[*]}"
	say "Installing ${missing[*]}"
	log=$(mktemp) || return 1
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
		>"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		die "apt-get could not install ${missing[*]}; all it said is in $log"
	}
	rm -f "$log"
}

# build_in DIR [CONFIGURE-OPTION...]: the whole tree, out of tree; quiet unless it fails.
build_in() {
	local dir=$1 log
	shift
	mkdir -p "$dir" || return 1
	log=$dir/build.log
	{
		{ [ -x "$source_dir/configure" ] || "$source_dir/autogen.sh"; } &&
			cd "$dir" &&
			{ [ -f Makefile ] || "$source_dir/configure" "$@"; } &&
			make -j"$(nproc)"
	} >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "the build failed; all of it is in $log"
	}
}

# skips DIR: what the suite skipped in that build folder, from its logs: `N of FILE: REASON`, or `all of FILE: REASON`.
skips() {
	find "$1/tests" -name '*.log' -exec grep -h '^SKIP: tests/' {} + | awk '
		{ $1 = ""; sub(/^ /, ""); file = $1 }
		match($0, / # SKIP /) { cases[file ": " substr($0, RSTART + RLENGTH)]++; next }
		{ sub(/^[^ ]* (- )?/, ""); whole[file ": " $0] }
		END { for (f in cases) print cases[f] " of " f
			for (f in whole) print "all of " f }' | sort -k 3
}
