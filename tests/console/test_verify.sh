#!/bin/bash
# What the browser checks by itself (server/console/www/js/verify), run by node: vectors, and bundles whole and changed,
# each beside what `kanmon audit bundle verify` says of it.
command -v node >/dev/null || { echo '1..0 # SKIP there is no node here (Debian: apt-get install nodejs)' && exit 0; }
. "${srcdir:-.}/tests/tap.sh"
export KMN_SOURCE=$source_dir KMN_WORK=$work
node "$source_dir/tests/console/unit/all.mjs"
