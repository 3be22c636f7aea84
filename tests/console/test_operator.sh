#!/bin/bash
# An operator's actions in headless Chromium, in a whole gateway: instructed, approved in two other browsers, done, proven.
# With KMN_TEST_IMAGES=DIR the pictures of docs/images are written there.
. "${srcdir:-.}/tests/tap.sh"
here=$source_dir/tests/console
. "$here/browser.sh"
browser_needed
command -v softhsm2-util >/dev/null || skip_all 'there is no softhsm2 here'
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
KMN_CONSOLE_DIR=$work node "$here/browser/operator.mjs"
