#!/bin/bash
# The console's words: both languages whole, each row used, each use in the table.
set -u
here=$(cd "$(dirname "$0")" && pwd)
command -v node >/dev/null || { echo '1..0 # SKIP there is no node here (Debian: apt-get install nodejs)' && exit 0; }
KMN_WWW=$here/../../server/console/www exec node "$here/browser/words.mjs"
