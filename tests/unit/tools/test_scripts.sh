#!/bin/bash
# What tools/common.sh and tests/console/browser.sh do for the other scripts; and that what the first pages name is there.
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
. "$source_dir/tools/common.sh"

mkdir -p suite/tests/console suite/tests/unit
cat >suite/tests/console/test_pages.log <<'LOG'
SKIP: tests/console/test_pages.sh - there is no chromium here (Debian: apt-get install nodejs npm chromium)
LOG
cat >suite/tests/unit/test_a.log <<'LOG'
PASS: tests/unit/test_a.sh 1 - one
SKIP: tests/unit/test_a.sh 2 - two # SKIP KMN_TEST_LONG=1 runs it
SKIP: tests/unit/test_a.sh 3 - three, of # sorts # SKIP KMN_TEST_LONG=1 runs it
SKIP: tests/unit/test_a.sh 4 - four # SKIP there is no python3
LOG
skips suite >skipped
cat >want <<'TEXT'
all of tests/console/test_pages.sh: there is no chromium here (Debian: apt-get install nodejs npm chromium)
2 of tests/unit/test_a.sh: KMN_TEST_LONG=1 runs it
1 of tests/unit/test_a.sh: there is no python3
TEXT
t 'what was skipped is counted by file and reason, and a whole file named' diff want skipped
mkdir none && mkdir none/tests
t 'where nothing was, nothing is said' test -z "$(skips none)"

# A browser is asked for where no commands are but those in bin.
asks_for_a_browser() {
	env -i PATH="$work/bin" KMN_TEST_BUILD_DIR="$work/build" "$(command -v bash)" -c "here='$source_dir/tests/console'; . \"\$here/browser.sh\"; browser_needed; echo went on"
}
mkdir bin
for command in cat mkdir cp cmp grep flock dirname; do ln -s "$(command -v $command)" bin/; done
t 'without node a browser test is skipped, with what to install' says '^1..0 # SKIP there is no node here (Debian: apt-get install nodejs npm chromium)$' asks_for_a_browser
for command in node chromium; do ln -s /bin/true bin/$command; done
printf '#!/bin/sh\necho "npm error network request to https://registry.npmjs.org failed" && exit 1\n' >npm && chmod +x npm && mv npm bin/
sed -i "1s|.*|#!$(command -v bash)|" bin/npm
t 'where npm can fetch nothing it is skipped, and says so' \
	says '^1..0 # SKIP no browser was started: npm ci did not get playwright-core and axe-core (npm error network request' asks_for_a_browser
printf '#!%s\nexit 1\n' "$(command -v bash)" >bin/npm
t 'also where npm says nothing' says 'it said nothing; see .*npm.log' asks_for_a_browser
printf '#!%s\nexit 0\n' "$(command -v bash)" >bin/npm
t 'where it can, the test goes on' says '^went on$' asks_for_a_browser

# What README.md and docs/README.md name in `` or link to.
named() {
	grep -o -E '`(tests|docs|tools)/[^` ]*`|\]\([a-z0-9./_-]*\)|src="[^"]*"' "$source_dir/$1" | sed -e 's/^src=//' | tr -d '`"]()'
}
all_there() {
	local file missing=0
	[ "$(named "$1" | wc -l)" -gt 15 ] || return 1
	for file in $(named "$1"); do
		[ -e "$source_dir/$2$file" ] || { echo "$file" && missing=1; }
	done
	return $missing
}
t 'what README.md names is there' all_there README.md ''
t 'what docs/README.md names is there' all_there docs/README.md docs/
t_end
