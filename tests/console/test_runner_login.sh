#!/bin/bash
# Operators' actions on a token `per login`: nobody types a PIN, each job's login is let in by two of three custodians.
. "${srcdir:-.}/tests/tap.sh"
command -v curl >/dev/null && command -v python3 >/dev/null || { echo '1..0 # SKIP there is no curl or no python3' && exit 0; }
cd "$work" || exit 99
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/tests/console/runner/login.py" "$source_dir" "$work" >out 2>&1
[ -f gw/env ] || { cat out && exit 99; }
. "$work/gw/env"
unset LD_PRELOAD
told() { grep -q -x -e "$1" out || { tail -2 out | cut -c1-400 && false; }; }
records() { kanmon audit show "$LEDGER" --json | jq -s "[.[] | select($1)] | length"; }

t 'a job runs until its login is let in' told 'waits running'
t 'a key is made without a PIN that anybody typed' told 'made public-key True'
t 'the next job needs a login of its own' told 'each True signature'
t 'a runner that dies while its login waits: nothing was done, and that is said' told 'lost .*nothing was done. Sign it again'
t 'the key was destroyed by nobody' [ "$(records '.type == "intent" and .body.op == "C_DestroyObject"')" = 0 ]
t 'both logins were with the PIN that is sealed' [ "$(records '.type == "session" and .body.event == "login" and .body.rv == 0')" = 2 ]
t 'the auditor agrees' kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'the PIN stands in no log' sh -c '! grep -q -e "$PIN" gw/kanmond.log'
t_end
