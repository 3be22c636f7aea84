#!/bin/bash
# The console's pages in headless Chromium, against a stand-in for the gateway.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/browser.sh"
browser_needed
exec node "$here/browser/pages.mjs"
