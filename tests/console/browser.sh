# For tests that need a browser; sourced, never run. What is missing skips a test, with a word.

skip_all() { echo "1..0 # SKIP $*" && exit 0; }

# Sets KMN_WWW, KMN_CHROMIUM and KMN_NODE_MODULES; installs the two packages of package-lock.json once for each build.
browser_needed() {
	local command
	for command in node npm chromium; do
		command -v $command >/dev/null || skip_all "there is no $command here (Debian: apt-get install nodejs npm chromium)"
	done
	KMN_CHROMIUM=$(command -v chromium)
	KMN_WWW=$(cd "$here/../../server/console/www" && pwd)
	packages=${KMN_TEST_BUILD_DIR:-$PWD}/tests/console/node
	mkdir -p "$packages" || exit 99
	install_packages
	KMN_NODE_MODULES=$packages/node_modules
	export KMN_WWW KMN_CHROMIUM KMN_NODE_MODULES
}

npm_says() { grep -m 1 -E '^npm (error|ERR!) ' "$packages/npm.log" || echo "it said nothing; see $packages/npm.log"; }

# Tests run side by side: one installs, the others wait for it.
install_packages() {
	exec 8>"$packages/lock" && flock 8 || exit 99
	if ! cmp -s "$here/package-lock.json" "$packages/installed"; then
		cp "$here/package.json" "$here/package-lock.json" "$packages/" &&
			npm --prefix "$packages" ci --ignore-scripts --prefer-offline --no-audit --no-fund --fetch-retries=1 \
				--fetch-timeout=30000 >"$packages/npm.log" 2>&1 8>&- ||
			skip_all "no browser was started: npm ci did not get playwright-core and axe-core ($(npm_says))"
		cp "$here/package-lock.json" "$packages/installed"
	fi
	exec 8>&-
}
