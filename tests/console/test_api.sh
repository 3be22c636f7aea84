#!/bin/bash
# The console of a whole gateway, asked over HTTPS by curl and by bare sockets: what every answer says, who is let in, what is
# refused, and that neither hostile input nor a killed process costs more than itself.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/control.sh"
command -v curl >/dev/null || { echo '1..0 # SKIP there is no curl' && exit 0; }
inputs=${KMN_TEST_LONG:+10000}
inputs=${inputs:-1000}

at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum --console localhost >"$work/up.log" 2>&1 || { cat "$work/up.log" && exit 99; }
. "$work/gw/env"
unset LD_PRELOAD
kanmond_pid=$(cat "$work/gw/kanmond.pid")
port=${CONSOLE##*:}
api=$CONSOLE/api/v1
json='Content-Type: application/json'

ask() { curl -s -m 10 --cacert "$CONSOLE_CA" "$@"; }
up() { [ "$(ask -o /dev/null -w '%{http_code}' "$CONSOLE/")" = 200 ]; }
wait_until up
status() { # STATUS curl's arguments
	local want=$1 got
	shift
	got=$(ask -o "$work/answer" -w '%{http_code}' "$@")
	[ "$got" = "$want" ] || { echo "status $got, not $want: $*" && cat "$work/answer" && false; }
}
post() { local path=$1 && shift && ask -X POST -H "Origin: $CONSOLE" -H "$json" "$@" "$api/$path"; }
post_status() { local want=$1 path=$2 && shift 2 && status "$want" -X POST -H "Origin: $CONSOLE" -H "$json" "$@" "$api/$path"; }

# --- headers -----------------------------------------------------------------------------------------------------------
headers_of() { # PATH: what no answer may lack, and what none may say
	local all name
	all=$(ask -D - -o /dev/null "$CONSOLE$1" | tr -d '\r' | tr '[:upper:]' '[:lower:]')
	while IFS= read -r name; do
		grep -q -e "^$name" <<<"$all" || { printf '%s lacks %s:\n%s\n' "$1" "$name" "$all" && return 1; }
	done <<'END'
strict-transport-security: max-age=[0-9]\{8\}
x-content-type-options: nosniff$
x-frame-options: deny$
referrer-policy: no-referrer$
cross-origin-opener-policy: same-origin$
cross-origin-resource-policy: same-origin$
permissions-policy: publickey-credentials-get=(self), publickey-credentials-create=(self),
content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';
content-security-policy: .*frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'$
cache-control: no-
content-type: \(text/[a-z]*; charset=utf-8\|application/json\)$
END
	! grep -E "unsafe-|access-control-|^server:|x-powered-by|http:" <<<"$all"
}
for path in / /css/kanmon.css /js/main.js /nowhere /api/v1/session /api/v1/nowhere /api/v1/sign-out '/api/v1/ledger/records?from=x'; do
	t "the headers of $path" headers_of "$path"
done
etag() {
	local tag
	tag=$(ask -D - -o /dev/null "$CONSOLE/js/main.js" | tr -d '\r' | sed -n 's/^ETag: //p')
	status 304 -H "If-None-Match: $tag" "$CONSOLE/js/main.js"
}
t 'a page that did not change is not sent again' etag
t 'an API answer is kept by nobody' says '^Cache-Control: no-store' ask -D - -o /dev/null "$api/session"
traversal() { status 404 --path-as-is "$CONSOLE/../../gateway/kanmond.conf" && status 404 --path-as-is "$CONSOLE/%2e%2e/README.md" &&
	status 404 --path-as-is "$CONSOLE/css//kanmon.css" && status 404 "$CONSOLE/README.md" && status 404 "$CONSOLE/css/"; }
t 'nothing but the pages can be had' traversal

# --- TLS ---------------------------------------------------------------------------------------------------------------
t 'TLS 1.3 is spoken' status 200 --tlsv1.3 "$CONSOLE/"
t 'TLS 1.2 is not' fails ask --tls-max 1.2 "$CONSOLE/"
t 'bare HTTP is not answered' fails curl -s -m 5 "http://127.0.0.1:$port/"

# --- where a request comes from ----------------------------------------------------------------------------------------
t 'another Host is misdirected' status 421 -H 'Host: evil.example' "$CONSOLE/"
t 'so is the address, though it is the same machine' status 421 --resolve "other:$port:127.0.0.1" -k "https://other:$port/"
t 'a POST without Origin is refused' status 403 -X POST -H "$json" -d '{}' "$api/sign-in/begin"
t 'a POST from another site is refused' status 403 -X POST -H "$json" -H 'Origin: https://evil.example' -d '{}' "$api/sign-in/begin"
t 'an Origin that begins alike is another' status 403 -X POST -H "$json" -H "Origin: $CONSOLE.evil.example" -d '{}' "$api/sign-in/begin"
t 'what a browser calls cross-site is refused' status 403 -H 'Sec-Fetch-Site: cross-site' "$api/session"
t 'a form is no JSON' status 415 -X POST -H "Origin: $CONSOLE" -d 'a=b' "$api/sign-in/begin"

# --- methods and sizes --------------------------------------------------------------------------------------------------
methods() {
	local method
	for method in PUT DELETE PATCH OPTIONS TRACE; do
		status 405 -X $method -H "Origin: $CONSOLE" -H "$json" "$api/session" && status 405 -X $method -H "Origin: $CONSOLE" -H "$json" "$CONSOLE/" ||
			return 1
	done
	status 405 -X POST -H "Origin: $CONSOLE" -H "$json" -d '{}' "$api/session" && status 405 "$api/sign-out"
}
t 'each address has its method and no other' methods
head -c 100000 /dev/zero | tr '\0' ' ' >"$work/long"
t 'a body longer than its question is refused' post_status 413 sign-in/begin --data-binary "@$work/long"
t 'also one that does not say its length' post_status 413 sign-in/begin -H 'Transfer-Encoding: chunked' --data-binary "@$work/long"
t 'a very long address is refused' says '^4' ask -o /dev/null -w '%{http_code}' "$CONSOLE/$(head -c 40000 /dev/zero | tr '\0' a)"
bad_json() {
	local body
	for body in '{' '[]' '1' '"a"' 'null' '{"a":1}' '{"a":1,"a":1}' '{}x' '{"x":{{{{' $'{"\x01":1}'; do
		post_status 400 sign-in/begin --data-binary "$body" || return 1
	done
}
t 'what is not the JSON that is asked for is a 400' bad_json

# --- who is let in ------------------------------------------------------------------------------------------------------
sato=$CUSTODIAN_DIR/sato
mine() { ask -b "$work/jar" "$@"; }
sign_in() { post sign-in/certificate -c "$work/jar" --cert "$sato.crt" --key "$sato.tls.key" -d '{}' -D "$work/head" >"$work/session" &&
	csrf=$(jq -er .csrf "$work/session"); }
t 'nobody is signed in without a sign-in' status 401 "$api/requests"
t 'a browser without a certificate is not signed in by it' post_status 401 sign-in/certificate -d '{}'
t 'one with the key of a terminal line is' sign_in
t 'the cookie is for this console, for TLS, and not for scripts' \
	grep -q -i '^Set-Cookie: __Host-kanmon=[A-Za-z0-9_-]\{22\}; Path=/; Secure; HttpOnly; SameSite=Strict' "$work/head"
t 'the session says who' test "$(mine "$api/session" | jq -r .name)" = sato
t 'it asks what it may ask' says '"requests"' mine "$api/requests"
t 'without the CSRF value it changes nothing' post_status 403 sign-out -b "$work/jar" -d '{}'
t 'nor with another one' post_status 403 sign-out -b "$work/jar" -H 'X-Kanmon-Csrf: AAAAAAAAAAAAAAAAAAAAAA' -d '{}'
t 'a cookie that nobody was given is none' status 401 -b '__Host-kanmon=AAAAAAAAAAAAAAAAAAAAAA' "$api/session"

# --- hostile input --------------------------------------------------------------------------------------------------------
# As many requests as asked for, over a few connections; each answer is one of those that the API has.
cat >"$work/fuzz.py" <<'END'
import http.client, json, random, ssl, sys
port, count, doc, cookie, csrf = int(sys.argv[1]), int(sys.argv[2]), json.load(open(sys.argv[3])), sys.argv[4], sys.argv[5]
random.seed(6)
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection('localhost', port, context=context, timeout=20)
allowed = {200, 304, 400, 401, 403, 404, 405, 409, 413, 414, 415, 421, 429, 431, 503}
values = ['', '0', '1', '-1', '9' * 30, 'x', '%00', '%ff', '../..', 'A' * 43, "'", '{', '\u3042', 'é' * 300]
texts = ['', 'a', '\x00', '\u3042' * 50, 'A' * 5000, '=' * 10, 'AAAA', 'AA']
paths = [(path, method.upper()) for path, methods in doc['paths'].items() for method in methods
         if not path.endswith('/events') and not path.endswith('/sign-out')]
def thing(depth=0):
    kind = random.randrange(9 if depth < 4 else 5)
    if kind < 3: return random.choice(texts)
    if kind == 3: return random.choice([0, -1, 2 ** 53, 1.5, 10 ** 25])
    if kind == 4: return random.choice([None, True, False])
    if kind < 7: return [thing(depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(['text', 'assertion', 'note', 'signature', 'x']): thing(depth + 1) for _ in range(random.randrange(4))}
def body_of(schema):
    if random.random() < 0.1: return random.randbytes(random.randrange(200))
    members = {name: thing() for name in schema.get('properties', {}) if random.random() < 0.7}
    if random.random() < 0.2: members['x'] = thing()
    text = json.dumps(members).encode()
    if random.random() < 0.2: text = bytes(random.choice(text) if random.random() < 0.05 else byte for byte in text)
    return text
def quote(text):
    return ''.join(c if c.isascii() and (c.isalnum() or c in '%.-') else ''.join('%%%02X' % b for b in c.encode()) for c in text)
seen = {}
for n in range(count):
    path, method = random.choice(paths)
    operation = doc['paths'][path][method.lower()]
    for name in ('{number}', '{hash}'):
        path = path.replace(name, quote(random.choice(values)) or '1')
    query = '&'.join('%s=%s' % (p['name'], quote(random.choice(values))) for p in operation.get('parameters', [])
                     if p['in'] == 'query' and random.random() < 0.6)
    headers = {'Origin': 'https://localhost:%d' % port, 'Content-Type': 'application/json'}
    if random.random() < 0.8: headers['Cookie'] = '__Host-kanmon=' + cookie
    if random.random() < 0.8: headers['X-Kanmon-Csrf'] = csrf
    body = body_of(operation['requestBody']['content']['application/json']['schema']) if method == 'POST' else None
    if random.random() < 0.03: method = random.choice(['PUT', 'HEAD', 'FOO'])
    try:
        connection.request(method, path + ('?' + query if query else ''), body, headers)
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        connection.close()
        connection = http.client.HTTPSConnection('localhost', port, context=context, timeout=20)
        seen['closed'] = seen.get('closed', 0) + 1
        continue
    seen[answer.status] = seen.get(answer.status, 0) + 1
    if answer.status not in allowed:
        print(method, path, query, body, answer.status)
        sys.exit(1)
print(seen)
sys.exit(0 if seen.get('closed', 0) < count / 20 and seen.get(200, 0) > 0 and seen.get(400, 0) > 0 else 1)
END
cookie() { sed -n 's/.*__Host-kanmon\t//p' "$work/jar"; }
resident_kib() { awk '/^VmRSS/ {print $2}' "/proc/$(of_role console)/status"; }
fuzz() { python3 "$work/fuzz.py" "$port" "$inputs" "$source_dir/docs/console-api.json" "$(cookie)" "$csrf"; }
console_before=$(of_role console)
t "$inputs fuzzed requests: each is answered, none by 500" fuzz
t 'by the same process as before' test "$(of_role console)" = "$console_before"
t 'which has not grown beyond 128 MiB' test "$(resident_kib)" -lt 131072 -o -n "$(under_sanitizer && echo yes)"
t 'and the session is still one' says sato mine "$api/session"

# --- the slow ---------------------------------------------------------------------------------------------------------------
cat >"$work/slow.py" <<'END'
import socket, ssl, sys, time
port, wait = int(sys.argv[1]), float(sys.argv[2])
begun = time.time()
silent = [socket.create_connection(('127.0.0.1', port)) for _ in range(20)]
slow = ssl._create_unverified_context().wrap_socket(socket.create_connection(('127.0.0.1', port)), server_hostname='localhost')
slow.settimeout(0.2)
slow.send(b'GET / HTTP/1.1\r\nHost: localhost\r\n')
while time.time() - begun < wait:
    try:
        slow.send(b'X')
        if slow.recv(1) == b'': break
    except (socket.timeout, ssl.SSLWantReadError): pass
    except OSError: break
print('closed after', time.time() - begun)
sys.exit(0 if time.time() - begun < wait and all(s.recv(1) == b'' for s in silent) else 1)
END
impatient() { # the whole gateway again, with less patience
	stop_kanmond && sed -i '/^console {/a\	patience = 2\n\tattempts = 3\n\tlockout = 3' "$work/gw/gateway/kanmond.conf" && start_kanmond && wait_until up
}
t 'the gateway with a console of little patience' impatient
t 'who sends a byte at a time, or nothing, is closed' python3 "$work/slow.py" "$port" 10
t 'while others are served' up

# --- shut out ---------------------------------------------------------------------------------------------------------------
assertion='"assertion":{"authenticatorData":"AA","clientDataJSON":"AA","signature":"AA"}'
shut_out() {
	local i
	for i in 1 2 3; do
		fails post_status 200 sign-in -d "{\"text\":\"x\",$assertion}" || return 1
		fails grep -q TOO_MANY "$work/answer" || return 1
	done
	post_status 429 sign-in -d "{\"text\":\"x\",$assertion}" && post_status 429 sign-in/begin -d '{}'
}
t 'three refused sign-ins shut an address out' shut_out
t 'the ledger says so' wait_until grep -q -r '"what":"lockout"' "$LEDGER/seg"
t 'after a while it may try again' wait_until sign_in

# --- ends ---------------------------------------------------------------------------------------------------------------------
t 'the session that began' says sato mine "$api/session"
listening() { mine -N --max-time 4 "$api/events" >"$work/events" & listener=$! && wait_until grep -q open "$work/events"; }
sign_out() { post_status 200 sign-out -b "$work/jar" -H "X-Kanmon-Csrf: $csrf" -d '{}' && wait "$listener" && grep -q '^event: ended' "$work/events"; }
replaced() { [ -n "$(of_role console)" ] && [ "$(of_role console)" != "$before" ] && up; }
killed() { before=$(of_role console) && kill_role console && wait_until replaced; }
t 'kill -9 of the console: there is another' killed
t 'the gateway goes on meanwhile' answers
t 'the session survived' says sato mine "$api/session"
t 'a page that listens hears its session end' eval 'listening && sign_out'
t 'and then it is none' status 401 -b "$work/jar" "$api/session"
t 'the ledger verifies' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
