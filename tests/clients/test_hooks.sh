#!/bin/bash
# Hooks: a program, a URL and a mail are told what happens to a request; none of them can hold a call up or say anything.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
told=$work/told
mkdir -m 777 "$told" && chmod 755 "$work"
cat >"$told/program" <<EOF
#!/bin/sh
[ \$# -eq 0 ] || echo arguments >>$told/wrong
[ -z "\$PIN\$HOME" ] || echo environment >>$told/wrong
[ "\$(ls /proc/self/fd | wc -l)" -le 4 ] || ls -l /proc/self/fd >>$told/wrong
cat >>$told/lines
EOF
cat >"$told/sendmail" <<EOF
#!/bin/sh
echo "\$*" >>$told/mail
cat >>$told/mail
EOF
printf '#!/bin/sh\nexec sleep 600\n' >"$told/sleeper"
printf '#!/bin/sh\nexit 3\n' >"$told/fails"
chmod 755 "$told"/{program,sendmail,sleeper,fails}
cat >"$work/receiver.py" <<'EOF'
import http.server, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open(sys.argv[1], "ab") as f:
            f.write(self.headers["Content-Type"].encode() + b" " + self.rfile.read(int(self.headers["Content-Length"])) + b"\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *a):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
EOF
python3 "$work/receiver.py" "$told/posts" >"$work/port" 2>"$work/receiver.log" &
receiver=$!
at_exit "kill $receiver"
for _ in $(seq 100); do [ -s "$work/port" ] || sleep 0.05; done
user= && [ "$(id -u)" != 0 ] || user='user = "nobody"'
hooks=$(
	cat <<EOF
hook "program" { command = "$told/program" $user }
hook "receiver" { url = "http://127.0.0.1:$(cat "$work/port")/kanmon" }
hook "mail" { mail-to = "duty@example.jp" sendmail = "$told/sendmail" $user }
hook "sleeper" { command = "$told/sleeper" $user }
hook "fails" { command = "$told/fails" $user }
EOF
)
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum --conf "$hooks" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"

wait_for() { for _ in $(seq 100); do grep -q -e "$1" "$2" 2>/dev/null && return 0 || sleep 0.05; done; sed 's/^/# /' "$2" && false; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id'; }

pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" --keypairgen --key-type rsa:2048 --label root-ca --id 01 >/dev/null 2>&1
id=$(waiting)
t 'a program is told of the request' wait_for "\"event\":\"request\".*\"function\":\"C_GenerateKeyPair\".*\"request\":$id," "$told/lines"
t 'so is a URL' wait_for "^application/json {.*\"event\":\"request\".*\"request\":$id," "$told/posts"
t 'so is somebody by mail' wait_for "\"request\":$id," "$told/mail"
t 'with the address of the configuration alone' grep -q -x -e '-i -- duty@example.jp' "$told/mail"
t 'and a subject' grep -q '^Subject: kanmon: request, record [0-9]*$' "$told/mail"
kanmon reject "$id" $(as sato) --reason no >/dev/null && kanmon reject "$id" $(as suzuki) --reason no >/dev/null
t 'the decision is told too' wait_for "\"event\":\"decision\".*\"request\":$id,.*\"verdict\":\"rejected\"" "$told/lines"
t 'and posted' wait_for '"verdict":"rejected"' "$told/posts"
t 'a program that sleeps holds nobody up' kanmon status
t 'one that fails is a line in the log' wait_for 'hook "fails": exit status 3' "$work/gw/kanmond.log"
# The next version of the policy wants another serial number of the token: what is there is not what its line says.
kanmon policy show --as "$CUSTODIAN_DIR/sato" --json >shown && jq -j .note shown >policy-1
sed '/^$/,$!b; /^— /d' policy-1 | sed -e 's/^version 1/version 2/' -e "s|^previous .*|previous $(jq -r .sha256 shown)|" \
	-e "s/^token $TOKEN\$/& serial 0\nstance $TOKEN seal/" >policy-2
for who in sato suzuki tanaka; do
	kanmon policy sign policy-2 --previous policy-1 --key "$CUSTODIAN_DIR/$who.key" --passphrase-file "$CUSTODIAN_DIR/$who.passphrase" --yes >/dev/null
done
t 'a new version of the policy' kanmon policy submit policy-2 --as "$CUSTODIAN_DIR/sato"
t 'is told' wait_for '"event":"policy".*"version":2' "$told/lines"
t 'and posted' wait_for '"event":"policy".*"version":2' "$told/posts"
pkcs11-tool --module "$MODULE" -O >/dev/null 2>&1
t 'an anomaly is told' wait_for "\"event\":\"anomaly\".*\"token\":\"$TOKEN\",\"what\":\"what the HSM shows is not what its line says\"" "$told/lines"
t 'and posted' wait_for '"event":"anomaly"' "$told/posts"
t 'and mailed' wait_for '^Subject: kanmon: anomaly, record [0-9]*$' "$told/mail"
t 'each line is JSON, and has no secret' test 0 = "$(grep -c -F "$PIN" "$told/lines")" -a 0 = "$(jq -c . "$told/lines" >/dev/null; echo $?)"
t 'no arguments, environment or files came along' test ! -e "$told/wrong"

conf=$work/gw/gateway/kanmond.conf
try() { sed '/^hook/d' "$conf" >wrong.conf && echo "$1" >>wrong.conf && kanmond --config wrong.conf --check; }
t 'a hook without a way is refused' says 'has one of command, url and mail-to' try 'hook "x" { }'
t 'so is one with two' says 'has one of command, url and mail-to' try 'hook "x" { url = "http://a/" command = "/bin/true" }'
t 'and a program that is not there' says 'is no program that can be run' try 'hook "x" { command = "/nowhere/at/all" }'
t 'and an address that is an option' says 'mail-to' try 'hook "x" { mail-to = "-oQ/tmp@x" }'
t 'and an unknown setting' says 'event' try 'hook "x" { event = "all" }'
[ "$(id -u)" != 0 ] || t 'as root a program wants a user' says 'nothing of it runs as root' try 'hook "x" { command = "/bin/true" }'
t_end
