# What somebody who tries a sandbox's console needs; sourced by tools/sandbox, never run. $dir is the sandbox.

visited() {
	dir=$(cd "$dir" 2>/dev/null && pwd) && [ -f "$dir/env" ] || die 'there is no such sandbox'
	unset CONSOLE # of another sandbox, in whose environment this runs
	. "$dir/env"
	[ -n "${CONSOLE:-}" ] || die "the sandbox has no console: start it with --console localhost"
}

# A certificate sign-in needs no more than the custodian's terminal has: certificate and key, as browsers take them.
make_p12() {
	[ -f "$2" ] || (umask 077 && openssl pkcs12 -export -in "$CUSTODIAN_DIR/$1.crt" -inkey "$CUSTODIAN_DIR/$1.tls.key" \
		-name "$1 of a kanmon sandbox" -passout pass:kanmon -out "$2")
}

# sandbox visit DIR: where the console is, how to trust it, and who may sign in how.
visit() {
	local port certificate p12 name
	[ $# -eq 0 ] || usage
	visited
	port=${CONSOLE##*:} certificate=$CONSOLE_CA name=${CUSTODIANS%% *}
	p12=${certificate%/*}/$name.p12
	make_p12 "$name" "$p12" || die "no $p12"
	cat <<-TEXT
		The console: $CONSOLE  (from another machine first: ssh -L $port:127.0.0.1:$port ${HOSTNAME:-THIS-MACHINE})
		  Trust:    go on past the browser's warning; Chrome lets security keys answer only if $certificate
		            is an authority that it trusts (its settings, Certificates; on Linux: certutil -d sql:\$HOME/.pki/nssdb -A -t C,, -n kanmon -i FILE)
		  Sign in:  to look, as $name: import $p12 (its password is kanmon), "With a client certificate"
		            to approve too, as any of $CUSTODIANS: "Enrol a security key" there; give the file that the page saves to
		            $source_dir/tools/sandbox enrol $dir $name FILE ; then "With a security key"
		            (a USB key or Windows Hello, no synced passkey; without one: Chrome's developer tools, More tools, WebAuthn)
		  Ledger:   the page asks which one it shall believe: compare, or give it $TRUST
	TEXT
}

# The next version of the policy, with one line more, signed by all and brought. What is open ends with the version before.
bring_policy() {
	local line=$1 name first=${CUSTODIANS%% *}
	kanmon policy show --as "$CUSTODIAN_DIR/$first" --out "$work/before" >/dev/null &&
		kanmon policy next "$work/before" | awk -v line="$line" '/^token / && !done { print line; done = 1 } { print }' >"$work/next" || return
	for name in $CUSTODIANS; do
		kanmon policy sign "$work/next" --previous "$work/before" --key "$CUSTODIAN_DIR/$name.key" --yes \
			--passphrase-file "$CUSTODIAN_DIR/$name.passphrase" >/dev/null || return
	done
	kanmon policy submit "$work/next" --as "$CUSTODIAN_DIR/$first"
}

# sandbox enrol DIR NAME FILE: the security key that a browser registered at the console is one more key of that custodian.
enrol_key() {
	local name=${1:-} file=${2:-} person host
	[ $# -eq 2 ] || usage
	visited
	[ -r "$file" ] || die "$file cannot be read"
	[ -f "$CUSTODIAN_DIR/$name.policy" ] || die "$name is no custodian here: $CUSTODIANS"
	person=$(sed -n "s/^custodian $name person:\([^ ]*\) .*/\1/p" "$CUSTODIAN_DIR/$name.policy")
	host=${CONSOLE#https://}
	work=$(mktemp -d) || return 1
	trap 'rm -rf "$work"' EXIT
	kanmon custodian new "$name" --person "$person" --out "$work" --webauthn "$file" --origin "$CONSOLE" \
		--rp-id "${host%:*}" >/dev/null && bring_policy "$(grep '^custodian ' "$work/$name.policy")" ||
		die "the key of $file was not enrolled"
	say "$name may sign in, and approve, with that security key."
}
