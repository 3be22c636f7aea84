#!/bin/bash
# The direction of #include, and what each room keeps away from (docs/architecture.md, the room cards). A room's own
# header is named by its path, "server/gate/reject.h"; all that crosses a border is in include/kanmon. A card names the
# files of its room.
set -u
cd "${srcdir:-.}" || exit 99
n=0
failed=0

# t SENTENCE FINDINGS: passes when nothing was found.
t() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		failed=$((failed + 1))
		echo "not ok $n - $1"
		sed 's/^/# /' <<<"$2"
	fi
}

# Lines `#include` of a room's files that fit a pattern; the files of $3 (basenames, `a|b`) are let through.
includes() {
	grep -n -E "^[[:space:]]*#[[:space:]]*include[[:space:]]+$2" "$1"/*.[ch] 2>/dev/null | grep -v -E "/(${3:-nothing})\.[ch]:"
}

# Calls of functions ($2, `a|b`) in a room's files, outside of comments that fill a line.
calls() {
	grep -n -E "(^|[^A-Za-z0-9_>.])($2)\(" "$1"/*.[ch] 2>/dev/null | grep -v -E ":[[:space:]]*(/?\*|//)" |
		grep -v -E "/(${3:-nothing})\.[ch]:"
}

for room in include/kanmon transport provider server/ledger server/quorum server/gate server/hsm server/courier server/console server/runner server/keeper server \
	tools/kanmon; do
	t "$room includes no other room's headers" "$(includes "$room" '"(transport|provider|server|tools|tests)/' |
		grep -v -E "include[[:space:]]+\"$room/[^/]*\"")"
done

t 'the ledger touches files and threads at their own places only' \
	"$(includes server/ledger '<(unistd|dirent|pthread|sys/(file|stat|eventfd|random|socket)|poll|signal|netdb)\.h>' 'store|log|commit|inner|crew|guard')" # crew: the auditor's threads; guard: files beside the ledger's disk
t 'the ledger reads no clock, no random and no environment of its own' \
	"$(calls server/ledger 'time|clock_gettime|gettimeofday|getrandom|randombytes_[a-z]+|getenv|secure_getenv' 'log|commit')"
t 'quorum has no files, sockets, threads or signals' \
	"$(includes server/quorum '<(unistd|fcntl|dirent|pthread|sys/.*|poll|signal|netdb)\.h>')"
t 'quorum reads no clock, no random and no environment' \
	"$(calls server/quorum 'time|clock_gettime|gettimeofday|getrandom|randombytes_[a-z]+|getenv|secure_getenv|fopen|open')"
t 'the gate knows nothing of policy, ledger or modules, and opens no file' \
	"$(includes server/gate '("kanmon/(log|store|record|quorum|policy|statement|operation|verify|json)\.h"|<(fcntl|dirent|dlfcn|jansson)\.h>)')"
t 'the worker knows nothing of policy, quorum or ledger' \
	"$(includes server/hsm '("kanmon/(log|store|record|quorum|policy|statement|operation|verify|json|note)\.h"|<jansson\.h>)')"
t 'the courier knows nothing of what it carries, and no file' \
	"$(includes server/courier '("kanmon/(frame|calls|codec|channel|tls|log|store|record|quorum|policy|statement|verify|json|note)\.h"|<(fcntl|dirent|jansson)\.h>)')"
t 'libcurl is the courier'"'"'s' "$(grep -l -E '^#include <curl/' transport/*.c server/*.[ch] server/*/*.[ch] provider/*.[ch] tools/kanmon/*.[ch] 2>/dev/null |
	grep -v -x 'server/courier/curl.h')"
t 'the console knows nothing of what it carries, decides nothing and opens no file but its pages' \
	"$(includes server/console '("kanmon/(frame|calls|codec|channel|log|store|record|quorum|policy|statement|verify|note|signed|evidence)\.h"|<(fcntl|dirent)\.h>)' pages)"
t 'libmicrohttpd and GnuTLS are the console'"'"'s, and the witness'"'"'s' "$(grep -l -E '^#include <(microhttpd|gnutls/)' transport/*.c server/*.[ch] server/*/*.[ch] provider/*.[ch] tools/kanmon/*.[ch] 2>/dev/null |
	grep -v -x -E 'server/console/libraries.h|tools/kanmon/witness_http.c')"
t 'the keeper loads no module and makes no socket' \
	"$(includes server/keeper '<(dlfcn|netinet/.*|arpa/inet|netdb|sys/socket)\.h>')"
t 'the supervisor reads no frame, no call and no record' \
	"$(includes server '"kanmon/(frame|calls|codec|channel|record|log|policy|quorum|statement|tls)\.h"')"
t 'one file loads modules; libcurl and libmicrohttpd have one each' \
	"$(grep -l -E '^#include <dlfcn\.h>' transport/*.c server/*.c server/*/*.c provider/*.c tools/kanmon/*.c 2>/dev/null | grep -v -x -E 'server/hsm/vendor.c|server/courier/curl.c|server/console/libraries.c|tools/kanmon/witness_http.c|provider/[a-z]*\.c')"
t 'the provider has no JSON, no policy and no ledger' \
	"$(includes provider '("kanmon/(json|log|store|quorum|policy|statement)\.h"|<jansson\.h>)')"
t 'the provider never exits, raises, installs a handler or speaks on stdout' \
	"$(calls provider 'exit|_exit|abort|raise|signal|sigaction|printf|puts|putchar|KMN_BUG|assert')"
t 'transport reads no environment and no file of its own choice' \
	"$(calls transport 'getenv|secure_getenv')"

# The names of a room card, one a line: `codec_{a,b}` is two, what ends in `.c` or `.h` is its stem, `fuzz_*` a pattern.
named() {
	awk '{
		gsub(/[^A-Za-z0-9_.*{},]+/, " ")
		n = split($0, word, " ")
		for (i = 1; i <= n; i++) {
			if (!match(word[i], /\{[^}]*\}/)) {
				print word[i]
				continue
			}
			m = split(substr(word[i], RSTART + 1, RLENGTH - 2), part, ",")
			for (k = 1; k <= m; k++)
				print substr(word[i], 1, RSTART - 1) part[k] substr(word[i], RSTART + RLENGTH)
		}
	}' "$1/README.md" | sed -E 's/[.,]+$//; s/\.(c|h|def)$//' | sort -u
}

# Files of a room that its card does not name.
unnamed() {
	local names=() patterns=() word file stem pattern

	while read -r word; do
		case $word in
		?*\*) patterns+=("$word") ;;
		*) names+=("$word") ;;
		esac
	done < <(named "$1")
	for file in "$1"/*.[ch] "$1"/*.def; do
		[ -e "$file" ] || continue
		stem=${file##*/}
		stem=${stem%.*}
		[[ " ${names[*]} " == *" $stem "* ]] && continue
		for pattern in "${patterns[@]}"; do
			# shellcheck disable=SC2053 # it is a pattern
			[[ $stem == $pattern ]] && continue 2
		done
		echo "$file"
	done
}

for room in include/kanmon transport provider server server/ledger server/quorum server/gate server/hsm server/courier server/console server/runner \
	server/keeper tools/kanmon; do
	t "the card of $room names each of its files" "$(unnamed "$room")"
done

echo "1..$n"
[ $failed -eq 0 ]
