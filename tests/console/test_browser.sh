#!/bin/bash
# The console of a whole gateway in headless Chromium, from enrolment to evidence, and against those who lie.
# With KMN_TEST_IMAGES=DIR the pictures of docs/images are written there.
. "${srcdir:-.}/tests/tap.sh"
here=$source_dir/tests/console
. "$here/browser.sh"
browser_needed
command -v softhsm2-util >/dev/null || skip_all 'there is no softhsm2 here'
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
KMN_CONSOLE_DIR=$work node "$here/browser/console.mjs"
